"""What runs left in results/PROFILE/TASK, for tables, claims and report: metrics of all seeds, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import ablations, manifest, variants
from .errors import KitError
from .findings import NAMES
from .genotype import Genotype
from .losses import FoundLoss
from .parameters import TaskParams

LOSSES, ARCHITECTURES = ablations.LOSSES, ablations.ARCHITECTURES
EVALUATION = "05_evaluate"


def replicas(folder: Path, seeds: Sequence[str]) -> list[Path]:
    """The folders of a task's runs, one for each seed: the task's own for the first, seed_N for the others."""
    return [folder, *(folder / f"seed_{seed}" for seed in seeds[1:])]


def measured(folder: Path, seeds: Sequence[str]) -> list[dict[str, Any]]:
    """The evaluation's metrics for every seed; one that is missing is a KitError."""
    of_seeds = replicas(folder, seeds)
    for replica in of_seeds:
        if not (replica / EVALUATION / manifest.NAME).is_file():
            raise KitError(
                f"{replica / EVALUATION}: has not run to its end. make reproduce with the same SEEDS runs it."
            )
    return [manifest.metrics(replica / EVALUATION) for replica in of_seeds]


def if_run(folder: Path, seeds: Sequence[str], stage: str = EVALUATION) -> list[dict[str, Any]]:
    """A stage's metrics for every seed; empty where any is missing, or a member older than what it rests on."""
    of_seeds = replicas(folder, seeds)
    if stage.partition("/")[0] in manifest.ABLATIONS:
        done = all(ablations.finished(replica, stage) for replica in of_seeds)
    else:
        done = all((replica / stage / manifest.NAME).is_file() for replica in of_seeds)
    return [manifest.metrics(replica / stage) for replica in of_seeds] if done else []


def task_of(folder: Path) -> TaskParams:
    """The task of results/PROFILE/TASK, as its runs recorded it."""
    return TaskParams.model_validate(manifest.read(folder / "00_data" / manifest.NAME)["parameters"]["task"])


def files_of(
    folder: Path, seeds: Sequence[str], stage: str, name: str = "metrics.json", base: Path | None = None
) -> str:
    """A stage's files of that name for every seed, from `base` (results/PROFILE) on, separated by spaces."""
    paths = (replica / stage / name for replica in replicas(folder, seeds))
    return " ".join(str(path.relative_to(base or folder.parent)) for path in paths)


def name_of(task: TaskParams) -> str:
    """The task's short name."""
    return NAMES.get(task.name, task.name)


def command(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> str:
    """A call of make that gives what is there, by what the runs recorded; of what only some seeds have it is silent."""
    folder = profile_folder / tasks[0]
    run = measured(folder, seeds)[0]

    def any_task(*names: str) -> bool:
        runs = [replicas(profile_folder / task, seeds) for task in tasks]
        return any(all((place / name).is_dir() for place in places) for places in runs for name in names)

    ran = {place.name: None for task in tasks for place in sorted((profile_folder / task / variants.FOLDER).glob("*"))}
    told = {
        "HBL_WEIGHTS=FOLDER": manifest.metrics(folder / "02_loss_search")["trunk"] == "squeeze",
        f"make reproduce PROFILE={run['profile']}": True,
        f'TASKS="{" ".join(tasks)}"': True,
        f'SEEDS="{" ".join(seeds)}"': True,
        "ABLATIONS=1": any_task(*manifest.ABLATIONS),
        "STUDIES=1": any_task(manifest.STUDIES),
        f'VARIANTS="{" ".join(ran)}"': bool(ran),
        "DATA=FOLDER": run["data"].startswith("folder "),
        "OVERRIDES=search=published": run["search"] == "published",
    }
    return " ".join(word for word, holds in told.items() if holds)


def found_losses(profile_folder: Path, tasks: Sequence[str]) -> dict[str, FoundLoss]:
    """The losses searched here, by task (first seed)."""
    folders = {task: profile_folder / task / "02_loss_search" for task in tasks}
    return {
        task: FoundLoss.read(manifest.require_as_written(folder, "loss.yaml"))
        for task, folder in folders.items()
        if _searched_here(folder)
    }


def genotypes(profile_folder: Path, tasks: Sequence[str]) -> dict[str, Genotype]:
    """The architectures searched here by a search that is resolved, by task (first seed)."""
    folders = {task: profile_folder / task / "03_architecture_search" for task in tasks}
    return {
        task: Genotype.read(manifest.require_as_written(folder, "genotype.yaml"))
        for task, folder in folders.items()
        if _searched_here(folder) and manifest.metrics(folder)["resolved"]
    }


def _searched_here(folder: Path) -> bool:
    return manifest.metrics(folder)["search"] == "here"


def searched(profile_folder: Path, tasks: Sequence[str]) -> tuple[dict[str, dict[str, float]], dict[str, Genotype]]:
    """Weights and architectures searched here, by task."""
    weights = {task: found.weights for task, found in found_losses(profile_folder, tasks).items()}
    return weights, genotypes(profile_folder, tasks)
