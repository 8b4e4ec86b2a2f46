"""Fusion: the pyramids blend without loss, and an underwater picture loses its cast and gains contrast."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from scipy import ndimage
from skimage.color import rgb2lab

from hbl_lib import images, metrics
from hbl_lib.baselines import fusion
from hbl_lib.degradations import Underwater


def photograph(name: str, width: int = 240, height: int = 180) -> np.ndarray:
    return cv2.resize(getattr(skimage.data, name)(), (width, height), interpolation=cv2.INTER_AREA)


def in_water(clear: np.ndarray, seed: int) -> np.ndarray:
    model = Underwater.draw(*clear.shape[:2], torch.Generator().manual_seed(seed))
    return images.to_picture(model.apply(images.to_tensor(clear)))


def cast(picture: np.ndarray) -> float:
    """How far the mean colour is from grey: its distance from the grey axis in Lab."""
    lab = cv2.cvtColor((picture / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab.mean(axis=(0, 1))[1:]))


def local_contrast(picture: np.ndarray) -> float:
    """The mean distance of the luminance from its neighbourhood's."""
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)
    return float(np.abs(luminance - cv2.GaussianBlur(luminance, (0, 0), 4)).mean())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_an_underwater_picture_comes_nearer_to_the_clear_one(name, seed):
    clear = photograph(name)
    degraded = in_water(clear, seed)
    restored = fusion.fusion(degraded)
    assert metrics.psnr(restored, clear) > metrics.psnr(degraded, clear) + 1
    assert metrics.ssim(restored, clear) > metrics.ssim(degraded, clear)
    assert cast(restored) < 0.5 * cast(degraded)
    assert local_contrast(restored) > 1.1 * local_contrast(degraded)


def test_white_balance_makes_the_mean_grey_and_keeps_its_brightness():
    degraded = in_water(photograph("astronaut"), 0)
    means = fusion.white_balanced(degraded).mean(axis=(0, 1))
    np.testing.assert_allclose(means, degraded.mean(), atol=3)  # less what is clipped
    assert np.ptp(degraded.mean(axis=(0, 1))) > 30


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 4), (33, 70), (45, 61)], ids=str)
def test_blending_a_picture_with_itself_gives_it_back_whatever_the_weights(shape):
    random = np.random.default_rng(0)
    picture = random.random((*shape, 3), dtype=np.float32)
    share = random.random(shape, dtype=np.float32)
    np.testing.assert_allclose(fusion.blended([picture, picture], [share, 1 - share]), picture, atol=1e-5)


def test_far_from_a_seam_each_side_is_its_own_input_and_the_seam_is_gradual():
    dark, bright = (np.full((64, 256, 3), value, np.float32) for value in (0.2, 0.8))
    left = np.repeat((np.arange(256) < 128)[None], 64, axis=0).astype(np.float32)
    row = fusion.blended([dark, bright], [left, 1 - left])[32, :, 0]
    np.testing.assert_allclose((row[:60], row[-60:]), np.array([[0.2] * 60, [0.8] * 60]), atol=1e-3)
    assert np.diff(row).max() < 0.1 and np.diff(row).min() > -1e-3


def test_a_pixel_weighs_the_sum_of_the_papers_four_maps():
    picture = photograph("chelsea", 40, 30) / 255
    luminance = picture @ [0.299, 0.587, 0.114]
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    lab = rgb2lab(picture)
    blurred = np.dstack([ndimage.convolve(lab[..., channel], binomial, mode="mirror") for channel in range(3)])
    maps = [
        np.abs(ndimage.laplace(luminance, mode="mirror")),
        np.abs(luminance - ndimage.convolve(luminance, binomial, mode="mirror")),
        np.sqrt(((blurred - lab.mean(axis=(0, 1))) ** 2).sum(axis=2)) / 100,
        np.exp(-0.5 * ((luminance - 0.5) / 0.25) ** 2),
    ]
    assert min(one.max() for one in maps) > 0.05
    np.testing.assert_allclose(fusion.importance(picture.astype(np.float32)), sum(maps), atol=5e-3)
