"""Judging: multiply-accumulates, restored pictures from elsewhere, and what is kept of every method."""

import numpy as np
import pytest
import torch
from torch import nn

from hbl_lib import evaluation, files, images, runs
from hbl_lib.config import ROOT
from hbl_lib.data import Pictures
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.network import macs
from hbl_lib.pairs import Pair
from hbl_lib.restorer import Restorer


@pytest.fixture
def test_pictures(tmp_path, rng):
    for folder in ("low", "high", "mine"):
        for number in range(4):
            picture = torch.randint(256, (14, 20, 3), generator=rng, dtype=torch.uint8).numpy()
            images.write(tmp_path / folder / f"{number}.png", picture)
    return Pictures(tmp_path, [Pair(f"low/{n}.png", f"high/{n}.png", str(n)) for n in (1, 3)])


def test_macs_of_the_published_network_are_those_counted_by_hand():
    assert macs(Restorer(Genotype.published("llie_lol"))) == {"size": [400, 600], "count": 21_757_440_000}


def test_macs_of_one_convolution_are_its_closed_form():
    assert macs(nn.Conv2d(3, 5, 3, padding=1))["count"] == 400 * 600 * 5 * 3 * 9


def test_methods_are_names_with_folders():
    found = evaluation.parse_methods("mine=a/b other='c d'")
    assert found == {"mine": ROOT / "a/b", "other": ROOT / "c d"}
    assert evaluation.parse_methods("") == {}


@pytest.mark.parametrize(
    "methods",
    [
        "mine",
        "mine=",
        "=folder",
        "a=x a=y",
        "<b>=x",
        "lime=x",
        "restored=x",
        "clear=x",
        ".=x",
        "a.b=x",
        "a='x",
        "LIME=x",
        f"{'a' * 41}=x",
    ],
)
def test_methods_that_are_not_names_with_folders_are_refused(methods):
    with pytest.raises(KitError, match="METHODS"):
        evaluation.parse_methods(methods)


def test_restored_pictures_from_elsewhere_are_matched_by_name(test_pictures):
    (method,) = evaluation.restored_elsewhere({"mine": test_pictures.root / "mine"}, test_pictures).values()
    for index, number in enumerate((1, 3)):
        restored = method(index, test_pictures.pictures(index)[0])
        assert np.array_equal(restored, images.read(test_pictures.root / f"mine/{number}.png"))


def test_a_missing_restored_picture_or_one_of_another_size_is_named(test_pictures):
    mine = test_pictures.root / "mine"
    images.write(mine / "3.png", np.zeros((14, 19, 3), np.uint8))
    with pytest.raises(KitError, match=r"mine/3\.png is 19x14, but low/3\.png 20x14"):
        evaluation.restored_elsewhere({"mine": mine}, test_pictures)
    (mine / "3.png").unlink()
    with pytest.raises(KitError, match=r"METHODS: mine: .* has no restored 3\.png"):
        evaluation.restored_elsewhere({"mine": mine}, test_pictures)
    with pytest.raises(KitError, match=r"METHODS: mine: .*nowhere"):
        evaluation.restored_elsewhere({"mine": mine / "nowhere"}, test_pictures)


def test_a_restored_picture_that_can_t_be_read_or_is_the_clear_one_is_told_before_anything_is_scored(test_pictures):
    mine = test_pictures.root / "mine"
    (mine / "3.png").write_bytes((mine / "3.png").read_bytes()[:200])
    with pytest.raises(KitError, match=r"mine/3\.png: the picture is broken"):
        evaluation.restored_elsewhere({"mine": mine}, test_pictures)
    images.write(mine / "3.png", test_pictures.pictures(1)[1])
    with pytest.raises(KitError, match=r"METHODS: mine: .*mine/3\.png is restored to the clear picture itself"):
        evaluation.restored_elsewhere({"mine": mine}, test_pictures)


@pytest.mark.parametrize("place", ["05_evaluate/pictures/gamma", "seed_1/05_evaluate/pictures/gamma"])
def test_a_folder_that_the_stage_writes_anew_is_no_method(tmp_path, place):
    with pytest.raises(KitError, match=r"METHODS: mine: .* is written anew by 05_evaluate; copy the pictures"):
        evaluation.refuse_own({"mine": tmp_path / place}, tmp_path)
    evaluation.refuse_own({"mine": tmp_path / "another" / place}, tmp_path / "results")


def test_a_folder_of_links_to_what_the_stage_writes_anew_is_no_method(tmp_path):
    own, links = tmp_path / "run/05_evaluate/pictures/mine", tmp_path / "links"
    for folder in (own, links):
        folder.mkdir(parents=True)
    (own / "1.png").touch()
    (links / "1.png").symlink_to(own / "1.png")
    with pytest.raises(KitError, match=r"METHODS: mine: .*links is written anew by 05_evaluate"):
        evaluation.refuse_own({"mine": links}, tmp_path / "run")


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
