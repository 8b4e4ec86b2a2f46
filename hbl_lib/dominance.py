"""The paper's claims of dominant losses, held against the weights that the searches found.

A term's share is the softmax over the weights of six terms (Figure 7a, `findings.shares`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import effects, findings, outcomes
from .findings import MARGIN, TERMS_SHOWN
from .parameters import TaskParams

DOMINANT = "The dominant loss is the paper's"
DIFFERS = "The dominant loss differs between tasks"
SEARCH = "02_loss_search"


def of_task(folder: Path, seeds: Sequence[str], task: TaskParams) -> list[dict[str, Any]]:
    """The row of the task's dominant loss term, by its lead in each seed; none where nothing is claimed."""
    claimed = findings.CLAIMED_TERM.get(task.name)
    if claimed is None:
        return []
    name = TERMS_SHOWN[claimed]
    row: dict[str, Any] = {"claim": DOMINANT, "against": f"claimed {name}"}
    searches = _searched(folder, seeds)
    if not searches:
        return [row | {"verdict": effects.NOT_TESTABLE, "why": "the search was skipped"}]
    leads = [findings.lead(weights(search), claimed) for search in searches]
    row |= {"seeds": len(seeds), "file": outcomes.files_of(folder, seeds, SEARCH), "key": "moved"}
    row |= {"why": f"its lead by seed: {', '.join(f'{lead:+.4f}' for lead in leads)}"}
    if searches[0]["trunk"] != "vgg19":
        row["why"] += f"; the VGG term stands on the features '{searches[0]['trunk']}'"
    if not _testable(searches, claimed):
        verdict = effects.NOT_TESTABLE
    elif not _enough(searches) or not (min(leads) > MARGIN or max(leads) < -MARGIN):
        verdict = effects.OPEN
    else:
        verdict = effects.REPLICATES if min(leads) > 0 else effects.DOES_NOT
    return [row | {"verdict": verdict}]


def between_tasks(of: Sequence[tuple[Path, Sequence[str]]], base: Path | None = None) -> pd.DataFrame:
    """A row for each two tasks (folder and seeds) of which the paper claims other terms, both searched here.

    Files are counted from `base`, or from the folder above the tasks'.
    """
    rows = []
    for (one, task), (other, other_task) in itertools.combinations([(run, outcomes.task_of(run[0])) for run in of], 2):
        claimed = [findings.CLAIMED_TERM.get(each.name) for each in (task, other_task)]
        sides = [_searched(*one), _searched(*other)]
        if None in claimed or claimed[0] == claimed[1] or not all(sides):
            continue
        names, terms = [outcomes.name_of(each) for each in (task, other_task)], [TERMS_SHOWN[term] for term in claimed]
        leaders = [[findings.leading(weights(search)) for search in side] for side in sides]
        if not all(map(_testable, sides, claimed)):
            verdict = effects.NOT_TESTABLE
        else:
            verdict = _apart(*leaders) if all(map(_enough, sides)) else effects.OPEN
        led = [f"{name} {', '.join(map(' or '.join, side))}" for name, side in zip(names, leaders, strict=True)]
        files = [outcomes.files_of(*run, SEARCH, base=base or one[0].parent) for run in (one, other)]
        row = {"claim": DIFFERS, "task": " and ".join(names), "against": f"claimed {' and '.join(terms)}"}
        row |= {"verdict": verdict, "seeds": min(map(len, sides)), "why": f"leading by seed: {' against '.join(led)}"}
        rows.append(row | {"file": " ".join(files), "key": "moved"})
    return pd.DataFrame(rows)


def weights(search: dict[str, Any]) -> dict[str, float]:
    """The weights that a loss search found, from its metrics: each began at 1."""
    return {term: 1 + moved for term, moved in search["moved"].items()}


def _searched(folder: Path, seeds: Sequence[str]) -> list[dict[str, Any]]:
    """The metrics of the task's loss searches, by seed; none where one was skipped."""
    found = outcomes.if_run(folder, seeds, SEARCH)
    return found if all(search["search"] == "here" for search in found) else []


def _testable(searches: Sequence[dict[str, Any]], claimed: str) -> bool:
    """Whether the claimed term is the paper's: over other features the VGG term is another one."""
    return claimed != "vgg" or all(search["trunk"] == "vgg19" for search in searches)


def _enough(searches: Sequence[dict[str, Any]]) -> bool:
    return len(searches) >= effects.MIN_SEEDS and all(search["resolved"] for search in searches)


def _apart(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> str:
    """Of the leading terms of two tasks, by seed: they differ if none is common, and do not if one leads in all."""
    sides = [set().union(*side) for side in (one, other)]
    if not sides[0] & sides[1]:
        return effects.REPLICATES
    return effects.DOES_NOT if sides[0] == sides[1] and len(sides[0]) == 1 else effects.OPEN
