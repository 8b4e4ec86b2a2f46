"""The embedded pictures: photographs that the pinned packages ship, degraded by a physical model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import degradations, files, images
from .progress import Progress
from .seeding import generator


class Photograph(NamedTuple):
    """One embedded picture. Views of one scene never straddle two lists; `source` is its name inside the package."""

    name: str
    scene: str
    package: str
    source: str
    credit: str
    licence: str


PRINCIPAL_OFFSET = 31.086  # pixels between the principal points of the stereo pair, from its calibration
DRAWN = "degradations.json"  # what 00_data calls the record of drawn parameters
STEREO = "Middlebury stereo 2014, Scharstein et al."
PHOTOGRAPHS = (
    Photograph("astronaut", "astronaut", "scikit-image", "astronaut", "NASA", "public domain"),
    Photograph("chelsea", "chelsea", "scikit-image", "chelsea", "Stefan van der Walt", "CC0"),
    Photograph("china", "china", "scikit-learn", "china.jpg", "danielbuechele, Flickr", "CC BY 2.0"),
    Photograph("coffee", "coffee", "scikit-image", "coffee", "Rachel Michetti", "CC0"),
    Photograph("flower", "flower", "scikit-learn", "flower.jpg", "vultilion, Flickr", "CC BY 2.0"),
    Photograph("hopper", "hopper", "matplotlib", "grace_hopper.jpg", "US Navy", "public domain"),
    Photograph("motorcycle-left", "motorcycle", "scikit-image", "stereo_motorcycle", STEREO, "none stated"),
    Photograph("motorcycle-right", "motorcycle", "scikit-image", "stereo_motorcycle", STEREO, "none stated"),
    Photograph("rocket", "rocket", "scikit-image", "rocket", "SpaceX", "public domain"),
)


def load(photograph: Photograph) -> np.ndarray:
    """The picture as (H, W, 3) uint8; a grey one gets three equal channels."""
    if photograph.package == "scikit-learn":
        from sklearn.datasets import load_sample_image

        return load_sample_image(photograph.source)
    if photograph.package == "matplotlib":
        import matplotlib

        return images.read(Path(matplotlib.get_data_path(), "sample_data", photograph.source))
    import skimage.data

    picture = getattr(skimage.data, photograph.source)()
    if photograph.scene == "motorcycle":
        picture = picture[photograph.name == "motorcycle-right"]
    return np.asarray(Image.fromarray(picture).convert("RGB"))


def depth(photograph: Photograph) -> tuple[Tensor, np.ndarray] | None:
    """Measured depth (1, 1, H, W), relative to the farthest point, and where it was measured (H, W); None without any.

    Only the stereo pair has it: depth = focal length x baseline / (disparity + offset), of Middlebury's calibration.
    The right view's disparity is the left's, moved along; places without a measurement take the nearest one's.
    """
    if photograph.scene != "motorcycle":
        return None
    from scipy.ndimage import distance_transform_edt
    from skimage.data import stereo_motorcycle

    disparity = stereo_motorcycle()[2]
    if photograph.name == "motorcycle-right":
        disparity = _moved(disparity)
    measured = np.isfinite(disparity)
    nearest = distance_transform_edt(~measured, return_distances=False, return_indices=True)
    distance = 1 / (disparity[tuple(nearest)] + PRINCIPAL_OFFSET)
    return torch.from_numpy(distance / distance.max()).float()[None, None], measured


def _moved(disparity: np.ndarray) -> np.ndarray:
    """The left view's disparity (H, W) seen from the right: (row, x) goes to x - disparity, the nearer point wins."""
    moved = np.full_like(disparity, np.nan)
    rows, columns = np.nonzero(np.isfinite(disparity))
    order = np.argsort(disparity[rows, columns])  # far points first, near ones over them
    rows, columns = rows[order], columns[order]
    values = disparity[rows, columns]
    to = np.round(columns - values).astype(int)
    inside = to >= 0
    moved[rows[inside], to[inside]] = values[inside]
    return moved


def write_pairs(
    folder: Path, degradation: str, variants: int, seed: int, ranges: Mapping[str, Any] | None = None
) -> dict[str, dict[str, float]]:
    """Write degraded/ and clear/ as 8-bit PNG and groups.json; `variants` degraded versions of each photograph.

    Each version draws its own parameters (from the model's ranges, or `ranges`), from a generator that its name and
    `seed` determine; they are returned, by name. Where a model goes by depth, measured depth is used where there is
    any, generated depth elsewhere; valid/ then holds what was measured (white), and metrics leave the rest out.
    """
    model = degradations.MODELS[degradation]
    for stale in folder.glob("*/*.png"):  # of an earlier run, which may have had more of them
        stale.unlink()
    values = {}
    for index in Progress("embedded pictures degraded", len(PHOTOGRAPHS)):
        photograph = PHOTOGRAPHS[index]
        picture = load(photograph)
        images.write(folder / "clear" / f"{photograph.name}.png", picture)
        measured = depth(photograph) if model.DEPTH else None
        if measured is not None:
            valid = np.repeat(255 * measured[1].astype(np.uint8)[..., None], 3, axis=2)
            images.write(folder / "valid" / f"{photograph.name}.png", valid)
        for variant in range(variants):
            name = f"{photograph.name}_{variant}"
            drawn = generator(seed, degradation, name)
            made = model.draw(*picture.shape[:2], drawn, ranges, measured and measured[0])
            images.write(
                folder / "degraded" / f"{name}.png", images.to_picture(made.apply(images.to_tensor(picture), drawn))
            )
            values[name] = dict(made.values)
    files.write_json(folder / "groups.json", {photograph.name: photograph.scene for photograph in PHOTOGRAPHS})
    return values


def licences() -> list[dict[str, str]]:
    """The table of photographs with origin and licence."""
    return [{"picture": p.name, "package": p.package, "credit": p.credit, "licence": p.licence} for p in PHOTOGRAPHS]
