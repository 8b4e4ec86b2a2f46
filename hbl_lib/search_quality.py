"""What the studies found, shown: rank correlations, figures, and how long the signal of the classifier lasted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from . import figures, files, manifest, outcomes, tables, variants
from .manifest import STUDIES
from .studies import BY_NAME

LABELS = {
    "classifier_loss": "L_C of the classifier",
    "supernet_loss": "L_Q under shared weights",
    "supernet_psnr": "PSNR under shared weights (dB)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "lpips": "LPIPS",
}

SEARCH = "02_loss_search"
VARIANTS = ("classifier_plain", "no_warmup")
SHARES = {  # of the steps in which beta moves
    "judged_clear_first": "judged clear (first fifth)",
    "judged_clear_last": "judged clear (last fifth)",
    "saturated_share": "saturated",
}


def plot(folder: Path, name: str) -> tuple[Figure, str]:
    """A study's figure and its alternative text."""
    found = manifest.metrics(folder / STUDIES / name)
    return figures.ranks(found["settings"], found["ranks"], _labels(found))


def _labels(found: dict[str, Any]) -> dict[str, str]:
    return LABELS | {"lpips": f"LPIPS ({found['lpips_of']})"}


def _ranked(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A study's rank correlations, a row each, with their keys."""
    labels, rows = _labels(found), []
    for pair, rank in found["ranks"].items():
        signal, measure = pair.split(" against ")
        row = {"signal": labels[signal], "quality": labels[measure], "rho": rank["rho"]}
        rows.append(
            row | {"rho from": rank["low"], "rho to": rank["high"], "settings": rank["count"], "key": f"ranks.{pair}"}
        )
    return rows


def loss_searches(folder: Path, seeds: Sequence[str] = ("0",)) -> dict[str, Path]:
    """Where the run, and its variants that bear on its signal, searched a loss with every seed: {name: folder}."""
    places = {"main run": folder} | {name: variants.folder_of(folder, name) for name in VARIANTS}
    found = {name: outcomes.if_run(place, seeds, SEARCH) for name, place in places.items()}
    return {name: places[name] for name, runs in found.items() if runs and all(run["search"] == "here" for run in runs)}


def signals(folder: Path) -> tuple[Figure, str]:
    """The upper-level loss of the loss searches over the steps, and the alternative text."""
    paths = {name: place / SEARCH / "history.json" for name, place in loss_searches(folder).items()}
    histories = {name: files.read_json(path) for name, path in paths.items() if path.is_file()}
    return figures.signals(histories), f"Upper-level loss over the steps of: {', '.join(histories)}"


def signal_table(folder: Path, seeds: Sequence[str] = ("0",)) -> pd.DataFrame:
    """How long the classifier had something to say, and the weights found: a row a loss search, means over the seeds.

    Judged clear, clear from, saturated: as `search.loss_summary` says, where it was so when the search ran. Files are
    counted from the folder above `folder`.
    """
    rows = []
    for name, place in loss_searches(folder, seeds).items():
        runs = outcomes.if_run(place, seeds, SEARCH)
        found = pd.DataFrame(runs)
        shares = {words: found[key].mean() for key, words in SHARES.items() if key in found}
        row = {"loss search": name, "seeds": ", ".join(seeds), "steps": found["upper_steps"].iloc[0], **shares}
        if all("clear_from" in run for run in runs):
            row["clear from step"] = ", ".join("never" if pd.isna(of) else f"{of:.0f}" for of in found["clear_from"])
        weights = 1 + pd.DataFrame(list(found["moved"])).mean()
        rows.append(row | {**weights, "file": outcomes.files_of(place, seeds, SEARCH, base=folder.parent)})
    return pd.DataFrame(rows)


def rank_table(folder: Path, names: Sequence[str]) -> pd.DataFrame:
    """The rank correlations of a run's studies `names`, for readers."""
    frame = pd.DataFrame([row for name in names for row in _ranked(manifest.metrics(folder / STUDIES / name))])
    return tables.shown_columns(tables.Table(frame, ""))


def table(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> tables.Table:
    """Every rank correlation of the tasks in results/PROFILE, a row for each seed for which a study has run."""
    rows = []
    for folder in (profile_folder / task for task in tasks):
        for name, replica in itertools.product(BY_NAME, outcomes.replicas(folder, seeds)):
            place = replica / STUDIES / name
            if not (place / manifest.NAME).is_file():
                continue
            run = manifest.metrics(place)
            head = {"task": outcomes.name_of(outcomes.task_of(folder)), "seed": str(run["seed"])}
            path = str(place.relative_to(profile_folder) / "metrics.json")
            rows += [head | row | {"steps": run["steps"], "file": path} for row in _ranked(run)]
    notes = (
        "Spearman's rho, signed so that 1 is full agreement on what is better, with a 95 % interval (Fisher's z, "
        "standard error by Bonett and Wright). Each setting is trained once, for `steps` steps, from the same initial "
        "weights and on the same crops; all is measured on validation pictures. LPIPS stands on the features named.",
    )
    return tables.Table(pd.DataFrame(rows), "Do the searches' signals rank as quality does?", notes)
