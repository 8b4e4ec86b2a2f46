"""The dark channel prior, in air and under water: what was put in front of a picture is found and taken away."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from hbl_lib import images, metrics
from hbl_lib.baselines import dark_channel
from hbl_lib.degradations import Haze, Underwater, generated_depth


def photograph(name: str, width: int = 240, height: int = 180) -> np.ndarray:
    return cv2.resize(getattr(skimage.data, name)(), (width, height), interpolation=cv2.INTER_AREA)


def hazy(clear: np.ndarray, thickness: float, airlight: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture in haze of a smooth transmission, (H, W), and that transmission."""
    depth = generated_depth(*clear.shape[:2], torch.Generator().manual_seed(0))
    model = Haze(torch.exp(-thickness * depth), airlight)
    return images.to_picture(model.apply(images.to_tensor(clear))), model.transmission[0, 0].numpy()


def in_water(clear: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture under water, without noise, and the share of its own green and blue light that is left, (H, W)."""
    model = Underwater.draw(*clear.shape[:2], torch.Generator().manual_seed(seed))
    return images.to_picture(model.apply(images.to_tensor(clear))), model.direct[0, 1:].mean(0).numpy()


HAZES = [(0.8, 0.95), (1.6, 0.85), (2.4, 0.75)]  # thickness and airlight


def test_the_transmission_of_known_haze_is_found_within_a_tenth_on_average():
    """Not in each picture: a close-up without anything dark, as of the cat, breaks the prior in thin haze."""
    errors = []
    for name in ("astronaut", "coffee", "chelsea"):
        for thickness, airlight in HAZES:
            degraded, transmission = hazy(photograph(name), thickness, airlight)
            found, light = dark_channel.estimate(degraded)
            assert found.shape == transmission.shape and found.min() >= 0.1 and found.max() <= 1
            np.testing.assert_allclose(light, airlight, atol=0.2)
            errors.append(np.abs(found - transmission).mean())
    assert np.mean(errors) < 0.1
    assert max(errors) < 0.2


@pytest.mark.parametrize(("thickness", "airlight"), HAZES)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_known_haze_is_taken_away(name, thickness, airlight):
    clear = photograph(name)
    degraded, _ = hazy(clear, thickness, airlight)
    restored = dark_channel.dcp(degraded)
    assert metrics.psnr(restored, clear) > metrics.psnr(degraded, clear) + 4
    assert metrics.ssim(restored, clear) > metrics.ssim(degraded, clear)


def test_thicker_haze_has_a_lower_transmission():
    means = [dark_channel.estimate(hazy(photograph("coffee"), thick, 0.9)[0])[0].mean() for thick in (0.4, 1.2, 2.4)]
    assert means[0] > means[1] + 0.1 > means[2] + 0.2


def test_the_dark_channel_is_the_least_value_of_a_patch_and_its_channels():
    picture = np.random.default_rng(0).random((40, 30, 3), dtype=np.float32)
    for prior, channels in ((dark_channel.DCP, [0, 1, 2]), (dark_channel.UDCP, [1, 2])):
        found = dark_channel.dark_channel(picture, prior)
        for row, column in ((0, 0), (20, 15), (39, 3), (7, 29)):
            patch = picture[max(0, row - 7) : row + 8, max(0, column - 7) : column + 8]
            assert found[row, column] == patch[..., channels].min()


def test_the_airlight_is_the_brightest_of_the_haziest_pixels():
    picture = np.full((50, 60, 3), 0.2, np.float32)
    picture[5, 5] = 1  # a lamp: bright, but its patch is dark
    picture[20:40, 30:50] = 0.7
    picture[30, 40] = (0.7, 0.75, 0.8)
    found = dark_channel.ambient_light(picture, dark_channel.dark_channel(picture))
    np.testing.assert_allclose(found, (0.7, 0.75, 0.8), atol=1e-6)


def test_known_transmission_and_airlight_give_the_clear_picture_back():
    clear = photograph("astronaut")
    degraded, transmission = hazy(clear, 0.8, 0.9)
    restored = dark_channel.removed(degraded, transmission, np.full(3, 0.9))
    assert np.abs(restored.astype(int) - clear).max() <= 2  # of 8 bits, divided by t


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_under_water_the_veil_is_found_and_taken_away(name, seed):
    clear = photograph(name)
    degraded, direct = in_water(clear, seed)
    found, _ = dark_channel.estimate(degraded, dark_channel.UDCP)
    assert found.min() >= np.float32(0.2) and found.max() <= np.float32(0.9)
    assert np.corrcoef(found.ravel(), direct.ravel())[0, 1] > 0.7
    assert metrics.psnr(dark_channel.udcp(degraded), clear) > metrics.psnr(degraded, clear) + 1


def test_the_red_that_water_took_misleads_only_the_prior_of_all_channels():
    """Dark red makes the dark channel of all three 0, as if nothing stood before the picture."""
    degraded, _ = in_water(photograph("astronaut"), 0)
    degraded[..., 0] = 0
    in_air, under_water = (dark_channel.estimate(degraded, p)[0] for p in (dark_channel.DCP, dark_channel.UDCP))
    assert in_air.min() > 0.99
    assert under_water.mean() < 0.8
