"""The paper's claims held against what was measured: effect, interval, verdict; from metrics files alone.

A claim that one thing beats another is a comparison of two sets of restored test pictures, PSNR and SSIM both. A claim
of a task's dominant loss is held against the weights that the searches found. `effects` says when a verdict is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from . import ablations, dominance, effects, evaluation, markup, outcomes, paired, paper, tables
from .baselines import CLASSICAL
from .dominance import DIFFERS, DOMINANT
from .effects import Effect
from .errors import KitError
from .findings import MARGIN
from .paired import HEADINGS
from .parameters import TaskParams

LOSS, UNIFORM = "A searched loss beats a set one", "The searched architecture beats a set one"
STRATEGY, METHODS = "Loss, then architecture, beats both at once", "The network beats the compared methods"
DRAWN = "The search beats drawing at random"
OWN = "The network beats the kit's own baselines"
SOURCES = {
    LOSS: "Section 4.1, Figure 6",
    UNIFORM: "Section 4.2, Table 5",
    STRATEGY: "Section 4.3, Table 5",
    DRAWN: "not in the paper",
    METHODS: "Section 3.2, Tables 2 to 4",
    OWN: "not in the paper",
    DOMINANT: "Section 4.4, Figure 7",
    DIFFERS: "Section 4.4, Figure 7",
}
OURS = (f"{outcomes.ARCHITECTURES}/ours", "restored")
NOTES = (
    "Effect: mean over scenes and seeds of the difference between the two, on the same test pictures (versions of one "
    "scene are averaged first), with a 95 % interval by bootstrap over scenes and seeds, widened as Student's t asks "
    "where these are few, rather too wide than too narrow. p: Wilcoxon's signed ranks over scenes, of PSNR, adjusted "
    "for the number of comparisons (Benjamini and Hochberg).",
    "A claim replicates where PSNR and SSIM both are higher, interval and p (.05) agreeing; it does not where either "
    f"is lower so. With fewer than {effects.MIN_SCENES} scenes or {effects.MIN_SEEDS} seeds nothing is resolved; the "
    "embedded pictures have two test scenes, so with them nothing is, by any number of seeds. A dominant loss "
    f"replicates where its share leads the others by {MARGIN} in every seed, and does not where it is so far behind; "
    f"two tasks' differ where no term that leads in a seed of the one, or is within {MARGIN} of that, leads in one of "
    "the other, and do not where the same term leads in all.",
)
COLUMNS = ["claim", "in the paper", "task", "against", "verdict", "published effect (dB)"]
COLUMNS += [*paired.COLUMNS, "p", "seeds", "scenes", "why", "file", "key"]


@dataclass(frozen=True)
class Comparison:
    """`better` and `worse`: (stage, key within metrics.json); `published`: the difference of the paper's numbers.

    `in_paper`: the paper claims it of this task; else it is only told where it was run.
    """

    claim: str
    against: str
    better: tuple[str, str]
    worse: tuple[str, str]
    published: dict[str, float]
    in_paper: bool = True


def _printed(rows: dict[str, dict[str, float]], better: str, worse: str) -> dict[str, float]:
    return {m: rows[better][m] - rows[worse][m] for m in HEADINGS} if {better, worse} <= rows.keys() else {}


def comparisons(task: TaskParams) -> list[Comparison]:
    """What the paper claims of a task's restored pictures, and runs can test."""
    claimed = paper.ablated(task)
    table5 = paper.published("table5")["rows"] if claimed else {}
    losses, found = outcomes.LOSSES, []
    for label, worse in (("MBLLEN", "mbllen_default"), ("U-Net", "unet_default"), ("HBL", "ours_default")):
        better = OURS if label == "HBL" else (f"{losses}/{worse.replace('default', 'searched')}", "restored")
        worse = (f"{losses}/{worse}", "restored")
        set_by = "its authors' loss" if label == "MBLLEN" else "equal weights"
        found.append(Comparison(LOSS, f"{label}, {set_by}", better, worse, {}, claimed))
    for name, member in ablations.members(outcomes.ARCHITECTURES, task.name).items():
        if name in ("ours", "published"):
            continue
        claim = {"synchronous": STRATEGY, "random": DRAWN}.get(name, UNIFORM)
        worse = (f"{outcomes.ARCHITECTURES}/{name}", "restored")
        known = _printed(table5, "Ours", member.label)
        found.append(Comparison(claim, member.label, OURS, worse, known, claimed and claim != DRAWN))
    printed, ours = paper.published_scores(task), (outcomes.EVALUATION, "restored")
    sides = {
        "MBLLEN": (OURS, f"{losses}/mbllen_default", "restored"),
        "U-Net": (OURS, f"{losses}/unet_default", "restored"),
    }
    for key, method in CLASSICAL.items():
        if method.suits(task.degradation):
            sides[method.label] = (ours, outcomes.EVALUATION, key)
    sides["colour matrix"] = (ours, outcomes.EVALUATION, "color_matrix")
    for label, (better, *worse) in sides.items():
        known = _printed(printed, task.published_row, label)
        claim = METHODS if label in printed else OWN
        found.append(Comparison(claim, label, better, tuple(worse), known, label in printed))
    return found


def untestable(task: TaskParams) -> list[str]:
    """The compared methods of the task's table that nothing here stands for: no weights, no restored pictures."""
    tested = {one.against for one in comparisons(task) if one.claim == METHODS}
    return [name for name in paper.published_scores(task) if name not in (*tested, task.published_row)]


def _files(folder: Path, seeds: Sequence[str], one: Comparison) -> str:
    stages = dict.fromkeys(stage for stage, _ in (one.better, one.worse))
    return " ".join(outcomes.files_of(folder, seeds, stage) for stage in stages)


def _key(side: tuple[str, str]) -> str:
    return side[1] if side[1] in evaluation.TOP_ROWS else f"compared.{side[1]}"


def measured(folder: Path, seeds: Sequence[str], one: Comparison) -> dict[str, Effect]:
    """{metric: effect of `better` over `worse`}; empty where a member of either has not run."""
    sides = [outcomes.if_run(folder, seeds, stage) for stage, _ in (one.better, one.worse)]
    if not all(sides):
        return {}
    try:
        return paired.between(*sides, (one.better[1], one.worse[1]))
    except KitError as error:
        raise KitError(f"{folder}: {one.better[0]} and {one.worse[0]}: {error}") from None


def _why(of: dict[str, Effect], directions: dict[str, int]) -> str:
    """What keeps a comparison from being resolved, or what decides it."""
    one = of["psnr"]
    needed = {"scene": (one.scenes, effects.MIN_SCENES), "seed": (one.seeds, effects.MIN_SEEDS)}
    few = [f"{n} {name}{'s' * (n > 1)}, {least} are needed" for name, (n, least) in needed.items() if n < least]
    if few:
        return "; ".join(few)
    words = {1: "higher", -1: "lower", 0: "open"}
    said = ", ".join(f"{metric.upper()} {words[direction]}" for metric, direction in directions.items())
    return f"{said}; the sign of the PSNR's in {one.agreeing} of {one.seeds} seeds"


def of_task(folder: Path, seeds: Sequence[str]) -> pd.DataFrame:
    """Every claim about a task, a row a comparison: published and measured effect, interval, p, verdict and files."""
    task = outcomes.task_of(folder)
    known = [(one, measured(folder, seeds, one)) for one in comparisons(task)]
    verdicts = iter(paired.judged([of for _, of in known if of]))
    rows = []
    for one, of in known:
        row: dict[str, Any] = {"claim": one.claim, "against": one.against}
        row["published effect (dB)"] = one.published.get("psnr")
        if not of and not one.in_paper:
            continue
        if not of:
            rows.append(row | {"verdict": effects.NOT_TESTABLE, "why": "not run: ABLATIONS=1 runs it"})
            continue
        p, directions = next(verdicts)
        row |= paired.cells(of) | {"p": p["psnr"], "seeds": of["psnr"].seeds, "scenes": of["psnr"].scenes}
        row |= {"verdict": effects.verdict(**directions), "why": _why(of, directions)}
        rows.append(row | {"file": _files(folder, seeds, one), "key": f"{_key(one.better)} - {_key(one.worse)}"})
    why = "their weights are not here; METHODS= scores pictures that they restored"
    if names := untestable(task):
        rows.append({"claim": METHODS, "against": ", ".join(names), "verdict": effects.NOT_TESTABLE, "why": why})
    rows += dominance.of_task(folder, seeds, task)
    return pd.DataFrame(rows).assign(task=outcomes.name_of(task))


def table(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> tables.Table:
    """All claims about the tasks in results/PROFILE, with verdicts, and how these are given."""
    own = [of_task(profile_folder / task, seeds) for task in tasks]
    across = dominance.between_tasks([(profile_folder / task, seeds) for task in tasks])
    frame = pd.concat([*own, *([across] if len(across) else [])], ignore_index=True)
    frame["in the paper"] = frame["claim"].map(SOURCES)
    frame = frame[[column for column in COLUMNS if column in frame]]
    frame = frame.astype({column: "Int64" for column in ("seeds", "scenes") if column in frame})
    runs = [outcomes.measured(profile_folder / task, seeds) for task in tasks]
    basis = "; ".join(dict.fromkeys(tables.source(of) for of in runs))
    caption = f"Which of the paper's claims hold. {basis}. Protocol: {runs[0][0]['protocol']}"
    command = f"Command of all verdicts: {outcomes.command(profile_folder, tasks, seeds)}"
    return tables.Table(frame, caption, (*NOTES, command))


def show(table: tables.Table, base: str = "") -> markup.Html:
    """The table for readers, a part of it under each claim; columns that hold nothing there are left out."""
    shown = tables.shown_columns(table).replace("", None)
    parts = []
    for claim, source in SOURCES.items():
        rows = shown[shown["claim"] == claim].drop(columns=["claim", "in the paper"]).dropna(axis=1, how="all")
        if len(rows):
            parts.append(f"<h3>{claim} ({source})</h3>{markup.table_text(rows, 'file', base, listed=False)}")
    return markup.Html("".join(parts))


def summary(frame: pd.DataFrame, base: str | None = None) -> pd.DataFrame:
    """A row a claim, task and verdict: what the claim was held against with that verdict, and the effect on PSNR.

    In brackets the effect's interval, and the difference of the published numbers where there is one; of the dominant
    loss its lead. With `base`, where results/PROFILE is as seen from a page, the effects link to their files.
    """
    cells = [_told(row, base) for row in tables.shown_columns(tables.Table(frame, "")).to_dict("records")]
    told = frame.assign(against=cells).groupby(["claim", "task", "verdict"])["against"].agg("; ".join)
    verdicts = [effects.REPLICATES, effects.DOES_NOT, effects.OPEN, effects.NOT_TESTABLE]
    told = told if base is None else told.map(markup.Html)
    return told.reindex(verdicts, level="verdict").reindex(list(SOURCES), level="claim").reset_index()


def tally(frames: Sequence[pd.DataFrame]) -> str:
    """How many comparisons that the paper makes came out how, in words; each compared method is one."""
    every = pd.concat(frames)
    every = every[~every["claim"].isin((OWN, DRAWN))]
    sizes = [len(row.against.split(", ")) if row.claim == METHODS else 1 for row in every.itertuples()]
    counts = pd.Series(sizes, every.index).groupby(every["verdict"]).sum()
    words = {effects.REPLICATES: "replicate", effects.DOES_NOT: "do not", effects.OPEN: "are not resolved"}
    words[effects.NOT_TESTABLE] = "can't be tested here"
    return ", ".join(f"{counts.get(verdict, 0)} {told}" for verdict, told in words.items())


def _told(row: dict[str, Any], base: str | None) -> str:
    """What a claim was held against, and the effect; linked to its file, as HTML, where there is a `base`."""
    name, effect = row["against"].replace("-", "\u2011"), row.get(HEADINGS["psnr"], "")  # 3-C, not broken
    if pd.notna(known := row.get("published effect (dB)")):
        effect = effect and f"{effect.removesuffix(')')}; published\u00a0{known:+.2f})"
    if row["claim"] in (DOMINANT, DIFFERS) and row["verdict"] != effects.NOT_TESTABLE:
        effect = f"({row['why'].partition(';')[0]})"
    if base is not None:
        name, (mean, gap, rest) = escape(name), effect.partition("\u00a0")
        effect = mean and markup.linked(row["file"].split(), mean, base) + gap + rest
    return f"{name} {effect}".rstrip()
