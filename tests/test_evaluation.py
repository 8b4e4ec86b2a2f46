"""Judging: what is scored and kept of every method."""

import numpy as np
import pytest

from hbl_lib import evaluation, files, images, runs
from hbl_lib.errors import KitError


def test_every_method_is_scored_and_its_pictures_are_kept(test_pictures, tmp_path):
    run = runs.open_run(profile="smoke", results=str(tmp_path / "results"), device="cpu")
    methods = {name: lambda _, degraded: 255 - degraded for name in ("mine", "restored")}
    with run.stage("05_evaluate") as stage:
        judged = evaluation.judge(stage, test_pictures, {"degraded": lambda _, degraded: degraded, **methods})
        kept = {str(p.relative_to(stage.folder)) for p in stage.folder.rglob("*.png")}
        files.write_json(stage.output("metrics.json"), evaluation.summary(test_pictures, judged, ["mine", "restored"]))
    expected = {f"pictures/{name}/{n}.png" for name in ("mine", "restored", "degraded", "clear") for n in (1, 3)}
    assert kept == expected
    for index, image in enumerate(judged):
        assert image["compared"]["mine"]["psnr"] == image["restored"]["psnr"] != image["degraded"]["psnr"]
        restored = images.read(stage.folder / image["restored"]["file"])
        assert np.array_equal(restored, 255 - test_pictures.pictures(index)[0])
    means = files.read_json(stage.folder / "metrics.json")
    assert evaluation.score_of(means, "mine")["psnr"] == np.mean([image["restored"]["psnr"] for image in judged])
    assert evaluation.score_of(means, "lime") is None


def test_a_method_that_gives_the_clear_picture_is_refused(test_pictures, tmp_path):
    run = runs.open_run(profile="smoke", results=str(tmp_path / "results"), device="cpu")
    cheat = {"mine": lambda index, _: test_pictures.pictures(index)[1]}
    with run.stage("05_evaluate") as stage, pytest.raises(KitError, match=r"mine: low/1\.png is restored to the clear"):
        evaluation.judge(stage, test_pictures, cheat)
