"""The embedded pictures: there, licensed, darkened the same way every time, and never split across views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.data import stereo_motorcycle

from hbl_lib import config, embedded, images, pairs, soundness, splits


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    embedded.write_pairs(folder, "low_light", variants=1, seed=0)
    return folder


@pytest.fixture
def one_photograph(monkeypatch):
    monkeypatch.setattr(embedded, "PHOTOGRAPHS", [p for p in embedded.PHOTOGRAPHS if p.name == "chelsea"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_there_are_at_least_eight_scenes_under_names_of_their_own():
    names = [photograph.name for photograph in embedded.PHOTOGRAPHS]
    assert len({photograph.scene for photograph in embedded.PHOTOGRAPHS}) >= 8
    assert len(set(names)) == len(names)


def test_the_licence_table_is_complete():
    table = embedded.licences()
    assert [row["picture"] for row in table] == [photograph.name for photograph in embedded.PHOTOGRAPHS]
    assert all(row[column].strip() for row in table for column in ("package", "credit", "licence"))


def test_the_written_folder_is_a_sound_folder_of_pairs(written):
    found = soundness.require_sound(soundness.check(written))
    assert len(found) == len(embedded.PHOTOGRAPHS)
    assert {pair.group for pair in found} == {photograph.scene for photograph in embedded.PHOTOGRAPHS}


def test_every_picture_is_a_photograph_large_enough_for_the_quick_crops(written):
    params = config.load("quick", "llie_lol")
    crop = max(params.classifier.crop, params.loss_search.crop, params.architecture_search.crop, params.retrain.crop)
    for path in sorted((written / "clear").iterdir()):
        picture = images.read(path)
        assert min(picture.shape[:2]) >= crop
        assert picture.std() > 20
        assert np.abs(picture[..., 0].astype(int) - picture[..., 2]).mean() > 1  # in colour


def test_degraded_pictures_are_much_darker_than_clear_ones_but_not_black(written):
    for pair in pairs.listing(written).pairs:
        degraded, clear = (images.read(written / name) for name in (pair.degraded, pair.clear))
        assert 0.02 * clear.mean() < degraded.mean() < 0.5 * clear.mean()
        assert np.corrcoef(degraded.mean(axis=2).ravel(), clear.mean(axis=2).ravel())[0, 1] > 0.4


def test_measured_depth_moves_each_stereo_view_onto_the_other():
    """Where a point is seen in both views it must have the same depth and, but for shading, the same colour."""
    left, right = (p for p in embedded.PHOTOGRAPHS if p.scene == "motorcycle")
    views = [embedded.load(photograph).astype(float) for photograph in (left, right)]
    (near, seen), (_, seen_right) = embedded.depth(left), embedded.depth(right)
    disparity = stereo_motorcycle()[2]
    assert np.array_equal(seen, np.isfinite(disparity)) and 0.5 < seen_right.mean() < seen.mean()
    meters = near[0, 0].numpy() * (994.978 * 0.193001 / (disparity[seen].min() + 31.086))
    assert meters[seen].min() > 1.5 and meters[seen].max() < 6
    rows, columns = np.nonzero(seen_right)
    shift = 1 / embedded.depth(right)[0][0, 0].numpy() * (np.nanmin(disparity) + 31.086) - 31.086
    to = np.round(columns + shift[rows, columns]).astype(int)
    inside = to < views[0].shape[1]
    moved = np.abs(views[0][rows[inside], to[inside]] - views[1][rows[inside], columns[inside]])
    assert moved.mean() < 0.3 * np.abs(views[0] - views[1]).mean()


def test_haze_uses_measured_depth_and_says_where_it_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(
        embedded, "PHOTOGRAPHS", [p for p in embedded.PHOTOGRAPHS if p.name in ("rocket", "motorcycle-left")]
    )
    values = embedded.write_pairs(tmp_path, "haze", 1, 0, {"airlight": (0.9, 0.9)})
    assert {value["airlight"] for value in values.values()} == {0.9}
    found = soundness.check(tmp_path)
    assert found.problems == []
    assert [bool(pair.valid) for pair in found.pairs] == [True, False]
    degraded, clear = (picture / 255 for picture in found.pairs[0].read(tmp_path))
    depth, measured = embedded.depth(embedded.PHOTOGRAPHS[0])
    transmission = np.exp(-values["motorcycle-left_0"]["thickness"] * depth[0, 0].numpy())[..., None]
    assert np.abs(degraded - clear * transmission - 0.9 * (1 - transmission)).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(found.pairs[0].read_valid(tmp_path), measured)


def test_stereo_views_are_in_one_list_whatever_the_seed(written):
    found = pairs.listing(written).pairs
    views = {pair for pair in found if "motorcycle" in pair.clear}
    assert len(views) == 2
    for seed in range(30):
        dealt = splits.deal(found, 0.12, 0.25, seed)
        assert any(views <= set(part) for part in dealt.values())


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path, one_photograph):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        embedded.write_pairs(tmp_path / name, "low_light", 1, seed)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert all((one[name] != other[name]) == name.startswith("degraded/") for name in one)


def test_further_variants_differ_and_leave_the_first_as_it_was(tmp_path, one_photograph):
    embedded.write_pairs(tmp_path / "one", "low_light", 1, 0)
    embedded.write_pairs(tmp_path / "two", "low_light", 2, 0)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.items() <= two.items()
    assert len(two) == len(one) + 1
    assert two["degraded/chelsea_0.png"] != two["degraded/chelsea_1.png"]


def test_fewer_variants_leave_none_of_an_earlier_run(tmp_path, one_photograph):
    embedded.write_pairs(tmp_path, "low_light", 2, 0)
    embedded.write_pairs(tmp_path, "low_light", 1, 0)
    assert len(pairs.listing(tmp_path).pairs) == 1
