"""The two searches of HBL's Eq. 4: loss (beta over the classifier), then architecture (alpha over the found loss)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import get_total_norm, parameters_to_vector

from . import bilevel, loop
from .classifier import Classifier, upper_loss
from .data import Crops
from .errors import KitError
from .genotype import Genotype
from .losses import Beta, FoundLoss, LossSpace, Space
from .parameters import ArchitectureSearchParams, LossSearchParams, LowerParams
from .runs import Stage
from .supernet import Supernet, weights_of

CLEAR_BELOW = math.log(2)  # an upper-level loss below this: to the classifier, clear is likelier than degraded
SATURATED = 1e-3  # an upper-level loss below this no longer asks for anything
MOVED = 0.2  # a search in which nothing moved by this much is not resolved


def _upper_optimizer(parameters: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Adam:
    """Adam for beta and alpha. eps is far below their gradients, which run down to 3e-10; so a weight decay takes over
    where the gradient vanishes, and pulls all of them down at full rate.
    """
    return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999), eps=1e-12, weight_decay=decay)


def _lower_optimizer(weights: list[nn.Parameter], params: LowerParams) -> torch.optim.SGD:
    return torch.optim.SGD(
        weights, lr=params.rate, momentum=params.momentum, weight_decay=params.decay_of("weight_step")
    )


def _shift(optimizer: torch.optim.SGD, params: LowerParams) -> list[Tensor] | None:
    """What the look-ahead's step holds beside the gradient: weight decay, and the momentum that the weights have."""
    decay, momentum = params.decay_of("look_ahead"), params.momentum * params.look_ahead_momentum
    if not decay and not momentum:
        return None
    weights = optimizer.param_groups[0]["params"]
    found = [decay * weight.detach() for weight in weights]
    for shift, weight in zip(found, weights, strict=True):
        if (kept := optimizer.state[weight].get("momentum_buffer")) is not None:  # none before the first step
            shift.add_(kept, alpha=momentum)
    return found


def _lower_step(optimizer: torch.optim.SGD, gradient: Iterable[Tensor], norm: Tensor, rate: float, clip: float) -> None:
    """One weight step with a given gradient, whose norm is clipped."""
    weights = optimizer.param_groups[0]["params"]
    for weight, g in zip(weights, gradient, strict=True):
        weight.grad = g
    nn.utils.clip_grads_with_norm_(weights, clip, norm)
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()


def _steps(params: LowerParams, train: Crops) -> int:
    steps = params.steps_for(len(train.pictures))
    if params.warmup >= steps:
        raise KitError(
            f"warmup={params.warmup} leaves the upper level none of the {steps} steps. Raise epochs or lower it."
        )
    return steps


class LossSearch:
    """min over beta of L_C(w') for a fixed architecture, w' one plain gradient step ahead (Eq. 4, 1).

    `train` feeds the lower level, `held_out` (the search list) the upper one. The gradient of the weight step, which
    has momentum, weight decay and clipping too, is the one the look-ahead already has, so of the beta before this
    iteration's own step. With `alphas_by`, of which only `alpha_rate` and `alpha_decay` are read, the alphas of the
    supernet `network` move on L_C too, first order: the synchronous strategy (Ours_a). While the upper level rests
    (`params.warmup`), nothing is computed for it.
    """

    def __init__(
        self,
        params: LossSearchParams,
        network: nn.Module,
        space: Space,
        classifier: Classifier,
        train: Crops,
        held_out: Crops,
        alphas_by: ArchitectureSearchParams | None = None,
    ):
        self.params, self.network, self.space, self.train, self.held_out = params, network, space, train, held_out
        self.classifier = classifier.folded()
        self.device = next(network.parameters()).device
        self.beta = Beta(space).to(self.device)
        self.weights = weights_of(network)
        alphas = [p for name, p in network.named_parameters() if name not in self.weights]
        self.alphas = [] if alphas_by is None else alphas
        for alpha in alphas:
            alpha.requires_grad_(alphas_by is not None)
        self.upper = _upper_optimizer(self.beta.parameters(), params.beta_rate, params.beta_decay)
        if alphas_by is not None:
            own = {"lr": alphas_by.alpha_rate, "weight_decay": alphas_by.alpha_decay}
            self.upper.add_param_group({"params": self.alphas, **own})
        self.lower = _lower_optimizer(list(self.weights.values()), params)
        self.steps = _steps(params, train)
        self.parts = {"network": network, "beta": self.beta, "upper": self.upper, "lower": self.lower}

    def step(self, index: int) -> dict[str, Any]:
        """One step of both levels; its record."""
        rate = loop.cosine(index, self.steps, self.params.rate, self.params.final_rate)
        degraded, clear = (x.to(self.device) for x in self.train.at(index))
        values = bilevel.at_weights(self.network, lambda restored: self.space.values(restored, clear), degraded)
        coefficients, numbers = self.beta.coefficients(), {"upper_loss": None, "hypergradient": None}
        moving = index >= self.params.warmup
        if moving:
            unseen = self.held_out.at(index)[0].to(self.device)
            judged = bilevel.at_weights(self.network, lambda restored: upper_loss(self.classifier, restored), unseen)
            estimate = bilevel.METHODS[self.params.hypergradient]
            found = estimate(values, coefficients, judged, self.weights, rate, _shift(self.lower, self.params))
            self.upper.zero_grad()
            coefficients.backward(found.coefficients)
            size = get_total_norm([p.grad for p in self.beta.parameters()])
            numbers = {"upper_loss": found.upper_loss, "hypergradient": size}
        else:
            found = bilevel.without_upper(values, coefficients, self.weights)
        norm = get_total_norm(found.lower)
        numbers["lower_loss"] = coefficients.detach() @ found.values
        norms = {"gradient": norm}
        if moving and self.alphas:
            for alpha, gradient in zip(
                self.alphas, torch.autograd.grad(judged(self.weights), self.alphas), strict=True
            ):
                alpha.grad = gradient
            norms["gradient of alpha"] = get_total_norm([alpha.grad for alpha in self.alphas])
        skipped = loop.not_finite(**{name: x for name, x in numbers.items() if x is not None}, **norms)
        if not skipped:
            if moving:
                self.upper.step()
                self.beta.project()
            _lower_step(self.lower, found.lower, norm, rate, self.params.clip)
        plain = {name: None if x is None else loop.number(x) for name, x in numbers.items()}
        return {**self.beta.snapshot(), **plain, **skipped}

    def run(self, stage: Stage) -> tuple[FoundLoss, list[dict[str, Any]]]:
        """All steps, in the loop; the loss found, and a record for every step."""

        def note(record: dict[str, Any]) -> str:
            upper = "L_C rests" if record["upper_loss"] is None else f"L_C {record['upper_loss']:.4f}"
            return f"{upper}  L_Q {record['lower_loss']:.3f}"

        history = loop.run(stage, self.steps, self.step, self.parts, note, [self.train, self.held_out])
        return self.beta.found(), history


class ArchitectureSearch:
    """min over alpha of L_Q(alpha, w) under the found loss, first order (Eq. 4, 2), alternating with weight steps.

    With `params.gradient` "unrolled", alpha's gradient goes through one plain gradient step of the weights, as in the
    authors' code but for its momentum (`params.look_ahead_momentum`) and finite difference: d/d alpha
    L_Q(alpha, w - xi grad_w L_Q(w, alpha)), exact by double backward, at several times the cost.

    A record holds both losses, the mean share of every operation in the two spaces, and how far each row of alpha
    stands from its start. While the upper level rests (`params.warmup`), nothing is computed for it.
    """

    def __init__(
        self,
        params: ArchitectureSearchParams,
        supernet: Supernet,
        space: LossSpace,
        found: FoundLoss,
        train: Crops,
        held_out: Crops,
    ):
        self.params, self.supernet, self.space, self.found = params, supernet, space, found
        self.train, self.held_out = train, held_out
        self.alphas, self.weights = supernet.alphas(), supernet.weights()
        self.device = self.alphas[0].device
        self.start = parameters_to_vector(self.alphas).detach().clone()  # drawn again on resuming
        self.upper = _upper_optimizer(self.alphas, params.alpha_rate, params.alpha_decay)
        self.lower = _lower_optimizer(self.weights, params)
        self.steps = _steps(params, train)
        self.parts = {"supernet": supernet, "upper": self.upper, "lower": self.lower}

    def _loss(self, crops: Crops, index: int, weights: dict[str, Tensor] | None = None) -> Tensor:
        degraded, clear = (x.to(self.device) for x in crops.at(index))
        restored = self.supernet(degraded) if weights is None else functional_call(self.supernet, weights, (degraded,))
        return self.space(restored, clear, self.found)

    def _unrolled(self, index: int) -> Tensor:
        """L_Q on held-out pictures one step ahead; differentiable in alpha through that step too."""
        rate = loop.cosine(index, self.steps, self.params.rate, self.params.final_rate)
        trained = self._loss(self.train, index)
        gradient = torch.autograd.grad(trained, self.weights, create_graph=True)
        ahead = bilevel.look_ahead(weights_of(self.supernet), gradient, rate, _shift(self.lower, self.params))
        return self._loss(self.held_out, index, ahead)

    def _moving(self) -> list[Tensor]:
        """All that a step of the upper level changes: alpha, and Adam's state."""
        return [*self.alphas, *(tensor for state in self.upper.state.values() for tensor in state.values())]

    def step(self, index: int) -> dict[str, Any]:
        """One step of both levels; its record."""
        judged, norms, before = None, {}, []
        if index >= self.params.warmup:
            before = [(tensor, tensor.detach().clone()) for tensor in self._moving()]
            judged = self._unrolled(index) if self.params.gradient == "unrolled" else self._loss(self.held_out, index)
            for alpha, slope in zip(self.alphas, torch.autograd.grad(judged, self.alphas), strict=True):
                alpha.grad = slope
            norms["gradient of alpha"] = get_total_norm([alpha.grad for alpha in self.alphas])
            self.upper.step()
        trained = self._loss(self.train, index)
        gradient = torch.autograd.grad(trained, self.weights)
        norms["gradient"] = get_total_norm(gradient)
        losses = {"upper_loss": judged, "lower_loss": trained}
        skipped = loop.not_finite(**{name: x for name, x in losses.items() if x is not None}, **norms)
        if not skipped:
            rate = loop.cosine(index, self.steps, self.params.rate, self.params.final_rate)
            _lower_step(self.lower, gradient, norms["gradient"], rate, self.params.clip)
        elif before:
            if len(before) == len(self.alphas):  # Adam had no state yet
                self.upper.state.clear()
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)
        shares = self.supernet.shares()
        fcm = torch.cat((shares["encoder"], shares["decoder"])).mean(0)
        moved = (parameters_to_vector(self.alphas).detach() - self.start).abs()
        return {
            **{name: None if x is None else loop.number(x) for name, x in losses.items()},
            "hnu": dict(zip(self.supernet.operations["hnu"], shares["hnu"].mean((0, 1)).tolist(), strict=True)),
            "fcm": dict(zip(self.supernet.operations["encoder"], fcm.tolist(), strict=True)),
            "moved": [row.max().item() for row in moved.split([alpha.numel() for alpha in self.alphas])],
            **skipped,
        }

    def run(self, stage: Stage) -> tuple[Genotype, list[dict[str, Any]]]:
        """All steps, in the loop; the genotype, and a record for every step."""

        def note(record: dict[str, Any]) -> str:
            upper = "rests" if record["upper_loss"] is None else f"{record['upper_loss']:.3f}"
            return f"L_Q {upper}, lower {record['lower_loss']:.3f}"

        history = loop.run(stage, self.steps, self.step, self.parts, note, [self.train, self.held_out])
        return Genotype.derive(self.supernet), history


def loss_summary(history: list[dict[str, Any]], warmup: int) -> dict[str, Any]:
    """How far each weight moved from 1, whether the search is resolved, and for how much of it the signal lasted.

    Judged clear: the upper-level loss is below ln 2; its share of the first fifth of the steps in which beta moves, and
    of the last. Clear from: the first clear step from which on nine tenths of what is left are so, if that is a fifth
    at least; else None. It is counted from the search's first step, from 0; in the warmup nothing is judged, so it is
    `warmup` at the earliest. Saturated: that loss is below 1e-3 (a classifier with smoothed labels hardly gives so
    little). Faint: the hypergradient is under a thousandth of its median over the first ten of these steps.
    """
    moved = {term: weight - 1.0 for term, weight in history[-1]["weights"].items()}
    steps = [step for step in range(warmup, len(history)) if "skipped" not in history[step]]
    history = [history[step] for step in steps]
    if not history:
        raise KitError("no step of the upper level was finite: lower loss_search.rate (OVERRIDES) and search again")
    sizes = [record["hypergradient"] for record in history]
    early = sorted(sizes[:10])[len(sizes[:10]) // 2]
    clear, fifth = [record["upper_loss"] < CLEAR_BELOW for record in history], -(-len(history) // 5)
    lasting = (i for i in range(len(clear) - fifth + 1) if clear[i] and sum(clear[i:]) >= 0.9 * len(clear[i:]))
    return {
        "upper_steps": len(history),
        "moved": moved,
        "resolved": max(map(abs, moved.values())) >= MOVED,
        "judged_clear_first": sum(clear[:fifth]) / fifth,
        "judged_clear_last": sum(clear[-fifth:]) / fifth,
        "clear_from": next((steps[i] for i in lasting), None),
        "saturated_share": sum(r["upper_loss"] < SATURATED for r in history) / len(history),
        "faint_share": sum(size < early / 1000 for size in sizes) / len(history),
    }


def architecture_summary(history: list[dict[str, Any]]) -> dict[str, Any]:
    """How far the rows of alpha moved, and whether the search is resolved."""
    moved = history[-1]["moved"]
    return {
        "steps": len(history),
        "moved": {"median": sorted(moved)[len(moved) // 2], "max": max(moved), "min": min(moved)},
        "resolved": max(moved) >= MOVED,
    }
