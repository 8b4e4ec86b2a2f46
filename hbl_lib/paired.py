"""The effect of one run over another on the same test pictures: PSNR and SSIM, paired by scene and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import effects, evaluation
from .effects import Effect
from .errors import KitError

HEADINGS = {"psnr": "effect (dB)", "ssim": "effect (SSIM)"}
COLUMNS = [f"{heading}{end}" for heading in HEADINGS.values() for end in ("", " from", " to")]


def between(
    better: Sequence[dict[str, Any]], worse: Sequence[dict[str, Any]], keys: tuple[str, str] = ("restored", "restored")
) -> dict[str, Effect]:
    """{metric: effect of one side's scores over the other's}, from their metrics, one for each seed."""
    found: dict[str, list[dict[str, float]]] = {metric: [] for metric in HEADINGS}
    for sides in zip(better, worse, strict=True):
        of_sides = [side["per_image"] for side in sides]
        shown = [[image["clear_file"] for image in images] for images in of_sides]
        if shown[0] != shown[1]:
            raise KitError("they were judged on different test pictures")
        for metric, of_seeds in found.items():
            scores = [
                [evaluation.score_of(i, k)[metric] for i in images] for images, k in zip(of_sides, keys, strict=True)
            ]
            of_seeds.append(effects.by_scene(of_sides[0], [b - w for b, w in zip(*scores, strict=True)]))
    return {metric: effects.effect(effects.table(of_seeds)) for metric, of_seeds in found.items()}


def judged(comparisons: Sequence[Mapping[str, Effect]]) -> list[tuple[dict[str, float], dict[str, int]]]:
    """For each comparison {metric: p}, adjusted for their number, and {metric: direction} at that p."""
    of_metrics = [effects.adjusted([of[metric].p for of in comparisons]) for metric in HEADINGS]
    ps = [dict(zip(HEADINGS, each, strict=True)) for each in zip(*of_metrics, strict=True)]
    return [(p, {m: of[m].direction(p[m]) for m in HEADINGS}) for of, p in zip(comparisons, ps, strict=True)]


def cells(of: Mapping[str, Effect]) -> dict[str, float]:
    """Effects and intervals by their columns."""
    values = (value for metric in HEADINGS for value in (of[metric].mean, of[metric].low, of[metric].high))
    return dict(zip(COLUMNS, values, strict=True))
