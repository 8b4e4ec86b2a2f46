"""The embedded pictures: photographs that the pinned packages ship, degraded by a physical model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from . import degradations, files, images
from .progress import Progress
from .runs import generator


class Photograph(NamedTuple):
    """One embedded picture. Views of one scene never straddle two lists; `source` is its name inside the package."""

    name: str
    scene: str
    package: str
    source: str
    credit: str
    licence: str


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


def write_pairs(folder: Path, degradation: str, variants: int, seed: int) -> None:
    """Write degraded/ and clear/ as 8-bit PNG and groups.json; `variants` degraded versions of each photograph.

    Each version draws its own parameters, from a generator that its name and `seed` determine.
    """
    model = degradations.MODELS[degradation]
    for stale in folder.glob("*/*.png"):  # of an earlier run, which may have had more of them
        stale.unlink()
    for index in Progress("embedded pictures degraded", len(PHOTOGRAPHS)):
        photograph = PHOTOGRAPHS[index]
        picture = load(photograph)
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
