"""Mixed operation and supernet: every candidate at every place, weighted by softmax(alpha)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import operations
from .network import FCM_LAYERS, UNIT_LAYERS, UNITS, Network
from .operations import FCM_OPERATIONS, HNU_OPERATIONS, SPAN, SPECS, convolve

MIXINGS = ("kernel", "feature")


class MixedOperation(nn.Module):
    """sum_k softmax(alpha)_k op_k(x), (N, C, H, W) -> (N, C', H, W).

    mixing="feature" adds the feature maps (the textbook form, kept as reference). mixing="kernel" adds the kernels
    first: one 5x5 convolution, plus two 3x3 ones for what is not linear in the dense candidates. The idea of summing
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

    def kernel(self, shares: Tensor) -> Tensor:
        """The weighted sum of all parts that are linear in x, as one kernel (C', C, 5, 5)."""
        kernel = self.linear @ (shares[self.owner, None] * self.placement)
        if self.residual is not None:
            kernel = kernel + shares @ self.residual * self.identity
        return kernel.unflatten(2, (SPAN, SPAN))

    def _nonlinear(self, x: Tensor, shares: Tensor) -> Tensor:
        """The dense candidates' second convolutions over their hidden maps, all of them in two 3x3 convolutions."""
        sizes = [SPECS[name].size ** 2 for name in self.dense]
        weights = [shares[self.names.index(name)] for name in self.dense]
        hidden = torch.cat([_as_3x3(part) for part in self.hidden.split(sizes, 2)], 0)
        outer = torch.cat([w * _as_3x3(part) for w, part in zip(weights, self.outer.split(sizes, 2), strict=True)], 1)
        return convolve(F.relu(convolve(x, hidden)), outer)

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
        shares = self.shares()
        if self.mixing == "feature":
            return sum(share * y for share, y in zip(shares, self._candidates(x), strict=True))
        y = F.conv2d(x, self.kernel(shares), padding=SPAN // 2)
        return y + self._nonlinear(x, shares) if self.dense else y


def _square(kernel: Tensor) -> Tensor:
    """(C', C, k * k) -> (C', C, k, k)."""
    side = math.isqrt(kernel.shape[2])
    return kernel.unflatten(2, (side, side))


def _as_3x3(kernel: Tensor) -> Tensor:
    """(C', C, 1 or 9) -> (C', C, 3, 3)."""
    return _square(kernel) if kernel.shape[2] == 9 else F.pad(kernel[..., None], (1, 1, 1, 1))


class Supernet(Network):
    """The network of Figure 2 with a mixed operation at each searched place; 4,366,464 weights and 576 alpha."""

    def __init__(self, mixing: str = "kernel"):
        def layers(part: str, _unit: int, _layer: int, in_channels: int, out_channels: int) -> nn.Module:
            names = HNU_OPERATIONS if part == "hnu" else FCM_OPERATIONS
            return MixedOperation(names, in_channels, out_channels, mixing)

        super().__init__(layers)

    def mixed(self) -> Iterator[MixedOperation]:
        """The 74 mixed operations in the order encoder, HNUs, decoder."""
        return (module for module in self.modules() if isinstance(module, MixedOperation))

    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters, one vector a layer."""
        return [mixed.alpha for mixed in self.mixed()]

    def weights(self) -> list[nn.Parameter]:
        """All parameters but alpha: the lower level's variable omega."""
        return [p for name, p in self.named_parameters() if not name.endswith(".alpha")]

    def shares(self) -> dict[str, Tensor]:
        """softmax(alpha), detached: encoder (9, 4), hnu (7, 8, 9), decoder (9, 4)."""
        rows = [mixed.shares().detach() for mixed in self.mixed()]
        hnu_end = FCM_LAYERS + UNITS * UNIT_LAYERS
        return {
            "encoder": torch.stack(rows[:FCM_LAYERS]),
            "hnu": torch.stack(rows[FCM_LAYERS:hnu_end]).unflatten(0, (UNITS, UNIT_LAYERS)),
            "decoder": torch.stack(rows[hnu_end:]),
        }
