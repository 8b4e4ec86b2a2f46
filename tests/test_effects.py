"""Effects over pictures and seeds: closed forms, and how often nothing is taken for something."""

import numpy as np
import pytest

from hbl_lib import effects
from hbl_lib.effects import DOES_NOT, OPEN, REPLICATES
from hbl_lib.errors import KitError


def direction(differences):
    found = effects.effect(np.asarray(differences, float), draws=1000)
    return found.direction(found.p)


def test_a_constant_difference_has_no_width_and_the_smallest_p():
    found = effects.effect(np.full((3, 10), 0.4))
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))
    assert found.p == pytest.approx(2 / 2**10) and found.agreeing == 3  # all ranks on one side, two-sided


def test_the_interval_is_that_of_the_mean_where_seeds_agree():
    values = np.random.default_rng(0).normal(1.0, 0.5, 200)
    found = effects.effect(np.tile(values, (3, 1)))
    half = 1.96 * values.std() / 200**0.5
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


@pytest.mark.parametrize(("shape", "expected"), [((3, 8), 1), ((2, 8), 0), ((3, 7), 0)])
def test_fewer_than_eight_pictures_or_three_seeds_resolve_nothing(shape, expected):
    assert direction(np.full(shape, 0.5)) == expected
    assert direction(np.full(shape, -0.5)) == -expected


def test_one_seed_of_another_sign_keeps_it_open():
    gains = np.linspace(0.5, 1.5, 20)
    assert direction([gains, gains, gains]) == 1
    assert direction([gains, gains, -gains]) == 0


def trials(seed, picture, both, gain=0.0):
    """How often a comparison of 24 pictures with three seeds is resolved, by three standard deviations and a gain."""
    drawn, found = np.random.default_rng(0), []
    for _ in range(300):
        parts = drawn.normal(0, seed, (3, 1)), drawn.normal(0, picture, (1, 24)), drawn.normal(0, both, (3, 24))
        found.append(direction(gain + sum(parts)))
    return np.mean(np.abs(found))


@pytest.mark.parametrize("deviations", [(0.3, 0.5, 0.3), (0.3, 0.1, 0.1), (0.1, 0.5, 0.3)])
def test_nothing_is_rarely_taken_for_something_whatever_varies(deviations):
    assert trials(*deviations) < 0.08


def test_half_a_decibel_is_found_where_seeds_differ_by_a_tenth():
    assert trials(0.1, 0.5, 0.3, gain=0.5) > 0.7


def test_the_interval_of_a_difference_joins_those_of_both():
    one, other = (effects.Effect(*of, 0.5, 3, 10, 3) for of in ((3.0, 1.0, 4.0), (1.0, 0.5, 3.0)))
    assert effects.difference(one, other) == (2.0, 2 - 8**0.5, 2 + 1.25**0.5)


def test_versions_of_one_scene_are_no_samples_of_their_own():
    images = [{"group": scene} for scene in ("a", "a", "a", "b")]
    once = effects.by_scene(images, [1.0, 2.0, 3.0, 5.0])
    assert once == {"a": 2.0, "b": 5.0}
    assert effects.effect(effects.table([once])).scenes == 2


def test_seeds_that_were_judged_on_different_pictures_are_refused():
    with pytest.raises(KitError, match="split_seed"):
        effects.table([{"a": 1.0}, {"b": 1.0}])


@pytest.mark.parametrize(
    ("psnr", "ssim", "expected"),
    [(1, 1, REPLICATES), (1, 0, OPEN), (0, 1, OPEN), (0, 0, OPEN), (1, -1, DOES_NOT), (-1, 0, DOES_NOT)],
)
def test_both_metrics_must_be_higher_and_neither_may_be_lower(psnr, ssim, expected):
    assert effects.verdict(psnr, ssim) == expected


def test_a_rank_correlation_has_its_closed_form_and_its_interval():
    one = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert effects.rank_correlation(one, one)["rho"] == pytest.approx(1)
    swapped = effects.rank_correlation(one, [2.0, 1.0, 3.0, 4.0, 6.0, 5.0])
    assert swapped["rho"] == pytest.approx(1 - 6 * 4 / (6 * 35)) and swapped["count"] == 6
    assert swapped["low"] < swapped["rho"] < swapped["high"] < 1
    assert effects.rank_correlation(one, [3.0] * 6) == {"rho": None, "low": None, "high": None, "count": 6}
    assert effects.rank_correlation(one[:4], one[:4])["low"] is None


def test_the_interval_of_a_rank_correlation_covers_what_it_should():
    """Of pairs that have nothing to do with each other it holds 0 in about 95 of 100 draws."""
    held, numbers = 0, np.random.default_rng(0)
    for _ in range(400):
        found = effects.rank_correlation(numbers.random(24), numbers.random(24))
        held += found["low"] <= 0 <= found["high"]
    assert 0.92 <= held / 400 <= 0.98
