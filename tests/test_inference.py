"""Restoring pictures of any size and mode into a folder; scoring folders; bundles and ONNX."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hbl_lib import export, files, inference, metrics, modes, runs, splits, stages
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
    for network in (restorer, restorer.deploy()):
        restored = inference.restore_any(network, modes.Picture(noise(*shape, 3) / np.float32(255)))
        assert restored.rgb.shape == (*shape, 3)
        assert np.isfinite(restored.rgb).all()


def test_both_ways_of_restoring_agree(restorer):
    picture = noise(33, 46, 3)
    whole = inference.restore_any(restorer, modes.Picture(picture / np.float32(255))).rgb
    assert np.array_equal(np.round(np.clip(whole, 0, 1) * 255), inference.restore(restorer, picture))


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
    (tmp_path / "out/a.png").unlink()
    (tmp_path / "out/a.png").symlink_to(tmp_path / "nowhere")
    assert main([*words, str(tmp_path / "out")]) == 1
    assert "is there already" in capsys.readouterr().err and not (tmp_path / "nowhere").exists()


def test_a_broken_picture_is_told_after_the_others_are_done(restorer, tmp_path):
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("hello")
    with pytest.raises(
        KitError, match=r"1 of 2 pictures were not restored, the others are in .*out:\n.*bad\.png: not a picture"
    ):
        inference.restore_files(restorer, [tmp_path / "bad.png", tmp_path / "good.png"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_inputs_that_are_missing_or_can_not_be_named_are_told(checkpoint, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/gone.png").write_text("mine")
    words = ["restore", "--checkpoint", str(checkpoint), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main([*words, "--overwrite", str(tmp_path / "gone.png")]) == 1
    assert "gone.png: no such picture" in capsys.readouterr().err
    assert (tmp_path / "out/gone.png").read_text() == "mine"
    assert main([*words, str(tmp_path)]) == 1
    assert "is a folder; name the pictures in it" in capsys.readouterr().err
    Image.fromarray(noise(12, 12, 3)).save(tmp_path / "a.gif")
    assert main([*words, str(tmp_path / "a.gif")]) == 1
    assert "a.gif: can't be written: name a picture with one of .png" in capsys.readouterr().err


def test_equal_turned_and_deep_pictures_are_scored_as_they_show(tmp_path, capsys):
    clear = noise(20, 24, 3)
    for folder in ("clear", "restored"):
        (tmp_path / folder).mkdir()
        Image.fromarray(clear).save(tmp_path / folder / "a.png")
    turned = Image.Exif()
    turned[modes.ORIENTATION] = 3
    Image.fromarray(clear[::-1, ::-1]).save(tmp_path / "clear/a.png", exif=turned)
    modes.write(tmp_path / "clear/b.png", modes.Picture(clear / np.float32(255), bits=16))
    modes.write(tmp_path / "restored/b.png", modes.Picture(clear / np.float32(255), bits=16))
    Image.fromarray(clear).save(tmp_path / "clear/c.png")
    words = ["evaluate", str(tmp_path / "restored"), str(tmp_path / "clear"), "--json", str(tmp_path / "scores.json")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.count("inf dB  SSIM 1.0000") == 3 and "1 pictures of" in out
    assert out.count("LPIPS") == out.count("LPIPS not measured") == 3  # so the protocol does not name it
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert main(words) == 1 and "scores.json: is there already" in capsys.readouterr().err
    assert scores["mean"] == {"psnr": None, "ssim": 1.0, "lpips": None} and scores["not_restored"] == ["c.png"]


def test_hazy_versions_are_scored_against_their_one_clear_picture(tmp_path):
    for folder, names in (("clear", ["1.png"]), ("restored", ["1_0.8.png", "1_0.9.png"])):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.fromarray(noise(20, 24, 3) // 2).save(tmp_path / folder / name)
    assert metrics.score_folders(tmp_path / "restored", tmp_path / "clear")["images"] == 2
    Image.fromarray(noise(20, 24, 3)).save(tmp_path / "restored/1.png")
    with pytest.raises(KitError, match=r"1_0\.8\.png: has no partner"):
        metrics.score_folders(tmp_path / "restored", tmp_path / "clear")


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
    assert main(words[:-2]) == 1
    assert "three.png: has no partner" in capsys.readouterr().err


def test_onnx_gives_the_same_output_at_any_size(restorer, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export.onnx(restorer, tmp_path / "restorer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "restorer.onnx", providers=["CPUExecutionProvider"])
    for height, width in ((64, 72), (65, 91), (17, 31), (120, 200), (4, 4), (5, 11)):
        degraded = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            expected = restorer(degraded).numpy()
        (found,) = session.run(None, {"degraded": degraded.numpy()})
        assert np.abs(found - expected).max() < 1e-4


@pytest.fixture(scope="module")
def hazy(tmp_path_factory):
    """A finished run on haze, with the stereo pair, whose depth is measured, among the test pictures."""
    results = str(tmp_path_factory.mktemp("results"))
    run = runs.open_run("smoke", "sihr", results=results, device="cpu", overrides="data.split_seed=5,data.variants=2")
    for stage in stages.BY_NAME.values():
        stage(run)
    return run


def test_metrics_leave_out_where_depth_was_not_measured(hazy):
    scores = files.read_json(hazy.output("05_evaluate", "metrics.json"))
    assert scores["protocol"].endswith(metrics.MASKED)
    masked = [image for image in scores["per_image"] if image["group"] == "motorcycle"]
    assert len(masked) == 4
    dealt = {pair.degraded: pair for pair in splits.read(hazy.output("00_data", "splits.json"))["test"]}
    for image in masked:
        pair = dealt[image["degraded_file"]]
        degraded, clear = pair.read(hazy.data_root)
        valid = pair.read_valid(hazy.data_root)
        assert 0.5 < valid.mean() < 0.99
        assert image["degraded"]["psnr"] == pytest.approx(metrics.psnr(degraded, clear, valid))
        assert image["degraded"]["psnr"] != pytest.approx(metrics.psnr(degraded, clear), abs=1e-3)


def test_a_bundle_is_whole_and_loads_with_one_call(hazy, tmp_path, capsys):
    words = ["export", "--run", str(hazy.folder), "--out", str(tmp_path / "bundle")]
    assert main(words) == 0
    bundle = tmp_path / "bundle"
    assert {path.name for path in bundle.iterdir()} == {*export.PARTS, "task.yaml", "restorer.onnx", "checksums.json"}
    assert files.read_yaml(bundle / "task.yaml")["degradation"] == "haze"
    one, other = Restorer.load(bundle), Restorer.load(hazy.folder)
    assert one.genotype == other.genotype == Genotype.read(bundle / "genotype.yaml")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert main(words) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_run_that_is_not_whole_or_not_of_one_making_is_not_exported(hazy, tmp_path):
    with pytest.raises(KitError, match="not a finished run"):
        export.bundle(tmp_path, tmp_path / "other")
    mixed = tmp_path / "mixed"
    shutil.copytree(hazy.folder, mixed)
    loss = mixed / "02_loss_search/loss.yaml"
    loss.write_text(loss.read_text() + "\n")
    with pytest.raises(KitError, match=r"loss\.yaml: is not what 04_retrain has read"):
        export.bundle(mixed, tmp_path / "other")
    assert not (tmp_path / "other").exists()
