"""Large pictures: the network in strips, with the output of the whole picture and a fraction of the memory.

Strips go across the longer side: of rows, or of columns in a picture wider than tall.

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

WHOLE = 2**21  # pixels that still go through at once
PIXELS = 2**20  # of a strip
# How far encoder and decoder look: 5 layers at full resolution and 4 at half, none wider than SPAN.
REACH = (SPAN // 2) * (5 + 2 * 4)
MARGIN = 4 * math.ceil(REACH / 4)


class Strip(NamedTuple):
    """Lines first to last are wanted, low to high computed, as far as the network looks; axis -2: rows, -1: columns."""

    low: int
    first: int
    last: int
    high: int
    axis: int

    def seen(self, whole: Tensor, scale: int) -> Tensor:
        """What goes in, of a tensor at 1/scale of the resolution."""
        return whole.narrow(self.axis, self.low // scale, (self.high - self.low) // scale)

    def wanted(self, whole: Tensor, scale: int) -> Tensor:
        """What is wanted of the whole, at 1/scale of the resolution."""
        return whole.narrow(self.axis, self.first // scale, (self.last - self.first) // scale)

    def inside(self, part: Tensor, scale: int) -> Tensor:
        """The same of what comes out."""
        return part.narrow(self.axis, (self.first - self.low) // scale, (self.last - self.first) // scale)


def strips(length: int, lines: int, axis: int) -> Iterator[Strip]:
    """Strips of at most `lines` rows or columns that cover `length`; both multiples of 4."""
    for first in range(0, length, lines):
        last = min(first + lines, length)
        yield Strip(max(0, first - MARGIN), first, last, min(length, last + MARGIN), axis)


def is_large(degraded: Tensor) -> bool:
    """Whether pictures (N, 3, H, W) should go through in strips."""
    return degraded.shape[-2] * degraded.shape[-1] > WHOLE


@torch.no_grad()
def restore(network: Network, degraded: Tensor, lines: int | None = None) -> Tensor:
    """network(degraded), (1, 3, H, W), strip by strip; `lines` of a strip: a multiple of 4, else by its pixels."""
    padded = pad_to_multiple(degraded)
    height, width = padded.shape[-2:]
    axis, length, across = (-2, height, width) if height >= width else (-1, width, height)
    cut = list(strips(length, lines or 4 * max(1, PIXELS // across // 4), axis))
    half, quarter = (_empty(degraded, height // scale, width // scale, DEEP) for scale in (2, 4))
    for strip in cut:
        seen = strip.seen(padded, 1).contiguous(memory_format=torch.channels_last)
        for whole, part, scale in zip((half, quarter), network.encoder(seen), (2, 4), strict=True):
            strip.wanted(whole, scale).copy_(strip.inside(part, scale))
    del padded
    deep = network.units(quarter)
    restored = torch.empty(1, 3, height, width, device=degraded.device, dtype=degraded.dtype)
    for strip in cut:
        maps = ((deep, 4), (half, 2), (quarter, 4))
        part = network.decoder(*(strip.seen(whole, scale) for whole, scale in maps))
        strip.wanted(restored, 1).copy_(strip.inside(part, 1))
    return restored[..., : degraded.shape[-2], : degraded.shape[-1]]


def _empty(like: Tensor, height: int, width: int, channels: int) -> Tensor:
    shape = (1, channels, height, width)
    return torch.empty(shape, device=like.device, dtype=like.dtype, memory_format=torch.channels_last)
