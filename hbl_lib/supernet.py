"""Mixed operation and supernet: every candidate at every place, weighted by softmax(alpha)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import checkpoint, operations
from .errors import KitError
from .network import DEEP, FCM_LAYERS, UNIT_LAYERS, UNITS, Network
from .operations import SPAN, SPECS, SPLITS, candidates, convolve

MIXINGS = ("kernel", "feature")


@dataclass(frozen=True)
class MixedKernels:
    """What a layer convolves with: `linear` (C', C, 5, 5), and for each dense candidate its first and second kernel."""

    linear: Tensor
    dense: tuple[tuple[Tensor, Tensor], ...]


class MixedOperation(nn.Module):
    """sum_k softmax(alpha)_k op_k(x), (N, C, H, W) -> (N, C', H, W).

    mixing="feature" adds the feature maps (the textbook form, kept as reference). mixing="kernel" adds the kernels
    first: one 5x5 convolution, plus two small ones for what is not linear in each dense candidate. The idea of summing
    kernels is Chen et al. 2019's (cited by HiNAS). Parameters and results are the same.

    The weights of all candidates stand side by side in three banks: `linear` (C', C, taps) holds every convolution
    that reads x, so also the half of a dense candidate's second convolution that does; `hidden` (C, C, taps) and
    `outer` (C, C, taps) hold a dense candidate's first convolution and the half of its second that reads a.
    """

    def __init__(self, names: tuple[str, ...], in_channels: int, out_channels: int, mixing: str = "kernel"):
        super().__init__()
        if mixing not in MIXINGS:
            raise ValueError(f"mixing is one of {MIXINGS}, not {mixing!r}")
        self.names, self.mixing = names, mixing
        self.ready: MixedKernels | None = None  # by a supernet that has mixed the kernels of all its layers
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(names)))
        self.dense = [name for name in names if SPECS[name].dense]
        kernels: dict[str, list[Tensor]] = {"linear": [], "hidden": [], "outer": []}
        for name in names:
            operations.check_channels(name, in_channels, out_channels)
            spec = SPECS[name]
            if spec.dense:
                second = operations.fresh_weight(out_channels, 2 * in_channels, spec.size)
                kernels["hidden"].append(operations.fresh_weight(out_channels, in_channels, spec.size))
                kernels["outer"].append(second[:, in_channels:])
                kernels["linear"].append(second[:, :in_channels])
            elif spec.size:
                kernels["linear"].append(operations.fresh_weight(out_channels, in_channels, spec.size))
        for bank, weights in kernels.items():
            if weights:
                self.register_parameter(bank, nn.Parameter(torch.cat([w.flatten(2) for w in weights], 2)))
        self._make_constants(in_channels)

    def _make_constants(self, channels: int) -> None:
        """Which candidate, and which of the 25 taps, each column of the linear bank belongs to; the identity kernel."""
        owner = [k for k, name in enumerate(self.names) for _ in operations.taps(name)]
        place = [tap for name in self.names for tap in operations.taps(name)]
        self.register_buffer("owner", torch.tensor(owner), persistent=False)
        self.register_buffer("placement", F.one_hot(torch.tensor(place), SPAN * SPAN).float(), persistent=False)
        residual = torch.tensor([float(SPECS[name].residual) for name in self.names])
        self.register_buffer("residual", residual if residual.any() else None, persistent=False)
        if self.residual is not None:
            identity = torch.zeros(channels, channels, SPAN * SPAN)
            identity[range(channels), range(channels), SPAN * SPAN // 2] = 1
            self.register_buffer("identity", identity, persistent=False)

    def shares(self) -> Tensor:
        """softmax(alpha), (K,)."""
        return F.softmax(self.alpha, 0)

    def _candidates(self, x: Tensor) -> Iterator[Tensor]:
        """Each candidate's own output, in order."""
        specs = [SPECS[name] for name in self.names]
        linear = iter(self.linear.split([spec.size**2 for spec in specs if spec.size], 2))
        if self.dense:
            sizes = [SPECS[name].size ** 2 for name in self.dense]
            hidden, outer = iter(self.hidden.split(sizes, 2)), iter(self.outer.split(sizes, 2))
        for spec in specs:
            if spec.size == 0:
                yield x
            elif spec.dense:
                second = torch.cat((next(linear), next(outer)), 1)
                yield operations.dense(x, _square(next(hidden)), _square(second))
            else:
                yield convolve(x, _square(next(linear)), spec.dilation, spec.residual)

    def forward(self, x: Tensor) -> Tensor:
        if self.mixing == "feature":
            return sum(share * y for share, y in zip(self.shares(), self._candidates(x), strict=True))
        kernels = self.ready or mixed_kernels([self])[0]
        y = F.conv2d(x, kernels.linear, padding=SPAN // 2)
        for hidden, outer in kernels.dense:
            y = y + convolve(F.relu(convolve(x, hidden)), outer)
        return y


def mixed_kernels(layers: Sequence[MixedOperation]) -> list[MixedKernels]:
    """The mixed kernels of layers of one shape, all of them at once: a few large products in place of many small ones.

    The weighted sum of all parts that are linear in x is one kernel; a dense candidate's share weighs its second one.
    """
    first = layers[0]
    shares = F.softmax(torch.stack([layer.alpha for layer in layers]), 1)  # (L, K)
    placed = shares[:, first.owner, None] * first.placement  # (L, taps, 25)
    linear = torch.stack([layer.linear for layer in layers]).flatten(1, 2) @ placed  # (L, C' C, 25)
    linear = linear.unflatten(1, first.linear.shape[:2])
    if first.residual is not None:
        linear = linear + (shares @ first.residual).view(-1, 1, 1, 1) * first.identity
    dense: list[tuple[tuple[Tensor, Tensor], ...]] = [()] * len(layers)
    if first.dense:
        sizes = [SPECS[name].size ** 2 for name in first.dense]
        owner = [first.names.index(name) for name, size in zip(first.dense, sizes, strict=True) for _ in range(size)]
        outer = torch.stack([layer.outer for layer in layers]) * shares[:, None, None, owner]
        dense = [
            tuple(
                (_square(h), _square(o))
                for h, o in zip(layer.hidden.split(sizes, 2), part.split(sizes, 2), strict=True)
            )
            for layer, part in zip(layers, outer.unbind(), strict=True)
        ]
    kernels = linear.unflatten(3, (SPAN, SPAN)).unbind()
    return [MixedKernels(*both) for both in zip(kernels, dense, strict=True)]


def _square(kernel: Tensor) -> Tensor:
    """(C', C, k * k) -> (C', C, k, k)."""
    side = math.isqrt(kernel.shape[2])
    return kernel.unflatten(2, (side, side))


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights by name: all parameters but alpha."""
    return {name: p for name, p in network.named_parameters() if not name.endswith(".alpha")}


class Supernet(Network):
    """The network of Figure 2 with a mixed operation at each searched place; 4,366,464 weights and 576 alpha.

    `split` "all" offers all ten operations wherever the number of channels allows them.
    """

    def __init__(self, mixing: str = "kernel", split: str = "paper", combine: str = "division"):
        if split not in SPLITS:
            raise ValueError(f"split is one of {SPLITS}, not {split!r}")

        def layers(part: str, _unit: int, _layer: int, in_channels: int, out_channels: int) -> nn.Module:
            return MixedOperation(candidates(part, in_channels, out_channels, split), in_channels, out_channels, mixing)

        super().__init__(layers, combine)
        self.split = split
        self.operations = {part: candidates(part, DEEP, DEEP, split) for part in ("encoder", "hnu", "decoder")}
        self.alike: dict[Any, list[MixedOperation]] = {}  # layers of one shape
        for mixed in self.mixed() if mixing == "kernel" else ():
            self.alike.setdefault((mixed.names, mixed.linear.shape), []).append(mixed)

    @contextmanager
    def _kernels_ready(self) -> Iterator[None]:
        for layers in self.alike.values():
            for layer, kernels in zip(layers, mixed_kernels(layers), strict=True):
                layer.ready = kernels
        try:
            yield
        finally:
            for mixed in self.mixed():
                mixed.ready = None

    def forward(self, degraded: Tensor) -> Tensor:
        with self._kernels_ready():
            return super().forward(degraded)

    @torch.no_grad()
    def choose(self, names: Sequence[str]) -> None:
        """Put the whole share of each place, in the order of `mixed`, on one operation; weights stay as they are."""
        for mixed, name in zip(self.mixed(), names, strict=True):
            mixed.alpha.fill_(-1e4)
            mixed.alpha[mixed.names.index(name)] = 0.0

    def save(self, path: Path) -> None:
        """Write weights, alpha and the form of the space into one file, atomically."""
        checkpoint.save(path, {"split": self.split, "combine": self.combine, "weights": self.state_dict()})

    @classmethod
    def load(cls, path: Path) -> Supernet:
        """Read what `save` wrote."""
        saved = checkpoint.load(path)
        if saved.keys() != {"split", "combine", "weights"} or saved["split"] not in SPLITS:
            raise KitError(f"{path}: not a supernet's checkpoint. 03_architecture_search writes it.")
        supernet = cls("kernel", saved["split"], saved["combine"])
        checkpoint.load_weights(supernet, saved["weights"], f"{path}: the weights do not fit the supernet")
        return supernet

    def mixed(self) -> Iterator[MixedOperation]:
        """The 74 mixed operations in the order encoder, HNUs, decoder."""
        return (module for module in self.modules() if isinstance(module, MixedOperation))

    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters, one vector a layer."""
        return [mixed.alpha for mixed in self.mixed()]

    def weights(self) -> list[nn.Parameter]:
        """All parameters but alpha: the lower level's variable w."""
        return list(weights_of(self).values())

    def shares(self) -> dict[str, Tensor]:
        """softmax(alpha), detached, in the order of `operations`: encoder (9, 4), hnu (7, 8, 9), decoder (9, 4).

        A candidate that a place can't have is 0 there.
        """
        rows = list(self.mixed())
        hnu_end = FCM_LAYERS + UNITS * UNIT_LAYERS
        of = {"encoder": rows[:FCM_LAYERS], "hnu": rows[FCM_LAYERS:hnu_end], "decoder": rows[hnu_end:]}
        found = {part: torch.stack([self._spread(mixed, self.operations[part]) for mixed in of[part]]) for part in of}
        return found | {"hnu": found["hnu"].unflatten(0, (UNITS, UNIT_LAYERS))}

    @staticmethod
    def _spread(mixed: MixedOperation, names: tuple[str, ...]) -> Tensor:
        shares = mixed.shares().detach()
        found = shares.new_zeros(len(names))
        found[[names.index(name) for name in mixed.names]] = shares
        return found
