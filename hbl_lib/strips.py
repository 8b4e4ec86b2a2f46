"""Large pictures: the network in strips of rows, with the output of the whole picture and a fraction of the memory.

Only the units normalise, by statistics of the whole picture, and they work at a quarter of the resolution. So encoder
and decoder, which look no further than a few pixels, run strip by strip, and the units once, over all of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .network import DEEP, Network, pad_to_multiple
from .operations import SPAN

PIXELS = 2**20  # of a strip, and half of what still goes through whole
# How far encoder and decoder look: 5 layers at full resolution and 4 at half, none wider than SPAN.
REACH = (SPAN // 2) * (5 + 2 * 4)
MARGIN = 4 * math.ceil(REACH / 4)


class Strip(NamedTuple):
    """Rows first to last are wanted; low to high are computed, as far as the network looks."""

    low: int
    first: int
    last: int
    high: int

    def seen(self, scale: int) -> slice:
        """What goes in, at 1/scale of the resolution."""
        return slice(self.low // scale, self.high // scale)

    def wanted(self, scale: int) -> slice:
        """Which rows of the whole are wanted, at 1/scale of the resolution."""
        return slice(self.first // scale, self.last // scale)

    def inside(self, scale: int) -> slice:
        """Where they are in what comes out."""
        return slice((self.first - self.low) // scale, (self.last - self.low) // scale)


def strips(height: int, rows: int) -> Iterator[Strip]:
    """Strips of at most `rows` rows that cover `height`; both multiples of 4."""
    for first in range(0, height, rows):
        last = min(first + rows, height)
        yield Strip(max(0, first - MARGIN), first, last, min(height, last + MARGIN))


def is_large(degraded: Tensor) -> bool:
    """Whether pictures (N, 3, H, W) should go through in strips."""
    return degraded.shape[-2] * degraded.shape[-1] > 2 * PIXELS


@torch.no_grad()
def restore(network: Network, degraded: Tensor, rows: int | None = None) -> Tensor:
    """network(degraded), (1, 3, H, W), strip by strip; `rows` of a strip, where not by its number of pixels."""
    padded = pad_to_multiple(degraded)
    height, width = padded.shape[-2:]
    cut = list(strips(height, rows or 4 * max(1, PIXELS // width // 4)))
    half, quarter = (_empty(degraded, height // scale, width // scale, DEEP) for scale in (2, 4))
    for strip in cut:
        rows_seen = padded[:, :, strip.seen(1)].contiguous(memory_format=torch.channels_last)
        for whole, part, scale in zip((half, quarter), network.encoder(rows_seen), (2, 4), strict=True):
            whole[:, :, strip.wanted(scale)] = part[:, :, strip.inside(scale)]
    del padded
    deep = network.units(quarter)
    restored = torch.empty(1, 3, height, width, device=degraded.device, dtype=degraded.dtype)
    for strip in cut:
        seen = (deep[:, :, strip.seen(4)], half[:, :, strip.seen(2)], quarter[:, :, strip.seen(4)])
        restored[:, :, strip.wanted(1)] = network.decoder(*seen)[:, :, strip.inside(1)]
    return restored[..., : degraded.shape[-2], : degraded.shape[-1]]


def _empty(like: Tensor, height: int, width: int, channels: int) -> Tensor:
    shape = (1, channels, height, width)
    return torch.empty(shape, device=like.device, dtype=like.dtype, memory_format=torch.channels_last)
