"""Low light as a Hadamard product with noise."""

from dataclasses import replace

import pytest
import torch

from hbl_lib.degradations import LowLight, smooth_field


def drawn(seed, height=96, width=128):
    return LowLight.draw(height, width, torch.Generator().manual_seed(seed))


@pytest.fixture
def clear(rng):
    return 0.02 + 0.98 * torch.rand(2, 3, 96, 128, generator=rng)


@pytest.mark.parametrize("seed", range(4))
def test_without_noise_the_degraded_picture_is_the_hadamard_product_and_division_undoes_it(seed, clear):
    model = drawn(seed)
    degraded = model.apply(clear)
    torch.testing.assert_close(degraded, clear * model.illumination ** (1 / model.gamma), rtol=0, atol=1e-5)
    torch.testing.assert_close(model.invert(degraded), clear, rtol=0, atol=1e-5)
    assert degraded.mean() < 0.35 * clear.mean()


@pytest.mark.parametrize("seed", range(8))
def test_illumination_varies_across_the_picture_and_is_smooth(seed):
    light = drawn(seed).illumination
    assert light.shape == (1, 1, 96, 128)
    assert light.min() > 0 and light.max() <= 1
    assert light.max() / light.min() > 2
    for axis in (2, 3):
        steps = light.log().diff(dim=axis)
        assert steps.abs().max() < 0.2
        assert steps.diff(dim=axis).abs().max() < 0.03


def test_a_smooth_field_spans_minus_one_to_one(rng):
    field = smooth_field(20, 30, rng)
    assert field.shape == (1, 1, 20, 30)
    assert field.min() == -1 and field.max() == 1


def test_fewer_photons_and_more_read_noise_make_more_noise(clear):
    model = drawn(0)

    def noise(**changes):
        noisy = replace(model, **changes).apply(clear, torch.Generator().manual_seed(1))
        assert noisy.min() >= 0 and noisy.max() <= 1
        return (noisy - model.apply(clear)).square().mean().sqrt()

    assert (
        0 < noise(photons=20_000, read_noise=0) < noise(photons=5_000, read_noise=0) < noise(photons=500, read_noise=0)
    )
    assert noise(read_noise=0.0002) < noise(read_noise=0.005)


def test_shot_noise_is_poisson(rng):
    """In linear light its variance is mean / photons, whatever the brightness."""
    for level in (0.1, 0.8):
        model = LowLight(torch.ones(1, 1, 200, 200), gamma=1.0, photons=1_000, read_noise=0)
        light = model.apply(torch.full((1, 3, 200, 200), level), rng)
        assert light.mean().item() == pytest.approx(level, rel=0.01)
        assert light.var().item() == pytest.approx(level / 1_000, rel=0.05)


def test_the_same_seed_gives_the_same_picture_and_another_one_another(clear):
    a, b, c = (drawn(seed).apply(clear, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
