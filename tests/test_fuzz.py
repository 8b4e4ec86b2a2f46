"""Rubbish of every kind into everything that is read from disk: what comes out is a result or a KitError, no crash.

`make test` tries 450 cases, `make soak` 5,500 (profiles of hypothesis, in conftest.py).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hbl_lib import checkpoint, config, files, given_methods, images, modes, perceptual, soundness, splits, verify
from hbl_lib import weights as weight_files
from hbl_lib.classifier import Classifier
from hbl_lib.errors import KitError
from hbl_lib.export import BUNDLE
from hbl_lib.genotype import Genotype
from hbl_lib.losses import FoundLoss
from hbl_lib.restorer import Restorer

pytestmark = pytest.mark.filterwarnings("ignore")  # of decoders, about rubbish
SHORT = st.text(max_size=12)
ODD = st.sampled_from([float("nan"), float("inf"), -1, 10**30, "", None, True, [], {}, "é\n", "1-C", "../../x", 1e-320])
PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | SHORT | ODD, lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4)
), max_leaves=8)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def survives(read, *arguments: Any) -> Any:
    """The result, or None after a KitError, whose message must name what was read or say what to do."""
    try:
        return read(*arguments)
    except KitError as error:
        paths = [argument for argument in arguments if isinstance(argument, Path)]
        assert str(error).strip() and all(path.name in str(error) for path in paths[:1])
        return None


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Content cut off, with bytes turned over, with a piece repeated, removed or replaced by rubbish."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(made) - 1)))
        kind = draw(st.sampled_from(["cut", "flip", "drop", "repeat", "rubbish"]))
        if kind == "cut":
            del made[at:]
        elif kind == "flip" and made:
            made[at] ^= draw(st.integers(1, 255))
        elif kind == "drop":
            del made[at : at + draw(st.integers(1, 40))]
        elif kind == "repeat":
            made[at:at] = made[at : at + draw(st.integers(1, 40))]
        else:
            made[at:at] = draw(st.binary(max_size=30))
    return bytes(made)


def _paths(tree: Any, at: tuple = ()) -> list[tuple]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at] + [path for key, value in inner for path in _paths(value, (*at, key))]


@st.composite
def altered(draw, tree: Any) -> Any:
    """A tree of plain data with one or two values replaced or removed, or a key put in."""
    made = {"": json.loads(json.dumps(tree))}
    for _ in range(draw(st.integers(1, 2))):
        *above, last = draw(st.sampled_from([("", *path) for path in _paths(made[""])]))
        inner = made
        for key in above:
            inner = inner[key]
        kind = draw(st.sampled_from(["replace", "remove", "add"]))
        if kind == "remove" and last != "":
            del inner[last]
        elif kind == "add" and isinstance(inner, dict) and last != "":
            inner[draw(SHORT)] = draw(PLAIN)
        else:
            inner[last] = draw(PLAIN)
    return made[""]


def encoded(suffix: str, mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, suffix)
    return buffer.getvalue()


PICTURES = {"png": encoded("PNG"), "jpg": encoded("JPEG"), "webp": encoded("WEBP"), "tif": encoded("TIFF")}
PICTURES |= {"bmp": encoded("BMP"), "PNG": encoded("PNG", "P"), "TIF": encoded("TIFF", "CMYK"), "JPG": encoded("GIF")}
LOSS = {"weights": dict.fromkeys(("l1", "l2", "color", "ssim", "lpips", "vgg", "tv", "laplacian"), 1.0)}
LOSS |= {"trunk": "untrained", "layers": [0, 5, 10, 19], "ssim_exponents": [1.0, 1.0, 1.0]}
GENOTYPE = Genotype.uniform("1-C").as_dict()
SPLITS = {
    "source": "folder",
    "lists": {
        name: [{"degraded": f"low/{name}.png", "clear": f"high/{name}.png", "group": name}] for name in splits.LISTS
    },
    "sha256": {"low/train.png": "0" * 64},
}


@given(st.data())
@pytest.mark.parametrize("suffix", PICTURES)
def test_pictures(place, suffix, data):
    path = place / f"picture.{suffix}"
    path.write_bytes(data.draw(damaged(PICTURES[suffix])))
    picture = survives(images.read, path)
    assert picture is None or (picture.dtype == np.uint8 and picture.shape[2] == 3)
    survives(images.size, path)
    picture = survives(modes.read, path)
    if picture is not None:
        assert np.isfinite(picture.rgb).all() and 0 <= picture.rgb.min() <= picture.rgb.max() <= 1
        survives(modes.write, place / "out.png", picture)


@given(st.data())
def test_folders_of_pairs(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("pairs")
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8)
    for side in data.draw(st.lists(st.sampled_from(["low", "high", "hazy", "gt", "valid", "LOW"]), unique=True)):
        (root / side).mkdir()
        for name in data.draw(st.lists(names, max_size=3, unique=True)):
            path = root / side / f"{name}.png"
            if name not in (".", ".."):
                path.write_bytes(data.draw(st.sampled_from([PICTURES["png"], b"", PICTURES["bmp"]])))
    if data.draw(st.booleans()):
        (root / "groups.json").write_text(json.dumps(data.draw(PLAIN)))
    found = survives(soundness.check, root)
    if found is not None:
        survives(soundness.require_sound, found)
        assert len(found.pairs) == len({pair.degraded for pair in found.pairs})


READERS = {
    "loss": (LOSS, FoundLoss.read, "yaml"),
    "genotype": (GENOTYPE, Genotype.read, "yaml"),
    "splits": (SPLITS, splits.read, "json"),
    "checksums": (SPLITS, splits.checksums, "json"),
}


@given(st.data())
@pytest.mark.parametrize("name", READERS)
def test_losses_genotypes_and_lists_with_wrong_values(place, name, data):
    tree, read, suffix = READERS[name]
    path = place / f"{name}.{suffix}"
    path.write_text((yaml.safe_dump if suffix == "yaml" else json.dumps)(data.draw(altered(tree))))
    found = survives(read, path)
    if name == "loss" and found is not None:
        assert all(0 <= weight < float("inf") for weight in found.weights.values())


@given(st.data())
@pytest.mark.parametrize("name", READERS)
def test_losses_genotypes_and_lists_as_damaged_text(place, name, data):
    tree, read, suffix = READERS[name]
    path = place / f"{name}.{suffix}"
    path.write_bytes(data.draw(damaged((yaml.safe_dump(tree) if suffix == "yaml" else json.dumps(tree)).encode())))
    survives(read, path)


@given(st.data())
def test_parameters(data):
    keys = ("retrain.steps", "classifier.crop", "task.data", "search", "threads", "task.ranges", "", "a.b.c", "retrain")
    words = [f"{data.draw(st.sampled_from(keys))}={data.draw(st.text(max_size=10) | PLAIN.map(str))}" for _ in range(2)]
    params = survives(config.load, "smoke", "llie_lol", 0, "", ",".join(words))
    assert params is None or params.retrain.steps is None or params.retrain.steps > 0
    survives(given_methods.parse, data.draw(st.text(max_size=20)))


@given(st.data())
def test_profiles_and_tasks(place, data):
    params = place / "params"
    for kind, name in (("profiles", "smoke"), ("tasks", "llie_lol")):
        tree = files.read_yaml(config.PARAMS / kind / f"{name}.yaml")
        (params / kind).mkdir(parents=True, exist_ok=True)
        (params / kind / f"{name}.yaml").write_text(yaml.safe_dump(data.draw(st.just(tree) | altered(tree))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "PARAMS", params)
        survives(config.load, "smoke", "llie_lol")


@pytest.fixture(scope="module")
def weights(place):
    """The bytes of a restorer's and a classifier's checkpoint."""
    Restorer(Genotype.uniform("1-C")).save(place / "restorer.safetensors")
    Classifier("resnet10").save(place / "classifier.safetensors")
    return {name: (place / f"{name}.safetensors").read_bytes() for name in ("restorer", "classifier")}


@given(st.data())
@pytest.mark.parametrize("name", ["restorer", "classifier"])
def test_damaged_checkpoints(place, weights, name, data):
    path, content = place / f"damaged_{name}.safetensors", data.draw(damaged(weights[name]))
    path.write_bytes(content)
    read = Restorer.load if name == "restorer" else Classifier.load
    assert content == weights[name] or survives(read, path) is None


def trained(name: str) -> bytes:
    """A sound file, of another network."""
    buffer, content = io.BytesIO(), {"features.0.weight": np.zeros((2, 3), np.float32)}
    if name == "squeeze":
        np.savez(buffer, **content)
    else:
        torch.save({key: torch.from_numpy(value) for key, value in content.items()}, buffer)
    return buffer.getvalue()


@given(st.data())
@pytest.mark.parametrize("name", ["alex", "squeeze"])
def test_damaged_weights_of_trunks(tmp_path_factory, name, data):
    """Their checksum taken as right, so that the content itself is read."""
    path = tmp_path_factory.mktemp("weights") / weight_files.FILES[name]
    path.write_bytes(data.draw(damaged(trained(name))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBL_WEIGHTS", str(path.parent))
        patch.setitem(weight_files.SHA256, path.name, files.sha256(path))
        read = perceptual.squeezenet if name == "squeeze" else lambda path: perceptual.lpips_metric()
        assert survives(read, path) is None


@given(st.data())
def test_sound_checkpoints_of_something_else(place, data):
    path = place / "other.safetensors"
    genotype = data.draw(st.just(GENOTYPE) | altered(GENOTYPE))
    tree = {"genotype": genotype, "weights": data.draw(PLAIN), "network": data.draw(PLAIN)}
    try:
        checkpoint.save(path, tree)
    except ValueError:  # no surrogates in UTF-8
        return
    assert survives(Restorer.load, path) is None
    assert survives(Classifier.load, path) is None


@given(st.data())
def test_manifests_and_bundles(tmp_path_factory, weights, data):
    folder = tmp_path_factory.mktemp("bundle")
    manifest = {
        "stage": data.draw(st.sampled_from(["00_data", "06_loss_ablation/unet", "x"])),
        "parameters": {"seed": 0, "task": {"data": data.draw(st.sampled_from(["embedded", "pairs", "~nobody/x"]))}},
        "facts": {"vgg_term": {"features": "untrained", "sha256": None}},
        "inputs": {"00_data/splits.json": "0" * 64},
        "outputs": {"a.json": "0" * 64},
        "seconds": 1.0,
    }
    (folder / "a.json").write_text("{}")
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    if data.draw(st.booleans()):
        (folder / "restorer.safetensors").write_bytes(data.draw(st.just(weights["restorer"]) | damaged(b"{}")))
    name = data.draw(st.sampled_from([BUNDLE, "manifest.json"]))
    tree = {"a.json": "0", "restorer.safetensors": "0"} if name == BUNDLE else manifest
    (folder / name).write_text(json.dumps(data.draw(st.just(tree) | altered(tree))))
    told = survives(lambda: list(verify.verify(folder)))
    assert told is None or all(isinstance(problem, str) for *_, problems in told for problem in problems)
    survives(Restorer.load, folder)
