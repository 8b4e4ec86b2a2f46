"""Paired folders: names of the public data sets are matched, and every fault is told with the file's name."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hbl_lib import images, pairs, soundness
from hbl_lib.errors import KitError


def put(root: Path, *names: str, size: tuple[int, int] = (16, 12)) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        degraded = name.lower().startswith(("low", "raw", "rain", "input", "hazy", "degraded"))
        own = zlib.crc32(name.encode()).to_bytes(4)[:3]  # no two pictures show the same
        Image.new("RGB", size, tuple(value // 3 if degraded else value for value in own)).save(root / name)
    return root


@pytest.mark.parametrize(
    ("degraded", "clear"),
    [
        ("low/{}.png", "high/{}.png"),  # LOL-v1
        ("Low/low000{}.png", "Normal/normal000{}.png"),  # LOL-v2
        ("raw/{}_img_.png", "reference/{}_img_.png"),  # UIEB
        ("input/{}.jpg", "GT/{}.jpg"),  # LSUI
        ("rain/rain-{}.png", "norain/norain-{}.png"),  # Rain100
        ("input/a{}.tif", "expertC/a{}.jpg"),  # MIT-Adobe 5K
        ("hazy/00{}_0.8_0.2.png", "clear/00{}.png"),  # SOTS outdoor
        ("hazy/14{}_10.png", "gt/14{}.png"),  # SOTS indoor
        ("hazy/{}_1_0.90179.png", "clear/{}.png"),  # ITS
        ("hazy/{}_indoor_hazy.jpg", "clear/{}_indoor_GT.jpg"),  # I-HAZE
        ("degraded/astronaut{}_3.png", "clear/astronaut{}.png"),  # the kit's own
    ],
)
def test_names_of_public_data_sets_are_matched(tmp_path, degraded, clear):
    expected = {(degraded.format(n), clear.format(n)) for n in (1, 2, 12)}
    put(tmp_path, *(name for pair in expected for name in pair))
    found = soundness.check(tmp_path)
    assert ({(pair.degraded, pair.clear) for pair in found.pairs}, found.problems) == (expected, [])
    assert len({pair.group for pair in found.pairs}) == 3


def test_a_folder_one_level_too_high_is_told_which_one_was_meant(tmp_path):
    put(tmp_path, "our485/low/1.png", "our485/high/1.png", "eval15/readme/1.png")
    with pytest.raises(KitError, match=r"holds eval15/, our485/; .* Did you mean .*our485\?"):
        pairs.listing(tmp_path)


def test_the_border_that_sots_leaves_out_of_hazy_pictures_is_taken_off_the_clear_ones_and_said(tmp_path, rng):
    clear = torch.randint(256, (50, 60, 3), generator=rng, dtype=torch.uint8).numpy()
    images.write(tmp_path / "gt/1400.png", clear)
    images.write(tmp_path / "hazy/1400_1.png", 255 - clear[10:-10, 10:-10])
    found = soundness.check(tmp_path)
    assert found.problems == []
    assert "10 pixels are taken off each side of the clear picture in 1" in found.describe()
    degraded, cropped = found.pairs[0].read(tmp_path)
    assert np.array_equal(degraded, 255 - cropped)


def test_other_sizes_that_differ_are_never_cropped(tmp_path):
    put(tmp_path, "low/1.png", size=(40, 30))
    put(tmp_path, "high/1.png", size=(60, 50))
    assert "both must be of one size" in soundness.check(tmp_path).problems[0]


def test_physicsgans_three_pictures_in_one_file_are_taken_apart(tmp_path, rng):
    hazy, clear, airlight = (
        torch.randint(256, (20, 24, 3), generator=rng, dtype=torch.uint8).numpy() for _ in range(3)
    )
    images.write(tmp_path / "train/1.png", np.concatenate((hazy, clear, airlight), axis=1))
    images.write(tmp_path / "trans/1.png", hazy)
    found = soundness.check(tmp_path)
    assert found.problems == []
    assert all(map(np.array_equal, found.pairs[0].read(tmp_path), (hazy, clear)))
    assert soundness.sizes(found) == [("24x20", 1)]
    (tmp_path / "groups.json").write_text('{"1": "street"}')
    found = soundness.check(tmp_path)
    assert (found.problems, found.pairs[0].group) == ([], "street")
    images.write(tmp_path / "train/2.png", airlight[:, :22])
    assert "train/2.png: 3 pictures side by side must be equally wide" in soundness.check(tmp_path).problems


def test_a_valid_folder_limits_metrics_and_must_fit(tmp_path):
    put(tmp_path, "hazy/1_1.png", "hazy/1_2.png", "clear/1.png")
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[:, :8] = 255
    images.write(tmp_path / "valid/1.png", mask)
    found = soundness.check(tmp_path)
    assert found.problems == []
    assert [pair.read_valid(tmp_path).sum() for pair in found.pairs] == [96, 96]
    images.write(tmp_path / "valid/1.png", mask[:5])
    images.write(tmp_path / "valid/9.png", mask)
    problems = soundness.check(tmp_path).problems
    assert "valid/9.png: no clear picture has this name" in problems
    assert "valid/1.png: must be as large as clear/1.png and white somewhere, 5 pixels from the edge" in problems


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"])
def test_every_kind_of_picture_is_found_and_other_files_are_passed_over(tmp_path, suffix):
    put(tmp_path, f"low/1.{suffix}", f"high/1.{suffix}", "low/.2.png")
    (tmp_path / "low" / "Thumbs.db").write_text("")
    found = soundness.check(tmp_path)
    assert found.problems == []
    assert [(p.degraded, p.clear) for p in found.pairs] == [(f"low/1.{suffix}", f"high/1.{suffix}")]


def test_several_degraded_versions_share_their_clear_pictures_group(tmp_path):
    put(tmp_path, "hazy/1_1_0.9.png", "hazy/1_2_0.7.png", "hazy/2_1_0.8.png", "clear/1.png", "clear/2.png")
    assert [pair.group for pair in pairs.listing(tmp_path).pairs] == ["1", "1", "2"]


@pytest.mark.parametrize("names", ["abc", ("102", "103", "104")])
def test_groups_json_joins_pictures_into_groups(tmp_path, names):
    put(tmp_path, *(f"{side}/{name}.png" for side in ("low", "high") for name in names))
    (tmp_path / "groups.json").write_text(f'{{"{names[0]}": "scene", "{names[1]}": "scene"}}')
    assert [pair.group for pair in soundness.check(tmp_path).pairs] == ["scene", "scene", names[2]]


@pytest.mark.parametrize("text", ["", '["a"]', '{"a": 3}'])
def test_a_groups_json_that_is_no_mapping_of_names_is_named(tmp_path, text):
    put(tmp_path, "low/a.png", "high/a.png")
    (tmp_path / "groups.json").write_text(text)
    with pytest.raises(KitError, match=r"groups\.json"):
        pairs.listing(tmp_path)


def test_a_name_in_groups_json_that_no_picture_has_is_told(tmp_path):
    put(tmp_path, "low/a.png", "high/a.png")
    (tmp_path / "groups.json").write_text('{"b": "scene"}')
    assert pairs.listing(tmp_path).problems == ["groups.json: no clear picture is called 'b'"]


def test_looking_at_a_folder_changes_nothing_in_it(tmp_path):
    put(tmp_path, "low/1.png", "high/1.png", "high/2.png")

    def state() -> set:
        return {(p, p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in (tmp_path, *tmp_path.rglob("*"))}

    before = state()
    soundness.check(tmp_path)
    assert state() == before


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda root: put(root, "low/12.png"), ["low/12.png: has no partner in high/"]),
        (lambda root: put(root, "high/2.png"), ["high/2.png: has no partner in low/"]),
        (lambda root: put(root, "low/1.png", "high/1.png", size=(10, 16)), ["low/1.png is 10x16: smaller than 11x11"]),
        (lambda root: put(root, "low/1.png", size=(18, 15)), ["low/1.png is 18x15 but high/1.png is 16x12"]),
        (lambda root: os.truncate(root / "high/1.png", 45), ["high/1.png: the picture is broken"]),
        (lambda root: (root / "low" / "1.png").write_text("x"), ["low/1.png: not a picture"]),
        (lambda root: put(root, "high/1.jpg"), ["several pictures go by the name '1': 1.jpg, 1.png", "no partner"]),
        (lambda root: put(root, "low/low_1.png"), ["low/: several pictures go by the name '1': 1.png, low_1.png"]),
    ],
)
def test_each_fault_is_told_with_the_files_name(tmp_path, break_it, told):
    break_it(put(tmp_path, "low/1.png", "high/1.png"))
    problems = soundness.check(tmp_path).problems
    assert len(problems) == len(told)
    assert all(any(problem.startswith(text) or text in problem for problem in problems) for text in told)


def test_every_unreadable_file_of_a_pair_is_told(tmp_path):
    for folder in ("degraded", "clear"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"")
    problems = soundness.check(tmp_path).problems
    assert [problem.split(":")[0] for problem in problems] == ["degraded/1.png", "clear/1.png"]


def test_require_sound_lists_the_faults_in_one_error_or_returns_the_pairs(tmp_path):
    put(tmp_path, "low/0.png", "high/0.png")
    assert len(soundness.require_sound(soundness.check(tmp_path))) == 1
    put(tmp_path, *(f"low/{n}.png" for n in range(1, 13)))
    with pytest.raises(KitError) as caught:
        soundness.require_sound(soundness.check(tmp_path))
    assert all(text in str(caught.value) for text in (str(tmp_path), "12 problem(s)", "low/1.png", "and 2 more"))


def test_a_missing_or_unknown_folder_is_told_what_is_expected(tmp_path):
    for folder, told in (
        ("none", "none: no such folder"),
        (".", "holds no subfolder; expected .*low/ and high/.* train/ and trans/"),
    ):
        with pytest.raises(KitError, match=told):
            pairs.listing(tmp_path / folder)
    put(tmp_path, "low/1.png", "high/1.png", "normal/1.png")
    with pytest.raises(KitError, match="which fits several layouts: low/ and high/, low/ and normal/"):
        pairs.listing(tmp_path)
    for name in ("low", "high"):
        (tmp_path / "empty" / name).mkdir(parents=True)
    assert "no pair of pictures" in soundness.check(tmp_path / "empty").problems[0]
