"""The floor to beat: the colour matrix finds the one that made the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hbl_lib import images
from hbl_lib.baselines import color_matrix
from hbl_lib.data import Pictures
from hbl_lib.pairs import Pair

KNOWN = np.array([[0.6, 0.2, 0.0, 0.1], [0.1, 0.5, 0.1, 0.05], [0.0, -0.2, 0.7, 0.25]])


def store(root: Path, *both: tuple[np.ndarray, np.ndarray]) -> Pictures:
    for index, (degraded, clear) in enumerate(both):
        images.write(root / f"low/{index}.png", degraded)
        images.write(root / f"high/{index}.png", clear)
    return Pictures(root, [Pair(f"low/{n}.png", f"high/{n}.png", str(n)) for n in range(len(both))])


def noise(seed: int, height: int = 60, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def transformed(degraded: np.ndarray) -> np.ndarray:
    """KNOWN, pixel by pixel, in a loop's words."""
    linear = np.einsum("ij,hwj->hwi", KNOWN[:, :3], degraded / 255) + KNOWN[:, 3]
    return np.round(np.clip(linear, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("shapes", [[(60, 50)], [(60, 50), (40, 90)], [(200, 300)]], ids=["one", "two", "subsampled"])
def test_a_known_matrix_is_found(tmp_path, shapes):
    degraded = [noise(seed, *shape) for seed, shape in enumerate(shapes)]
    found = color_matrix.fit(store(tmp_path, *((picture, transformed(picture)) for picture in degraded)))
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, KNOWN, atol=1e-3)
    fresh = noise(9)
    assert np.abs(color_matrix.apply(found, fresh).astype(int) - transformed(fresh)).max() <= 1


def test_equal_pictures_give_the_identity(tmp_path):
    found = color_matrix.fit(store(tmp_path, (noise(0), noise(0))))
    np.testing.assert_allclose(found, np.eye(3, 4), atol=1e-9)
    assert np.array_equal(color_matrix.apply(found, noise(1)), noise(1))


def test_what_leaves_the_range_is_clipped_and_the_input_is_kept():
    picture = noise(0)
    bright, dark = (color_matrix.apply(np.column_stack((np.eye(3), np.full(3, shift))), picture) for shift in (2, -2))
    assert (bright.dtype, bright.shape, bright.min(), dark.max()) == (np.uint8, picture.shape, 255, 0)
    assert np.array_equal(picture, noise(0))


def test_the_fit_is_better_than_leaving_pictures_dark_and_no_other_offset_is_better(tmp_path):
    degraded, clear = noise(0) // 8, (noise(0) ** 0.5 * 15).astype(np.uint8)
    found = color_matrix.fit(store(tmp_path, (degraded, clear)))

    def error(matrix: np.ndarray) -> float:
        linear = degraded / 255 @ matrix[:, :3].T + matrix[:, 3]
        return float(((linear - clear / 255) ** 2).sum())

    assert error(found) < 0.1 * error(np.eye(3, 4))
    for row, column in np.ndindex(3, 4):
        for change in (-0.01, 0.01):
            other = found.copy()
            other[row, column] += change
            assert error(other) > error(found)


def test_a_picture_of_one_colour_is_mapped_to_its_clear_colour(tmp_path):
    flat, clear = np.full((8, 8, 3), 20, np.uint8), np.full((8, 8, 3), (120, 100, 90), np.uint8)
    found = color_matrix.fit(store(tmp_path, (flat, clear)))
    assert np.array_equal(color_matrix.apply(found, flat), clear)
