"""SSIM of torch tensors: the index, its multi-scale form, and its three parts apart.

Pictures (N, C, H, W) in [0, 1]; Gaussian window, population covariance, valid positions (Wang et al. 2004).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import KitError

C1, C2 = 0.01**2, 0.03**2
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
PARTS = ("luminance", "contrast", "structure")  # HBL's Table 1 raises them to powers a, b, c
SMALLEST = 1e-3  # of a part that is raised to a power: structure may be negative


def _window_matrix(length: int, size: int, sigma: float) -> Tensor:
    """(length - size + 1, length): each row a Gaussian window one place further on.

    Filtering by this matrix is several times faster on CPUs than convolving single channels.
    """
    offsets = torch.arange(length) - torch.arange(length - size + 1)[:, None] - size // 2
    window = torch.exp(-0.5 * (offsets.double() / sigma) ** 2) * (offsets.abs() <= size // 2)
    return window / window.sum(1, keepdim=True)


def _blurred(a: Tensor, b: Tensor, size: int, sigma: float) -> Tensor:
    """a, b, a^2, b^2 and ab under the window at every valid position: (5, N, C, H - size + 1, W - size + 1)."""
    if min(a.shape[-2:]) < size:
        raise KitError(f"SSIM needs pictures of at least {size}x{size}, not {a.shape[-2]}x{a.shape[-1]}")
    down, across = (_window_matrix(side, size, sigma).to(a) for side in a.shape[-2:])
    return down @ torch.stack((a, b, a * a, b * b, a * b)) @ across.T


def _ssim_maps(a: Tensor, b: Tensor, size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, at every valid position: (N, C, H - size + 1, W - size + 1) each."""
    mean_a, mean_b, aa, bb, ab = _blurred(a, b, size, sigma)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance, (2 * (ab - mean_a * mean_b) + C2) / (aa - mean_a**2 + bb - mean_b**2 + C2)


def ssim_index(a: Tensor, b: Tensor, size: int = 11, sigma: float = 1.5) -> Tensor:
    """Mean SSIM of (N, C, H, W) in [0, 1]: Gaussian window, population covariance, valid positions (Wang 2004)."""
    luminance, structure = _ssim_maps(a, b, size, sigma)
    return (luminance * structure).mean()


def ms_ssim_index(a: Tensor, b: Tensor, size: int = 11, sigma: float = 1.5) -> Tensor:
    """Multi-scale SSIM of (N, C, H, W) in [0, 1] (Wang 2003): structure at each scale, luminance at the last one.

    As many of the five scales as the window fits into (all from 176 pixels on), their exponents divided by their sum.
    """
    scales = [k for k in range(len(MS_SSIM_EXPONENTS)) if min(a.shape[-2:]) >> k >= size]
    exponents = MS_SSIM_EXPONENTS[: len(scales)]
    product = torch.ones((), device=a.device, dtype=a.dtype)
    for scale, exponent in zip(scales, exponents, strict=True):
        a, b = (a, b) if scale == 0 else (F.avg_pool2d(a, 2), F.avg_pool2d(b, 2))
        luminance, structure = _ssim_maps(a, b, size, sigma)
        value = (luminance * structure).mean() if scale == scales[-1] else structure.mean()
        product = product * value.clamp(min=1e-4) ** (exponent / sum(exponents))
    return product


def ssim_parts(a: Tensor, b: Tensor, size: int = 11, sigma: float = 1.5) -> Tensor:
    """Luminance, contrast and structure at every valid position, (3, N, C, H - 10, W - 10), at least `SMALLEST`."""
    mean_a, mean_b, aa, bb, ab = _blurred(a, b, size, sigma)
    variances = (aa - mean_a**2).clamp(min=0), (bb - mean_b**2).clamp(min=0)
    both = (variances[0] * variances[1] + 1e-16).sqrt()
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    contrast = (2 * both + C2) / (sum(variances) + C2)
    structure = (ab - mean_a * mean_b + C2 / 2) / (both + C2 / 2)
    return torch.stack((luminance, contrast, structure)).clamp(min=SMALLEST)
