"""Training a classifier or a restorer from scratch, in the loop of `loop`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from . import classifier as classifiers
from . import inference, inputs, loop, metrics
from .classifier import Classifier
from .data import Crops, Pictures
from .genotype import Genotype
from .losses import FoundLoss, LossSpace, Space
from .parameters import ClassifierParams, RetrainParams
from .progress import Progress
from .restorer import Restorer
from .runs import Stage
from .seeding import generator, seed_everything


class ClassifierTraining:
    """Clear against degraded, cross-entropy, Adam with a cosine; half of a batch is of each class."""

    def __init__(self, params: ClassifierParams, crops: Crops, device: torch.device):
        self.params, self.crops, self.device = params, crops, device
        self.classifier = Classifier(params.network).to(device)
        self.optimizer = torch.optim.Adam(self.classifier.parameters(), lr=params.rate, fused=True)
        self.steps = params.steps_for(len(crops.pictures), crops.batch)

    def step(self, index: int) -> dict[str, Any]:
        """One step; its record."""
        drawn = generator(self.crops.seed, "samples", index)
        pictures, labels = classifiers.samples(*self.crops.at(index), self.params.negatives, drawn)
        logits = self.classifier(pictures.to(self.device))
        loss = F.cross_entropy(logits, labels.to(self.device), label_smoothing=self.params.label_smoothing)
        self.optimizer.param_groups[0]["lr"] = loop.cosine(index, self.steps, self.params.rate, 0.0)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.get_total_norm(p.grad for p in self.classifier.parameters())
        skipped = loop.not_finite(loss=loss, gradient=norm)
        if not skipped:
            self.optimizer.step()
        accuracy = (logits.argmax(1).cpu() == labels).float().mean().item()
        return {"loss": loop.number(loss), "accuracy": accuracy, **skipped}

    def run(self, stage: Stage) -> tuple[Classifier, list[dict[str, Any]]]:
        """All steps, in the loop; the classifier, and a record for every step."""
        parts = {"classifier": self.classifier, "optimizer": self.optimizer}
        history = loop.run(stage, self.steps, self.step, parts, lambda r: f"loss {r['loss']:.3f}", [self.crops])
        return self.classifier.eval(), history


class Best:
    """The weights of `network` with the highest validation PSNR so far."""

    def __init__(self, network: nn.Module):
        self.network, self.psnr, self.step = network, -float("inf"), -1
        self.weights = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def offer(self, psnr: float, step: int) -> None:
        """Keep the weights as they are now, if their PSNR is the highest so far."""
        if psnr > self.psnr:
            self.psnr, self.step, self.weights = psnr, step, self._copy()

    def words(self) -> str:
        """For the progress line."""
        return f"  best {self.psnr:.2f} dB" if self.step >= 0 else ""

    def state_dict(self) -> dict[str, Any]:
        """For the loop's checkpoints."""
        return {"psnr": self.psnr, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint of the loop."""
        self.psnr, self.step, self.weights = state["psnr"], state["step"], state["weights"]


def validation_psnr(restorer: nn.Module, pictures: Pictures) -> float:
    """Mean PSNR over whole validation pictures, where they are valid."""
    scores = []
    for index in Progress("validation pictures restored", len(pictures)):
        degraded, clear = pictures.pictures(index)
        scores.append(metrics.psnr(inference.restore(restorer, degraded), clear, pictures.valid(index)))
    return float(np.mean(scores))


def _optimizer(restorer: nn.Module, params: RetrainParams) -> torch.optim.Optimizer:
    shared = {"lr": params.rate, "weight_decay": params.weight_decay, "fused": True}
    if params.optimizer == "adam":
        return torch.optim.Adam(restorer.parameters(), **shared)
    return torch.optim.SGD(restorer.parameters(), momentum=params.momentum, **shared)


class RestorerTraining:
    """Train `restorer` from its initial weights under the found loss; the best validation checkpoint is kept.

    Candidates come from the last fifth of the schedule, evenly spaced: while the rate is high the brightness of the
    output wavers from step to step, and a few validation pictures would choose by chance. With `params.average` a
    candidate is the mean of the weights since that share of the steps was left (Izmailov et al. 2018), else the
    weights of its step.
    """

    def __init__(
        self,
        params: RetrainParams,
        restorer: nn.Module,
        space: Space,
        found: FoundLoss,
        crops: Crops,
        validation: Pictures,
    ):
        self.params, self.restorer, self.space, self.found = params, restorer, space, found
        self.crops, self.validation = crops, validation
        self.device = next(restorer.parameters()).device
        self.optimizer = _optimizer(restorer, params)
        self.steps = steps = params.steps_for(len(crops.pictures), crops.batch)
        first, looks = int(0.8 * steps), params.validations
        self.looks = {first + math.ceil((steps - first) * (k + 1) / looks) - 1 for k in range(looks)}
        self.average = AveragedModel(restorer) if params.average else None
        self.best = Best(self.average.module if self.average else restorer)
        self.parts = {"restorer": restorer, "optimizer": self.optimizer, "best": self.best}
        self.parts |= {"average": self.average} if self.average else {}

    def step(self, index: int) -> dict[str, Any]:
        """One step, and a look at the validation pictures where it is time for one; its record."""
        degraded, clear = (x.to(self.device) for x in self.crops.at(index))
        self.optimizer.param_groups[0]["lr"] = loop.cosine(index, self.steps, self.params.rate, self.params.final_rate)
        self.optimizer.zero_grad()
        loss = self.space(self.restorer(degraded), clear, self.found)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.restorer.parameters(), self.params.clip)
        skipped = loop.not_finite(loss=loss, gradient=norm)
        if not skipped:
            self.optimizer.step()
        if self.average and not skipped and index >= int((1 - self.params.average) * self.steps):
            self.average.update_parameters(self.restorer)
        record: dict[str, Any] = {"loss": loop.number(loss), **skipped}
        if index in self.looks:
            record["validation_psnr"] = validation_psnr(self.best.network, self.validation)
            self.best.offer(record["validation_psnr"], index)
        return record

    def run(self, stage: Stage) -> tuple[Best, list[dict[str, Any]]]:
        """All steps, in the loop; the best checkpoint, which the restorer then holds, and a record for every step."""

        def note(record: dict[str, Any]) -> str:
            return f"L_Q {record['loss']:.3f}{self.best.words()}"

        history = loop.run(stage, self.steps, self.step, self.parts, note, [self.crops])
        self.restorer.load_state_dict(self.best.weights)
        return self.best, history


def of_genotype(
    part: Stage, genotype: Genotype, steps: int, space: LossSpace, found: FoundLoss, crop: int, validation: Pictures
) -> tuple[Restorer, Best]:
    """A genotype trained for `steps` steps by the recipe of retraining, and judged at their end.

    A loop of its own, `part`, that is resumed. The initial weights are drawn by the stage alone, so that what is
    compared begins alike as far as it can.
    """
    run = part.run
    changes = {"steps": steps, "epochs": None, "crop": crop, "validations": 1}
    params = run.params.retrain.model_copy(update=changes)
    seed_everything(run.params.seed, part.name.rsplit("/", 1)[0], "network")
    restorer = Restorer(genotype, run.params.network.combine).to(run.device)
    best, _ = RestorerTraining(params, restorer, space, found, inputs.retraining_crops(part, params), validation).run(
        part
    )
    return restorer, best
