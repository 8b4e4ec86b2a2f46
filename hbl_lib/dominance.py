"""The paper's claims of dominant losses, held against the weights that the searches found.

A term's share is the softmax over the weights of six terms (Figure 7a, `findings.shares`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import effects, findings, manifest, outcomes
from .findings import MARGIN
from .losses import FoundLoss
from .parameters import TaskParams

DOMINANT = "The dominant loss is the paper's"
DIFFERS = "The dominant loss differs between tasks"
SEARCH = "02_loss_search"


def of_task(folder: Path, seeds: Sequence[str], task: TaskParams) -> list[dict[str, Any]]:
    """The row of the task's dominant loss term, by its lead in each seed; none where nothing is claimed."""
    claimed = findings.CLAIMED_TERM.get(task.name)
    if claimed is None:
        return []
    name = findings.TERMS_SHOWN[claimed]
    row: dict[str, Any] = {"claim": DOMINANT, "against": f"claimed {name}"}
    folders = [replica / SEARCH for replica in outcomes.replicas(folder, seeds)]
    summaries = [manifest.metrics(place) for place in folders]
    if any(summary["search"] != "here" for summary in summaries):
        return [row | {"verdict": effects.NOT_TESTABLE, "why": "the search was skipped"}]
    found = [_found(place) for place in folders]
    leads = [findings.lead(loss.weights, claimed) for loss in found]
    row |= {"seeds": len(seeds), "file": outcomes.files_of(folder, seeds, SEARCH, "loss.yaml")}
    row |= {"key": "weights", "why": f"its lead by seed: {', '.join(f'{lead:+.4f}' for lead in leads)}"}
    if found[0].trunk != "vgg19":
        row["why"] += f"; the VGG term stands on the features '{found[0].trunk}'"
    few = len(seeds) < effects.MIN_SEEDS or not all(summary["resolved"] for summary in summaries)
    if found[0].trunk != "vgg19" and claimed == "vgg":
        verdict = effects.NOT_TESTABLE
    elif few or not (min(leads) > MARGIN or max(leads) < -MARGIN):
        verdict = effects.OPEN
    else:
        verdict = effects.REPLICATES if min(leads) > 0 else effects.DOES_NOT
    return [row | {"verdict": verdict}]


def between_tasks(of: Sequence[tuple[Path, Sequence[str]]], base: Path | None = None) -> pd.DataFrame:
    """A row for each two tasks (folder and seeds) of which the paper claims other terms, both searched here.

    Files are counted from `base`, or from the folder above the tasks'.
    """
    rows = []
    told = [(one, claim) for one in of if (claim := _claimed(one))]
    for pair, claimed in (zip(*two, strict=True) for two in itertools.combinations(told, 2)):
        if claimed[0] == claimed[1]:
            continue
        names = [outcomes.name_of(outcomes.task_of(folder)) for folder, _ in pair]
        places = [[replica / SEARCH for replica in outcomes.replicas(*one)] for one in pair]
        leaders = [[findings.leading(_found(place).weights) for place in side] for side in places]
        resolved = all(manifest.metrics(place)["resolved"] for side in places for place in side)
        seeds = min(map(len, leaders))
        verdict = _apart(*leaders) if resolved and seeds >= effects.MIN_SEEDS else effects.OPEN
        led = [f"{name} {', '.join(map(' or '.join, side))}" for name, side in zip(names, leaders, strict=True)]
        files = [outcomes.files_of(*one, SEARCH, "loss.yaml", base or one[0].parent) for one in pair]
        row = {"claim": DIFFERS, "task": " and ".join(names), "against": f"claimed {' and '.join(claimed)}"}
        row |= {"verdict": verdict, "seeds": seeds, "why": f"leading by seed: {' against '.join(led)}"}
        rows.append(row | {"file": " ".join(files), "key": "weights"})
    return pd.DataFrame(rows)


def _claimed(of: tuple[Path, Sequence[str]]) -> str | None:
    """The dominant term that the paper claims of a task; None where there is none, or the search was skipped."""
    if any(manifest.metrics(replica / SEARCH)["search"] != "here" for replica in outcomes.replicas(*of)):
        return None
    return findings.TERMS_SHOWN.get(findings.CLAIMED_TERM.get(outcomes.task_of(of[0]).name, ""))


def _found(place: Path) -> FoundLoss:
    return FoundLoss.read(manifest.require_as_written(place, "loss.yaml"))


def _apart(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> str:
    """Of the leading terms of two tasks, by seed: they differ if none is common, and do not if one leads in all."""
    sides = [set().union(*side) for side in (one, other)]
    if not sides[0] & sides[1]:
        return effects.REPLICATES
    return effects.DOES_NOT if sides[0] == sides[1] and len(sides[0]) == 1 else effects.OPEN
