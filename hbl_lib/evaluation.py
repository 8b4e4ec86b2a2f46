"""Judging on whole test pictures: every method restores each of them, the picture is kept, and its score taken."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import images, metrics, pairs, perceptual
from .data import Pictures
from .errors import KitError
from .perceptual import LPIPS
from .progress import Progress
from .runs import Stage

TOP_ROWS = ("degraded", "color_matrix", "restored")  # the others stand under "compared" in metrics.json
Method = Callable[[int, np.ndarray], np.ndarray]  # number and degraded picture, (H, W, 3) uint8 -> restored


def lpips_metric(stage: Stage) -> LPIPS | None:
    """LPIPS where AlexNet's weights are at hand, noted in the manifest; else None."""
    lpips = perceptual.lpips_metric(stage.run.params.perceptual.download)
    if lpips is not None:
        stage.facts["lpips"] = {"features": lpips.name, "sha256": lpips.trunk.checksum}
        lpips = lpips.to(stage.run.device)
    return lpips


def judge(stage: Stage, test: Pictures, methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    """For each test picture its files and group, and by method the scores and the file of what it restored.

    Restored pictures are written to pictures/METHOD/NAME.png in the stage's folder; "degraded" is scored as it is, and
    written, with the clear picture, for those that figures show.
    """
    lpips, judged = lpips_metric(stage), []
    shutil.rmtree(stage.output("pictures"), ignore_errors=True)
    for index in Progress(stage.name, len(test)):
        pair, (degraded, clear), valid = test.pairs[index], test.pictures(index), test.valid(index)
        if index in shown(len(test)):
            for name, picture in (("degraded", degraded), ("clear", clear)):
                images.write(stage.output(_file(name, pair)), picture)
        scores: dict[str, Any] = {}
        for name, restore in methods.items():
            restored = restore(index, degraded)
            scores[name] = metrics.score(restored, clear, lpips, valid)
            refuse_the_clear_picture(f"{name}: {pair.degraded}", scores[name]["psnr"])
            if name != "degraded":
                scores[name]["file"] = _file(name, pair)
                images.write(stage.output(scores[name]["file"]), restored)
        image = {"degraded_file": pair.degraded, "clear_file": pair.clear, "group": pair.group}
        judged.append(image | _nested(scores))
    return judged


def refuse_the_clear_picture(what: str, psnr: float) -> None:
    """A restored picture that is the clear one itself is a KitError: no score can be taken of it."""
    if math.isinf(psnr):
        raise KitError(f"{what} is restored to the clear picture itself: its PSNR is infinite")


def shown(count: int) -> list[int]:
    """The test pictures that figures show: the first, the middle and the last."""
    return sorted({0, count // 2, count - 1})


def _file(method: str, pair: pairs.Pair) -> str:
    return f"pictures/{method}/{Path(pair.degraded).stem}.png"


def _nested(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The main rows by name, the others under "compared"."""
    found = {name: scores[name] for name in TOP_ROWS if name in scores}
    others = {name: score for name, score in scores.items() if name not in TOP_ROWS}
    return found | ({"compared": others} if others else {})


def score_of(metrics_file: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A method's scores in a metrics file or one of its per_image; None where it has none."""
    return metrics_file.get(name) if name in TOP_ROWS else metrics_file.get("compared", {}).get(name)


def summary(test: Pictures, judged: list[dict[str, Any]], methods: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into metrics.json: protocol, the mean scores of each method, and the scores of each picture."""
    protocol = metrics.PROTOCOL + _masked(test)
    means = {name: metrics.mean([score_of(image, name) for image in judged]) for name in methods}
    return {"protocol": protocol, **_nested(means), "per_image": judged}


def protocols(stage: Stage, test: Pictures, judged: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{protocol: {"protocol", "degraded", "restored"}}: mean PSNR and SSIM under the protocols that others use.

    A PSNR is None where a picture equals the clear one under the protocol.
    """
    scores: dict[str, dict[str, list[Any]]] = {name: {"degraded": [], "restored": []} for name in metrics.PROTOCOLS}
    for index, image in enumerate(judged):
        (degraded, clear), valid = test.pictures(index), test.valid(index)
        restored = images.read(stage.output(image["restored"]["file"]))
        for name, of in scores.items():
            for method, picture in (("degraded", degraded), ("restored", restored)):
                of[method].append(metrics.score(picture, clear, valid=valid, protocol=name))
    found = {}
    for name, of in scores.items():
        means = {method: metrics.mean(each) for method, each in of.items()}
        finite = {
            m: {k: mean[k] if math.isfinite(mean[k]) else None for k in ("psnr", "ssim")} for m, mean in means.items()
        }
        found[name] = {"protocol": metrics.PROTOCOLS[name].words + _masked(test), **finite}
    return found


def _masked(test: Pictures) -> str:
    return metrics.MASKED if any(pair.valid for pair in test.pairs) else ""
