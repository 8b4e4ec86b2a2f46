"""The two searches of HBL's Eq. 4: loss (beta over the classifier), then architecture (alpha over the found loss)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from . import bilevel, loop
from .classifier import Classifier, upper_loss
from .config import ArchitectureSearchParams, LossSearchParams, LowerParams
from .data import Crops
from .errors import KitError
from .genotype import Genotype
from .losses import Beta, FoundLoss, LossSpace, Space
from .operations import FCM_OPERATIONS, HNU_OPERATIONS
from .runs import Stage
from .supernet import Supernet

SATURATED = 1e-3  # an upper-level loss below this no longer asks for anything
MOVED = 0.2  # a search in which nothing moved by this much is not resolved


def _upper_optimizer(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Adam:
    """Adam for beta and alpha. eps is far below their gradients, which run down to 3e-10; no weight decay, which would
    take over where the gradient vanishes and pull all weights down at full rate.
    """
    return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999), eps=1e-12)


def _lower_optimizer(weights: list[nn.Parameter], params: LowerParams) -> torch.optim.SGD:
    return torch.optim.SGD(weights, lr=params.rate, momentum=params.momentum, weight_decay=params.weight_decay)


def _lower_step(optimizer: torch.optim.SGD, gradient: Iterable[Tensor], rate: float, clip: float) -> None:
    """One weight step with a given gradient, its norm clipped."""
    weights = optimizer.param_groups[0]["params"]
    for weight, g in zip(weights, gradient, strict=True):
        weight.grad = g
    nn.utils.clip_grad_norm_(weights, clip)
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()


def _steps(params: LowerParams, train: Crops) -> int:
    steps = params.steps_for(len(train.pictures))
    if params.warmup >= steps:
        raise KitError(
            f"warmup={params.warmup} leaves the upper level none of the {steps} steps. Raise epochs or lower it."
        )
    return steps


def _norm(tensors: Iterable[Tensor]) -> float:
    return torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt().item()


def search_loss(
    stage: Stage,
    params: LossSearchParams,
    network: nn.Module,
    space: Space,
    classifier: Classifier,
    train: Crops,
    held_out: Crops,
    alpha_rate: float | None = None,
) -> tuple[FoundLoss, list[dict[str, Any]]]:
    """min over beta of L_C(w') for a fixed architecture, w' one step of the lower level ahead (Eq. 4, 1).

    `train` feeds the lower level, `held_out` (the search list) the upper one. The gradient of the weight step is the
    one the look-ahead already has. With `alpha_rate`, the alphas of the supernet `network` move on L_C too, first
    order: the synchronous strategy (Ours_a). Returns the loss, and a record for every step.
    """
    device = stage.run.device
    beta = Beta(space).to(device)
    weights = {name: p for name, p in network.named_parameters() if not name.endswith(".alpha")}
    alphas = [p.requires_grad_(bool(alpha_rate)) for name, p in network.named_parameters() if name not in weights]
    upper = _upper_optimizer(beta.parameters(), params.beta_rate)
    if alpha_rate:
        upper.add_param_group({"params": alphas, "lr": alpha_rate})
    lower = _lower_optimizer(list(weights.values()), params)
    steps = _steps(params, train)
    estimate = bilevel.METHODS[params.hypergradient]

    def step(index: int) -> dict[str, Any]:
        rate = loop.cosine(index, steps, params.rate, params.final_rate)
        degraded, clear = (x.to(device) for x in train.at(index))
        unseen = held_out.at(index)[0].to(device)
        values = bilevel.at_weights(network, lambda restored: space.values(restored, clear), degraded)
        judged = bilevel.at_weights(network, lambda restored: upper_loss(classifier, restored), unseen)
        coefficients = beta.coefficients()
        found = estimate(values, coefficients, judged, weights, rate)
        upper.zero_grad()
        coefficients.backward(found.coefficients)
        size, lower_loss = _norm(p.grad for p in beta.parameters()), float(coefficients.detach() @ found.values)
        norms = {"hypergradient": size, "gradient": _norm(found.lower)}
        if alpha_rate and index >= params.warmup:
            for alpha, gradient in zip(alphas, torch.autograd.grad(judged(weights), alphas), strict=True):
                alpha.grad = gradient
            norms["gradient of alpha"] = _norm(alpha.grad for alpha in alphas)
        skipped = loop.not_finite(upper_loss=found.upper_loss, lower_loss=lower_loss, **norms)
        if not skipped:
            if index >= params.warmup:
                upper.step()
                beta.project()
            _lower_step(lower, found.lower, rate, params.clip)
        numbers = {"upper_loss": found.upper_loss, "lower_loss": lower_loss, "hypergradient": size}
        return {**beta.snapshot(), **{name: loop.number(value) for name, value in numbers.items()}, **skipped}

    parts = {"network": network, "beta": beta, "upper": upper, "lower": lower}
    history = loop.run(
        stage, steps, step, parts, lambda r: f"L_C {r['upper_loss']:.4f}  L_Q {r['lower_loss']:.3f}", [train, held_out]
    )
    return beta.found(), history


def search_architecture(
    stage: Stage,
    params: ArchitectureSearchParams,
    space: LossSpace,
    found: FoundLoss,
    train: Crops,
    held_out: Crops,
) -> tuple[Genotype, list[dict[str, Any]]]:
    """min over alpha of L_Q(alpha, w) under the found loss, first order (Eq. 4, 2), alternating with weight steps.

    Returns the genotype, and a record for every step: both losses, the mean share of every operation in the two
    spaces, and how far each row of alpha stands from its start.
    """
    device = stage.run.device
    supernet = Supernet(params.mixing).to(device)
    alphas, weights = supernet.alphas(), supernet.weights()
    start = [alpha.detach().clone() for alpha in alphas]  # a resumed run draws the same ones again
    upper = _upper_optimizer(alphas, params.alpha_rate)
    lower = _lower_optimizer(weights, params)
    steps = _steps(params, train)

    def loss(crops: Crops, index: int) -> Tensor:
        degraded, clear = (x.to(device) for x in crops.at(index))
        return space(supernet(degraded), clear, found)

    def step(index: int) -> dict[str, Any]:
        judged, norms = loss(held_out, index), {}
        before = copy.deepcopy([[alpha.detach() for alpha in alphas], upper.state_dict()])
        if index >= params.warmup:
            for alpha, gradient in zip(alphas, torch.autograd.grad(judged, alphas), strict=True):
                alpha.grad = gradient
            upper.step()
            norms["gradient of alpha"] = _norm(alpha.grad for alpha in alphas)
        trained = loss(train, index)
        gradient = torch.autograd.grad(trained, weights)
        norms["gradient"] = _norm(gradient)
        skipped = loop.not_finite(upper_loss=judged, lower_loss=trained, **norms)
        if skipped:
            with torch.no_grad():
                for alpha, value in zip(alphas, before[0], strict=True):
                    alpha.copy_(value)
            upper.load_state_dict(before[1])
        else:
            _lower_step(lower, gradient, loop.cosine(index, steps, params.rate, params.final_rate), params.clip)
        shares = supernet.shares()
        fcm = torch.cat((shares["encoder"], shares["decoder"])).mean(0)
        return {
            "upper_loss": loop.number(judged),
            "lower_loss": loop.number(trained),
            "hnu": dict(zip(HNU_OPERATIONS, shares["hnu"].mean((0, 1)).tolist(), strict=True)),
            "fcm": dict(zip(FCM_OPERATIONS, fcm.tolist(), strict=True)),
            "moved": [(a - b).abs().max().item() for a, b in zip(alphas, start, strict=True)],
            **skipped,
        }

    parts = {"supernet": supernet, "upper": upper, "lower": lower}
    history = loop.run(
        stage,
        steps,
        step,
        parts,
        lambda r: f"L_Q {r['upper_loss']:.3f}, lower {r['lower_loss']:.3f}",
        [train, held_out],
    )
    return Genotype.derive(supernet), history


def loss_summary(history: list[dict[str, Any]], warmup: int) -> dict[str, Any]:
    """How far each weight moved from 1, whether the search is resolved, and for how much of it the signal lasted.

    Saturated: the upper-level loss is below 1e-3. Faint: the hypergradient is under a thousandth of its median over the
    first ten steps in which beta moves.
    """
    moved = {term: weight - 1.0 for term, weight in history[-1]["weights"].items()}
    history = [record for record in history[warmup:] if "skipped" not in record]
    if not history:
        raise KitError("no step of the upper level was finite: lower loss_search.rate (OVERRIDES) and search again")
    sizes = [record["hypergradient"] for record in history]
    early = sorted(sizes[:10])[len(sizes[:10]) // 2]
    return {
        "upper_steps": len(history),
        "moved": moved,
        "resolved": max(map(abs, moved.values())) >= MOVED,
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
