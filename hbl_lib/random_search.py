"""Random search over genotypes at the budget of the architecture search: the baseline that a search has to beat.

Genotypes are drawn, each place uniformly from its own candidates, trained from scratch under the found loss, and the
best on validation pictures is kept. The budget is counted in multiply-accumulates (MACs), a gradient as three passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from . import files, inputs, training
from .data import Centres
from .genotype import Genotype
from .losses import FoundLoss, LossSpace
from .network import macs
from .parameters import ArchitectureSearchParams
from .restorer import Restorer
from .runs import Run, Stage
from .seeding import generator

GRADIENT = 3  # passes: one forward, two backward


def macs_per_pixel(network: nn.Module) -> float:
    """Multiply-accumulates of one forward pass for a pixel."""
    found = macs(network)
    return found["count"] / math.prod(found["size"])


def search_budget(params: ArchitectureSearchParams, steps: int, supernet: nn.Module) -> float:
    """MACs of an architecture search: each step moves the weights, and after the warmup alpha too."""
    gradients = 2 * steps - min(params.warmup, steps)
    return GRADIENT * gradients * params.crop**2 * macs_per_pixel(supernet)


def steps_within(budget: float, networks: Sequence[nn.Module], crop: int, validated: int) -> int:
    """How many steps on one crop each network gets, if all are then judged on `validated` crops; at least 1."""
    of_all = crop**2 * sum(map(macs_per_pixel, networks))
    return max(1, int((budget / of_all - validated) / GRADIENT))


def draw(run: Run, name: str, count: int) -> list[Genotype]:
    """`count` genotypes from the search space, by the run's seed and a name."""
    split = run.params.network.split
    return [Genotype.drawn(generator(run.params.seed, name, "genotype", index), split) for index in range(count)]


def search(stage: Stage, space: LossSpace, found: FoundLoss) -> tuple[Genotype, dict[str, Any]]:
    """The best of the genotypes drawn, and what was tried; each has a loop of its own below the stage.

    They are judged by the PSNR of the central crops of the validation pictures: whole ones would cost most of the
    budget.
    """
    run, params = stage.run, stage.run.params.architecture_search
    genotypes = draw(run, stage.name, run.params.studies.candidates)
    networks = [Restorer(genotype, run.params.network.combine) for genotype in genotypes]
    validation = Centres(inputs.pictures(stage, "validation"), params.crop)
    supernet_steps = params.steps_for(len(inputs.pictures(stage, "train")))
    budget = search_budget(params, supernet_steps, inputs.supernet(run))
    steps = steps_within(budget, networks, params.crop, len(validation))
    parts = [stage.part(f"candidate_{index}") for index in range(len(genotypes))]
    scores = [
        training.of_genotype(part, genotype, steps, space, found, params.crop, validation)[1].psnr
        for part, genotype in zip(parts, genotypes, strict=True)
    ]
    tried = [{"validation_psnr": score, "genotype": g.as_dict()} for score, g in zip(scores, genotypes, strict=True)]
    files.write_json(stage.output("candidates.json"), tried)
    for part in parts:
        part.ended()
    facts = {"candidates": len(genotypes), "candidate_steps": steps, "budget_macs": budget, "validation_psnr": scores}
    return genotypes[max(range(len(scores)), key=scores.__getitem__)], facts
