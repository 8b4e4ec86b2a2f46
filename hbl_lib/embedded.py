"""The embedded pictures: photographs that the pinned packages ship, degraded by a physical model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from . import degradations, files, images
from .progress import Progress
from .runs import generator


def _skimage(name: str) -> np.ndarray:
    import skimage.data

    return getattr(skimage.data, name)()


def _stereo(view: int) -> np.ndarray:
    return _skimage("stereo_motorcycle")[view]


def _sklearn(name: str) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image(name)


def _matplotlib(name: str) -> np.ndarray:
    import matplotlib

    return np.asarray(Image.open(Path(matplotlib.get_data_path(), "sample_data", name)).convert("RGB"))


@dataclass(frozen=True)
class Photograph:
    """One embedded picture: its name, scene (views of one scene never straddle two lists), origin and licence."""

    name: str
    scene: str
    package: str
    credit: str
    licence: str
    load: Callable[[], np.ndarray]


PHOTOGRAPHS = (
    Photograph("astronaut", "astronaut", "scikit-image", "NASA", "public domain", lambda: _skimage("astronaut")),
    Photograph("chelsea", "chelsea", "scikit-image", "Stefan van der Walt", "CC0", lambda: _skimage("chelsea")),
    Photograph("coffee", "coffee", "scikit-image", "Rachel Michetti", "CC0", lambda: _skimage("coffee")),
    Photograph("rocket", "rocket", "scikit-image", "SpaceX", "public domain", lambda: _skimage("rocket")),
    Photograph(
        "motorcycle-left",
        "motorcycle",
        "scikit-image",
        "Middlebury stereo 2014, Scharstein et al.",
        "as shipped by scikit-image",
        lambda: _stereo(0),
    ),
    Photograph(
        "motorcycle-right",
        "motorcycle",
        "scikit-image",
        "Middlebury stereo 2014, Scharstein et al.",
        "as shipped by scikit-image",
        lambda: _stereo(1),
    ),
    Photograph(
        "hopper",
        "hopper",
        "matplotlib",
        "US Navy (James S. Davis)",
        "public domain",
        lambda: _matplotlib("grace_hopper.jpg"),
    ),
    Photograph("china", "china", "scikit-learn", "danielbuechele, Flickr", "CC BY 2.0", lambda: _sklearn("china.jpg")),
    Photograph("flower", "flower", "scikit-learn", "vultilion, Flickr", "CC BY 2.0", lambda: _sklearn("flower.jpg")),
)


def write_pairs(folder: Path, degradation: str, variants: int, seed: int) -> None:
    """Write degraded/ and clear/ as 8-bit PNG and groups.json; `variants` degraded versions of each photograph.

    Each version draws its own parameters, from a generator that its name and `seed` determine.
    """
    model = degradations.MODELS[degradation]
    for stale in (folder / "degraded").glob("*_*.png"):  # versions of an earlier run, which may have had more
        stale.unlink()
    for index in Progress("embedded pictures degraded", len(PHOTOGRAPHS)):
        photograph = PHOTOGRAPHS[index]
        picture = np.ascontiguousarray(photograph.load())
        images.write(folder / "clear" / f"{photograph.name}.png", picture)
        for variant in range(variants):
            name = f"{photograph.name}_{variant}"
            drawn = generator(seed, degradation, name)
            degraded = model.draw(*picture.shape[:2], drawn).apply(images.to_tensor(picture), drawn)
            images.write(folder / "degraded" / f"{name}.png", images.to_picture(degraded))
    files.write_json(folder / "groups.json", {photograph.name: photograph.scene for photograph in PHOTOGRAPHS})


def licences() -> list[dict[str, str]]:
    """The table of photographs with origin and licence."""
    return [{"picture": p.name, "package": p.package, "credit": p.credit, "licence": p.licence} for p in PHOTOGRAPHS]
