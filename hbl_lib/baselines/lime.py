"""LIME: low-light enhancement by an estimated illumination map (Guo, Li and Ling, IEEE TIP 26(2), 2017).

The paper's sped-up solver with its weighting strategy III. Values are taken as displayed, not linearised, as there.
The paper's last step, BM3D against the noise that was brightened too, is left out: it is a denoiser of its own.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

from .tone import eight_bits

ALPHA = 0.15
GAMMA = 0.8  # the paper's; the authors' demonstration has 0.7, and public ports 0.6
SIGMA = 3.0  # and a window of 15, as in public ports; the demonstration has 2
WINDOW = 15
LARGEST = 300_000  # pixels
EPSILON = 1e-3  # keeps quotients finite; the paper only says "very small"


def lime(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W, 3) uint8 RGB: R = y / T^0.8, T the refined illumination map."""
    illumination = illumination_map(degraded).clip(EPSILON, 1) ** GAMMA
    return eight_bits(degraded / 255 / illumination[..., None])


def illumination_map(degraded: np.ndarray) -> np.ndarray:
    """T, (H, W) float in [0, 1], of a (H, W, 3) uint8 picture: its maximum over R, G, B, smoothed within structures.

    T minimises |T - M|^2 + alpha sum_d W_d (grad_d T)^2 / (|grad_d M| + epsilon), M the maximum. Its
    normal equations are sparse and solved directly: conjugate gradients take thousands of steps, since the weights
    range over five decades. On one core 600x400 takes about 2 s and 0.3 GB, 1200x800 would take 15 s and 1.3 GB: of
    pictures of more than `LARGEST` pixels the map is made from a reduced one, and enlarged.
    """
    height, width = degraded.shape[:2]
    factor = min(1.0, math.sqrt(LARGEST / (height * width)))
    size = max(1, int(width * factor)), max(1, int(height * factor))
    reduced = cv2.resize(degraded, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(_refined(reduced.max(axis=2) / 255), (width, height), interpolation=cv2.INTER_LINEAR)


def _refined(brightest: np.ndarray) -> np.ndarray:
    """T of M, both (H, W)."""
    factors = splu(
        _normal_matrix(_weights(brightest, axis=0), _weights(brightest, axis=1)),
        permc_spec="MMD_AT_PLUS_A",  # with the next line: what SuperLU has for symmetric matrices
        diag_pivot_thresh=0,
        options={"SymmetricMode": True},
    )
    return factors.solve(brightest.ravel()).reshape(brightest.shape)


def _weights(brightest: np.ndarray, axis: int) -> np.ndarray:
    """alpha W_d / (|grad_d M| + epsilon), (H, W), of the difference to the next pixel along `axis`; 0 for the last.

    W_d = 1 / (|G * grad_d M| + epsilon) (strategy III), G a Gaussian of sum 1: texture, whose differences
    cancel in the window, is smoothed, and edges of the illumination are kept.
    """
    difference = np.diff(brightest, axis=axis, append=brightest.take([-1], axis))
    structure = cv2.GaussianBlur(difference, (WINDOW, WINDOW), SIGMA)
    weights = ALPHA / (np.abs(structure) + EPSILON) / (np.abs(difference) + EPSILON)
    np.moveaxis(weights, axis, 0)[-1] = 0
    return weights


def _normal_matrix(down: np.ndarray, across: np.ndarray) -> csc_array:
    """I + sum_d D_d^T Diag(w_d) D_d, (HW, HW), D_d the forward differences, pixels in row order."""
    width = down.shape[1]
    down, across = down.ravel(), across.ravel()
    diagonal = 1 + down + np.roll(down, width) + across + np.roll(across, 1)  # the zeros at the ends come round
    matrix = diags_array(diagonal)
    for weights, step in ((down, width), (across, 1)):
        if len(weights) > step:
            matrix += diags_array([-weights[:-step], -weights[:-step]], offsets=[step, -step])
    return csc_array(matrix)
