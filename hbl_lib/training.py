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
from . import inference, loop, metrics
from .classifier import Classifier
from .config import ClassifierParams, RetrainParams
from .data import Crops, Pictures
from .losses import FoundLoss, Space
from .progress import Progress
from .runs import Stage, generator


def train_classifier(stage: Stage, params: ClassifierParams, crops: Crops) -> tuple[Classifier, list[dict[str, Any]]]:
    """Clear against degraded, cross-entropy, Adam with a cosine; half of a batch is of each class."""
    device = stage.run.device
    classifier = Classifier(params.network).to(device)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=params.rate)
    steps = params.steps_for(len(crops.pictures), crops.batch)

    def step(index: int) -> dict[str, Any]:
        pictures, labels = classifiers.samples(
            *crops.at(index), params.negatives, generator(crops.seed, "samples", index)
        )
        logits = classifier(pictures.to(device))
        loss = F.cross_entropy(logits, labels.to(device), label_smoothing=params.label_smoothing)
        optimizer.param_groups[0]["lr"] = loop.cosine(index, steps, params.rate, 0.0)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.get_total_norm(p.grad for p in classifier.parameters())
        skipped = loop.not_finite(loss=loss, gradient=norm)
        if not skipped:
            optimizer.step()
        accuracy = (logits.argmax(1).cpu() == labels).float().mean().item()
        return {"loss": loop.number(loss), "accuracy": accuracy, **skipped}

    parts = {"classifier": classifier, "optimizer": optimizer}
    history = loop.run(stage, steps, step, parts, lambda r: f"loss {r['loss']:.3f}", [crops])
    return classifier.eval(), history


class Best:
    """The weights of `network` with the highest validation PSNR so far."""

    def __init__(self, network: nn.Module):
        self.network, self.psnr, self.step = network, -float("inf"), -1
        self.weights = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def offer(self, psnr: float, step: int) -> None:
        if psnr > self.psnr:
            self.psnr, self.step, self.weights = psnr, step, self._copy()

    def words(self) -> str:
        """For the progress line."""
        return f"  best {self.psnr:.2f} dB" if self.step >= 0 else ""

    def state_dict(self) -> dict[str, Any]:
        return {"psnr": self.psnr, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
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


def train_restorer(
    stage: Stage,
    params: RetrainParams,
    restorer: nn.Module,
    space: Space,
    found: FoundLoss,
    crops: Crops,
    validation: Pictures,
) -> tuple[Best, list[dict[str, Any]]]:
    """Train `restorer` from its initial weights under the found loss; the best validation checkpoint is kept.

    Candidates come from the last fifth of the schedule, evenly spaced: while the rate is high the brightness of the
    output wavers from step to step, and a few validation pictures would choose by chance. With `params.average` a
    candidate is the mean of the weights since that share of the steps was left (Izmailov et al. 2018), else the
    weights of its step.
    """
    device = stage.run.device
    optimizer = _optimizer(restorer, params)
    steps = params.steps_for(len(crops.pictures), crops.batch)
    first = int(0.8 * steps)
    looks = {first + math.ceil((steps - first) * (k + 1) / params.validations) - 1 for k in range(params.validations)}
    average = AveragedModel(restorer) if params.average else None
    best = Best(average.module if average else restorer)

    def step(index: int) -> dict[str, Any]:
        degraded, clear = (x.to(device) for x in crops.at(index))
        optimizer.param_groups[0]["lr"] = loop.cosine(index, steps, params.rate, params.final_rate)
        optimizer.zero_grad()
        loss = space(restorer(degraded), clear, found)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(restorer.parameters(), params.clip)
        skipped = loop.not_finite(loss=loss, gradient=norm)
        if not skipped:
            optimizer.step()
        if average and not skipped and index >= int((1 - params.average) * steps):
            average.update_parameters(restorer)
        record: dict[str, Any] = {"loss": loop.number(loss), **skipped}
        if index in looks:
            record["validation_psnr"] = validation_psnr(best.network, validation)
            best.offer(record["validation_psnr"], index)
        return record

    parts = {"restorer": restorer, "optimizer": optimizer, "best": best} | ({"average": average} if average else {})
    history = loop.run(stage, steps, step, parts, lambda r: f"L_Q {r['loss']:.3f}{best.words()}", [crops])
    restorer.load_state_dict(best.weights)
    return best, history
