"""PSNR, SSIM and LPIPS of a restored picture, under a protocol that has a name and is written out.

The same two pictures differ by 4 dB and by .2 of SSIM from one common protocol to the next, so a number without its
protocol says nothing. "rgb" is the kit's; the others are there to compare with papers that use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray, rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from . import images, modes, pairs
from .errors import KitError, nearest
from .perceptual import LPIPS
from .progress import Progress

MASKED = "; where a picture has a valid/ mask, over its white places only (LPIPS: with the rest made equal)"


def psnr(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    """dB, of two uint8 pictures, (H, W, 3) or (H, W), over the pixels of `valid` (H, W); equal ones give infinity.

    >>> black, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 51, np.uint8)
    >>> round(psnr(grey, black), 3)  # 20 log10(255 / 51)
    13.979
    """
    if valid is not None:
        restored, clear = restored[valid], clear[valid]
    if np.array_equal(restored, clear):
        return math.inf
    return float(peak_signal_noise_ratio(clear, restored, data_range=255))


def ssim(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    """SSIM of two uint8 pictures of at least 11x11, (H, W, 3) or (H, W); the mean over window centres in `valid`."""
    return _skimage_ssim(restored, clear, valid, 5, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def _skimage_ssim(
    restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None, border: int, **options: Any
) -> float:
    axis = 2 if clear.ndim == 3 else None
    mean, each = structural_similarity(clear, restored, data_range=255, channel_axis=axis, full=True, **options)
    if valid is None:
        return float(mean)
    inside = slice(border, -border)
    return float(each[inside, inside][valid[inside, inside]].mean())


def _uniform_ssim(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    return _skimage_ssim(restored, clear, valid, 3)


def _zero_padded_ssim(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    def blurred(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (1.5, 1.5, 0), mode="constant", radius=(5, 5, 0))

    a, b = restored.astype(float), clear.astype(float)
    mean_a, mean_b = blurred(a), blurred(b)
    aa, bb, ab = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2, blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    each = (2 * mean_a * mean_b + c1) * (2 * ab + c2) / ((mean_a**2 + mean_b**2 + c1) * (aa + bb + c2))
    return float(each.mean() if valid is None else each[valid].mean())


def _as_they_are(restored: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return restored, clear


def _luma(restored: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    luma = (np.round(rgb2ycbcr(picture)[..., 0]).astype(np.uint8) for picture in (restored, clear))
    return tuple(luma)


def _same_mean(restored: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gain = rgb2gray(clear).mean() / max(rgb2gray(restored).mean(), 1e-6)
    return np.round(np.clip(restored * gain, 0, 255)).astype(np.uint8), clear


@dataclass(frozen=True)
class Protocol:
    """How a protocol is written out, what it makes of the two pictures, and its SSIM."""

    words: str
    prepared: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] = _as_they_are
    ssim: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float] = ssim


_RGB = "RGB, whole picture, clipped to [0, 1] and rounded to 8 bits; PSNR over all channels; "
_GAUSSIAN = "SSIM with a Gaussian window (sigma 1.5, 11x11, population covariance), mean over channels and "
PROTOCOLS = {
    "rgb": Protocol(f"{_RGB}{_GAUSSIAN}valid positions"),
    "y": Protocol(
        "Y as MATLAB's rgb2ycbcr gives it for 8 bits (16 to 235), whole picture; PSNR against 255; SSIM with a "
        "Gaussian window (sigma 1.5, 11x11, population covariance), mean over valid positions",
        _luma,
    ),
    "uniform": Protocol(
        f"{_RGB}SSIM as scikit-image's default (uniform window 7x7, sample covariance)", ssim=_uniform_ssim
    ),
    "zero_padded": Protocol(f"{_RGB}{_GAUSSIAN}all positions, zeros around", ssim=_zero_padded_ssim),
    "ground_truth_mean": Protocol(
        f"restored picture first brought to the clear one's mean grey, which no method can know; {_RGB}{_GAUSSIAN}"
        "valid positions",
        _same_mean,
    ),
}
LPIPS_WORDS = "; LPIPS with AlexNet v0.1"
PROTOCOL = PROTOCOLS["rgb"].words + LPIPS_WORDS


def protocol_of(name: str) -> Protocol:
    """The protocol of that name; a wrong one names the nearest."""
    if name not in PROTOCOLS:
        raise KitError(f"no protocol '{name}'; there are: {', '.join(PROTOCOLS)}.{nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]


@torch.no_grad()
def score(
    restored: np.ndarray,
    clear: np.ndarray,
    lpips: LPIPS | None = None,
    valid: np.ndarray | None = None,
    protocol: str = "rgb",
) -> dict[str, float | None]:
    """{"psnr", "ssim", "lpips"} of two (H, W, 3) uint8 pictures; lpips is None where it was not measured.

    `valid`, (H, W) bool, limits what counts; for LPIPS, which has no pixels of its own, the rest is made equal.
    """
    chosen = protocol_of(protocol)
    if restored.shape != clear.shape:
        raise KitError(f"pictures of different sizes can't be scored: {restored.shape[:2]} and {clear.shape[:2]}")
    if min(clear.shape[:2]) < 11:
        raise KitError(f"SSIM needs pictures of at least 11x11, not {clear.shape[1]}x{clear.shape[0]}")
    restored, clear = chosen.prepared(restored, clear)
    distance = None
    if lpips is not None and clear.ndim == 3:
        device = lpips.linear[0].device
        kept = restored if valid is None else np.where(valid[..., None], restored, clear)
        pictures = (images.to_tensor(p).to(device) for p in (kept, clear))
        distance = lpips(*pictures).item()
    return {"psnr": psnr(restored, clear, valid), "ssim": chosen.ssim(restored, clear, valid), "lpips": distance}


def score_folders(restored: Path, clear: Path, lpips: LPIPS | None = None, protocol: str = "rgb") -> dict[str, Any]:
    """Score the pictures of one folder against those of another, matched by name as pairs are, read as `restore` does.

    {"protocol", "images", "mean", "per_image", "not_restored"}; the last names clear pictures without a restored one.
    A restored picture without a clear one, or of another size, is a KitError.
    """
    found, left = pairs.match(restored, clear)
    per_image = []
    for index in Progress("pictures scored", len(found)):
        one, other = found[index]
        pictures = (modes.read(path).eight_bits() for path in (one, other))
        try:
            per_image.append({"picture": one.name, **score(*pictures, lpips, protocol=protocol)})
        except KitError as error:
            raise KitError(f"{one.name} and {other.name}: {error}") from None
    rows = {"mean": mean(per_image), "per_image": per_image, "not_restored": [path.name for path in left]}
    lpips_words = LPIPS_WORDS if any(row["lpips"] is not None for row in per_image) else ""
    return {
        "protocol": f"{protocol_of(protocol).words}{lpips_words}; transparency is left out",
        "images": len(found),
        **rows,
    }


def mean(scores: list[dict[str, float | None]]) -> dict[str, float | None]:
    """The mean of each metric over pictures; None where any picture lacks it."""
    means = {}
    for key in ("psnr", "ssim", "lpips"):
        values = [score[key] for score in scores]
        means[key] = None if None in values else float(np.mean(values))
    return means
