"""The reference runs committed with the kit (results/reference): what they measured, and what they say of the claims.

A reference NAME/TASK has the metrics, manifests, losses and genotypes of a task's runs, without pictures and weights;
NAME begins with the profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from . import (
    claims,
    config,
    dominance,
    effects,
    manifest,
    metrics,
    outcomes,
    search_quality,
)

FOLDER = config.ROOT / "results/reference"


class Reference(NamedTuple):
    """A task's runs in results/reference, and their seeds, the first of which is the task folder's own."""

    folder: Path
    seeds: list[str]


def references(root: Path = FOLDER) -> list[Reference]:
    """All of them, by name."""
    found = []
    for evaluated in sorted(root.glob(f"*/*/{outcomes.EVALUATION}/{manifest.NAME}")):
        folder = evaluated.parents[1]
        first = manifest.metrics(evaluated.parent)["seed"]
        others = sorted(int(place.name.removeprefix("seed_")) for place in folder.glob("seed_*"))
        found.append(Reference(folder, [str(first), *map(str, others)]))
    return found


def overview(root: Path = FOLDER) -> pd.DataFrame:
    """A row for each reference: what it stands on, and the mean scores of its test pictures over its seeds."""
    rows = []
    for folder, seeds in references(root):
        runs = outcomes.measured(folder, seeds)
        row = {
            "reference": folder.parent.name,
            "folder": folder.name,
            "task": outcomes.name_of(outcomes.task_of(folder)),
            "data": runs[0]["data"],
        }
        row |= {"test pictures": runs[0]["images"], "steps": runs[0]["steps"], "seeds": ", ".join(seeds)}
        for key in ("degraded", "color_matrix", "restored"):
            mean = metrics.mean([run[key] for run in runs])
            row[key.replace("_", " ").replace("color", "colour")] = f"{mean['psnr']:.2f} dB, {mean['ssim']:.3f}"
        rows.append(row | {"file": outcomes.files_of(folder, seeds, outcomes.EVALUATION, base=root.parent)})
    return pd.DataFrame(rows, columns=None if rows else ["reference", "folder", "data"])


def judged(root: Path = FOLDER) -> list[tuple[str, pd.DataFrame]]:
    """NAME and claims of the references that can resolve anything, each task and list of test pictures once.

    These are searched here, with enough seeds; of several on the same pictures the one of most steps. Behind them
    stand the claims on two tasks, with the NAMEs of both. Files are counted from `root`.
    """
    best: dict[tuple[str, tuple[str, ...]], tuple[int, Reference]] = {}
    for reference in references(root):
        run = outcomes.measured(*reference)[0]
        key = (run["task"], tuple(image["clear_file"] for image in run["per_image"]))
        if run["search"] == "here" and len(reference.seeds) >= effects.MIN_SEEDS:
            best[key] = max(best.get(key, (0, reference)), (run["steps"], reference), key=lambda found: found[0])
    kept = [reference for _, reference in best.values()]
    found = []
    for folder, seeds in kept:
        frame = claims.table(folder.parent, [folder.name], seeds).frame
        found.append((folder.parent.name, frame.assign(file=_from_root(frame["file"], folder.parent.name))))
    for _, row in dominance.between_tasks(kept, root).iterrows():
        names = dict.fromkeys(path.split("/")[0] for path in row["file"].split())
        found.append((", ".join(names), row.to_frame().T))
    return found


def _from_root(paths: Iterable[Any], name: str) -> list[Any]:
    """Files of NAME's tasks, counted from the folder of all references; empty cells stay so."""
    return [" ".join(f"{name}/{path}" for path in of.split()) if isinstance(of, str) else of for of in paths]


def signals(root: Path = FOLDER) -> pd.DataFrame:
    """`search_quality.signal_table` of each reference whose losses were searched, below its name, task and seeds."""
    found = []
    for folder, seeds in references(root):
        table = search_quality.signal_table(folder, seeds)
        if len(table):
            base = folder.parent.relative_to(root.parent).as_posix()
            table["file"] = _from_root(table["file"], base)
            table.insert(0, "reference", f"{folder.parent.name}/{folder.name}")
            found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
