"""Physical degradation models: how a clear picture becomes a degraded one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def smooth_field(height: int, width: int, generator: torch.Generator, waves: int = 4) -> Tensor:
    """A smooth random field (1, 1, height, width) in [-1, 1]: a few cosines of at most 1.5 periods a side."""
    rows = torch.linspace(0, 1, height)[:, None]
    columns = torch.linspace(0, 1, width)[None]
    field = torch.zeros(height, width)
    for _ in range(waves):
        down, across = (3 * torch.rand(2, generator=generator) - 1.5).tolist()
        phase = torch.rand(1, generator=generator).item()
        field += torch.cos(2 * math.pi * (down * rows + across * columns + phase))
    low, high = field.min(), field.max()
    return ((field - low) / (high - low).clamp(min=1e-6) * 2 - 1)[None, None]


@dataclass(frozen=True)
class LowLight:
    """Low light as a Hadamard product with sensor noise.

    In linear light, L = u^gamma: y = (v L + shot + read)^(1 / gamma), so that without noise y = u * v^(1 / gamma), the
    product y = u (*) v of HBL's Section 2.1. v is a smooth illumination field (Retinex: Land and McCann 1971), shot
    noise is Poisson in the number of photons and read noise Gaussian (Foi et al. 2008).

    illumination: (1, 1, H, W), linear, in (0, 1]. gamma: of the display. photons: a white pixel's at full light.
    read_noise: standard deviation in linear units.
    """

    illumination: Tensor
    gamma: float
    photons: float
    read_noise: float

    @classmethod
    def draw(cls, height: int, width: int, generator: torch.Generator) -> LowLight:
        """Typical illumination 0.016 to 0.024 (log-uniform), swinging by a factor of 2.5 to 4.5 each way across the
        picture; gamma 2.0 to 2.4; 5,000 to 20,000 photons; read noise 0.0002 to 0.001.
        """
        level, swing, gamma, photons, read = torch.rand(5, generator=generator).tolist()
        field = smooth_field(height, width, generator)
        illumination = 0.016 * 1.5**level * (2.5 + 2 * swing) ** field
        return cls(illumination, 2 + 0.4 * gamma, 5_000 * 4**photons, 0.0002 * 5**read)

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> degraded, same shape and range; without a generator, without noise."""
        light = clear.clamp(0, 1) ** self.gamma * self.illumination
        if generator is not None:
            shot = torch.poisson(light * self.photons, generator=generator) / self.photons
            light = shot + self.read_noise * torch.randn(light.shape, generator=generator)
        return light.clamp(0, 1) ** (1 / self.gamma)

    def invert(self, degraded: Tensor) -> Tensor:
        """u = y (/) v: what the clear picture was, if there had been no noise."""
        return degraded / self.illumination ** (1 / self.gamma)


MODELS = {"low_light": LowLight}
