"""What the benchmarks measured, for the report: tables, and where they were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from . import config, files
from .errors import KitError

REFERENCE = config.ROOT / "results/reference/bench/bench.json"
KEYS = {"name", "ours", "reference", "ratio", "unit", "machine"}


def measured(results: Path) -> tuple[list[dict[str, Any]], Path]:
    """The entries of `make bench` in the results folder, else those committed with the kit; and their file."""
    own = results / "bench/bench.json"
    path = own if own.is_file() else REFERENCE
    entries = files.read_json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.keys() >= KEYS for e in entries):
        raise KitError(f"{path}: not what make bench writes: expected a list of entries with {', '.join(sorted(KEYS))}")
    return entries, path


def table(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each entry that is no point of a plot and no single change."""
    rows = []
    for entry in entries:
        if entry["name"].startswith(("scaling_", "change_")):
            continue
        target, met = entry.get("target"), entry.get("met")
        of = "" if target is None else f"{'value' if entry['of_value'] else 'ratio'} at most {_short(target)}"
        of = f"ratio within {entry['within']:.0%} of 1" if "within" in entry else of
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


def gains(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """What each change leaves of time or memory, a row each: predicted, and measured in one or several places."""
    rows: dict[str, dict[str, str]] = {}
    for entry in (entry for entry in entries if "change" in entry):
        predicted = _short(entry["predicted"])
        row = rows.setdefault(
            entry["change"], {"change": entry["change"], "predicted": predicted, "since": entry["why"]}
        )
        measured = f"{entry['ratio']:.2f} ({entry['where']})"
        row["measured"] = "; ".join(filter(None, (row.get("measured"), measured)))
    return pd.DataFrame(list(rows.values()))


def _short(value: float | None) -> str:
    """Three digits; nothing for None."""
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def machines(entries: list[dict[str, Any]]) -> str:
    """Where they were measured."""
    return "; ".join(dict.fromkeys(entry["machine"] for entry in entries))
