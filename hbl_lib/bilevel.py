"""The hypergradient of beta: three estimators behind one signature.

The lower level takes one plain gradient step, w' = w - xi grad_w L(w; beta), and the upper level looks at w'. As
L(w; beta) = sum_i c_i(beta) l_i(w), with v = grad_w' L_C(w'):

    d L_C(w') / d c_i = -xi <grad_w l_i(w), v>

What the step may hold beside the gradient, as a weight decay and momentum do in the authors' code, is here a `shift` s:
w' = w - xi (grad_w L(w; beta) + s). It does not hang on beta: it moves w', and so v, and the equation stays.

`exact` gets all the inner products from one forward-mode pass along v; `double_backward` differentiates through the
explicit step (the plain reference); `finite_difference` is the published scheme (DARTS, with radius 0.01 / |v|).
First-order DARTS (xi = 0) is no choice here: L_C does not contain beta, so its hypergradient is zero.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

from .errors import KitError

Weights = dict[str, Tensor]
Values = Callable[[Weights], Tensor]  # the lower level's l_i at weights w, (V,)
Upper = Callable[[Weights], Tensor]  # L_C at weights w, a scalar
Shift = Sequence[Tensor] | None  # s, a tensor for each of the weights; None: zero


@dataclass(frozen=True)
class Hypergradient:
    """What one look-ahead gives; None where there was none."""

    coefficients: Tensor | None  # d L_C(w') / d c, (V,)
    lower: list[Tensor]  # grad_w L(w; beta), which the lower level's own step can use
    upper_loss: float | None  # L_C(w')
    values: Tensor  # l_i(w), (V,)


def check_rate(rate: float) -> None:
    """Refuse xi = 0 (and worse) with the reason."""
    if not rate > 0:
        raise KitError(
            f"the look-ahead rate xi is {rate}: it must be above 0. The upper-level loss does not contain beta, so the "
            "first-order form (xi = 0) gives a hypergradient of exactly zero and the loss weights would never move."
        )


def look_ahead(weights: Weights, gradient: Sequence[Tensor], rate: float, shift: Shift = None) -> Weights:
    """w' = w - xi (g + s), differentiable in w and g."""
    whole = gradient if shift is None else [g + s for g, s in zip(gradient, shift, strict=True)]
    return {name: w - rate * g for (name, w), g in zip(weights.items(), whole, strict=True)}


def _slope_ahead(
    weights: Weights, gradient: list[Tensor], rate: float, shift: Shift, upper: Upper
) -> tuple[Tensor, list[Tensor]]:
    """L_C and its gradient v at w'."""
    with torch.no_grad():
        ahead = look_ahead(weights, gradient, rate, shift)
    ahead = {name: w.requires_grad_() for name, w in ahead.items()}
    loss = upper(ahead)
    return loss.detach(), list(torch.autograd.grad(loss, list(ahead.values())))


def _lower_gradient(values: Values, coefficients: Tensor, weights: Weights) -> tuple[Tensor, list[Tensor]]:
    found = values(weights)
    return found.detach(), list(torch.autograd.grad(coefficients.detach() @ found, list(weights.values())))


def exact(
    values: Values, coefficients: Tensor, upper: Upper, weights: Weights, rate: float, shift: Shift = None
) -> Hypergradient:
    """Exact, by forward mode: 3 forward-equivalents for each level's gradient and 3 for the pass along v."""
    check_rate(rate)
    found, gradient = _lower_gradient(values, coefficients, weights)
    loss, v = _slope_ahead(weights, gradient, rate, shift, upper)
    with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*torch.jit.script.*", category=FutureWarning
        )  # torch's own use of it
        dual = {name: forward_ad.make_dual(w.detach(), g) for (name, w), g in zip(weights.items(), v, strict=True)}
        along = forward_ad.unpack_dual(values(dual)).tangent
    return Hypergradient(-rate * along, gradient, loss.item(), found)


def double_backward(
    values: Values, coefficients: Tensor, upper: Upper, weights: Weights, rate: float, shift: Shift = None
) -> Hypergradient:
    """Exact, by differentiating the explicit unroll: the reference, at several times the memory."""
    check_rate(rate)
    c = coefficients.detach().requires_grad_()
    found = values(weights)
    gradient = torch.autograd.grad(c @ found, list(weights.values()), create_graph=True)
    loss = upper(look_ahead(weights, gradient, rate, shift))
    (hyper,) = torch.autograd.grad(loss, c)
    return Hypergradient(hyper, [g.detach() for g in gradient], loss.item(), found.detach())


def finite_difference(
    values: Values,
    coefficients: Tensor,
    upper: Upper,
    weights: Weights,
    rate: float,
    shift: Shift = None,
    radius: float = 0.01,
) -> Hypergradient:
    """The published scheme: -xi (l(w + R v) - l(w - R v)) / 2R with R = radius / |v|."""
    check_rate(rate)
    found, gradient = _lower_gradient(values, coefficients, weights)
    loss, v = _slope_ahead(weights, gradient, rate, shift, upper)
    step = radius / torch.stack([g.square().sum() for g in v]).sum().sqrt().clamp(min=1e-30)
    with torch.no_grad():
        plus = values({name: w + step * g for (name, w), g in zip(weights.items(), v, strict=True)})
        minus = values({name: w - step * g for (name, w), g in zip(weights.items(), v, strict=True)})
    return Hypergradient(-rate * (plus - minus) / (2 * step), gradient, loss.item(), found)


def without_upper(values: Values, coefficients: Tensor, weights: Weights) -> Hypergradient:
    """The lower level alone, for steps in which beta rests: no look-ahead, and nothing known of the upper level."""
    found, gradient = _lower_gradient(values, coefficients, weights)
    return Hypergradient(None, gradient, None, found)


METHODS = {"exact": exact, "double_backward": double_backward, "finite_difference": finite_difference}


def at_weights(
    network: nn.Module, function: Callable[[Tensor], Tensor], degraded: Tensor
) -> Callable[[Weights], Tensor]:
    """weights -> function(network(degraded)) with `weights` in place of the network's own; the rest stays as it is."""
    return lambda weights: function(functional_call(network, weights, (degraded,)))
