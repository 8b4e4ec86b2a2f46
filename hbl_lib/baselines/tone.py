"""Tone curves: the same gamma for all pixels, and CLAHE, whose curve follows each part of the picture."""

from __future__ import annotations

import cv2
import numpy as np

GAMMA = 2.2
CLIP_LIMIT = 2.0
TILES = 8


def eight_bits(picture: np.ndarray) -> np.ndarray:
    """Floats in [0, 1], or beyond -> uint8 of the same shape, clipped and rounded."""
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def gamma(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same, brightened: x = y^(1 / 2.2) on values in [0, 1]."""
    return eight_bits((degraded / 255) ** (1 / GAMMA))


def clahe(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same: contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of lightness.

    OpenCV's, on L of CIE Lab (sRGB, 8 bits), clip limit 2, 8x8 tiles; a and b are kept, as far as sRGB has the colour.
    A flat picture is lifted a little: OpenCV spreads what it clips over all values.
    """
    lab = cv2.cvtColor(degraded, cv2.COLOR_RGB2Lab)
    equalised = cv2.createCLAHE(CLIP_LIMIT, (TILES, TILES)).apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(np.dstack((equalised, lab[..., 1:])), cv2.COLOR_Lab2RGB)
