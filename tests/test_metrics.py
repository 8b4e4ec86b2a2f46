"""Scores of restored pictures, and the SSIM that score and loss share."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from hbl_lib import losses, metrics, perceptual
from hbl_lib.errors import KitError


def flat(value, shape=(12, 16, 3)):
    return np.full(shape, value, np.uint8)


def tensor(picture):
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def pair():
    clear = data.astronaut()[100:164, 180:260]
    noise = np.random.default_rng(0).integers(0, 30, clear.shape)
    return (clear * 0.8 + noise).astype(np.uint8), clear


def test_psnr_by_hand():
    """Off by 10 everywhere: 10 log10(255^2 / 100). Off by 10 in one channel of three: a third of that error."""
    assert metrics.psnr(flat(60), flat(50)) == pytest.approx(28.1308, abs=1e-4)
    one = flat(50)
    one[..., 1] = 40
    assert metrics.psnr(one, flat(50)) == pytest.approx(28.1308 + 10 * math.log10(3), abs=1e-4)


def test_equal_pictures_have_infinite_psnr_and_ssim_one(pair):
    scores = metrics.score(pair[1], pair[1].copy())
    assert scores == {"psnr": math.inf, "ssim": pytest.approx(1), "lpips": None}


def test_ssim_of_flat_pictures_by_hand():
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(flat(100), flat(200)) == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1), rel=1e-6)


def test_ssim_equals_scikit_image_in_score_and_loss_and_the_term_is_ten_times_its_distance_from_one(pair):
    restored, clear = pair
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    expected = structural_similarity(clear / 255, restored / 255, data_range=1, **options)
    assert 0.5 < expected < 0.99
    assert metrics.ssim(restored, clear) == pytest.approx(expected, abs=1e-9)
    assert losses.ssim_index(tensor(restored), tensor(clear)).item() == pytest.approx(expected, abs=1e-5)
    assert losses.ssim(tensor(restored), tensor(clear)).item() == pytest.approx(10 * (1 - expected), abs=1e-4)
    assert losses.ssim_index(tensor(clear), tensor(clear)).item() == pytest.approx(1, abs=1e-6)


def test_a_picture_smaller_than_the_ssim_window_is_refused_by_the_loss():
    with pytest.raises(KitError, match="at least 11x11, not 10x20"):
        losses.ssim_index(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


def test_lpips_is_measured_on_the_same_pictures(pair):
    torch.manual_seed(0)
    weights = [torch.rand(count) for count in (64, 192, 384, 256, 256)]
    lpips = perceptual.alexnet_lpips("random", perceptual.alexnet(), weights)
    expected = lpips(*map(tensor, pair)).item()
    assert expected > 0
    assert metrics.score(*pair, lpips)["lpips"] == pytest.approx(expected, rel=1e-5)


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(KitError, match=r"\(12, 16\) and \(16, 12\)"):
        metrics.score(flat(0), flat(0, (16, 12, 3)))


def test_the_mean_is_none_where_any_picture_lacks_the_metric():
    scores = [{"psnr": 20.0, "ssim": 0.5, "lpips": 0.1}, {"psnr": 30.0, "ssim": 0.75, "lpips": None}]
    assert metrics.mean(scores) == {"psnr": 25.0, "ssim": 0.625, "lpips": None}
    assert metrics.mean(scores[:1]) == scores[0]


def test_pictures_too_small_for_ssim_are_named_by_their_size():
    tiny = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(KitError, match="at least 11x11, not 9x8"):
        metrics.score(tiny, tiny)


def test_a_valid_mask_leaves_the_rest_out_of_every_metric(rng):
    clear = torch.randint(256, (40, 60, 3), generator=rng, dtype=torch.uint8).numpy()
    restored = clear.copy()
    restored[:, :30] //= 2
    restored[:, 40:] = 0
    valid = np.zeros((40, 60), bool)
    valid[:, :30] = True
    assert metrics.psnr(restored, clear, valid) == metrics.psnr(restored[:, :30], clear[:, :30])
    assert metrics.ssim(restored, clear, np.ones((40, 60), bool)) == pytest.approx(metrics.ssim(restored, clear))
    valid[:, 25:] = False  # windows that reach past column 30 have no counterpart in the cut picture
    assert metrics.ssim(restored, clear, valid) == pytest.approx(metrics.ssim(restored[:, :30], clear[:, :30]))
