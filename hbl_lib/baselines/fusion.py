"""Fusion: underwater pictures enhanced by blending two versions of themselves (Ancuti et al., CVPR 2012).

Of the paper's form for single pictures; the temporal bilateral filter, which is for video, is left out.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .tone import clahe, eight_bits

LEVELS = 5
EXPOSEDNESS_SIGMA = 0.25
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16  # the paper's low-pass kernel, separable, 5x5


def fusion(degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W, 3) uint8 RGB: sum_k weight_k input_k, blended at each scale by itself.

    Input 1 is white balanced; input 2 is CLAHE (on L of Lab) of input 1. The weights sum to 1 at each pixel.
    """
    balanced = white_balanced(degraded)
    inputs = [(picture / 255).astype(np.float32) for picture in (balanced, clahe(balanced))]
    weights = [importance(picture) for picture in inputs]
    return eight_bits(blended(inputs, [weight / sum(weights) for weight in weights]))


def white_balanced(degraded: np.ndarray) -> np.ndarray:
    """Grey world: each channel of (H, W, 3) uint8 scaled so that its mean is the picture's; a black one stays.

    The usual form (Buchsbaum 1980) in place of the variant that the paper has.
    """
    means = degraded.mean(axis=(0, 1)) / 255
    return eight_bits(degraded / 255 * (means.mean() / means.clip(min=1 / 255)))


def importance(picture: np.ndarray) -> np.ndarray:
    """How much each pixel of (H, W, 3) float RGB in [0, 1] counts, (H, W), above 0: the sum of four maps.

    Laplacian contrast |Laplacian(Y)|; local contrast |Y - lowpass(Y)|; saliency, the distance in Lab of the low-passed
    picture from its mean (Achanta et al., CVPR 2009), over 100, the range of L; exposedness
    exp(-(Y - 0.5)^2 / (2 0.25^2)).
    """
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    laplacian = np.abs(cv2.Laplacian(luminance, cv2.CV_32F))
    local = np.abs(luminance - _lowpass(luminance))
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab)
    saliency = np.linalg.norm(_lowpass(lab) - lab.mean(axis=(0, 1)), axis=2) / 100
    exposedness = np.exp(-((luminance - 0.5) ** 2) / (2 * EXPOSEDNESS_SIGMA**2))
    return laplacian + local + saliency + exposedness


def blended(inputs: list[np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
    """sum_k Gaussian pyramid of weight_k times Laplacian pyramid of input_k, level by level, collapsed to (H, W, 3).

    5 levels, or fewer where the coarsest one would be under 2 pixels a side.
    """
    levels = max(1, min(LEVELS, int(math.log2(min(weights[0].shape)))))
    parts = [
        [share[..., None] * detail for share, detail in zip(_gaussian(weight, levels), _laplacian(picture, levels))]
        for weight, picture in zip(weights, inputs)
    ]
    *finer, result = (sum(level) for level in zip(*parts))
    for level in reversed(finer):
        result = _enlarged(result, level) + level
    return result


def _gaussian(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """The picture and its halves, finest first."""
    pyramid = [picture]
    while len(pyramid) < levels:
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _laplacian(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """What each level has beyond the next coarser one, finest first, and the coarsest itself."""
    *finer, coarsest = _gaussian(picture, levels)
    return [level - _enlarged(below, level) for level, below in zip(finer, [*finer[1:], coarsest])] + [coarsest]


def _enlarged(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Twice the size, give or take the odd pixel that halving lost."""
    return cv2.pyrUp(picture, dstsize=like.shape[1::-1])


def _lowpass(picture: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(picture, -1, BINOMIAL, BINOMIAL)
