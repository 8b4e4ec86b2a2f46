"""Do the searches' own signals rank losses and genotypes as quality does?

"losses": HBL's found network is trained for a short time under the found loss, equal weights, and losses drawn at
random; then the classifier's loss L_C, which ranks them in the loss search, is held against PSNR, SSIM and LPIPS.
"genotypes": the supernet that 03 trained judges genotypes drawn at random, the found one among them, with the weights
they share; that is held against their PSNR after a training of their own. All on validation pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import effects, inference, inputs, manifest, metrics, random_search, training
from .classifier import upper_loss
from .data import Crops, Pictures
from .errors import KitError, nearest
from .losses import TERMS, FoundLoss, LossSpace
from .manifest import STUDIES
from .perceptual import LPIPS
from .progress import Progress
from .runs import Run, Stage
from .seeding import generator
from .supernet import Supernet

CROPS = 4  # of each validation picture, on which a level's loss is taken
SIGNALS = {"losses": ("classifier_loss",), "genotypes": ("supernet_loss", "supernet_psnr")}
QUALITIES = {"losses": ("psnr", "ssim", "lpips"), "genotypes": ("psnr",)}
LESS_IS_BETTER = ("classifier_loss", "supernet_loss", "lpips")


def drawn_loss(found: FoundLoss, space: LossSpace, drawn: torch.Generator) -> FoundLoss:
    """Weights uniform over all that have a mean of 1, layers uniform in their groups."""
    gaps = -torch.rand(len(TERMS), generator=drawn).clamp(min=1e-12).log()  # exponential: uniform on the simplex
    weights = (gaps / gaps.mean()).tolist()
    layers = tuple(group[int(torch.randint(len(group), (), generator=drawn))] for group in space.groups)
    return replace(found, weights=dict(zip(TERMS, weights, strict=True)), layers=layers, exponents=())


@torch.no_grad()
def mean_loss(network: nn.Module, shown: Crops, loss: Callable[..., torch.Tensor]) -> float:
    """Mean of loss(restored, clear) over crops."""
    device = next(network.parameters()).device
    found = []
    for step in range(CROPS * len(shown.pictures)):
        degraded, clear = (x.to(device) for x in shown.at(step))
        found.append(loss(network(degraded), clear).item())
    return float(np.mean(found))


def quality(network: nn.Module, validation: Pictures, lpips: LPIPS) -> dict[str, float | None]:
    """Mean PSNR, SSIM and `lpips` over whole validation pictures."""
    scores = []
    for index in Progress("validation pictures restored", len(validation)):
        degraded, clear = validation.pictures(index)
        scores.append(metrics.score(inference.restore(network, degraded), clear, lpips, validation.valid(index)))
    return metrics.mean(scores)


def _losses(stage: Stage, space: LossSpace, found: FoundLoss, validation: Pictures) -> list[dict[str, Any]]:
    run, params = stage.run, stage.run.params.studies
    genotype = inputs.found_genotype(stage)
    classifier = inputs.trained_classifier(stage)
    settings = {"found": found, "equal weights": FoundLoss.equal(space.trunk)}
    for index in range(params.losses - len(settings)):
        settings[f"drawn {index + 1}"] = drawn_loss(found, space, generator(run.params.seed, stage.name, "loss", index))
    shown = Crops(validation, run.params.loss_search.crop, run.params.seed, "loss_search/validation")
    rows = []
    for index, (name, loss) in enumerate(settings.items()):
        restorer, _ = training.of_genotype(
            stage.part(f"setting_{index}"), genotype, params.steps, space, loss, params.crop, validation
        )
        signal = mean_loss(restorer, shown, lambda restored, _: upper_loss(classifier, restored))
        row = {"name": name, "classifier_loss": signal, **quality(restorer.deploy(), validation, space.lpips)}
        rows.append(row | {"weights": loss.weights, "layers": list(loss.layers)})
    return rows


def _genotypes(stage: Stage, space: LossSpace, found: FoundLoss, validation: Pictures) -> list[dict[str, Any]]:
    run, params = stage.run, stage.run.params.studies
    if run.params.search == "published":
        raise KitError(f"{stage.name}: search=published trains no supernet: run with search=here")
    supernet = Supernet.load(stage.need("03_architecture_search", "supernet.safetensors")).to(run.device)
    settings = {"found": inputs.found_genotype(stage)}
    drawn = random_search.draw(run, stage.name, params.genotypes - len(settings))
    settings |= {f"drawn {index + 1}": genotype for index, genotype in enumerate(drawn)}
    shown = Crops(validation, run.params.architecture_search.crop, run.params.seed, "architecture_search/validation")
    rows = []
    for index, (name, genotype) in enumerate(settings.items()):
        supernet.choose(genotype.places())
        row: dict[str, Any] = {
            "name": name,
            "supernet_loss": mean_loss(supernet, shown, lambda restored, clear: space(restored, clear, found)),
            "supernet_psnr": quality(supernet, validation, space.lpips)["psnr"],
        }
        restorer, best = training.of_genotype(
            stage.part(f"setting_{index}"), genotype, params.steps, space, found, params.crop, validation
        )
        row |= {"psnr": best.psnr, "parameters": sum(p.numel() for p in restorer.parameters())}
        rows.append(row | {"genotype": genotype.as_dict()})
    return rows


BY_NAME: dict[str, Callable[..., list[dict[str, Any]]]] = {"losses": _losses, "genotypes": _genotypes}


def run_study(run: Run, name: str) -> Path:
    """Run one study; returns its folder, which holds metrics.json with every setting and the rank correlations."""
    if name not in BY_NAME:
        raise KitError(f"no study '{name}'; there are: {', '.join(BY_NAME)}.{nearest(name, BY_NAME)}")
    with run.stage(f"{STUDIES}/{name}") as stage:
        space, found = inputs.recorded_space(stage), inputs.found_loss(stage)
        validation = inputs.pictures(stage, "validation")
        rows = BY_NAME[name](stage, space, found, validation)
        facts = {"steps": run.params.studies.steps, "crop": run.params.studies.crop, "lpips_of": space.lpips.name}
        stage.write_metrics(len(validation), facts | {"settings": rows, "ranks": ranks(name, rows)})
        for index in range(len(rows)):
            stage.part(f"setting_{index}").ended()
    return run.folder / STUDIES / name


def run_studies(run: Run, names: Sequence[str], again: bool) -> None:
    """Run the studies `names`, one after the other; without `again` those alone that are not done as they would be."""
    for name in names:
        path = run.folder / STUDIES / name / manifest.NAME
        recorded = manifest.read(path) if path.is_file() and not again else None
        same = recorded is not None and recorded["parameters"] == run.params.model_dump()
        if not same or not manifest.inputs_unchanged(run.folder, recorded):
            run_study(run, name)


def ranks(name: str, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{"SIGNAL against QUALITY": rank correlation}, signed so that 1 is full agreement on what is better."""
    found = {}
    for signal in SIGNALS[name]:
        for measure in QUALITIES[name]:
            if any(row[measure] is None for row in rows):
                continue
            sides = [[(-1) ** (of in LESS_IS_BETTER) * row[of] for row in rows] for of in (signal, measure)]
            found[f"{signal} against {measure}"] = effects.rank_correlation(*sides)
    return found
