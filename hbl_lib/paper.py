"""The paper's tables and Figure 6's bars, published beside measured, from metrics files; no numbers of their own.

Every measured row names its metrics files (one for each seed) and the key within them, so each cell can be followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from . import ablations, evaluation, files, manifest, metrics, outcomes, tables
from .baselines import CLASSICAL
from .config import PARAMS
from .errors import KitError
from .outcomes import ARCHITECTURES, EVALUATION, LOSSES, if_run, measured, replicas, task_of
from .parameters import TaskParams
from .tables import Table

DIFFERENCE = "difference (dB, other pictures)"  # measured less published
METRICS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "lpips": "LPIPS"}
PUBLISHED = {metric: f"published {heading}" for metric, heading in METRICS.items()}
PUBLISHED_AS = {"udcp": "UDCP", "fusion": "Fusion"}  # classical methods that the paper's tables have too


@dataclass(frozen=True)
class Row:
    """One method: its name in the paper's table, and where its measured scores stand; either may be empty."""

    label: str
    published: str = ""
    stage: str = ""
    key: str = "restored"
    made_for: str = ""


def published(table: str) -> dict[str, Any]:
    """A table as printed: {"title", "rows", perhaps "note", and of an ablation "task"}."""
    known = files.read_yaml(PARAMS / "published/tables.yaml")["tables"]
    if table not in known:
        raise KitError(f"published_table: no table '{table}'; there are: {', '.join(known)}")
    return known[table]


def published_scores(task: TaskParams) -> dict[str, dict[str, float]]:
    """The rows of the task's table as printed, by method: {"psnr", "ssim", "lpips"}; empty where it has no table."""
    if not task.published_table:
        return {}
    rows = published(task.published_table)["rows"]
    try:
        found = {name: {m: row[task.published_prefix + m] for m in METRICS} for name, row in rows.items()}
        return found if found[task.published_row] else {}
    except KeyError as error:
        raise KitError(f"task {task.name}: {task.published_table} has no {error}") from None


def ablated(task: TaskParams) -> bool:
    """Whether the paper's ablations, Table 5 and Figure 6, are of this task."""
    return task.name == published("table5")["task"]


def label_of(main: dict[str, Any]) -> str:
    """What the main run's restorer is, by what its evaluation says of the search."""
    return "HBL, searched here" if main["search"] == "here" else "HBL, published loss and genotype"


def _main_methods(main: dict[str, Any]) -> Iterator[Row]:
    """The rows of 05_evaluate but the last, in the order of Tables 2 to 4."""
    yield Row("degraded", stage=EVALUATION, key="degraded")
    yield Row("colour matrix", stage=EVALUATION, key="color_matrix")
    for name, method in CLASSICAL.items():
        yield Row(method.label, PUBLISHED_AS.get(name, ""), EVALUATION, name, method.made_for)
    for name in main["given"]:
        yield Row(f"{name} (restored elsewhere)", stage=EVALUATION, key=name)


def _member_methods(task: TaskParams, main: dict[str, Any], steps: int | None) -> Iterator[Row]:
    """The rows that members of the ablations make, trained for `steps`; None: those of the main run."""
    yield Row("U-Net", stage=f"{LOSSES}/unet_default")
    yield Row("MBLLEN", "MBLLEN", f"{LOSSES}/mbllen_default")
    if main["search"] == "here" and "published" in ablations.members(ARCHITECTURES, task.name):
        yield Row("HBL, published loss and genotype", task.published_row, f"{ARCHITECTURES}/published")
    if steps not in (None, main["steps"]):
        yield Row(f"{label_of(main)} ({steps} steps)", task.published_row, f"{ARCHITECTURES}/ours")


def _scores(runs: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Mean over the seeds of each metric, and its standard deviation (n - 1) where there are several."""
    found = [evaluation.score_of(run, key) for run in runs]
    row = {METRICS[metric]: value for metric, value in metrics.mean(found).items()}
    if len(runs) > 1:
        row |= {f"{m.upper()} sd": pd.Series([score[m] for score in found]).std() for m in ("psnr", "ssim")}
    return row


def _cells(folder: Path, seeds: Sequence[str], row: Row) -> dict[str, Any]:
    """The measured part of a row; without the stage's files, a word on how to make them."""
    runs = if_run(folder, seeds, row.stage) if row.stage else []
    if not runs:
        return {"note": "not run for these inputs and seeds: ABLATIONS=1 does"} if row.stage else {}
    extra = {}
    if row.key == "restored":
        extra = {name: runs[0][name] for name in ("steps", "parameters")}
        extra["GMAC at 400x600"] = runs[0]["macs"]["count"] / 1e9
    where = {"measured on": tables.source(runs), "file": outcomes.files_of(folder, seeds, row.stage)}
    key = row.key if row.key in evaluation.TOP_ROWS else f"compared.{row.key}"
    return _scores(runs, row.key) | extra | where | {"key": key}


def _side_by_side(
    folder: Path, seeds: Sequence[str], rows: Sequence[Row], printed: dict[str, dict[str, float]]
) -> pd.DataFrame:
    """Rows with published and measured scores and their difference; methods that were only published stand first."""
    partners = {row.published for row in rows}
    found = []
    for row in [*(Row(name, name) for name in printed if name not in partners), *rows]:
        known = {PUBLISHED[metric]: value for metric, value in printed.get(row.published, {}).items()}
        cells = _cells(folder, seeds, row)
        line = {"method": row.label, "made for": row.made_for or None, **known, **cells}
        if known and METRICS["psnr"] in cells:
            line[DIFFERENCE] = cells[METRICS["psnr"]] - known[PUBLISHED["psnr"]]
        found.append(line)
    frame = pd.DataFrame(found)
    frame = frame.astype({column: "Int64" for column in ("parameters", "steps") if column in frame})
    return frame[_columns(frame)]


def _columns(frame: pd.DataFrame) -> list[str]:
    """The order of the columns; those that hold nothing at all are left out, but for the metrics."""
    order = ["method", "made for", *PUBLISHED.values(), *METRICS.values(), "PSNR sd", "SSIM sd", DIFFERENCE]
    order += ["parameters", "GMAC at 400x600", "steps", "note", "measured on", "file", "key"]
    kept = {*METRICS.values(), "method"}
    return [column for column in order if column in frame and (column in kept or frame[column].notna().any())]


def comparison(folder: Path, seeds: Sequence[str] = ("0",), with_members: bool = True) -> Table:
    """Tables 2 to 4, the part of one task: every method published or measured; without the ablations' members if asked.

    05_evaluate shows it without them: they may be at work beside it.
    """
    task, runs = task_of(folder), measured(folder, seeds)
    rows = list(_main_methods(runs[0]))
    if with_members:
        ours = if_run(folder, seeds, f"{ARCHITECTURES}/ours")
        rows += _member_methods(task, runs[0], ours[0]["steps"] if ours else None)
    rows.append(Row(label_of(runs[0]), task.published_row, EVALUATION))
    frame = _side_by_side(folder, seeds, rows, published_scores(task))
    note = published(task.published_table).get("note") if task.published_table else None
    return Table(frame, _caption(task.published_table, task.title, runs), tuple(filter(None, (note,))))


def architectures(folder: Path, seeds: Sequence[str] = ("0",)) -> Table:
    """Table 5: architectures under the found loss, each trained alike."""
    task = task_of(folder)
    members = ablations.members(ARCHITECTURES, task.name)
    here = {"title": f"Searched and naively determined architectures, {task.title}", "rows": {}}
    printed = published("table5") if ablated(task) else here | {"note": "The paper has it for another task only."}
    names = {name: member.label for name, member in members.items()}
    rows = [Row(label, label if label in printed["rows"] else "", f"{ARCHITECTURES}/{n}") for n, label in names.items()]
    frame = _side_by_side(folder, seeds, rows, printed["rows"]).drop(columns="made for", errors="ignore")
    runs = next(filter(None, (if_run(folder, seeds, row.stage) for row in rows)), [])
    search = folder / "03_architecture_search"
    searched = not (search / manifest.NAME).is_file() or manifest.metrics(search)["search"] == "here"
    notes = (
        printed["note"],
        "Multiply-accumulates by torch's counter, of the supernet with mixed kernels, as it runs here.",
        *([] if searched else ["The main run skipped its searches: 'found' is the published loss and genotype."]),
        "Supernet: its weights trained with the mixture as drawn, nearly equal shares. Ours_a: loss and architecture "
        "searched together on the classification loss, trained with its own loss; 'HBL, as published' with the "
        "published loss; all others with the loss found.",
    )
    return Table(frame, _caption("table5", printed["title"], runs), notes)


def losses(folder: Path, seeds: Sequence[str] = ("0",)) -> Table:
    """Figure 6's bars: a row for each model, loss and seed. The published bars carry no printed values."""
    task, rows, runs = task_of(folder).name, [], []
    ours = ablations.members(ARCHITECTURES, task)["ours"]
    for name, member in {**ablations.members(LOSSES, task), "ours": ours}.items():
        stage = f"{ARCHITECTURES if name == 'ours' else LOSSES}/{name}"
        found = if_run(folder, seeds, stage)
        runs = runs or found
        for run, replica in zip(found, replicas(folder, seeds), strict=False):
            scores = {heading: run["restored"][metric] for metric, heading in METRICS.items()}
            weights = "default" if member.loss == "default" else "searched"
            path = str((replica / stage / "metrics.json").relative_to(folder.parent))
            row = {"method": member.label.rstrip("+"), "weights": weights, "seed": run["seed"], "published": None}
            rows.append(row | scores | {"steps": run["steps"], "file": path, "key": "restored"})
    return Table(
        pd.DataFrame(rows),
        f"Figure 6: loss weights by default and searched. {_basis(runs)}",
        ("The published bars carry no printed values, so that column is empty.",),
    )


def _basis(runs: Sequence[dict[str, Any]]) -> str:
    if not runs:
        return "nothing yet"
    unmeasured = (
        "" if runs[0]["restored"]["lpips"] is not None else " (not measured: AlexNet's weights are not at hand)"
    )
    first = "; parameters and multiply-accumulates of the first" if len(runs) > 1 else ""
    return f"{tables.source(runs)}{first}. Protocol: {runs[0]['protocol']}{unmeasured}"


def _caption(table: str, title: str, runs: Sequence[dict[str, Any]]) -> str:
    head = f"{table.replace('table', 'Table ')}: {title}" if table else title
    return f"{head}. Published: on the paper's own test pictures. Measured: {_basis(runs)}"
