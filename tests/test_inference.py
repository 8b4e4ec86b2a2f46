"""Restoring pictures of any size and mode into a folder; scoring folders; bundles and ONNX."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hbl_lib import export, inference, modes, runs, stages
from hbl_lib.__main__ import main
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.restorer import Restorer


@pytest.fixture(scope="module")
def restorer():
    torch.manual_seed(0)
    return Restorer(Genotype.published("llie_lol")).eval()


@pytest.fixture(scope="module")
def checkpoint(restorer, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "restorer.safetensors"
    restorer.save(path)
    return path


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (17, 31), (64, 48)])
def test_every_size_comes_back_in_its_size(restorer, shape):
    restored = inference.restore_any(restorer, modes.Picture(noise(*shape, 3) / np.float32(255)))
    assert restored.rgb.shape == (*shape, 3)
    assert np.isfinite(restored.rgb).all()


def test_both_ways_of_restoring_agree(restorer):
    picture = noise(33, 46, 3)
    whole = inference.restore_any(restorer, modes.Picture(picture / np.float32(255))).rgb
    expected = inference.restore(restorer, picture)
    assert np.abs(np.round(np.clip(whole, 0, 1) * 255) - expected).max() <= 1
    assert (np.round(np.clip(whole, 0, 1) * 255) == expected).mean() > 0.999


def test_restored_pictures_keep_name_size_mode_and_transparency(checkpoint, tmp_path):
    source, out = tmp_path / "in put", tmp_path / "out"
    source.mkdir()
    Image.fromarray(noise(20, 30, 4), "RGBA").save(source / "a b.png")
    Image.fromarray(noise(20, 30), "L").save(source / "grün.jpg")
    words = ["restore", "--checkpoint", str(checkpoint), "--out", str(out), "--device", "cpu"]
    files = [str(path) for path in sorted(source.iterdir())]
    assert main([*words, *files]) == 0
    with Image.open(out / "a b.png") as opened:
        assert (opened.mode, opened.size) == ("RGBA", (30, 20))
        assert np.array_equal(np.asarray(opened)[..., 3], noise(20, 30, 4)[..., 3])
    with Image.open(out / "grün.jpg") as opened:
        assert (opened.mode, opened.size) == ("L", (30, 20))


def test_nothing_is_overwritten_without_being_told_and_an_input_never(checkpoint, tmp_path, capsys):
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    words = ["restore", "--checkpoint", str(checkpoint), "--device", "cpu", str(tmp_path / "a.png"), "--out"]
    assert main([*words, str(tmp_path), "--overwrite"]) == 1
    assert (tmp_path / "a.png").read_bytes() == before
    assert main([*words, str(tmp_path / "out")]) == 0
    (tmp_path / "out/a.png").write_text("mine")
    assert main([*words, str(tmp_path / "out")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "out/a.png").read_text() == "mine"
    assert main([*words, str(tmp_path / "out"), "--overwrite"]) == 0
    assert (tmp_path / "out/a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_broken_picture_is_told_after_the_others_are_done(restorer, tmp_path):
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("hello")
    with pytest.raises(KitError, match=r"1 of 2 pictures were not restored:\n.*bad\.png: not a picture"):
        inference.restore_files(restorer, [tmp_path / "bad.png", tmp_path / "good.png"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_folders_are_scored_picture_by_picture(tmp_path, capsys):
    for name, shift in (("one", 0), ("two", 16)):
        clear = noise(20, 24, 3) // 2
        for folder, picture in (("clear", clear), ("restored", clear + shift)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / folder / f"{name}.png")
    Image.fromarray(clear + 4).save(tmp_path / "restored/one.png")
    words = ["evaluate", str(tmp_path / "restored"), str(tmp_path / "clear"), "--json", str(tmp_path / "scores.json")]
    assert main(words) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    expected = [20 * np.log10(255 / 4), 20 * np.log10(255 / 16)]
    assert [row["psnr"] for row in scores["per_image"]] == pytest.approx(expected)
    assert scores["mean"]["psnr"] == pytest.approx(np.mean(expected)) and scores["images"] == 2
    assert f"{np.mean(expected):.2f} dB" in capsys.readouterr().out
    Image.fromarray(noise(20, 24, 3)).save(tmp_path / "restored/three.png")
    assert main(words) == 1
    assert "three.png: has no partner" in capsys.readouterr().err


def test_onnx_gives_the_same_output_at_any_size(restorer, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export.onnx(restorer, tmp_path / "restorer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "restorer.onnx", providers=["CPUExecutionProvider"])
    for height, width in ((64, 72), (65, 91), (17, 31), (120, 200)):
        degraded = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            expected = restorer(degraded).numpy()
        (found,) = session.run(None, {"degraded": degraded.numpy()})
        assert np.abs(found - expected).max() < 1e-4


def test_a_bundle_is_whole_and_loads_with_one_call(tmp_path):
    run = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu", task="derain")
    for stage in stages.BY_NAME.values():
        stage(run)
    bundle = export.bundle(run, tmp_path / "bundle", with_onnx=False)
    assert {path.name for path in bundle.iterdir()} == {*export.PARTS, "task.yaml"}
    one, other = Restorer.load(bundle), Restorer.load(run.folder)
    assert one.genotype == other.genotype == Genotype.read(bundle / "genotype.yaml")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(KitError, match="is there already"):
        export.bundle(run, tmp_path / "bundle")
    missing = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu", task="sihr")
    with pytest.raises(KitError, match="is missing"):
        export.bundle(missing, tmp_path / "other")
    assert not (tmp_path / "other").exists()
