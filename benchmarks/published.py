"""The references, written plainly: what the benchmarks compare the kit with.

The published scheme of the loss search (as in the authors' public code): the supernet keeps every
candidate's feature map; one iteration takes the lower level's gradient, rebuilds the whole model one step ahead, takes
the classifier's gradient there, and the loss at two points along it (the finite difference of DARTS); then the weight
step computes its gradient anew. Features of the clear picture are computed at every evaluation of the loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hbl_lib import losses, operations
from hbl_lib.classifier import Classifier
from hbl_lib.losses import PIXEL_TERMS
from hbl_lib.network import Network, pad_to_multiple
from hbl_lib.operations import FCM_OPERATIONS, HNU_OPERATIONS
from hbl_lib.perceptual import LPIPS, Trunk
from hbl_lib.restorer import Restorer

RADIUS = 0.01
Values = Callable[[Tensor, Tensor], Tensor]  # restored, clear -> the lower level's l_i


class MixedFeatures(nn.Module):
    """sum_k softmax(alpha)_k op_k(x), each candidate a module of its own."""

    def __init__(self, names: tuple[str, ...], in_channels: int, out_channels: int):
        super().__init__()
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(names)))
        self.candidates = nn.ModuleList(operations.make(name, in_channels, out_channels) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        return sum(w * op(x) for w, op in zip(F.softmax(self.alpha, 0), self.candidates, strict=True))


CANDIDATES = {"encoder": FCM_OPERATIONS, "hnu": HNU_OPERATIONS, "decoder": FCM_OPERATIONS}


def supernet(candidates: Mapping[str, tuple[str, ...]] = CANDIDATES) -> Network:
    """The published supernet."""

    def layer(part: str, _unit: int, _layer: int, in_channels: int, out_channels: int) -> nn.Module:
        return MixedFeatures(candidates[part], in_channels, out_channels)

    return Network(layer)


def pixel_values(restored: Tensor, clear: Tensor) -> Tensor:
    """The six pixel terms."""
    return torch.stack([getattr(losses, name)(restored, clear) for name in PIXEL_TERMS])


def all_values(trunk: Trunk, lpips: LPIPS, layers: Sequence[int]) -> Values:
    """Pixel terms, LPIPS, and the distance at each of the trunk's layers given, the two networks each on its own."""

    def features(network: Trunk, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        return [x for _, x in network.stream(x, wanted)]

    def values(restored: Tensor, clear: Tensor) -> Tensor:
        pairs = zip(features(trunk, restored, layers), features(trunk, clear, layers), strict=True)
        distances = [(a - b).square().mean() for a, b in pairs]
        taps = list(lpips.taps)
        pairs = zip(taps, features(lpips.trunk, restored, taps), features(lpips.trunk, clear, taps), strict=True)
        perceptual = sum(lpips.at_tap(tap, a, b) for tap, a, b in pairs).mean()
        return torch.stack([*pixel_values(restored, clear), perceptual, *distances])

    return values


class PlainRestorer(Restorer):
    """The discrete network as it stands in the authors' code: torch's default memory format, nothing folded."""

    def forward(self, degraded: Tensor) -> Tensor:
        half, quarter = self.encoder(pad_to_multiple(degraded))
        return self.decoder(self.units(quarter), half, quarter)[..., : degraded.shape[-2], : degraded.shape[-1]]


class LossSearch:
    """The published iteration: one beta step and one weight step."""

    def __init__(self, network: nn.Module, values: Values, count: int, classifier: Classifier, rate: float):
        self.network, self.values, self.classifier, self.rate = network, values, classifier, rate
        self.weights = [p for name, p in network.named_parameters() if not name.endswith(".alpha")]
        self.beta = torch.ones(count, requires_grad=True, device=self.weights[0].device)
        self.upper = torch.optim.Adam([self.beta], lr=5e-4, betas=(0.5, 0.999))
        self.lower = torch.optim.SGD(self.weights, lr=rate, momentum=0.9, weight_decay=3e-4)

    def _loss(self, network: nn.Module, degraded: Tensor, clear: Tensor) -> Tensor:
        return self.beta @ self.values(network(degraded), clear)

    def _ahead(self, gradient: tuple[Tensor, ...]) -> nn.Module:
        """The whole model rebuilt, one plain step ahead."""
        rebuilt = copy.deepcopy(self.network)
        state = dict(self.network.state_dict())
        names = [name for name, _ in self.network.named_parameters() if not name.endswith(".alpha")]
        for name, w, g in zip(names, self.weights, gradient, strict=True):
            state[name] = w.detach() - self.rate * g
        rebuilt.load_state_dict(state)
        return rebuilt

    def hypergradient(self, degraded: Tensor, clear: Tensor, unseen: Tensor) -> Tensor:
        """d L_C(w') / d beta by the finite difference."""
        gradient = torch.autograd.grad(self._loss(self.network, degraded, clear), self.weights)
        ahead = self._ahead(gradient)
        label = torch.ones(len(unseen), dtype=torch.long, device=unseen.device)
        loss = F.cross_entropy(self.classifier(ahead(unseen)), label)
        moved = [p for name, p in ahead.named_parameters() if not name.endswith(".alpha")]
        v = torch.autograd.grad(loss, moved)
        step = RADIUS / torch.cat([g.flatten() for g in v]).norm()
        slopes = []
        for sign in (1, -2):  # to w + R v, then to w - R v
            with torch.no_grad():
                for w, g in zip(self.weights, v, strict=True):
                    w += sign * step * g
            slopes.append(torch.autograd.grad(self._loss(self.network, degraded, clear), self.beta)[0])
        with torch.no_grad():
            for w, g in zip(self.weights, v, strict=True):
                w += step * g
        return -self.rate * (slopes[0] - slopes[1]) / (2 * step)

    def step(self, degraded: Tensor, clear: Tensor, unseen: Tensor) -> None:
        self.beta.grad = self.hypergradient(degraded, clear, unseen)
        self.upper.step()
        with torch.no_grad():
            self.beta.clamp_(min=0)
        self.lower.zero_grad()
        self._loss(self.network, degraded, clear).backward(inputs=self.weights)
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.lower.step()


class ArchitectureSearch:
    """First order, as the paper has it: one alpha step on held-out pictures, one weight step.

    Each takes the gradients of everything, as DARTS does; with `prunes`, of what it moves alone.
    """

    def __init__(self, network: nn.Module, values: Values, beta: Tensor, rate: float, prunes: bool = False):
        self.network, self.values, self.beta, self.prunes = network, values, beta, prunes
        named = list(network.named_parameters())
        self.alphas = [p for name, p in named if name.endswith(".alpha")]
        self.weights = [p for name, p in named if not name.endswith(".alpha")]
        self.upper = torch.optim.Adam(self.alphas, lr=5e-4, betas=(0.5, 0.999))
        self.lower = torch.optim.SGD(self.weights, lr=rate, momentum=0.9, weight_decay=3e-4)

    def step(self, train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> None:
        for optimizer, (degraded, clear) in ((self.upper, held_out), (self.lower, train)):
            self.network.zero_grad()
            wanted = self.alphas if optimizer is self.upper else self.weights
            loss = self.beta @ self.values(self.network(degraded), clear)
            loss.backward(inputs=wanted if self.prunes else None)
            if optimizer is self.lower:
                nn.utils.clip_grad_norm_(self.weights, 5.0)
            optimizer.step()
