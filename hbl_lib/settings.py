"""The settings of `make reproduce`: what is wrong with them, and with the data, is told before anything runs."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import (
    ablations,
    config,
    data,
    given_methods,
    inputs,
    manifest,
    overlap,
    paper,
    runs,
    soundness,
    splits,
    variants,
)
from .errors import KitError
from .genotype import Genotype


class Given(NamedTuple):
    """The settings as they were given, by make's names."""

    profile: str
    tasks: str
    seeds: str
    data: str
    device: str
    results: str
    overrides: str
    ablations: str
    studies: str
    variants: str
    methods: str
    jobs: str


def jobs(wanted: str, threads: int, on_gpu: bool) -> int:
    """How many notebooks run side by side: a number, or "auto", as many as there are cores for; on a GPU, one.

    >>> jobs("3", threads=1, on_gpu=False), jobs("auto", threads=1, on_gpu=True)
    (3, 1)
    """
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return 1 if on_gpu else max(1, cores // threads)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise KitError(f"JOBS '{wanted}': expected a whole number of at least 1, or auto")
    return int(wanted)


def check(given: Given) -> Iterator[str]:
    """Each run in words, once nothing is found wrong with it; a KitError says which setting, or what of the data."""
    tasks, seeds, methods = _lists(given)
    for task, seed in itertools.product(tasks, seeds):
        run = runs.open_run(given.profile, task, seed, given.data, given.device, given.results, given.overrides)
        given_methods.refuse_own(methods, run.folder)
        paper.published_scores(run.params.task)  # named wrongly, it would stop the last stage
        if run.params.search == "published":
            Genotype.published(task)
            if given.studies == "1":
                raise KitError("STUDIES=1 studies the searches, and OVERRIDES=search=published skips them")
        for ablation in manifest.ABLATIONS if given.ablations == "1" else ():
            ablations.members(ablation, task)
        for name in variants.chosen(given.variants, task):
            own = ",".join(filter(None, (given.overrides, variants.overrides(name, given.profile))))
            runs.open_run(given.profile, task, seed, given.data, given.device, given.results, own)
        yield run.describe()
        if seed == seeds[0]:
            yield from _check_run(run, methods)


def _lists(given: Given) -> tuple[list[str], list[int], dict[str, Path]]:
    """Tasks, seeds and methods; what can be told from the settings alone is."""
    if re.search(r"[<>{}\n]", given.results):
        raise KitError(f"RESULTS {given.results!r}: choose a folder without <, >, {{, }} or line break in its path")
    if given.ablations not in ("", "0", "1"):
        raise KitError(f"ABLATIONS '{given.ablations}': 1 runs the ablations, 0 or nothing leaves them out")
    if given.studies not in ("", "0", "1"):
        raise KitError(f"STUDIES '{given.studies}': 1 runs the studies of the searches, 0 or nothing leaves them out")
    jobs(given.jobs, threads=1, on_gpu=False)
    seeds = given.seeds.split()
    if not seeds or not all(seed.isdecimal() for seed in seeds) or len(set(seeds)) < len(seeds):
        raise KitError(f"SEEDS '{given.seeds}': expected whole numbers from 0 on, each once, separated by spaces")
    tasks = given.tasks.split()
    if not tasks or len(set(tasks)) < len(tasks) or "," in given.tasks:
        raise KitError(f"TASKS '{given.tasks}': expected names of params/tasks, each once, separated by spaces")
    for name, variant in variants.known().items():
        if name in given.variants.split() and set(tasks) <= set(variant.agree):
            raise KitError(f"VARIANTS: {name}: paper and code agree for {', '.join(tasks)}, so it would change nothing")
    if given.data and len(tasks) > 1:
        raise KitError(f"DATA is one task's, but TASKS names {len(tasks)}: {given.tasks}. Say which: TASKS=llie_lol")
    methods = given_methods.parse(given.methods)
    if methods and len(tasks) > 1:
        raise KitError(f"METHODS are one task's, but TASKS names {len(tasks)}: {given.tasks}. Say which.")
    for name, folder in methods.items():
        if not folder.is_dir():
            raise KitError(f"METHODS: {name}: {folder}: no such folder")
    return tasks, list(map(int, seeds)), methods


def _check_run(run: runs.Run, methods: dict[str, Path]) -> Iterator[str]:
    """Weights, restored pictures and data, which are the same for every seed; what to think over, in words."""
    params, lists = run.params, run.folder / "00_data/splits.json"
    if not params.perceptual.untrained:  # 02_loss_search would stop for want of them, after the classifier
        inputs.loss_space(run)
    if methods and lists.is_file():  # a fault would cost what 05_evaluate has made
        given_methods.read(methods, data.Pictures(run.data_root, splits.read(lists)["test"]))
    if params.task.data != "embedded":
        listing = soundness.check(run.data_root)
        found = soundness.require_sound(listing)
        if params.task.unseen:
            overlap.require_unseen(run.data_root, config.located(params.task.unseen))
        splits.deal(found, params.data.validation, params.data.test, params.data.split_seed)
        data.require_large_enough(params, run.data_root, found)
        meant, own = listing.meant_for(), params.task.degradation
        if meant and own and meant != own:
            folders = "/ and ".join(listing.layout)
            yield (
                f"note: {listing.folder} has {folders}/, the folders of a set for {meant.replace('_', ' ')}, but task "
                f"{params.task.name} is for {own.replace('_', ' ')}"
            )
