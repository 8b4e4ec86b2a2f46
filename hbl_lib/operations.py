"""Candidate operations of the architecture space (HBL, Section 2.4).

No operation has a bias, a normalisation or an activation of its own, but for the ReLU inside the dense ones. Every
operation but the dense ones is linear with one kernel of at most 5x5, identity included: `taps` says where its weights
sit in that kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPAN = 5  # side of the kernel that holds every linear candidate


@dataclass(frozen=True)
class Spec:
    """What a name such as "3-2-RDC" stands for; size 0 is identity."""

    size: int
    dilation: int = 1
    residual: bool = False
    dense: bool = False

    @property
    def keeps_channels(self) -> bool:
        """Whether it needs as many output channels as input channels."""
        return self.size == 0 or self.residual or self.dense

    def in_words(self) -> str:
        """What it computes.

        >>> SPECS["3-2-RDC"].in_words()
        '3x3 convolution with dilation 2, its input added'
        """
        if self.size == 0:
            return "its input (a skip connection)"
        words = f"{self.size}x{self.size} convolution" + (
            f" with dilation {self.dilation}" if self.dilation > 1 else ""
        )
        if self.dense:
            return f"two of {words}: the second reads the input and the ReLU of the first (dense)"
        return words + (", its input added" if self.residual else "")


SPECS = {
    "SC": Spec(size=0, residual=True),
    "1-C": Spec(1),
    "3-C": Spec(3),
    "5-C": Spec(5),
    "3-2-DC": Spec(3, dilation=2),
    "1-RC": Spec(1, residual=True),
    "3-RC": Spec(3, residual=True),
    "3-2-RDC": Spec(3, dilation=2, residual=True),
    "1-DC": Spec(1, dense=True),
    "3-DC": Spec(3, dense=True),
}
# The order in which the authors' public code lists the candidates of each space.
HNU_OPERATIONS = ("SC", "1-C", "3-C", "3-2-DC", "1-RC", "3-RC", "3-2-RDC", "1-DC", "3-DC")
FCM_OPERATIONS = ("5-C", "1-C", "3-C", "3-2-DC")
SPLITS = ("paper", "all")  # as Figure 2 splits the candidates, or all ten everywhere


def candidates(part: str, in_channels: int, out_channels: int, split: str = "paper") -> tuple[str, ...]:
    """The candidates of a place in the encoder, an "hnu" or the decoder; "all": all that its channels allow."""
    if split == "all":
        return tuple(name for name, spec in SPECS.items() if in_channels == out_channels or not spec.keeps_channels)
    return HNU_OPERATIONS if part == "hnu" else FCM_OPERATIONS


def convolve(x: Tensor, weight: Tensor, dilation: int = 1, residual: bool = False) -> Tensor:
    """(N, C, H, W) -> (N, C', H, W) with zero padding; plus x where residual (k-C, k-2-DC, k-RC, k-2-RDC)."""
    y = F.conv2d(x, weight, padding=dilation * (weight.shape[-1] // 2), dilation=dilation)
    return x + y if residual else y


def dense(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """k-DC: a = ReLU(conv_k(x)), out = conv_k(concat(x, a)); first (C, C, k, k), second (C, 2C, k, k)."""
    return convolve(torch.cat((x, F.relu(convolve(x, first))), 1), second)


def fresh_weight(out_channels: int, in_channels: int, size: int) -> Tensor:
    """A newly drawn kernel with torch's own default for convolutions: uniform within 1 / sqrt(fan in)."""
    weight = torch.empty(out_channels, in_channels, size, size)
    return nn.init.kaiming_uniform_(weight, a=5**0.5)


def taps(name: str) -> list[int]:
    """Where the weights of operation `name` sit in a flattened 5x5 kernel, in their own order.

    >>> taps("3-C"), taps("3-2-DC")
    ([6, 7, 8, 11, 12, 13, 16, 17, 18], [0, 2, 4, 10, 12, 14, 20, 22, 24])
    """
    spec, middle = SPECS[name], SPAN // 2
    reach = [middle + spec.dilation * (i - spec.size // 2) for i in range(spec.size)]
    return [SPAN * row + column for row in reach for column in reach]


class Skip(nn.Module):
    """SC: identity."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Convolution(nn.Module):
    """One convolution, plus identity where residual."""

    def __init__(self, in_channels: int, out_channels: int, spec: Spec):
        super().__init__()
        self.weight = nn.Parameter(fresh_weight(out_channels, in_channels, spec.size))
        self.spec = spec

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.spec.dilation, self.spec.residual)


class Dense(nn.Module):
    """Two convolutions, the second of which reads the input too."""

    def __init__(self, channels: int, spec: Spec):
        super().__init__()
        self.first = nn.Parameter(fresh_weight(channels, channels, spec.size))
        self.second = nn.Parameter(fresh_weight(channels, 2 * channels, spec.size))

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, self.first, self.second)


def check_channels(name: str, in_channels: int, out_channels: int) -> None:
    """Refuse identity, residual and dense operations where the number of channels changes."""
    if in_channels != out_channels and SPECS[name].keeps_channels:
        raise ValueError(f"operation {name} keeps the number of channels: {in_channels} is not {out_channels}")


def make(name: str, in_channels: int, out_channels: int) -> nn.Module:
    """The operation called `name` as a module with weights of its own."""
    check_channels(name, in_channels, out_channels)
    spec = SPECS[name]
    if spec.size == 0:
        return Skip()
    return Dense(in_channels, spec) if spec.dense else Convolution(in_channels, out_channels, spec)
