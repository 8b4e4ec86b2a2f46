"""Restored pictures from elsewhere, as METHODS= names them."""

import numpy as np
import pytest

from hbl_lib import given_methods, images
from hbl_lib.config import ROOT
from hbl_lib.errors import KitError


def test_methods_are_names_with_folders():
    found = given_methods.parse("mine=a/b other='c d'")
    assert found == {"mine": ROOT / "a/b", "other": ROOT / "c d"}
    assert given_methods.parse("") == {}


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
        given_methods.parse(methods)


def test_restored_pictures_from_elsewhere_are_matched_by_name(test_pictures):
    (method,) = given_methods.read({"mine": test_pictures.root / "mine"}, test_pictures).values()
    for index, number in enumerate((1, 3)):
        restored = method(index, test_pictures.pictures(index)[0])
        assert np.array_equal(restored, images.read(test_pictures.root / f"mine/{number}.png"))


def test_a_missing_restored_picture_or_one_of_another_size_is_named(test_pictures):
    mine = test_pictures.root / "mine"
    images.write(mine / "3.png", np.zeros((14, 19, 3), np.uint8))
    with pytest.raises(KitError, match=r"mine/3\.png is 19x14, but low/3\.png 20x14"):
        given_methods.read({"mine": mine}, test_pictures)
    (mine / "3.png").unlink()
    with pytest.raises(KitError, match=r"METHODS: mine: .* has no restored 3\.png"):
        given_methods.read({"mine": mine}, test_pictures)
    with pytest.raises(KitError, match=r"METHODS: mine: .*nowhere"):
        given_methods.read({"mine": mine / "nowhere"}, test_pictures)


def test_a_restored_picture_that_can_t_be_read_or_is_the_clear_one_is_told_before_anything_is_scored(test_pictures):
    mine = test_pictures.root / "mine"
    (mine / "3.png").write_bytes((mine / "3.png").read_bytes()[:200])
    with pytest.raises(KitError, match=r"mine/3\.png: the picture is broken"):
        given_methods.read({"mine": mine}, test_pictures)
    images.write(mine / "3.png", test_pictures.pictures(1)[1])
    with pytest.raises(KitError, match=r"METHODS: mine: .*mine/3\.png is restored to the clear picture itself"):
        given_methods.read({"mine": mine}, test_pictures)


@pytest.mark.parametrize("place", ["05_evaluate/pictures/gamma", "seed_1/05_evaluate/pictures/gamma"])
def test_a_folder_that_the_stage_writes_anew_is_no_method(tmp_path, place):
    with pytest.raises(KitError, match=r"METHODS: mine: .* is written anew by 05_evaluate; copy the pictures"):
        given_methods.refuse_own({"mine": tmp_path / place}, tmp_path)
    given_methods.refuse_own({"mine": tmp_path / "another" / place}, tmp_path / "results")


def test_a_folder_of_links_to_what_the_stage_writes_anew_is_no_method(tmp_path):
    own, links = tmp_path / "run/05_evaluate/pictures/mine", tmp_path / "links"
    for folder in (own, links):
        folder.mkdir(parents=True)
    (own / "1.png").touch()
    (links / "1.png").symlink_to(own / "1.png")
    with pytest.raises(KitError, match=r"METHODS: mine: .*links is written anew by 05_evaluate"):
        given_methods.refuse_own({"mine": links}, tmp_path / "run")
