"""LIME: the illumination map solves the paper's equations, and a darkened picture comes out nearer to what it was."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from hbl_lib import images, metrics
from hbl_lib.baselines import lime
from hbl_lib.degradations import LowLight


def photograph(name: str, width: int = 120, height: int = 90) -> np.ndarray:
    return cv2.resize(getattr(skimage.data, name)(), (width, height), interpolation=cv2.INTER_AREA)


def darkened(clear: np.ndarray, seed: int = 0) -> np.ndarray:
    """By an illumination field of the kit's own physical model, without noise."""
    model = LowLight.draw(*clear.shape[:2], torch.Generator().manual_seed(seed))
    return images.to_picture(model.apply(images.to_tensor(clear)))


def minimised(brightest: np.ndarray) -> np.ndarray:
    """The paper's sum of squares, written as one dense least-squares problem and solved as such."""
    height, width = brightest.shape
    places = np.arange(height * width).reshape(height, width)
    blurred = [
        cv2.GaussianBlur(np.diff(brightest, axis=axis, append=brightest.take([-1], axis)), (15, 15), 3)
        for axis in (0, 1)
    ]
    rows, targets = [np.eye(height * width)], [brightest.ravel()]
    for (row, column), here in np.ndenumerate(places):
        for axis, there in ((0, (row + 1, column)), (1, (row, column + 1))):
            if there[axis] < brightest.shape[axis]:
                difference = brightest[there] - brightest[row, column]
                weight = 0.15 / (abs(blurred[axis][row, column]) + 1e-3) / (abs(difference) + 1e-3)
                equation = np.zeros((1, height * width))
                equation[0, [here, places[there]]] = -np.sqrt(weight), np.sqrt(weight)
                rows.append(equation)
                targets.append([0])
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets))[0].reshape(height, width)


@pytest.mark.parametrize("shape", [(9, 14), (1, 12), (12, 1), (1, 1)], ids=str)
def test_the_illumination_map_is_the_minimum_of_the_papers_sum(shape):
    picture = darkened(photograph("astronaut", *shape[::-1]))
    found = lime.illumination_map(picture)
    np.testing.assert_allclose(found, minimised(picture.max(axis=2) / 255), atol=1e-7)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_a_darkened_picture_comes_nearer_to_the_clear_one(name, seed):
    clear = photograph(name)
    dark = darkened(clear, seed)
    restored = lime.lime(dark)
    assert metrics.psnr(restored, clear) > metrics.psnr(dark, clear) + 4
    assert metrics.ssim(restored, clear) > metrics.ssim(dark, clear) + 0.3


def test_the_map_is_smooth_where_only_texture_varies_and_steps_where_light_does():
    texture = np.random.default_rng(0).integers(-8, 9, (60, 80))
    light = np.where(np.arange(80) < 40, 60, 160)
    picture = np.repeat((light + texture)[..., None], 3, axis=2).astype(np.uint8)
    found = lime.illumination_map(picture) * 255
    steps, of_texture = (np.abs(np.diff(field, axis=1)).mean(axis=0) for field in (found, texture))
    assert steps[:30].mean() < 0.05 * of_texture[:30].mean()
    assert steps.argmax() == 39 and steps[39] > 0.5 * 100  # of the light's own step


def test_a_flat_grey_picture_is_raised_by_the_power_that_gamma_leaves():
    """T is the picture itself there, so R = y / y^0.8 = y^0.2."""
    flat = np.full((12, 16, 3), 30, np.uint8)
    assert np.abs(lime.lime(flat).astype(int) - round(255 * (30 / 255) ** 0.2)).max() == 0


@pytest.mark.parametrize("shape", [(500, 741), (1, 400_000)])
def test_a_large_picture_has_a_map_of_its_own_size(shape):
    halves = np.where(np.arange(shape[1]) < shape[1] // 2, 60, 200).astype(np.uint8)  # nothing to smooth
    picture = np.broadcast_to(halves[None, :, None], (*shape, 3)).copy()
    found = lime.illumination_map(picture)
    assert found.shape == shape
    error = np.abs(found - halves / 255)
    assert np.median(error) < 0.03 and (error > 0.1).mean() < 0.02
