"""What notebooks show of metrics files and published numbers, as data frames and sentences; no numbers of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from . import files, manifest
from .baselines import CLASSICAL
from .degradations import MODELS
from .embedded import DRAWN
from .losses import FoundLoss, published_weights
from .metrics import mean
from .parameters import Section, TaskParams
from .search import MOVED, SATURATED

ROWS = {"degraded": "degraded", "color_matrix": "colour matrix", "restored": "HBL"}


@dataclass(frozen=True)
class Table:
    """A table with what belongs under it."""

    frame: pd.DataFrame
    caption: str
    notes: tuple[str, ...] = ()


def shown_columns(table: Table) -> pd.DataFrame:
    """The frame for readers: without what the caption says of all rows, and without the key, which is for machines.

    A value with its interval (columns NAME, "NAME from", "NAME to") becomes one cell.
    """
    frame = table.frame.drop(columns=["key", "measured on"], errors="ignore")
    for name in [column.removesuffix(" from") for column in frame if column.endswith(" from")]:
        digits = 2 if "dB" in name else 3
        cells = [
            "" if pd.isna(value) else f"{value:+.{digits}f}" + _interval(low, high, digits)
            for value, low, high in zip(frame[name], frame[f"{name} from"], frame[f"{name} to"], strict=True)
        ]
        frame = frame.drop(columns=[f"{name} from", f"{name} to"]).assign(**{name: cells})
    return frame


def _interval(low: float | None, high: float | None, digits: int) -> str:
    return "" if pd.isna(low) else f"\u00a0({low:+.{digits}f}\u00a0to\u00a0{high:+.{digits}f})"


def source(runs: Sequence[dict[str, Any]]) -> str:
    """In words, what a measured cell rests on."""
    seeds = f"seed {runs[0]['seed']}" if len(runs) == 1 else f"mean of seeds {', '.join(str(r['seed']) for r in runs)}"
    return f"profile {runs[0]['profile']}, {runs[0]['images']} test pictures, {runs[0]['data']}, {seeds}"


def gains(runs: Sequence[dict[str, Any]]) -> str:
    """In words, how far the restored pictures are from what is simpler, in the mean over pictures and runs."""
    restored, matrix, degraded = (
        mean([run[name] for run in runs]) for name in ("restored", "color_matrix", "degraded")
    )
    gain, over = restored["psnr"] - degraded["psnr"], restored["psnr"] - matrix["psnr"]
    label, untrained = best_classical(runs)
    words = (
        f"The restored pictures are {gain:+.2f} dB from the degraded ones, {over:+.2f} dB from the colour matrix and "
    )
    words += f"{restored['psnr'] - untrained['psnr']:+.2f} dB from {label}, the best method that learns nothing"
    better = [name.upper() for name in ("psnr", "ssim") if restored[name] > max(matrix[name], degraded[name])]
    told = {0: "neither PSNR nor SSIM is", 1: f"only {''.join(better)} is", 2: "PSNR and SSIM are"}[len(better)]
    return f"{words}; {told} above both degraded pictures and matrix in the mean of these test pictures."


def best_classical(runs: Sequence[dict[str, Any]], metric: str = "psnr") -> tuple[str, dict[str, Any]]:
    """Label and mean scores of the classical method with the highest metric, in the mean over the runs."""
    means = {method.label: mean([run["compared"][name] for run in runs]) for name, method in CLASSICAL.items()}
    best = max(means, key=lambda label: means[label][metric])
    return best, means[best]


def per_image(metrics: dict[str, Any]) -> pd.DataFrame:
    """One line a test picture."""
    rows = []
    for image in metrics["per_image"]:
        row = {"picture": Path(image["degraded_file"]).name}
        for name in ROWS:
            row |= {f"{ROWS[name]} PSNR": image[name]["psnr"], f"{ROWS[name]} SSIM": image[name]["ssim"]}
        rows.append(row)
    return pd.DataFrame(rows)


def protocols(metrics: dict[str, Any]) -> pd.DataFrame:
    """The same pictures under every protocol: a row a method, a column a metric and protocol."""
    rows = {}
    for method in ("degraded", "restored"):
        scores = {name.replace("_", " "): facts[method] for name, facts in metrics["protocols"].items()}
        psnr = {f"PSNR {name}": s["psnr"] for name, s in scores.items() if name not in ("uniform", "zero padded")}
        rows[ROWS[method]] = psnr | {f"SSIM {name}": s["ssim"] for name, s in scores.items()}
    return pd.DataFrame(rows).T


def parameters(section: Section) -> pd.DataFrame:
    """A section of the parameters, one row each, with its meaning where that is not plain."""
    rows = {
        name: {"value": str(value), "meaning": type(section).model_fields[name].description or ""}
        for name, value in section.model_dump().items()
        if value is not None
    }
    return pd.DataFrame(rows).T


def degradation(task: TaskParams, folder: Path) -> pd.DataFrame:
    """The parameters of the task's physical model: their ranges, and the least and greatest that 00_data drew."""
    drawn = pd.DataFrame(files.read_json(folder / DRAWN) if (folder / DRAWN).is_file() else {}).T
    rows = {}
    for name, known in MODELS[task.degradation].ranges(task.ranges).items():
        rows[name] = {"from": known.low, "to": known.high, "drawn": "by logarithm" if known.log else "evenly"}
        if name in drawn:
            rows[name] |= {"least drawn": drawn[name].min(), "greatest drawn": drawn[name].max()}
    return pd.DataFrame(rows).T


def search_note(name: str, summary: dict[str, Any]) -> str:
    """How far a search moved and what to beware of, as one HTML paragraph."""
    if summary["search"] == "published":
        return "<p><b>search: published: taken as published, not searched here.</b></p>"
    if name == "loss":
        far = max(summary["moved"], key=lambda term: abs(summary["moved"][term]))
        words = f"The weight that moved most is {far} ({summary['moved'][far]:+.2f}). "
        first, last = summary["judged_clear_first"], summary["judged_clear_last"]
        words += f"Of {summary['upper_steps']} steps, the classifier called the restored picture clear in {first:.0%} "
        words += f"of the first fifth and {last:.0%} of the last; {summary['saturated_share']:.0%} were saturated "
        words += f"(upper-level loss under {SATURATED}), and in {summary['faint_share']:.0%} "
        words += "the hypergradient was under a thousandth of its start."
    else:
        moved = summary["moved"]
        words = f"Rows of alpha moved by {moved['min']:.2f} to {moved['max']:.2f} (median {moved['median']:.2f})."
        if summary["skip_collapse"]:
            units = ", ".join(map(str, summary["skip_collapse"]))
            words += f" Warning: skip connections have taken over in HNU {units}."
    if not summary["resolved"]:
        words += f" Search not resolved: nothing moved by {MOVED}, so read nothing into what it found."
    return f"<p><b>{words}</b></p>"


def found_loss(found: FoundLoss, summary: dict[str, Any], task: str) -> pd.DataFrame:
    """The weights found, how far each moved from 1, and the published ones where the task has any."""
    columns = {"found": found.weights, "moved from 1 by": summary.get("moved", {})}
    if known := published_weights(task):
        columns["published"] = known
    return pd.DataFrame(columns)


def written(folder: Path) -> pd.DataFrame:
    """What a stage wrote, from its manifest: file and the first digits of its SHA-256."""
    outputs = manifest.read(folder / manifest.NAME)["outputs"]
    shown = [{"file": name, "SHA-256": digest[:16]} for name, digest in outputs.items() if "/" not in name]
    nested = Counter(name.rsplit("/", 1)[0] for name in outputs if "/" in name)
    return pd.DataFrame(
        shown + [{"file": f"{name}/", "SHA-256": f"{count} file{'s' * (count > 1)}"} for name, count in nested.items()]
    )


def _members(ablation: Path) -> dict[str, dict[str, Any]]:
    """The metrics of an ablation's members that have run."""
    return {path.parent.name: manifest.metrics(path.parent) for path in sorted(ablation.glob("*/manifest.json"))}


def member_weights(ablation: Path) -> pd.DataFrame:
    """The loss weights that each member was trained with, and by what MBLLEN's terms are divided."""
    columns = {}
    for name, known in _members(ablation).items():
        columns[name] = known.get("weights", {})
        columns |= {f"{name}, divided by": known["divided_by"]} if "divided_by" in known else {}
    return pd.DataFrame(columns)


def member_searches(ablation: Path) -> pd.DataFrame:
    """How far the members' own loss searches moved, and whether they are resolved."""
    rows = []
    for name, known in _members(ablation).items():
        if "search" in known:
            found = known["search"]
            far = max(found["moved"], key=lambda term: abs(found["moved"][term]))
            row = {"member": name, "moved most": far, "by": found["moved"][far]}
            rows.append(row | {"resolved": found["resolved"], "saturated share": found["saturated_share"]})
    return pd.DataFrame(rows)


def members_written(ablation: Path) -> pd.DataFrame:
    """The metrics files of the members, with seconds and the first digits of their SHA-256."""
    rows = []
    for name in _members(ablation):
        recorded = manifest.read(ablation / name / manifest.NAME)
        digest = recorded["outputs"]["metrics.json"][:16]
        rows.append({"file": f"{name}/metrics.json", "seconds": float(recorded["seconds"]), "SHA-256": digest})
    return pd.DataFrame(rows)
