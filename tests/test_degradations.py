"""Low light as a Hadamard product with noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hbl_lib.degradations import MODELS, Haze, LowLight, Rain, Underwater, generated_depth, smooth_field
from hbl_lib.errors import KitError


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


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(4))
def test_parameters_are_drawn_from_the_stated_ranges_or_those_given(name, seed):
    model = MODELS[name]
    made = model.draw(40, 50, torch.Generator().manual_seed(seed))
    assert made.values.keys() == model.RANGES.keys()
    for key, known in model.RANGES.items():
        assert known.low <= made.values[key] <= known.high
    key = next(iter(model.RANGES))
    moved = model.draw(40, 50, torch.Generator().manual_seed(seed), ranges={key: (0.5, 0.5)})
    assert moved.values[key] == pytest.approx(0.5)


@pytest.mark.parametrize("name", MODELS)
def test_the_inverse_undoes_what_was_neither_noisy_nor_clipped(name, clear):
    model = MODELS[name].draw(96, 128, torch.Generator().manual_seed(0))
    degraded = model.apply(clear)
    assert degraded.shape == clear.shape and degraded.min() >= 0 and degraded.max() <= 1
    inside = degraded < 1
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(model.invert(degraded)[inside], clear[inside], rtol=0, atol=2e-4)


def test_haze_of_known_transmission_and_airlight():
    transmission = torch.tensor([[1.0, 0.5], [0.25, 0.0]])[None, None]
    model = Haze(transmission, airlight=0.8)
    degraded = model.apply(torch.full((1, 3, 2, 2), 0.4))
    expected = torch.tensor([[0.4, 0.6], [0.7, 0.8]]).expand(1, 3, 2, 2)
    torch.testing.assert_close(degraded, expected)


def test_haze_is_thicker_the_farther_a_point_is():
    depth = torch.tensor([0.2, 1.0]).view(1, 1, 1, 2)
    model = Haze.draw(1, 2, torch.Generator(), ranges={"thickness": (2, 2)}, depth=depth)
    torch.testing.assert_close(model.transmission, torch.exp(-2 * depth))


def test_water_takes_red_first_and_fills_the_distance_with_its_own_light():
    depth = torch.tensor([1e-6, 1.0]).view(1, 1, 1, 2)
    model = Underwater.draw(1, 2, torch.Generator().manual_seed(0), {"distance": (100, 100)}, depth)
    degraded = model.apply(torch.full((1, 3, 1, 2), 0.6))
    torch.testing.assert_close(degraded[..., 0], torch.full((1, 3, 1), 0.6), atol=1e-3, rtol=0)
    veil = torch.tensor([model.values[f"veil_{name}"] for name in ("red", "green", "blue")])
    torch.testing.assert_close(degraded[0, :, 0, 1], veil, atol=2e-2, rtol=0)
    direct = Underwater.draw(60, 80, torch.Generator().manual_seed(1)).direct
    assert direct[0, 0].mean() < direct[0, 1].mean() and direct[0, 0].mean() < direct[0, 2].mean()
    assert direct.flatten(2).std(2).min() > 0.02  # it varies across the picture


@pytest.mark.parametrize("angle", [-30, 0, 30])
def test_rain_falls_at_its_angle(angle):
    values = {"density": 0.001, "length": 30, "angle": angle, "brightness": 0.5}
    streaks = Rain.of(values, 200, 200, torch.Generator().manual_seed(0)).streaks[0, 0]
    spectrum = torch.fft.fftshift(torch.fft.fft2(streaks - streaks.mean()).abs() ** 2)
    y, x = torch.meshgrid(torch.arange(-100.0, 100), torch.arange(-100.0, 100), indexing="ij")
    sums = [(spectrum * k).sum().item() for k in (x * x, y * y, x * y)]
    across = 0.5 * np.degrees(np.arctan2(2 * sums[2], sums[0] - sums[1]))  # energy lies across the streaks
    assert across == pytest.approx(-angle, abs=4)


def test_generated_depth_grows_towards_the_top_and_ends_at_one(rng):
    depth = generated_depth(60, 80, rng)
    assert depth.shape == (1, 1, 60, 80)
    assert depth.min() >= 0.1 and depth.max() == pytest.approx(1)
    assert depth[..., :20, :].mean() > depth[..., 40:, :].mean() + 0.1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"airlihgt": (0.5, 0.6)}, "Haze has no parameter 'airlihgt'. Did you mean 'airlight'?"),
        ({"airlight": (0.6, 0.5)}, r"airlight: \[0.6, 0.5\] is not a range within \[0, 1\]"),
        ({"airlight": (0.5, 2)}, r"airlight: \[0.5, 2\] is not a range within \[0, 1\]"),
    ],
)
def test_ranges_that_can_not_be_are_refused(given, told):
    with pytest.raises(KitError, match=told):
        Haze.draw(4, 4, torch.Generator(), given)
