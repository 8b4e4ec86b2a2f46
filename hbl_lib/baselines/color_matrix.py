"""The floor to beat: one 3x4 matrix for all pixels, fitted by least squares on the training pictures."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from ..data import Pictures

PIXELS_A_PICTURE = 20_000


def fit(pictures: Pictures) -> np.ndarray:
    """M, (3, 4), that minimises |M [r g b 1]^T - clear|^2 over evenly spaced pixels of every training pair."""
    inputs, targets = [], []
    for index in range(len(pictures)):
        degraded, clear = (p.reshape(-1, 3) / 255 for p in pictures.pictures(index))
        step = max(1, len(degraded) // PIXELS_A_PICTURE)
        inputs.append(degraded[::step])
        targets.append(clear[::step])
    stacked = np.concatenate(inputs)
    design = np.column_stack((stacked, np.ones(len(stacked))))
    with threadpool_limits(1):  # the last digits must not depend on the number of cores
        solution, *_ = np.linalg.lstsq(design, np.concatenate(targets), rcond=None)
    return solution.T


def apply(matrix: np.ndarray, degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) uint8, clipped and rounded."""
    restored = degraded / 255 @ matrix[:, :3].T + matrix[:, 3]
    return np.rint(restored.clip(0, 1) * 255).astype(np.uint8)
