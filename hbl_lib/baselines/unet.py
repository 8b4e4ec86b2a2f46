"""U-Net (Ronneberger et al. 2015) in the widths of Chen et al. 2018 (SID): 32 to 512 channels, 7,760,163 weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..network import pad_to_multiple

WIDTHS = (32, 64, 128, 256, 512)
SLOPE = 0.2


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with leaky ReLUs."""
    first, second = (nn.Conv2d(n, out_channels, 3, padding=1) for n in (in_channels, out_channels))
    return nn.Sequential(first, nn.LeakyReLU(SLOPE), second, nn.LeakyReLU(SLOPE))


class UNet(nn.Module):
    """Degraded (N, 3, H, W) in [0, 1], RGB -> restored, same shape, not clipped. Any H and W, padded by reflection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(n, m) for n, m in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True))
        steps = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(n, m, 2, stride=2) for n, m in steps)
        self.up = nn.ModuleList(_block(n, m) for n, m in steps)
        self.tail = nn.Conv2d(WIDTHS[0], 3, 1)

    def forward(self, degraded: Tensor) -> Tensor:
        height, width = degraded.shape[-2:]
        x = pad_to_multiple(degraded, 2 ** (len(WIDTHS) - 1)).contiguous(memory_format=torch.channels_last)
        skips = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for enlarge, block, skip in zip(self.enlarge, self.up, skips[-2::-1], strict=True):
            x = block(torch.cat((enlarge(x), skip), 1))
        return self.tail(x)[..., :height, :width]
