"""Nothing that is read runs code: live payloads, each of which would leave a file behind."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hbl_lib import checkpoint, config, files, markup, perceptual, weights
from hbl_lib.__main__ import main
from hbl_lib.classifier import Classifier
from hbl_lib.errors import KitError
from hbl_lib.restorer import Restorer

ROOT = Path(__file__).parent.parent


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path):
    """Where a payload would leave its file; it must not."""
    path = tmp_path / "payload ran"
    yield path
    assert not path.exists()


def test_the_payload_is_live(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))  # noqa: S301 (what the others must never do)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["torch", "pickle"])
@pytest.mark.parametrize("name", ["vgg19", "alex"])
def test_weights_that_are_pickles_are_not_run(mark, weight_file, kind, name):
    buffer = io.BytesIO()
    if kind == "torch":
        torch.save({"features.0.weight": Payload(mark)}, buffer)
    weight_file(name, buffer.getvalue() or pickle.dumps(Payload(mark)))
    with pytest.raises(KitError, match="not the torchvision weight file"):
        perceptual.feature_trunk() if name == "vgg19" else perceptual.lpips_metric()


def test_a_pickle_within_an_npz_is_not_run(mark, tmp_path, monkeypatch, no_weights):
    np.savez(tmp_path / weights.FILES["squeeze"], **{"features.0.weight": np.array([Payload(mark)], object)})
    monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
    with pytest.raises(KitError, match="not the SqueezeNet"):
        perceptual.feature_trunk()


@pytest.mark.parametrize("read", [checkpoint.load, Restorer.load, Classifier.load])
@pytest.mark.parametrize("kind", ["pickle", "torch", "zip"])
def test_a_checkpoint_that_is_a_pickle_is_not_run(mark, tmp_path, read, kind):
    path = tmp_path / "restorer.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Payload(mark)))
    elif kind == "torch":
        torch.save({"genotype": Payload(mark), "weights": {}}, path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", pickle.dumps(Payload(mark)))
    with pytest.raises(KitError, match="not a readable checkpoint"):
        read(path)


TAGS = [
    "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
    "!!python/object/apply:os.system ['touch \"{mark}\"']",
    "!!python/object/new:os.system ['touch \"{mark}\"']",
    "!!python/name:os.system",
]


@pytest.mark.parametrize("tag", TAGS)
def test_yaml_tags_are_not_run_in_files_nor_in_overrides(mark, tmp_path, tag):
    text = tag.format(mark=mark)
    (tmp_path / "a.yaml").write_text(f"weights: {text}\n")
    with pytest.raises(KitError, match="not valid YAML"):
        files.read_yaml(tmp_path / "a.yaml")
    with pytest.raises(KitError, match="override"):
        config.load("smoke", "llie_lol", overrides=f"search={text.replace(',', ';')}")


INJECTED = '''"; __import__("pathlib").Path({mark!r}).touch(); x = "'''


@pytest.mark.parametrize("by", ["papermill", "hbl_lib"])
def test_a_notebook_parameter_is_a_value_and_never_code(mark, tmp_path, by):
    words = [str(ROOT / "notebooks/00_data.ipynb"), str(tmp_path / "out.ipynb")]
    values = {"profile": "smoke", "results": str(tmp_path), "data": INJECTED.format(mark=str(mark))}
    if by == "papermill":
        words = ["-m", "papermill", "-k", "python3", *words]
        given = [word for pair in values.items() for word in ("-r", *pair)]
    else:
        words, given = ["-m", "hbl_lib", "notebook", *words], [f"{name}={value}" for name, value in values.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words, *given], capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "no such folder" in done.stderr + done.stdout
    notebook = json.loads((tmp_path / "out.ipynb").read_text())
    injected = next(c for c in notebook["cells"] if "injected-parameters" in c["metadata"].get("tags", []))
    assert "Path(" in "".join(injected["source"])  # it arrived, as a string


SHELL = """`touch '{mark}'` "; touch "{mark}"; " '; touch '{mark}'; ' $$(touch '{mark}') $(shell touch {mark})"""


def make_refuses(*words, **environment):
    """Run make, which must end in a message of ours."""
    words = ["make", f"PYTHON={sys.executable}", *words]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode != 0 and "error: " in done.stderr


@pytest.mark.parametrize(
    ("target", "given_by", "seeds"),
    [("reproduce", "words", "SEEDS"), ("reproduce", "environment", "SEED"), ("tables", "words", "SEED")],
)
def test_a_setting_of_make_is_a_value_and_never_shell(mark, target, given_by, seeds):
    settings = ["PROFILE", "TASKS", "DATA", "DEVICE", "RESULTS", "OVERRIDES", "ABLATIONS", "METHODS", "JOBS", seeds]
    given = dict.fromkeys(settings, SHELL.format(mark=mark))
    if given_by == "words":
        make_refuses(target, *(f"{name}={value}" for name, value in given.items()))
    else:
        make_refuses(target, **given)


@pytest.mark.parametrize("name", ["DATA", "OVERRIDES", "METHODS"])  # RESULTS: test_publish.py
def test_each_setting_alone_is_a_value_too(mark, tmp_path, name):
    settings = {"PROFILE": "smoke", "TASKS": "llie_lol", "RESULTS": str(tmp_path), name: SHELL.format(mark=mark)}
    make_refuses("reproduce", *(f"{key}={value}" for key, value in settings.items()))


MARKUP = "<img src=x onerror=alert(1)>"


def test_markup_is_shown_as_text():
    import pandas as pd

    frame = pd.DataFrame({MARKUP: [MARKUP], "file": [f"{MARKUP} javascript:alert(1)"]})
    shown = [
        markup.table_text(frame),
        markup.table_text(frame, links="file"),
        markup.facts({MARKUP: MARKUP}).text,
        markup.listing([MARKUP]).text,
        markup.table(frame, "index").text,
    ]
    for text in shown:
        assert "<img" not in text and "&lt;img" in text
        assert 'href="javascript:' not in text


@pytest.mark.parametrize("name", ["../outside.png", "/etc/hostname"])
def test_a_bundle_or_run_that_names_files_outside_of_it_is_told(tmp_path, capsys, name):
    (tmp_path / "outside.png").write_bytes(b"x")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    files.write_json(bundle / "checksums.json", {name: "0" * 64})
    assert main(["verify", str(bundle)]) == 1
    assert f"{name}: lies outside of {bundle}" in capsys.readouterr().out


def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path, capsys):
    folder = tmp_path / "a\x1b[2Jb"
    for side in ("low", "high"):
        (folder / side).mkdir(parents=True)
        Image.new("RGB", (5, 5)).save(folder / side / "c\x07.png")
    main(["data", "check", str(folder)])
    main(["data", "check", str(folder / "nowhere")])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err and "\x07" not in captured.out + captured.err
