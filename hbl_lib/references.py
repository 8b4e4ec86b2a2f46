"""The reference runs committed with the kit (results/reference): what they measured, and what they say of the claims.

A reference NAME/TASK has the metrics, manifests, losses and genotypes of a task's runs, without pictures and weights;
NAME begins with the profile.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from . import (
    claims,
    config,
    effects,
    figures,
    ledger,
    manifest,
    markup,
    metrics,
    outcomes,
    search_quality,
    tables,
    variants,
)
from .studies import BY_NAME

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
        rows.append(row | {"file": outcomes.files_of(folder, seeds[:1], outcomes.EVALUATION, base=root.parent)})
    return pd.DataFrame(rows, columns=None if rows else ["reference", "folder", "data"])


def judged(root: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """The claims of each reference of enough seeds to resolve anything, by its name."""
    return {
        folder.parent.name: claims.table(folder.parent, [folder.name], seeds).frame
        for folder, seeds in references(root)
        if len(seeds) >= effects.MIN_SEEDS
    }


def signals(root: Path = FOLDER) -> pd.DataFrame:
    """`search_quality.signal_table` of each reference whose losses were searched, below its name, task and seeds."""
    found = []
    for folder, seeds in references(root):
        table = search_quality.signal_table(folder, seeds)
        if len(table):
            base = folder.parent.relative_to(root.parent)
            table["file"] = [" ".join(f"{base}/{name}" for name in of.split()) for of in table["file"]]
            table.insert(0, "reference", f"{folder.parent.name}/{folder.name}")
            found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def details(reference: Reference, base: str = "") -> list[tuple[str, markup.Html]]:
    """Title and table of all that a reference has beside its scores, and the command: claims, ledger, recipes, ranks.

    `base`: where results/reference is, as seen from the page.
    """
    folder, seeds = reference
    base = f"{base}/{folder.parent.name}"
    found: list[tuple[str, markup.Html]] = []
    if any((folder / name).is_dir() for name in (outcomes.ARCHITECTURES, outcomes.LOSSES)) or len(seeds) > 1:
        table = claims.table(folder.parent, [folder.name], seeds)
        drawn = figures.show(*figures.effects(table.frame))
        found.append(("Which claims hold", markup.Html(claims.show(table, base).text + drawn.text)))
    for group in variants.GROUPS if (folder / variants.FOLDER).is_dir() else ():
        table = ledger.table(folder, seeds, group)
        if "key" in table.frame:  # of something that ran
            found.append((ledger.TITLES[group], ledger.show(ledger.without_idle(table), base)))
    ranked = search_quality.table(folder.parent, [folder.name], seeds)
    if len(ranked.frame):
        shown = markup.table_text(tables.shown_columns(ranked), "file", base, listed=False)
        studied = [name for name in BY_NAME if (folder / manifest.STUDIES / name / manifest.NAME).is_file()]
        drawn = [figures.show(*search_quality.plot(folder, name)).text for name in studied]
        found.append((ranked.caption, markup.Html("".join([shown, *drawn]))))
    ran_by = f"<p>Run by <code>{escape(outcomes.command(folder.parent, [folder.name], seeds))}</code></p>"
    return [(title, markup.Html(ran_by + shown.text)) for title, shown in found]
