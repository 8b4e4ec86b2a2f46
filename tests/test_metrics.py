"""Scores of restored pictures, and the SSIM that score and loss share."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from hbl_lib import losses, metrics, perceptual, ssim
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
    assert ssim.ssim_index(tensor(restored), tensor(clear)).item() == pytest.approx(expected, abs=1e-5)
    assert losses.ssim(tensor(restored), tensor(clear)).item() == pytest.approx(10 * (1 - expected), abs=1e-4)
    assert ssim.ssim_index(tensor(clear), tensor(clear)).item() == pytest.approx(1, abs=1e-6)


def test_a_picture_smaller_than_the_ssim_window_is_refused_by_the_loss():
    with pytest.raises(KitError, match="at least 11x11, not 10x20"):
        ssim.ssim_index(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


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


PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def degraded(name):
    """A photograph under gamma and noise, as facts on protocols were measured, and the photograph."""
    clear = getattr(data, name)()
    noise = np.random.default_rng(0).normal(0, 0.04, clear.shape)
    return np.round(np.clip((clear / 255) ** 1.1 + noise, 0, 1) * 255).astype(np.uint8), clear


def luma(picture):
    """ITU-R BT.601 in 8 bits, by its printed coefficients."""
    return np.round(16 + picture.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255)


def zero_padded_ssim(a, b):
    """By torch's convolution with zeros around, an 11x11 Gaussian window of sigma 1.5 (Wang 2004)."""
    line = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    x, y = (torch.from_numpy(p.astype(float)).permute(2, 0, 1)[:, None] for p in (a, b))

    def blur(values):
        return torch.nn.functional.conv2d(values, window, padding=5)

    mx, my = blur(x), blur(y)
    xx, yy, xy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2))).mean().item()


def test_every_protocol_equals_its_library_or_its_printed_formula():
    restored, clear = degraded("coffee")
    scores = {name: metrics.score(restored, clear, protocol=name) for name in metrics.PROTOCOLS}
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    mse = ((restored.astype(float) - clear) ** 2).mean()
    assert scores["rgb"]["psnr"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-4)
    y, y_clear = luma(restored), luma(clear)
    assert scores["y"]["psnr"] == pytest.approx(10 * math.log10(255**2 / ((y - y_clear) ** 2).mean()), abs=1e-4)
    assert scores["y"]["ssim"] == pytest.approx(structural_similarity(y_clear, y, **gaussian), abs=1e-4)
    default = structural_similarity(clear, restored, channel_axis=2)
    assert scores["uniform"]["ssim"] == pytest.approx(default, abs=1e-4)
    assert scores["uniform"]["psnr"] == scores["zero_padded"]["psnr"] == scores["rgb"]["psnr"]
    assert scores["zero_padded"]["ssim"] == pytest.approx(zero_padded_ssim(restored, clear), abs=1e-4)
    grey = np.array([0.2125, 0.7154, 0.0721])
    same = np.round(np.clip(restored * ((clear @ grey).mean() / (restored @ grey).mean()), 0, 255)).astype(np.uint8)
    assert scores["ground_truth_mean"] == metrics.score(same, clear)


def test_the_protocols_stand_in_the_order_that_others_have_found():
    """Y above the ground-truth mean above RGB in PSNR; Y, 7x7, zeros around, valid positions in SSIM.

    In the mean of four photographs; with rocket alone, half of which is night, 7x7 falls under zeros around.
    """
    pictures = [degraded(name) for name in PHOTOGRAPHS]
    scores = {
        protocol: metrics.mean([metrics.score(*pair, protocol=protocol) for pair in pictures])
        for protocol in metrics.PROTOCOLS
    }
    psnr, ssim = ({protocol: score[key] for protocol, score in scores.items()} for key in ("psnr", "ssim"))
    assert psnr["y"] > psnr["ground_truth_mean"] > psnr["rgb"] == psnr["uniform"]
    assert ssim["y"] > ssim["uniform"] > ssim["zero_padded"] > ssim["rgb"]


def test_a_mask_limits_every_protocol_and_a_wrong_name_is_told():
    restored, clear = degraded("chelsea")
    valid = np.zeros(clear.shape[:2], bool)
    valid[:150] = True
    worse = restored.copy()
    worse[200:] = 255 - worse[200:]
    for protocol in metrics.PROTOCOLS:
        if protocol != "ground_truth_mean":  # its gain is that of the whole picture
            one, other = (metrics.score(p, clear, None, valid, protocol) for p in (restored, worse))
            assert one == other, protocol
    with pytest.raises(KitError, match="no protocol 'gt_mean'; there are: rgb, y"):
        metrics.score(restored, clear, protocol="gt_mean")


def test_lpips_refuses_values_outside_its_range(rng):
    trunk = perceptual.untrained_trunk()
    lpips = perceptual.lpips_term(trunk)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=rng)
    for wrong in (2 * a - 1, a * 255, a.clone().fill_(math.nan)):
        with pytest.raises(KitError, match=r"LPIPS takes pictures in \[0, 1\], but the restored one reaches from"):
            lpips(wrong, b)
    assert lpips(a, b) == lpips.term(a, b)
