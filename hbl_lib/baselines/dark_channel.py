"""The dark channel prior against haze (DCP), and its form for water, which takes red away (UDCP).

Both invert y = u t + A (1 - t) with t = 1 - omega min over a patch and over channels of y / A: somewhere in a patch of
the clear picture some channel is near 0. Values are taken as displayed, in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .tone import eight_bits

AIRLIGHT_SHARE = 0.001  # of all pixels: where the dark channel is brightest
RADIUS = 60  # of the guided filter, in pixels
EPSILON = 1e-3  # of the guided filter


@dataclass(frozen=True)
class Prior:
    """The channels whose minimum is dark, the patch in pixels, omega, and the bounds that t is clipped to."""

    channels: tuple[int, ...]
    patch: int
    omega: float
    bounds: tuple[float, float]


DCP = Prior(channels=(0, 1, 2), patch=15, omega=0.95, bounds=(0.1, 1.0))
UDCP = Prior(channels=(1, 2), patch=15, omega=1.0, bounds=(0.2, 0.9))


def dcp(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same, without haze (He, Sun and Tang, CVPR 2009, TPAMI 33(12), 2011).

    Patch 15, omega 0.95, t >= 0.1; t is refined by the authors' guided filter in place of soft matting.
    """
    return removed(degraded, *estimate(degraded, DCP))


def udcp(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same, without the water's veil (Drews et al., ICCVW 2013, IEEE CG&A 36(2), 2016).

    The dark channel of green and blue only, patch 15. As public code has it, omega is 1 and t is within [0.2, 0.9].
    One t serves all channels, so the veil goes and most of the colour cast stays.
    """
    return removed(degraded, *estimate(degraded, UDCP))


def estimate(degraded: np.ndarray, prior: Prior = DCP) -> tuple[np.ndarray, np.ndarray]:
    """The transmission t, (H, W) float within the prior's bounds, and the airlight A, (3,) in (0, 1]."""
    picture = (degraded / 255).astype(np.float32)
    airlight = ambient_light(picture, dark_channel(picture, prior))
    coarse = 1 - prior.omega * dark_channel(picture / airlight, prior)
    refined = cv2.ximgproc.guidedFilter(picture, coarse, RADIUS, EPSILON)
    return refined.clip(*prior.bounds), airlight


def dark_channel(picture: np.ndarray, prior: Prior = DCP) -> np.ndarray:
    """(H, W, 3) float -> (H, W): the least value of the prior's channels in a patch about each pixel."""
    darkest = picture[..., prior.channels].min(axis=2)
    return cv2.erode(darkest, np.ones((prior.patch, prior.patch), np.uint8))


def ambient_light(picture: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """A, (3,): the brightest pixel (by its sum) among the 0.1 % where the dark channel is highest; 1/255 at least."""
    count = max(1, round(AIRLIGHT_SHARE * dark.size))
    haziest = dark >= np.partition(dark.ravel(), -count)[-count]
    candidates = picture[haziest]
    return candidates[candidates.sum(axis=1).argmax()].clip(min=1 / 255)


def removed(degraded: np.ndarray, transmission: np.ndarray, airlight: np.ndarray) -> np.ndarray:
    """u = (y - A) / t + A, of a (H, W, 3) uint8 picture, as uint8."""
    return eight_bits((degraded / 255 - airlight) / transmission[..., None] + airlight)
