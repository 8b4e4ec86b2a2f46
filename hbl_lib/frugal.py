"""Two functions that keep less for the backward pass than autograd would; their plain forms stand beside them.

Where no gradient is recorded, as in forward mode, each is its plain form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .operations import convolve


def plain_branch(x: Tensor, hidden: Tensor, outer: Tensor) -> Tensor:
    """conv(ReLU(conv(x, hidden)), outer): what is not linear in a dense candidate; kernels (C, C, k, k)."""
    return convolve(F.relu(convolve(x, hidden)), outer)


class _HiddenBranch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        return plain_branch(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        differentiable = torch.is_grad_enabled()
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad
        with torch.enable_grad():
            if not differentiable:
                inputs = [x.detach().requires_grad_(n) for x, n in zip(inputs, needed, strict=True)]
            wanted = [x for x, n in zip(inputs, needed, strict=True) if n]
            found = iter(torch.autograd.grad(plain_branch(*inputs), wanted, slope, create_graph=differentiable))
        return tuple(next(found) if n else None for n in needed)


def hidden_branch(x: Tensor, hidden: Tensor, outer: Tensor) -> Tensor:
    """`plain_branch`, whose hidden maps are computed again for the backward pass in place of being kept."""
    return (_HiddenBranch.apply if torch.is_grad_enabled() else plain_branch)(x, hidden, outer)


def plain_difference(x: Tensor, reference: Tensor, rectified: bool) -> Tensor:
    """mean((x - r)^2) with r the reference, or ReLU(reference) where `rectified`; a scalar."""
    return (x - (F.relu(reference) if rectified else reference)).square().mean()


class _MeanSquaredDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, reference: Tensor, rectified: bool) -> Tensor:
        ctx.save_for_backward(x, reference)
        ctx.rectified = rectified
        return plain_difference(x, reference, rectified)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        x, reference = ctx.saved_tensors
        apart = x - (F.relu(reference) if ctx.rectified else reference)
        return apart * (2 * slope / x.numel()), None, None


def mean_squared_difference(x: Tensor, reference: Tensor, rectified: bool = False) -> Tensor:
    """`plain_difference`, which keeps no difference for the backward pass; no gradient reaches the reference."""
    return (_MeanSquaredDifference.apply if torch.is_grad_enabled() else plain_difference)(x, reference, rectified)
