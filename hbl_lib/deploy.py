"""A restorer folded for use: the same output but for rounding, fewer and cheaper steps, no gradients.

An identity becomes a tap of the kernel beside it. The two convolutions of a dense candidate that read the layer's
input become one. R_u and R_v of a unit run side by side: where both have the same kind of layer, as one convolution in
two groups. ReLUs and sums work in place. Everything stays in the channels-last format.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import COMBINATIONS, HNU, Network, ResidualPair, normalise
from .operations import Convolution, Dense, Skip, convolve


def _frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(memory_format=torch.channels_last), requires_grad=False)


class Folded(nn.Module):
    """One convolution: a candidate without a ReLU inside, its identity folded into the kernel."""

    def __init__(self, weight: Tensor, dilation: int, groups: int = 1):
        super().__init__()
        self.weight, self.dilation, self.groups = _frozen(weight), dilation, groups

    @classmethod
    def of(cls, layer: Convolution) -> Folded:
        """A candidate with its identity, where it has one, added to the middle of the kernel."""
        weight = layer.weight.detach().clone()
        if layer.spec.residual:
            middle = layer.spec.size // 2
            weight[:, :, middle, middle] += torch.eye(len(weight)).to(weight)
        return cls(weight, layer.spec.dilation)

    def forward(self, x: Tensor) -> Tensor:
        reach = self.dilation * (self.weight.shape[-1] // 2)
        return F.conv2d(x, self.weight, padding=reach, dilation=self.dilation, groups=self.groups)


class FoldedDense(nn.Module):
    """k-DC: one convolution for all that reads x, one over its ReLU'd half."""

    def __init__(self, layer: Dense):
        super().__init__()
        on_input, on_hidden = layer.second.chunk(2, 1)
        self.first = _frozen(torch.cat((layer.first, on_input)))
        self.second = _frozen(on_hidden)

    def forward(self, x: Tensor) -> Tensor:
        hidden, y = convolve(x, self.first).chunk(2, 1)
        return convolve(F.relu(hidden), self.second).add_(y)


def fold(layer: nn.Module) -> nn.Module:
    """A layer of a restorer, folded."""
    if isinstance(layer, Skip):
        return layer
    return FoldedDense(layer) if isinstance(layer, Dense) else Folded.of(layer)


class FoldedPair(nn.Module):
    """x + second(ReLU(first(x))), in place of what the layers return."""

    def __init__(self, pair: ResidualPair):
        super().__init__()
        self.first, self.second = fold(pair.first), fold(pair.second)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(x) if isinstance(self.first, Skip) else F.relu_(self.first(x))
        return self.second(hidden).add_(x)


def _alike(a: Folded, b: Folded) -> bool:
    return (a.weight.shape, a.dilation) == (b.weight.shape, b.dilation)


class SideBySide(nn.Module):
    """A unit whose branches run as one where their layers are of one kind; `branches` is 2 or, joined, 1 tensor."""

    def __init__(self, unit: HNU):
        super().__init__()
        self.steps = nn.ModuleList(map(self._step, range(len(unit.clear)), unit.clear, unit.factor))
        self.combined = COMBINATIONS[unit.combine]

    @staticmethod
    def _step(place: int, clear: nn.Module, factor: nn.Module) -> nn.Module:
        both = fold(clear), fold(factor)
        if all(isinstance(layer, Folded) for layer in both) and _alike(*both):
            weight = torch.cat([layer.weight for layer in both])
            return Folded(weight, both[0].dilation, groups=2 if place else 1)  # the first layers read the same input
        return nn.ModuleList(both)

    def forward(self, x: Tensor) -> Tensor:
        branches = [x, x]
        for place, step in enumerate(self.steps):
            if isinstance(step, Folded):
                joined = x if place == 0 else branches[0] if len(branches) == 1 else torch.cat(branches, 1)
                branches.clear()  # what is no longer needed goes at once: pictures may be large
                y = step(joined)
                del joined
                branches = [normalise(y)]
                del y
            else:
                branches = list(branches[0].chunk(2, 1)) if len(branches) == 1 else branches
                for k, layer in enumerate(step):
                    branches[k] = normalise(layer(branches[k]))
            if place + 1 < len(self.steps):
                branches = [F.relu_(branch) for branch in branches]
        clear, factor = branches[0].chunk(2, 1) if len(branches) == 1 else branches
        clear, factor = F.relu_(clear.add_(x)), F.relu_(factor.add_(x))
        # the sigmoid of a ReLU is at least 1/2: the unit's clamp to [0.01, 1] changes nothing
        return self.combined(clear, factor.sigmoid_())


def deploy(restorer: Network) -> Network:
    """The folded network: degraded (N, 3, H, W) in [0, 1], RGB -> restored, same shape, not clipped; no gradients."""
    folded = Network(lambda *_: nn.Identity())
    for part, source in ((folded.encoder, restorer.encoder), (folded.decoder, restorer.decoder)):
        for name, layer in source.named_children():
            if isinstance(layer, nn.Sequential):
                layer = nn.Sequential(*map(FoldedPair, layer))
            elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                layer = copy.deepcopy(layer).to(memory_format=torch.channels_last)
            else:
                layer = fold(layer)
            setattr(part, name, layer)
    folded.units = nn.Sequential(*map(SideBySide, restorer.units))
    return folded.requires_grad_(False).eval()
