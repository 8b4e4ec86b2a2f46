"""Crops: what a step sees depends on seed and step alone; and the real data sets that are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hbl_lib import images, pairs, soundness
from hbl_lib.data import Centres, Crops, Pictures
from hbl_lib.errors import KitError
from hbl_lib.pairs import Pair

SHARED = Path(os.environ.get("HBL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def store(root: Path, degraded: list[np.ndarray], clear: list[np.ndarray]) -> Pictures:
    found = []
    for index, both in enumerate(zip(degraded, clear, strict=True)):
        pair = Pair(f"low/{index}.png", f"high/{index}.png", str(index))
        for name, picture in zip((pair.degraded, pair.clear), both, strict=True):
            images.write(root / name, picture)
        found.append(pair)
    return Pictures(root, found)


def noise(count: int, height: int = 20, width: int = 30) -> list[np.ndarray]:
    return list(np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def same(one: tuple, other: tuple) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_fresh_object_gives_the_very_batch_in_any_order_of_steps(tmp_path):
    pictures = store(tmp_path, noise(5), noise(5))
    first = [Crops(pictures, 16, 3, "retrain", batch=2).at(step) for step in range(8)]
    torch.manual_seed(99)  # the global generator has no say
    again = Crops(Pictures(tmp_path, pictures.pairs), 16, 3, "retrain", batch=2)
    for step in reversed(range(8)):
        assert same(again.at(step), first[step])


def test_another_step_seed_or_purpose_gives_another_batch(tmp_path):
    pictures = store(tmp_path, noise(1), noise(1))
    batch = Crops(pictures, 16, 3, "retrain").at(0)
    assert not same(batch, Crops(pictures, 16, 3, "retrain").at(1))
    assert not same(batch, Crops(pictures, 16, 4, "retrain").at(0))
    assert not same(batch, Crops(pictures, 16, 3, "search").at(0))


def test_a_batch_has_shape_and_range_of_a_network_input(tmp_path):
    for part in Crops(store(tmp_path, noise(3), noise(3)), 16, 0, "retrain", batch=4).at(2):
        assert (part.shape, part.dtype) == ((4, 3, 16, 16), torch.float32)
        assert 0 <= part.min() < 0.05
        assert 0.95 < part.max() <= 1


def test_degraded_and_clear_crops_show_the_same_place(tmp_path):
    clear = noise(2)
    inverted = [255 - picture for picture in clear]
    crops = Crops(store(tmp_path, inverted, clear), 8, 0, "retrain", batch=2)
    for step in range(40):
        degraded, clear_crop = crops.at(step)
        torch.testing.assert_close(degraded, 1 - clear_crop)


def test_all_eight_flips_and_turns_of_true_windows_occur(tmp_path):
    rows, columns = np.mgrid[:20, :30]
    picture = np.stack((rows * 8, columns * 8, 0 * rows), axis=-1).astype(np.uint8)
    crops = Crops(store(tmp_path, [picture], [picture]), 6, 0, "retrain")
    expected = {op(np.rot90(np.mgrid[:6, :6], k, axes=(1, 2))).tobytes() for k in range(4) for op in (np.array, mirror)}
    seen, corners = set(), set()
    for step in range(200):
        degraded, clear = crops.at(step)
        assert torch.equal(degraded, clear)
        window = images.to_picture(degraded)[..., :2].astype(int).transpose(2, 0, 1) // 8
        corners.add((int(window[0].min()), int(window[1].min())))
        seen.add((window - window.min(axis=(1, 2), keepdims=True)).tobytes())
    assert len(expected) == 8
    assert seen == expected
    assert {row for row, _ in corners} == set(range(15))  # every place, the last row too
    assert max(column for _, column in corners) == 24


def mirror(grid: np.ndarray) -> np.ndarray:
    return np.flip(grid, axis=2)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_picture_comes_once_an_epoch(tmp_path, batch):
    flat = [np.full((8, 8, 3), 10 * n, np.uint8) for n in range(6)]
    crops = Crops(store(tmp_path, flat, flat), 4, 0, "retrain", batch)
    shown = torch.cat([crops.at(step)[0][:, 0, 0, 0] for step in range(24 // batch)]).mul(25.5).round().int()
    epochs = shown.reshape(4, 6).tolist()
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_crop_as_large_as_the_picture_fits_and_a_larger_one_names_the_picture(tmp_path):
    pictures = store(tmp_path, noise(1), noise(1))
    assert Crops(pictures, 20, 0, "retrain").at(0)[0].shape == (1, 3, 20, 20)
    with pytest.raises(KitError, match=r"low/0\.png is 30x20, smaller than the crop of 21\. Lower retrain\.crop"):
        Crops(pictures, 21, 0, "retrain")


def test_a_broken_picture_is_named_before_the_first_step(tmp_path):
    pictures = store(tmp_path, noise(2), noise(2))
    (tmp_path / "high" / "1.png").write_bytes((tmp_path / "high" / "1.png").read_bytes()[:100])
    with pytest.raises(KitError, match=r"high/1\.png"):
        Crops(pictures, 8, 0, "retrain")


def test_a_picture_is_decoded_once(tmp_path):
    pictures = store(tmp_path, noise(2), noise(2))
    crops = Crops(pictures, 8, 0, "retrain")
    first = crops.at(0)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    again = Crops(pictures, 8, 0, "retrain")
    assert same(again.at(0), first) and len({again.at(step)[0].sum().item() for step in range(6)}) > 1


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("lol", 97), ("uieb256", 60), ("lsui", 54), ("ihaze_small", 20), ("reside_its", 4)),
        ("fivek", 13),  # six of them RGBA, all opaque
    ],
)
def test_real_data_sets_are_sound(name, count):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not there; HBL_DATA names the folder of real pairs")
    found = soundness.check(SHARED / name)
    assert (len(pairs.listing(SHARED / name).pairs), len(found.pairs), found.problems) == (count, count, [])


def test_a_step_finds_its_crops_cut_already(tmp_path, monkeypatch):
    crops, cut = Crops(store(tmp_path, noise(3), noise(3)), 16, 0, "retrain"), []
    original = Crops._cut
    monkeypatch.setattr(Crops, "_cut", lambda self, step: cut.append(step) or original(self, step))
    for step in range(4):
        crops.at(step)
    assert cut[:4] == [0, 1, 2, 3]  # each once, the next one ahead
    crops.at(9)
    crops.at(10)
    assert cut.count(9) == cut.count(10) == 1


def test_a_picture_that_breaks_while_it_is_cut_ahead_is_told_at_its_step(tmp_path, monkeypatch):
    crops, original = Crops(store(tmp_path, noise(3), noise(3)), 16, 0, "retrain"), Crops._cut

    def breaking(self, step):
        if step == 1:
            raise KitError("high.png: has changed")
        return original(self, step)

    monkeypatch.setattr(Crops, "_cut", breaking)
    crops.at(0)
    with pytest.raises(KitError, match=r"high\.png: has changed"):
        crops.at(1)


def test_the_first_steps_see_four_times_as_many_crops_of_half_the_side_and_epochs_stay_whole(tmp_path):
    shown = Crops(store(tmp_path, noise(8, 40, 48), noise(8, 40, 48)), 32, 0, "retrain", 1, halves=4)
    assert [tuple(shown.at(step)[0].shape) for step in (0, 3, 4)] == [(4, 3, 16, 16), (4, 3, 16, 16), (1, 3, 32, 32)]
    seen = [index for step in range(12) for index in shown._indices(step)]
    assert len(seen) == 4 * 4 + 8
    assert all(sorted(seen[start : start + 8]) == list(range(8)) for start in (0, 8, 16))


def test_centres_are_the_middle_of_each_picture_or_all_of_a_small_one(tmp_path):
    whole = store(tmp_path, noise(2, 40, 48), noise(2, 40, 48))
    degraded, clear = Centres(whole, 16).pictures(1)
    assert np.array_equal(degraded, whole.pictures(1)[0][12:28, 16:32]) and clear.shape == (16, 16, 3)
    assert np.array_equal(Centres(whole, 44).pictures(0)[1], whole.pictures(0)[1][:, 2:46])
    assert Centres(whole, 16).valid(0) is None and len(Centres(whole, 16)) == 2
