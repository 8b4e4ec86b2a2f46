"""Pictures that show the same, whatever they are called: equal pixels, or nearly equal by a perceptual hash.

The hash is ImageHash's pHash, 64 bits of a picture's lowest frequencies in grey. A picture that hardly varies has none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from . import images
from .errors import KitError, several
from .pairs import listing, pictures_in
from .progress import Progress

BITS = 64
ALIKE = 8  # of these bits that may differ; README says what was measured
FLAT = 2.0  # standard deviation of the grey values, of 255, below which a hash says nothing
HELD_OUT = ("eval15", "Real_captured/Test")  # as LOL-v1 and LOL-v2 are published
EQUAL = -1


@dataclass(frozen=True)
class Look:
    """What is compared of a picture: the SHA-256 of its pixels, and its hash (None: it hardly varies)."""

    pixels: str
    hash: int | None = None

    @classmethod
    def of(cls, picture: np.ndarray) -> Look:
        """Of (H, W, 3) uint8 RGB."""
        grey = Image.fromarray(picture).convert("L")
        return cls(pixels(picture), int(str(imagehash.phash(grey)), 16) if np.std(grey) >= FLAT else None)


def pixels(picture: np.ndarray) -> str:
    """SHA-256 of a picture's size and pixels: the same for the same picture in two formats."""
    return hashlib.sha256(f"{picture.shape}".encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()


def alike(ones: Sequence[Look], others: Sequence[Look]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each of the ones that has any: its index, the indices of the others that are alike, and the bits that differ.

    EQUAL bits: equal pixels.
    """
    places: dict[str, list[int]] = {}
    for j, look in enumerate(others):
        places.setdefault(look.pixels, []).append(j)
    hashed = np.array([look.hash is not None for look in others], bool)
    hashes = np.array([look.hash or 0 for look in others], np.uint64)
    for i, look in enumerate(ones):
        bits = np.full(len(others), BITS + 1)
        if look.hash is not None:
            bits[hashed] = np.bitwise_count(hashes[hashed] ^ np.uint64(look.hash))
        bits[places.get(look.pixels, [])] = EQUAL
        found = np.flatnonzero(bits <= ALIKE)
        if len(found):
            yield i, found, bits[found]


def words(one: str, other: str, bits: int) -> str:
    """ "a.png and b.png: equal pixels"."""
    return f"{one} and {other}: " + ("equal pixels" if bits == EQUAL else f"{bits} of 64 bits of their hashes differ")


def between(folder: Path, other: Path) -> list[str]:
    """In words, which pictures of one folder show what one of the other shows; of pairs, the clear ones count."""
    names, looks = _looks(Path(folder))
    return shown_in([f"{folder}/{name}" for name in names], looks, Path(other), str(other))


def shown_in(names: Sequence[str], looks: Sequence[Look], other: Path, known_as: str) -> list[str]:
    """In words, which pictures of these names and looks show what one of `other` shows, each with the nearest one."""
    theirs, others = _looks(other)
    nearest = ((i, found[bits.argmin()], bits.min()) for i, found, bits in alike(looks, others))
    return [words(names[i], f"{known_as}/{theirs[j]}", bits) for i, j, bits in nearest]


def held_out_beside(folder: Path) -> list[str]:
    """Where test pictures of LOL-v1 and LOL-v2 real lie nearby, relative to `folder`: up to three folders above it."""
    here, places = Path(folder).resolve(), []
    for above in here.parents[:3]:
        for name in HELD_OUT:
            places += [above / name, *above.glob(f"*/{name}")]
    return sorted({os.path.relpath(place, here) for place in places if place.is_dir() and place != here})


def require_unseen(folder: Path, unseen: Path) -> None:
    """Refuse data that shows what the pictures of the folder `unseen` show, such as those of another set's test."""
    shown = between(folder, unseen)
    if shown:
        raise KitError(several(f"{folder}: shows what must stay unseen (task.unseen); remove these pictures:", shown))


def _looks(folder: Path) -> tuple[list[str], list[Look]]:
    """Names in the folder, and looks, of the clear pictures of a folder of pairs, or of the pictures in any other."""
    try:
        listed = {pair.clear: pair for pair in listing(folder).pairs}
    except KitError:
        listed = {path.name: None for path in pictures_in(folder)}
    if not listed:
        raise KitError(f"{folder}: {'holds no pictures' if folder.is_dir() else 'no such folder'}")
    looks, pairs = [], list(listed.items())
    for index in Progress(f"pictures of {folder} read", len(pairs)):
        name, pair = pairs[index]
        looks.append(Look.of(pair.read(folder)[1] if pair else images.read(folder / name)))
    return list(listed), looks
