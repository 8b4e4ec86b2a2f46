"""What the benchmarks measured, for the report: a table, scaling plots, and where they were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from . import config, files
from .errors import KitError

REFERENCE = config.ROOT / "results/reference/bench/bench.json"
KEYS = {"name", "ours", "reference", "ratio", "unit", "machine"}
SCALING = {
    "seconds of an iteration": ("scaling_size_seconds_", "side of the crop"),
    "MB of an iteration": ("scaling_size_memory_mb_", "side of the crop"),
    "seconds of a layer": ("scaling_operations_seconds_", "number of candidates"),
}


def measured(results: Path) -> tuple[list[dict[str, Any]], Path]:
    """The entries of `make bench` in the results folder, else those committed with the kit; and their file."""
    own = results / "bench/bench.json"
    path = own if own.is_file() else REFERENCE
    entries = files.read_json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.keys() >= KEYS for e in entries):
        raise KitError(f"{path}: not what make bench writes: expected a list of entries with {', '.join(sorted(KEYS))}")
    return entries, path


def table(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each entry that is no point of a plot."""
    rows = []
    for entry in entries:
        if entry["name"].startswith("scaling_"):
            continue
        target, met = entry.get("target"), entry.get("met")
        of = "" if target is None else f"{'value' if entry['of_value'] else 'ratio'} at most {target:.3g}"
        rows.append(
            {
                "entry": entry["name"].replace("_", " "),
                "kit": _short(entry["ours"]),
                "reference": _short(entry["reference"]),
                "unit": entry["unit"],
                "ratio": _short(entry["ratio"]),
                "target": of,
                "met": "" if met is None else "yes" if met else "no",
            }
        )
    return pd.DataFrame(rows)


def _short(value: float | None) -> str:
    """Three digits; nothing for None."""
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def scaling(entries: list[dict[str, Any]]) -> Figure:
    """Time and memory against the crop's side, and time against the number of candidates, both sides."""
    from .figures import panels

    figure, axes = panels(len(SCALING), 4.0, 3.2)
    for axis, (title, (prefix, label)) in zip(axes, SCALING.items(), strict=True):
        points = sorted((e for e in entries if e["name"].startswith(prefix)), key=lambda e: e["x"])
        for side, color, style in (("reference", "#d55e00", "o--"), ("kit", "#0072b2", "s-")):
            axis.plot(
                [e["x"] for e in points],
                [e["ours" if side == "kit" else side] for e in points],
                style,
                color=color,
                label=side,
            )
        axis.set(title=title, xlabel=label, ylim=(0, None))
        axis.legend()
    return figure


def machines(entries: list[dict[str, Any]]) -> str:
    """Where they were measured."""
    return "; ".join(dict.fromkeys(entry["machine"] for entry in entries))
