"""The ledger: what each silent difference between paper and public code changes, in dB and SSIM, with intervals.

A variant is a whole chain of its own (`variants`), judged on the same test pictures as the main run with the same
seeds, so its effect is paired. Another split has other test pictures: then gains over the degraded ones are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from . import effects, manifest, markup, outcomes, paired, tables, variants
from .effects import Effect

NOTES = (
    "Effect: mean over scenes and seeds of the variant's score less that of the run it is compared with (the main run, "
    "unless another variant is named), on the same test pictures, with a 95 % interval by bootstrap over scenes and "
    "seeds; where the test pictures are others, of the gain over the degraded ones. Better or worse is said from "
    f"{effects.MIN_SCENES} scenes and {effects.MIN_SEEDS} seeds on, of PSNR and SSIM each, where its interval leaves "
    "zero out and its p, adjusted for the number of variants, is below .05; else nothing is. The p told is PSNR's.",
    "What did not run, VARIANTS=NAME runs.",
    "Time: of the chain from 01 to 04 (of recipes: of 04), as a multiple of those of what it is compared with; "
    "stages ran side by side, so roughly.",
)
COLUMNS = ["variant", "item", "paper", "code", "does", "against", "says"]
COLUMNS += [*paired.COLUMNS, "p", "time (ratio)", "file", "key"]
TITLES = {"ledger": "Paper against public code", "recipe": "Recipes of retraining"}
CHAIN = ("01_classifier", "02_loss_search", "03_architecture_search", "04_retrain")


def _seconds(folder: Path, seeds: Sequence[str], name: str, stages: Sequence[str]) -> float:
    places = [place / stage for place in outcomes.replicas(variants.folder_of(folder, name), seeds) for stage in stages]
    return sum(manifest.read(place / manifest.NAME)["seconds"] for place in places)


def table(folder: Path, seeds: Sequence[str], group: str = "ledger") -> tables.Table:
    """Every difference of a group, a row each: what paper and code have, what was run, and what that changes."""
    main, task = outcomes.measured(folder, seeds), outcomes.task_of(folder)
    known = {name: variant for name, variant in variants.known().items() if variant.group == group}
    compared = {variant.against for variant in known.values()} - {""}
    runs = {name: outcomes.if_run(variants.folder_of(folder, name), seeds) for name in known.keys() | compared}
    effect: dict[str, dict[str, Effect]] = {}
    bases = {name: runs[variant.against] if variant.against else main for name, variant in known.items()}
    for name, base in bases.items():
        if runs[name] and base and _pictures(runs[name]) == _pictures(base):
            effect[name] = paired.between(runs[name], base)
    judged = dict(zip(effect, paired.judged(list(effect.values())), strict=True))
    rows = [_spread(main)] if group == "ledger" else []
    timed = CHAIN if group == "ledger" else CHAIN[-1:]
    for name, variant in known.items():
        row: dict[str, Any] = {key: getattr(variant, key) for key in ("item", "paper", "code")}
        row |= {"variant": name, "does": variant.here, "against": variant.against or "main run"}
        if name in effect:
            row |= _cells(effect[name], *judged[name])
            row["time (ratio)"] = _seconds(folder, seeds, name, timed) / _seconds(folder, seeds, variant.against, timed)
        elif runs[name] and bases[name]:
            row |= _unpaired(runs[name], bases[name])
        elif runs[name]:
            row["says"] = f"not compared: VARIANTS={variant.against} runs the other side"
        elif task.name in variant.agree:
            row["says"] = "paper and code agree for this task"
        else:
            row["says"] = f"not run: VARIANTS={name} runs it"
        if runs[name]:
            of = variants.folder_of(folder, name)
            row["file"] = outcomes.files_of(of, seeds, outcomes.EVALUATION, base=folder.parent)
            row["key"] = "restored"
        rows.append(row)
    caption = f"{TITLES[group]}, {task.title}. {tables.source(main)}"
    frame = pd.DataFrame(rows)
    frame = frame[[column for column in COLUMNS if column in frame]]
    return tables.Table(frame, f"{caption}. Protocol: {main[0]['protocol']}", NOTES)


def _pictures(runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[image["clear_file"] for image in run["per_image"]] for run in runs]


def _cells(of: dict[str, Effect], p: dict[str, float], directions: dict[str, int]) -> dict[str, Any]:
    """Effects, what they say, and the p of PSNR."""
    words = {1: "better", -1: "worse", 0: effects.OPEN}
    said = {metric: words[direction] for metric, direction in directions.items()}
    alike = len(set(said.values())) == 1
    says = said["psnr"] if alike else ", ".join(f"{metric.upper()} {word}" for metric, word in said.items())
    return paired.cells(of) | {"says": says, "p": p["psnr"]}


def _unpaired(runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of a variant with other test pictures: what the restored ones gain over the degraded, less the other side's."""
    gains = [paired.between(of, of, ("restored", "degraded")) for of in (runs, base)]
    values = [value for metric in paired.HEADINGS for value in effects.difference(*(gain[metric] for gain in gains))]
    told = [f"{gain['psnr'].mean:+.2f} dB" for gain in gains]
    says = f"other test pictures, so of the gain over the degraded: {told[0]} against {told[1]}"
    return dict(zip(paired.COLUMNS, values, strict=True)) | {"says": says}


def _spread(main: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the seed: the standard deviation of the mean scores over the seeds."""
    row = {"item": "seed", "paper": "not given", "code": "random each run", "variant": "SEEDS", "does": "several seeds"}
    if len(main) < 2:
        return row | {"says": 'not run: SEEDS="0 1 2" runs three'}
    sd = {m: pd.Series([run["restored"][m] for run in main]).std() for m in paired.HEADINGS}
    return row | {"says": f"standard deviation over {len(main)} seeds: {sd['psnr']:.2f} dB, {sd['ssim']:.3f}"}


def with_runs(of_tasks: Sequence[tables.Table]) -> list[tables.Table]:
    """The tables of which something has run; where nothing has, the first: what differs, and how to run it."""
    return [table for table in of_tasks if "key" in table.frame] or list(of_tasks[:1])


def without_idle(table: tables.Table) -> tables.Table:
    """The table without what did not run."""
    return replace(table, frame=table.frame[~table.frame["says"].str.startswith("not run")])


def show(table: tables.Table, base: str = "") -> markup.Html:
    """The table for readers: what differs in one cell, without columns that hold nothing."""
    head = f"<h3>{escape(table.caption.split('.')[0])}</h3>"
    shown = tables.shown_columns(table).drop(columns="p", errors="ignore").replace("", None)
    sides = {"paper": "paper", "code": "code", "does": "run"}
    differs = [
        f"{row['item']}: " + "; ".join(f"{side} {row[key]}" for key, side in sides.items() if pd.notna(row[key]))
        for row in shown.to_dict("records")
    ]
    shown = shown.drop(columns=["item", "paper", "code", "does"])
    shown.insert(1, "what differs", differs)
    shown["says"] = [says.split(":")[0] if says.startswith("not run") else says for says in shown["says"]]
    return markup.Html(head + markup.table_text(shown.dropna(axis=1, how="all"), "file", base, listed=False))
