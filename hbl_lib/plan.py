"""What a profile will cost on the device at hand: a few steps of each stage, measured, times their number."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from . import evaluation, inference, inputs, memory, perceptual, runs, splits, stages
from .baselines import color_matrix
from .classifier import Classifier
from .errors import KitError
from .genotype import Genotype
from .losses import FoundLoss, LossSpace, published_weights
from .manifest import STAGES
from .restorer import Restorer
from .runs import Run, Stage
from .search import ArchitectureSearch, LossSearch
from .training import ClassifierTraining, RestorerTraining

NOTE = (
    "Steps: of 00_data pairs, of 05_evaluate pictures. Time: of the steps, one stage after the other, on this machine "
    "alone; starting adds some seconds a stage and more for a notebook, and ablations, variants and the report are not "
    "in it. Where VGG-19 is missing, untrained features that cost as much stand for it."
)
LOOK_S = 12.0  # how long steps of a kind are measured, beyond two to warm up; at least three


@dataclass(frozen=True)
class Cost:
    """What a stage will take; without what starting a process and a notebook takes."""

    stage: str
    steps: int  # of its loop; of 05_evaluate pictures, of 00_data pairs
    seconds: float
    memory_mb: float  # peak of the process; on a GPU, of its tensors

    @property
    def per_step(self) -> float:
        """Seconds of a step."""
        return self.seconds / max(1, self.steps)


def _mean_seconds(step: Callable[[int], object], indices: range) -> float:
    """Mean time of a step, after two; of as many of the `indices` as the time allows."""
    if not indices:
        return 0.0
    taken: list[float] = []
    for done in range(2 + max(3, len(indices))):
        began = time.perf_counter()
        step(indices[done % len(indices)])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
        if len(taken) >= 5 and sum(taken[2:]) >= LOOK_S:
            break
    return sum(taken[2:]) / len(taken[2:])


def _space(run: Run) -> LossSpace:
    """The stages' own space; where they would stop for want of weights, one that costs as much."""
    try:
        return inputs.loss_space(run)
    except KitError:
        return LossSpace(*perceptual.untrained_in_full_width()).to(run.device)


def _searching(search: LossSearch | ArchitectureSearch, scale: float) -> tuple[int, float]:
    """Steps, and seconds in all: those in which the upper level rests cost less."""
    steps = _scaled(search.steps, search.params.epochs, scale)
    resting = min(search.params.warmup, steps)
    moving = _mean_seconds(search.step, range(search.params.warmup, search.steps))
    return steps, resting * _mean_seconds(search.step, range(search.params.warmup)) + (steps - resting) * moving


def _scaled(steps: int, epochs: int | None, scale: float) -> int:
    """Epochs grow with the number of pictures, steps don't."""
    return steps if epochs is None else round(steps * scale)


def _classifier(stage: Stage, scale: float) -> tuple[int, float]:
    params = stage.run.params.classifier
    shown = inputs.crops(stage, "classifier", params.crop, ("train", "search"), params.batch // 2)
    training = ClassifierTraining(params, shown, stage.run.device)
    steps = _scaled(training.steps, params.epochs, scale)
    return steps, steps * _mean_seconds(training.step, range(training.steps))


def _loss_search(stage: Stage, scale: float) -> tuple[int, float]:
    run, params = stage.run, stage.run.params.loss_search
    if run.params.search == "published":
        return 0, 0.0
    crops = inputs.both_levels(stage, "loss_search", params.crop)
    classifier = Classifier(run.params.classifier.network).eval().requires_grad_(False).to(run.device)
    return _searching(LossSearch(params, inputs.supernet(run), _space(run), classifier, *crops), scale)


def _architecture_search(stage: Stage, scale: float) -> tuple[int, float]:
    run, params = stage.run, stage.run.params.architecture_search
    if run.params.search == "published":
        return 0, 0.0
    crops = inputs.both_levels(stage, "architecture_search", params.crop)
    space, supernet = _space(run), inputs.supernet(run, params.mixing)
    found = FoundLoss.equal(space.trunk)
    once = _searching(ArchitectureSearch(params, supernet, space, found, *crops), scale)
    if run.params.rounds == 1:
        return once
    again = [sum(both) for both in zip(once, _loss_search(stage, scale), strict=True)]  # a further round has both
    return tuple(first + (run.params.rounds - 1) * more for first, more in zip(once, again, strict=True))


def _retraining(stage: Stage, scale: float) -> tuple[int, float]:
    params, space, restorer = stage.run.params.retrain, _space(stage.run), _restorer(stage.run)
    shown = inputs.retraining_crops(stage, params)
    validation = inputs.pictures(stage, "validation")
    training = RestorerTraining(params, restorer, space, FoundLoss.equal(space.trunk), shown, validation)
    training.looks = set()  # they are counted below
    steps = _scaled(training.steps, params.epochs, scale)
    smaller = _scaled(shown.halves, params.epochs, scale)  # the first steps, on crops of half the side
    seconds = smaller * _mean_seconds(training.step, range(shown.halves))
    seconds += (steps - smaller) * _mean_seconds(training.step, range(shown.halves, training.steps))
    look = _mean_seconds(
        lambda index: inference.restore(restorer, validation.pictures(index)[0]), range(len(validation))
    )
    return steps, seconds + look * len(validation) * scale * params.validations


def _evaluation(stage: Stage, scale: float) -> tuple[int, float]:
    test, matrix = inputs.pictures(stage, "test"), color_matrix.fit(inputs.pictures(stage, "train", "search"))
    count, test.pairs = round(len(test) * scale), test.pairs[:1]
    compared = stages.methods_compared(_restorer(stage.run).deploy(), matrix, {})
    evaluation.judge(stage, test, compared)
    began = time.perf_counter()
    evaluation.protocols(stage, test, evaluation.judge(stage, test, compared))
    return count, count * (time.perf_counter() - began)


def _restorer(run: Run) -> Restorer:
    """The network as published; of a task of which nothing is, LOL's."""
    name = run.params.task.name
    genotype = Genotype.published(name if published_weights(name) else "llie_lol")
    return Restorer(genotype, run.params.network.combine).to(run.device)


MEASURED = {
    "01_classifier": _classifier,
    "02_loss_search": _loss_search,
    "03_architecture_search": _architecture_search,
}
MEASURED |= {"04_retrain": _retraining, "05_evaluate": _evaluation}


def _stage_cost(name: str, run: Run, scale: float) -> Cost:
    """In a process of its own, so that memory is the stage's."""
    if name == "00_data":
        began = time.perf_counter()
        stages.data(run)
        pairs = sum(map(len, splits.read(run.folder / "00_data/splits.json").values()))
        return Cost(name, pairs, time.perf_counter() - began, memory.peak(run.device.type == "cuda"))
    with run.stage(name) as stage:
        found = MEASURED[name](stage, scale)
    return Cost(name, *found, memory.peak(run.device.type == "cuda"))


def plan(
    profile: str,
    task: str,
    data: str = "",
    device: str = "auto",
    overrides: str = "",
    pairs: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Cost]:
    """The cost of every stage, on the task's data or the folder `data`, as if it were `pairs` pairs where given.

    `say` is told which stage is being measured.

    The loss is taken with all its terms, the architecture as published: what is found may cost a little less or more.
    Memory is that of the data there is, whatever `pairs`.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        nothing_fetched = ",".join(filter(None, (overrides, "perceptual.download=false")))
        run = runs.open_run(profile, task, 0, data, device, folder, nothing_fetched)
        scale = 1.0
        for name in STAGES:
            say(name)
            spawning = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawning) as process:
                found.append(process.submit(_stage_cost, name, run, scale).result())
            if name == "00_data":
                there = found[0].steps
                scale = pairs / there if pairs else 1.0
                found[0] = Cost(name, round(there * scale), found[0].seconds * scale, found[0].memory_mb)
    return found


def words(seconds: float) -> str:
    """A time for people.

    >>> words(59), words(5400), words(13200)
    ('59 s', '90 min', '3 h 40 min')
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def table(costs: list[Cost]) -> str:
    """The costs as lines of text."""
    rows = [("stage", "steps", "s a step", "time", "memory")]
    rows += [(c.stage, f"{c.steps:,}", f"{c.per_step:.3f}", words(c.seconds), f"{c.memory_mb:,.0f} MB") for c in costs]
    whole = sum(cost.seconds for cost in costs)
    rows.append(("all", "", "", words(whole), f"{max(cost.memory_mb for cost in costs):,.0f} MB"))
    wide = [max(len(row[k]) for row in rows) for k in range(5)]
    return "\n".join(
        "  ".join(f"{text:>{w}}" if k else f"{text:{w}}" for k, (text, w) in enumerate(zip(row, wide, strict=True)))
        for row in rows
    )
