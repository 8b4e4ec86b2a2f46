"""The skeleton that supernet and restorer share: encoder FCM -> 7 HNUs -> decoder FCM (HBL, Figure 2 and Eq. 1).

16 channels at full resolution, 32 at half and quarter; no convolution has a bias. What stands at each searched place
(9 encoder layers, 7 x 8 HNU layers, 9 decoder layers) comes from a `Layers` function, so both networks are one code.
The authors' BatchNorm without affine always runs on the one picture of its batch; that is InstanceNorm without affine,
which is what stands here: no running state, any batch size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import KitError

UNITS, UNIT_LAYERS, FCM_LAYERS = 7, 8, 9
MACS_AT = (400, 600)  # the size of picture that multiply-accumulates are counted for
WIDE, DEEP = 16, 32  # channels at full, and at half and quarter resolution

# (part, unit, layer, in_channels, out_channels) -> module; part is "encoder", "hnu" or "decoder"
Layers = Callable[[str, int, int, int, int], nn.Module]


def normalise(x: Tensor, eps: float = 1e-5) -> Tensor:
    """InstanceNorm without affine over (N, C, H, W); a single pixel, which has no variance, becomes 0.

    One picture goes through batch_norm, which is the same function there and keeps the channels-last format.
    """
    if x.shape[-2:] == (1, 1):
        return torch.zeros_like(x)
    if x.shape[0] == 1:
        return F.batch_norm(x, None, None, training=True, eps=eps)
    return F.instance_norm(x, eps=eps)


class ResidualPair(nn.Module):
    """x + second(ReLU(first(x)))."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def _pairs(layers: Layers, part: str, start: int, channels: int) -> nn.Sequential:
    made = [layers(part, 0, start + i, channels, channels) for i in range(4)]
    return nn.Sequential(ResidualPair(made[0], made[1]), ResidualPair(made[2], made[3]))


class Encoder(nn.Module):
    """(N, 3, H, W) -> features (N, 32, H/4, W/4) and the two skips at half and quarter resolution."""

    def __init__(self, layers: Layers):
        super().__init__()
        self.head = layers("encoder", 0, 0, 3, WIDE)
        self.at_full = _pairs(layers, "encoder", 1, WIDE)
        self.to_half = nn.Conv2d(WIDE, DEEP, 2, stride=2, bias=False)
        self.at_half = _pairs(layers, "encoder", 5, DEEP)
        self.to_quarter = nn.Conv2d(DEEP, DEEP, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = self.to_half(self.at_full(self.head(x)))
        return half, self.to_quarter(self.at_half(half))


COMBINATIONS = {"division": torch.div, "subtraction": torch.sub}


class HNU(nn.Module):
    """Hadamard-inspired neural unit (Eq. 1): R_u(x) / clamp(sigmoid(R_v(x)), 0.01, 1), 32 channels.

    R_v ends in a ReLU, so its sigmoid is at least 0.5: a unit amplifies by at most 2, and the clamp of the authors'
    code never acts. Both are kept as published. `combine` "subtraction" takes the same factor from R_u in place of
    dividing by it, as the public code's other unit does, which has no normalisation.
    """

    def __init__(self, layers: Layers, unit: int, combine: str = "division"):
        super().__init__()
        if combine not in COMBINATIONS:
            raise ValueError(f"combine is one of {tuple(COMBINATIONS)}, not {combine!r}")
        self.combine = combine
        made = [layers("hnu", unit, i, DEEP, DEEP) for i in range(UNIT_LAYERS)]
        self.clear, self.factor = nn.ModuleList(made[:4]), nn.ModuleList(made[4:])

    @staticmethod
    def branch(layers: nn.ModuleList, x: Tensor) -> Tensor:
        """R_u or R_v: four layers, each normalised and rectified, the last with x added."""
        y = x
        for layer in layers[:3]:
            y = F.relu(normalise(layer(y)))
        return F.relu(normalise(layers[3](y)) + x)

    def forward(self, x: Tensor) -> Tensor:
        clear, factor = self.branch(self.clear, x), self.branch(self.factor, x)
        return COMBINATIONS[self.combine](clear, torch.sigmoid(factor).clamp(0.01, 1.0))


class Decoder(nn.Module):
    """Features (N, 32, H/4, W/4) and the encoder's skips -> picture (N, 3, H, W), no output activation."""

    def __init__(self, layers: Layers):
        super().__init__()
        self.to_half = nn.ConvTranspose2d(DEEP, DEEP, 2, stride=2, bias=False)
        self.at_half = _pairs(layers, "decoder", 0, DEEP)
        self.to_full = nn.ConvTranspose2d(DEEP, WIDE, 2, stride=2, bias=False)
        self.at_full = _pairs(layers, "decoder", 4, WIDE)
        self.tail = layers("decoder", 0, 8, WIDE, 3)

    def forward(self, x: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        x = self.at_half(self.to_half(x + quarter))
        return self.tail(self.at_full(self.to_full(x + half)))


def pad_to_multiple(x: Tensor, multiple: int = 4) -> Tensor:
    """Pad (N, C, H, W) at the right and the bottom: by reflection; a side too short for it repeats its start.

    By indices, not by F.pad, so that an exported graph serves every size.

    >>> pad_to_multiple(torch.tensor([[[[1.0, 2.0, 3.0]]]]).expand(1, 1, 4, 3))[0, 0, 0].tolist()
    [1.0, 2.0, 3.0, 2.0]
    """
    for axis in (2, 3):
        side = x.shape[axis]
        if not torch.compiler.is_exporting() and side % multiple == 0:
            continue
        at = torch.arange(multiple * ((side + multiple - 1) // multiple), device=x.device)
        x = x.index_select(axis, torch.where(at < side, at, 2 * (side - 1) - at).clamp(0))
    return x


class Network(nn.Module):
    """Degraded (N, 3, H, W) in [0, 1], RGB -> restored, same shape, not clipped.

    Any H and W: the input is padded to a multiple of 4 and the output cropped back.
    """

    def __init__(self, layers: Layers, combine: str = "division"):
        super().__init__()
        self.combine = combine
        self.encoder = Encoder(layers)
        self.units = nn.Sequential(*(HNU(layers, unit, combine) for unit in range(UNITS)))
        self.decoder = Decoder(layers)

    def forward(self, degraded: Tensor) -> Tensor:
        if degraded.ndim != 4 or degraded.shape[1] != 3:
            raise KitError(f"the network takes (N, 3, H, W) in RGB, not a tensor of shape {tuple(degraded.shape)}")
        padded = pad_to_multiple(degraded).contiguous(memory_format=torch.channels_last)
        half, quarter = self.encoder(padded)
        restored = self.decoder(self.units(quarter), half, quarter)
        return restored[..., : degraded.shape[-2], : degraded.shape[-1]]


def parameter_count(module: nn.Module) -> int:
    """Number of scalars in all parameters, architecture parameters included."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(network: nn.Module) -> dict[str, Any]:
    """{"size", "count"}: multiply-accumulates of convolutions and kernel sums on one 400x600 picture.

    By torch's counter, on its meta device: nothing is computed.
    """
    from torch.utils.flop_counter import FlopCounterMode  # here: it takes memory that restoring needs

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).to("meta")(torch.empty(1, 3, *MACS_AT, device="meta"))
    return {"size": list(MACS_AT), "count": counter.get_total_flops() // 2}
