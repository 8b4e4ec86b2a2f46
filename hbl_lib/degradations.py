"""Physical degradation models: how a clear picture becomes a degraded one, and what would undo it.

Pictures are (N, 3, H, W) in [0, 1], RGB. Every model has RANGES, from which `draw` takes its parameters; a task file
may narrow or move them. HADAMARD says whether the model is a product of the clear picture and a factor, as HBL's
Section 2.1 has it, with light added or not; FORM says it in words. Haze, water and rain act on display values, as the
public data sets were made; low light acts on linear light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import KitError, nearest


class Range(NamedTuple):
    """Where a parameter is drawn from: uniformly, or uniformly in its logarithm. A task's range stays within bounds."""

    low: float
    high: float
    log: bool = False
    bounds: tuple[float, float] = (0, math.inf)

    def at(self, share: float) -> float:
        """The value at `share`, 0 to 1, of the way from low to high."""
        if self.log:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


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


def generated_depth(height: int, width: int, generator: torch.Generator) -> Tensor:
    """A made-up scene's depth (1, 1, height, width), relative to its farthest point (1).

    It recedes from the bottom of the picture to the top, as ground does, with smooth hills on it.
    """
    near, steepness, hills = torch.rand(3, generator=generator).tolist()
    rows = torch.linspace(1, 0, height)[None, None, :, None]
    depth = rows ** (0.7 + steepness) + (0.1 + 0.3 * hills) * smooth_field(height, width, generator)
    depth = (depth - depth.min()) / (depth.max() - depth.min()).clamp(min=1e-6)
    near = 0.1 + 0.25 * near
    return near + (1 - near) * depth


@dataclass(frozen=True)
class Degradation:
    """What the models share. `values`: the parameters that `draw` drew, for the record."""

    RANGES: ClassVar[Mapping[str, Range]]
    EQUATION: ClassVar[str]
    FORM: ClassVar[str]  # in words, what it has of a Hadamard product
    HADAMARD: ClassVar[bool] = True
    DEPTH: ClassVar[bool] = False  # whether depth decides where it is strong

    values: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    @classmethod
    def ranges(cls, given: Mapping[str, Any]) -> dict[str, Range]:
        """RANGES with those `given`, name -> (low, high), in their place; one that can't be is named in a KitError."""
        chosen = dict(cls.RANGES)
        for name, (low, high) in given.items():
            if name not in chosen:
                raise KitError(f"{cls.__name__} has no parameter '{name}'.{nearest(name, chosen)}")
            least, most = chosen[name].bounds
            if not least <= low <= high <= most:
                raise KitError(f"{name}: [{low}, {high}] is not a range within [{least}, {most}]")
            chosen[name] = chosen[name]._replace(low=low, high=high)
        return chosen

    @classmethod
    def draw(
        cls,
        height: int,
        width: int,
        generator: torch.Generator,
        ranges: Mapping[str, Any] | None = None,
        depth: Tensor | None = None,
    ) -> Degradation:
        """A model for one picture, its parameters drawn from RANGES; `ranges`: name -> (low, high) in their place.

        `depth`: (1, 1, height, width), relative to the farthest point; without one it is generated.
        """
        chosen = cls.ranges(ranges or {})
        shares = torch.rand(len(chosen), generator=generator).tolist()
        values = {name: known.at(share) for (name, known), share in zip(chosen.items(), shares, strict=True)}
        if cls.DEPTH and depth is None:
            depth = generated_depth(height, width, generator)
        return cls.of(values, height, width, generator, depth)

    @classmethod
    def of(
        cls, values: Mapping[str, float], height: int, width: int, generator: torch.Generator, depth: Tensor | None
    ) -> Degradation:
        """A model of given parameters; what varies across the picture comes from `generator` or `depth`."""
        raise NotImplementedError

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> degraded, same shape and range; without a generator, without noise."""
        raise NotImplementedError

    def invert(self, degraded: Tensor) -> Tensor:
        """What the clear picture was, if there had been neither noise nor clipping."""
        raise NotImplementedError

    def factor(self) -> Tensor:
        """What varies across the picture, (1, 1 or 3, H, W) in [0, 1], to look at."""
        raise NotImplementedError


@dataclass(frozen=True)
class LowLight(Degradation):
    """Low light as a Hadamard product with sensor noise.

    In linear light, L = u^gamma: y = (v L + shot + read)^(1 / gamma), so that without noise y = u * v^(1 / gamma), the
    product y = u (*) v of HBL's Section 2.1. v is a smooth illumination field (Retinex: Land and McCann 1971), shot
    noise is Poisson in the number of photons and read noise Gaussian (Foi et al. 2008).

    illumination: (1, 1, H, W), linear, in (0, 1]. gamma: of the display. photons: a white pixel's at full light.
    read_noise: standard deviation in linear units. RANGES: level is the typical illumination, swing the factor by
    which it rises and falls across the picture.
    """

    RANGES: ClassVar = {
        "level": Range(0.016, 0.024, log=True, bounds=(1e-6, 1)),
        "swing": Range(2.5, 4.5, bounds=(1, 100)),
        "gamma": Range(2.0, 2.4, bounds=(0.5, 5)),
        "photons": Range(5_000, 20_000, log=True, bounds=(1, 1e9)),
        "read_noise": Range(0.0002, 0.001, log=True, bounds=(1e-9, 1)),
    }
    EQUATION = "y = (v u^gamma + shot + read)^(1/gamma)"
    FORM = "a Hadamard product, with noise"

    illumination: Tensor
    gamma: float
    photons: float
    read_noise: float

    @classmethod
    def of(cls, values, height, width, generator, depth=None) -> LowLight:
        illumination = values["level"] * values["swing"] ** smooth_field(height, width, generator)
        physics = {name: values[name] for name in ("gamma", "photons", "read_noise")}
        return cls(illumination.clamp(max=1), **physics, values=values)

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        light = clear.clamp(0, 1) ** self.gamma * self.illumination
        if generator is not None:
            shot = torch.poisson(light * self.photons, generator=generator) / self.photons
            light = shot + self.read_noise * torch.randn(light.shape, generator=generator)
        return light.clamp(0, 1) ** (1 / self.gamma)

    def invert(self, degraded: Tensor) -> Tensor:
        """u = y (/) v."""
        return degraded / self.illumination ** (1 / self.gamma)

    def factor(self) -> Tensor:
        return self.illumination / self.illumination.max()


@dataclass(frozen=True)
class Haze(Degradation):
    """Haze: y = u t + A (1 - t), t = exp(-beta depth) (Koschmieder 1924; Narasimhan and Nayar 2002).

    transmission: t, (1, 1, H, W), in (0, 1]. airlight: A, in [0, 1]. RANGES: thickness is beta times the depth of the
    farthest point, from mist to thick fog (RESIDE, Li et al. 2019, has beta from 0.6 to 1.8); A as in RESIDE.
    """

    RANGES: ClassVar = {"thickness": Range(0.4, 2.6), "airlight": Range(0.7, 1.0, bounds=(0, 1))}
    EQUATION = "y = u t + A (1 - t), t = exp(-beta depth)"
    FORM = "a Hadamard product, with light added"
    DEPTH = True

    transmission: Tensor
    airlight: float

    @classmethod
    def of(cls, values, height, width, generator, depth=None) -> Haze:
        return cls(torch.exp(-values["thickness"] * depth), values["airlight"], values=values)

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return clear.clamp(0, 1) * self.transmission + self.airlight * (1 - self.transmission)

    def invert(self, degraded: Tensor) -> Tensor:
        """u = (y - A (1 - t)) / t."""
        return (degraded - self.airlight * (1 - self.transmission)) / self.transmission

    def factor(self) -> Tensor:
        return self.transmission


def _rgb(values: Mapping[str, float], name: str) -> Tensor:
    return torch.tensor([values[f"{name}_{channel}"] for channel in ("red", "green", "blue")])[None, :, None, None]


@dataclass(frozen=True)
class Underwater(Degradation):
    """Under water: y_c = u_c exp(-a_c z) + B_c (1 - exp(-b_c z)), z the distance (Akkaynak and Treibitz 2018).

    direct: exp(-a z), and backscatter: B (1 - exp(-b z)), both (1, 3, H, W). read_noise: standard deviation.
    RANGES: the distance of the farthest point in metres; a in 1/m, for red that of pure water from 590 to 630 nm (Pope
    and Fry 1997), for green and blue from clear ocean to coastal water (Jerlov's types by Solonenko and Mobley 2015,
    near 525 and 475 nm); B from deep blue to bright green water. b is a times `ratio`, since attenuation and
    backscatter have coefficients of their own; that it is above 1, and by how much, is this kit's choice of turbid
    water, which veils more than it takes away.
    """

    RANGES: ClassVar = {
        "distance": Range(0.5, 8.0),
        "attenuation_red": Range(0.15, 0.3),
        "attenuation_green": Range(0.06, 0.2),
        "attenuation_blue": Range(0.06, 0.2),
        "ratio": Range(2.0, 4.0),
        "veil_red": Range(0.05, 0.3, bounds=(0, 1)),
        "veil_green": Range(0.4, 0.8, bounds=(0, 1)),
        "veil_blue": Range(0.4, 0.85, bounds=(0, 1)),
        "read_noise": Range(0.0, 0.01),
    }
    EQUATION = "y_c = u_c exp(-a_c z) + B_c (1 - exp(-b_c z)) + read, for each channel c"
    FORM = "a Hadamard product for each channel, with light added"
    DEPTH = True

    direct: Tensor
    backscatter: Tensor
    read_noise: float

    @classmethod
    def of(cls, values, height, width, generator, depth=None) -> Underwater:
        thickness = _rgb(values, "attenuation") * values["distance"] * depth
        backscatter = _rgb(values, "veil") * (1 - torch.exp(-values["ratio"] * thickness))
        return cls(torch.exp(-thickness), backscatter, values["read_noise"], values=values)

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        light = clear.clamp(0, 1) * self.direct + self.backscatter
        if generator is not None:
            light = light + self.read_noise * torch.randn(light.shape, generator=generator)
        return light.clamp(0, 1)

    def invert(self, degraded: Tensor) -> Tensor:
        """u = (y - B (1 - exp(-b z))) / exp(-a z)."""
        return (degraded - self.backscatter) / self.direct

    def factor(self) -> Tensor:
        return self.direct


@dataclass(frozen=True)
class Rain(Degradation):
    """Rain streaks added to the picture: y = u + s, clipped to [0, 1] (Li et al. 2016, Yang et al. 2017).

    streaks: s, (1, 1, H, W), at least 0. RANGES: drops a pixel; length in pixels; angle in degrees from the vertical;
    brightness of the brightest streak, along its middle (each has an even share of it).
    """

    RANGES: ClassVar = {
        "density": Range(0.0015, 0.004, bounds=(0, 1)),
        "length": Range(15, 40, bounds=(1, 200)),
        "angle": Range(-30, 30, bounds=(-90, 90)),
        "brightness": Range(0.4, 0.8, bounds=(0, 1)),
    }
    EQUATION = "y = u + s"
    FORM = "not a Hadamard product: rain is added"
    HADAMARD = False

    streaks: Tensor

    @classmethod
    def of(cls, values, height, width, generator, depth=None) -> Rain:
        reach = math.ceil(values["length"] / 2)
        grid = torch.arange(-reach, reach + 1.0)
        angle = math.radians(values["angle"])
        along = grid[:, None] * math.cos(angle) + grid[None] * math.sin(angle)
        across = grid[None] * math.cos(angle) - grid[:, None] * math.sin(angle)
        streak = torch.exp(-(across**2)) * (along.abs() <= values["length"] / 2)
        drops = torch.rand(1, 1, height, width, generator=generator) < values["density"]
        strength = torch.rand(1, 1, height, width, generator=generator)
        streaks = F.conv2d(drops * strength, streak[None, None], padding=reach)
        return cls((values["brightness"] * streaks).clamp(max=1), values=values)

    def apply(self, clear: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (clear + self.streaks).clamp(0, 1)

    def invert(self, degraded: Tensor) -> Tensor:
        """u = y - s."""
        return degraded - self.streaks

    def factor(self) -> Tensor:
        return self.streaks


MODELS: dict[str, type[Degradation]] = {"low_light": LowLight, "haze": Haze, "underwater": Underwater, "rain": Rain}
