"""MBLLEN: its size, the terms of its own loss, and their division by the values at initialisation."""

import pytest
import torch

from hbl_lib import losses, perceptual
from hbl_lib.baselines import mbllen
from hbl_lib.baselines.mbllen import MBLLEN, TERMS, MBLLENSpace
from hbl_lib.errors import KitError
from hbl_lib.losses import Beta
from hbl_lib.network import parameter_count


@pytest.fixture
def own(no_weights):
    return MBLLENSpace(perceptual.feature_trunk())


@pytest.fixture
def pair(rng):
    return torch.rand(2, 1, 3, 48, 40, generator=rng)


def test_its_parameters_are_the_published_number():
    assert parameter_count(MBLLEN()) == 450_171


@pytest.mark.parametrize("size", [(13, 13), (20, 31)])
def test_a_picture_keeps_its_size(size, rng):
    with torch.no_grad():
        restored = MBLLEN()(torch.rand(1, 3, *size, generator=rng))
    assert restored.shape[-2:] == size and restored.min() >= 0


def test_too_small_a_picture_is_told():
    with pytest.raises(KitError, match="at least 13x13"):
        MBLLEN()(torch.rand(1, 3, 12, 40))


def test_the_low_region_is_the_darkest_two_fifths_of_the_restored_picture():
    restored = (torch.arange(100.0) / 100).view(1, 1, 10, 10).expand(1, 3, 10, 10)
    clear = restored + torch.where(restored < 0.395, 0.1, 0.01)
    low, high = mbllen.regions(restored, clear)
    assert (low.item(), high.item()) == pytest.approx((0.4 * 0.1, 0.6 * 0.01), rel=1e-4)


def test_each_term_is_what_its_name_says(own, pair):
    restored, clear = pair
    raw = dict(zip(TERMS, own.raw(restored, clear).tolist(), strict=True))
    assert raw["mae"] == pytest.approx(losses.l1(restored, clear).item())
    assert raw["ssim"] == pytest.approx(losses.ssim(restored, clear).item() / 10, rel=1e-5)
    assert raw["region_low"] + raw["region_high"] == pytest.approx(raw["mae"], rel=1e-5)
    (a,), (b,) = (own.trunk.features(picture, [17]) for picture in pair)
    assert raw["vgg"] == pytest.approx((a - b).abs().mean().item(), rel=1e-5)


def test_at_initialisation_every_divided_term_is_one(own, pair):
    torch.manual_seed(0)
    network = MBLLEN()
    own.calibrate(network, [tuple(pair)])
    with torch.no_grad():
        torch.testing.assert_close(own.values(network(pair[0]), pair[1]), torch.ones(6))


def test_the_authors_setting_is_their_formula_whatever_the_terms_are_divided_by(own, pair):
    own.calibrate(MBLLEN(), [tuple(pair)])
    restored, clear = pair
    mae, ssim, _, vgg, low, high = own.raw(restored, clear)
    expected = mae + 3 * ssim + vgg / 3 + 4 * low + high
    torch.testing.assert_close(own(restored, clear, own.authors()), expected)


def test_beta_weighs_six_terms_and_selects_no_layers(own, pair):
    beta = Beta(own)
    torch.testing.assert_close(beta.coefficients() @ own.values(*pair), own(*pair, beta.found()))
    assert beta.found().weights == dict.fromkeys(TERMS, 1.0) and beta.found().layers == ()
