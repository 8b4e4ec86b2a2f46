"""Paired effects over scenes and seeds: mean, bootstrap interval, test, and what they allow to be said.

Two methods restore the same test pictures with the same seeds. What is compared is their difference on each picture
with each seed. Versions of one scene are averaged first, since crops and degradations of one picture are no samples of
their own: a table of (seeds, scenes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from .errors import KitError

MIN_SCENES, MIN_SEEDS = 8, 3  # with fewer, nothing is resolved
LEVEL = 0.05
DRAWS = 10_000
REPLICATES, DOES_NOT = "replicates", "does not replicate"
OPEN, NOT_TESTABLE = "not resolved at this budget", "not testable here"


@dataclass(frozen=True)
class Effect:
    """A mean difference, its 95 % interval, the p of the test over scenes, and how many seeds have its sign."""

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    scenes: int
    agreeing: int

    def direction(self, p: float) -> int:
        """1 above zero, -1 below, 0 unresolved: by the interval and `p`, adjusted where there are several tests."""
        if self.scenes < MIN_SCENES or self.seeds < MIN_SEEDS or p >= LEVEL:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def by_scene(per_image: Sequence[Mapping[str, Any]], values: Sequence[float]) -> dict[str, float]:
    """{scene: mean of its pictures' values}; a scene is a `group` of 00_data."""
    found: dict[str, list[float]] = {}
    for image, value in zip(per_image, values, strict=True):
        found.setdefault(image["group"], []).append(value)
    return {scene: float(np.mean(of)) for scene, of in found.items()}


def table(of_seeds: Sequence[Mapping[str, float]]) -> np.ndarray:
    """(seeds, scenes) from one {scene: difference} for each seed; other pictures for another seed are refused."""
    scenes = sorted(of_seeds[0])
    for other in of_seeds[1:]:
        if sorted(other) != scenes:
            raise KitError("the seeds were judged on different test pictures: data.split_seed must be one for all")
    return np.array([[of[scene] for scene in scenes] for of in of_seeds])


def effect(differences: np.ndarray, draws: int = DRAWS) -> Effect:
    """The mean of (seeds, scenes), with its interval and test.

    Interval: percentile bootstrap that draws seeds and scenes anew, each on their own (Owen 2007, "pigeonhole"). With
    few of either a percentile interval is too narrow, so the parts that vary by seed alone and by scene alone are
    widened as Student's t asks (Hesterberg 2015, "expanded percentile"): for three seeds 2.7 times. Test: Wilcoxon's
    signed ranks on each scene's mean over the seeds, two-sided.
    """
    seeds, scenes = differences.shape
    mean, drawn = differences.mean(), np.random.default_rng(0)
    by_seed = differences.mean(1) - mean
    of_scene = differences.mean(0) - mean
    rest = differences - mean - by_seed[:, None] - of_scene
    rows, columns = (drawn.multinomial(n, np.full(n, 1 / n), draws) / n for n in (seeds, scenes))
    means = mean + _widening(seeds) * rows @ by_seed + _widening(scenes) * columns @ of_scene
    means += np.einsum("ds,sp,dp->d", rows, rest, columns)
    low, high = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2))
    of_scenes = differences.mean(0)
    p = stats.wilcoxon(of_scenes).pvalue if np.any(of_scenes) else 1.0
    agreeing = int((np.sign(differences.mean(1)) == np.sign(mean)).sum())
    return Effect(float(mean), float(low), float(high), float(p), seeds, scenes, agreeing)


def difference(one: Effect, other: Effect) -> tuple[float, float, float]:
    """`one` less `other`, with the 95 % interval that their own give (Zou and Donner 2008).

    They are taken as independent; where pictures are in both, the interval is too wide.
    """
    mean = one.mean - other.mean
    below = math.hypot(one.mean - one.low, other.high - other.mean)
    above = math.hypot(one.high - one.mean, other.mean - other.low)
    return mean, mean - below, mean + above


def _widening(count: int) -> float:
    """How much too narrow a percentile interval over so few is; 1 for a single one, of which nothing can be said."""
    if count == 1:
        return 1.0
    return float((count / (count - 1)) ** 0.5 * stats.t.ppf(1 - LEVEL / 2, count - 1) / stats.norm.ppf(1 - LEVEL / 2))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> dict[str, float | int | None]:
    """Spearman's rho with its 95 % interval (Fisher's z, standard error by Bonett and Wright 2000), and the count.

    {"rho", "low", "high", "count"}; None where one side does not vary, without interval below five pairs.

    >>> rank_correlation([0.1, 0.2, 0.3], [10, 30, 20])["rho"]
    0.5
    """
    count = len(one)
    rho = float(stats.spearmanr(one, other).statistic) if min(len(set(one)), len(set(other))) > 1 else None
    found: dict[str, float | int | None] = {"rho": rho, "low": None, "high": None, "count": count}
    if rho is None or count < 5:
        return found
    reach = stats.norm.ppf(1 - LEVEL / 2) * ((1 + rho**2 / 2) / (count - 3)) ** 0.5
    z = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9))
    return found | {"low": float(np.tanh(z - reach)), "high": float(np.tanh(z + reach))}


def adjusted(ps: Sequence[float]) -> list[float]:
    """The p of several tests, adjusted for their number (Benjamini and Hochberg).

    >>> adjusted([0.01, 0.04])
    [0.02, 0.04]
    """
    return [float(p) for p in stats.false_discovery_control(ps)] if len(ps) else []


def verdict(psnr: int, ssim: int) -> str:
    """What the directions of two metrics say of a claim that both are higher: a contradiction in either denies it."""
    if -1 in (psnr, ssim):
        return DOES_NOT
    return REPLICATES if psnr == ssim == 1 else OPEN
