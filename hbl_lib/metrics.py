"""PSNR, SSIM and LPIPS of a restored picture, with the protocol written out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from . import images, modes, pairs
from .errors import KitError
from .perceptual import LPIPS
from .progress import Progress

PROTOCOL = (
    "RGB, whole picture, clipped to [0, 1] and rounded to 8 bits; PSNR over all channels; SSIM with a Gaussian window "
    "(sigma 1.5, 11x11, population covariance), mean over channels and valid positions; LPIPS with AlexNet v0.1"
)
MASKED = "; where a picture has a valid/ mask, over its white places only (LPIPS: with the rest made equal)"


def psnr(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    """dB, of two (H, W, 3) uint8 pictures, over the pixels of `valid` (H, W); equal pictures give infinity."""
    if valid is not None:
        restored, clear = restored[valid], clear[valid]
    if np.array_equal(restored, clear):
        return math.inf
    return float(peak_signal_noise_ratio(clear, restored, data_range=255))


def ssim(restored: np.ndarray, clear: np.ndarray, valid: np.ndarray | None = None) -> float:
    """SSIM of two (H, W, 3) uint8 pictures of at least 11x11; the mean over window centres in `valid` (H, W)."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    mean, each = structural_similarity(clear, restored, data_range=255, channel_axis=2, full=True, **options)
    if valid is None:
        return float(mean)
    inside = slice(5, -5)
    return float(each[inside, inside][valid[inside, inside]].mean())


@torch.no_grad()
def score(
    restored: np.ndarray, clear: np.ndarray, lpips: LPIPS | None = None, valid: np.ndarray | None = None
) -> dict[str, float | None]:
    """{"psnr", "ssim", "lpips"} of two (H, W, 3) uint8 pictures; lpips is None where it was not measured.

    `valid`, (H, W) bool, limits what counts; for LPIPS, which has no pixels of its own, the rest is made equal.
    """
    if restored.shape != clear.shape:
        raise KitError(f"pictures of different sizes can't be scored: {restored.shape[:2]} and {clear.shape[:2]}")
    if min(clear.shape[:2]) < 11:
        raise KitError(f"SSIM needs pictures of at least 11x11, not {clear.shape[1]}x{clear.shape[0]}")
    distance = None
    if lpips is not None:
        device = lpips.linear[0].device
        kept = restored if valid is None else np.where(valid[..., None], restored, clear)
        pictures = (images.to_tensor(p).to(device) for p in (kept, clear))
        distance = lpips(*pictures).item()
    return {"psnr": psnr(restored, clear, valid), "ssim": ssim(restored, clear, valid), "lpips": distance}


def score_folders(restored: Path, clear: Path, lpips: LPIPS | None = None) -> dict[str, Any]:
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
            per_image.append({"picture": one.name, **score(*pictures, lpips)})
        except KitError as error:
            raise KitError(f"{one.name} and {other.name}: {error}") from None
    rows = {"mean": mean(per_image), "per_image": per_image, "not_restored": [path.name for path in left]}
    return {"protocol": f"{PROTOCOL}; transparency is left out", "images": len(found), **rows}


def mean(scores: list[dict[str, float | None]]) -> dict[str, float | None]:
    """The mean of each metric over pictures; None where any picture lacks it."""
    means = {}
    for key in ("psnr", "ssim", "lpips"):
        values = [score[key] for score in scores]
        means[key] = None if None in values else float(np.mean(values))
    return means
