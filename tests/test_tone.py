"""Gamma and CLAHE, and what every classical method owes its user, whatever the picture."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data

from hbl_lib.baselines import CLASSICAL
from hbl_lib.baselines.tone import clahe, eight_bits, gamma

SHAPES = [(1, 1), (1, 6), (6, 1), (2, 2), (3, 5), (16, 16), (47, 61)]


def photograph(width: int = 120, height: int = 90) -> np.ndarray:
    return cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_AREA)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_method_keeps_size_and_type_and_its_input_for_pictures_of_any_size(name, shape):
    for picture in (noise(*shape), np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 255, np.uint8)):
        given = picture.copy()
        restored = CLASSICAL[name].restore(picture)
        assert (restored.shape, restored.dtype) == (picture.shape, np.uint8)
        assert np.array_equal(picture, given)


@pytest.mark.parametrize("name", CLASSICAL)
def test_every_method_takes_pictures_that_are_views_and_read_only(name):
    turned = photograph()[::-1, ::-1].transpose(1, 0, 2)
    turned.flags.writeable = False
    restored = CLASSICAL[name].restore(turned)
    assert np.array_equal(restored, CLASSICAL[name].restore(np.ascontiguousarray(turned)))


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_flat_grey_picture_stays_flat_and_grey_and_black_and_white_stay(name, value):
    restored = CLASSICAL[name].restore(np.full((20, 30, 3), value, np.uint8))
    assert np.ptp(restored) <= 1
    if value == 255 or (value == 0 and name not in ("clahe", "fusion")):  # OpenCV's CLAHE lifts a histogram of one bin
        assert abs(restored.astype(int) - value).max() == 0


@pytest.mark.parametrize("name", CLASSICAL)
def test_no_method_depends_on_the_number_of_threads(name):
    before, results = cv2.getNumThreads(), []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            results.append(CLASSICAL[name].restore(photograph()))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*results)


def test_the_methods_are_described_in_order_and_need_no_torch():
    assert list(CLASSICAL) == ["gamma", "clahe", "lime", "dcp", "udcp", "fusion"]
    assert {method.made_for for method in CLASSICAL.values()} == {"any", "low light", "haze", "underwater"}
    assert all(method.label and method.citation and method.parameters for method in CLASSICAL.values())
    check = "import sys, hbl_lib.baselines; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_gamma_is_the_same_curve_for_every_value_of_every_channel():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    restored = gamma(np.dstack((values, values.T, values)))
    expected = [round(255 * (value / 255) ** (1 / 2.2)) for value in range(256)]
    assert restored[..., 0].ravel().tolist() == restored[..., 1].T.ravel().tolist() == expected
    assert expected[0] == 0 and expected[255] == 255 and expected[20] == 80


def test_clahe_is_opencvs_on_lightness_and_keeps_the_colour():
    picture = photograph() // 4 + 80  # far from the edges of sRGB, where a colour would have to give way
    before, after = (cv2.cvtColor(p, cv2.COLOR_RGB2LAB).astype(int) for p in (picture, clahe(picture)))
    opencvs = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(before[..., 0].astype(np.uint8))
    error = np.abs(after - np.dstack((opencvs, before[..., 1:])))
    assert error.max() <= 2 and error.mean() < 0.1
    assert after[..., 0].std() > 1.2 * before[..., 0].std()  # it does raise the contrast


def test_what_leaves_the_range_is_clipped_and_the_rest_rounded():
    assert eight_bits(np.array([-0.5, 0, 0.4 / 255, 0.6 / 255, 1, 1.5])).tolist() == [0, 0, 0, 1, 255, 255]
