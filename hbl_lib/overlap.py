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
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from . import images
from .errors import KitError, several
from .pairs import listing, pictures_in
from .progress import Progress

ALIKE = 8  # bits of 64 that may differ; README says what was measured
FLAT = 2.0  # standard deviation of the grey values, of 255, below which a hash says nothing
CHUNK = 1024
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


def alike(ones: Sequence[Look], others: Sequence[Look]) -> Iterator[tuple[int, int, int]]:
    """(index of one, index of the other, bits that differ) of all that are alike; EQUAL bits: equal pixels."""
    places: dict[str, list[int]] = {}
    for j, look in enumerate(others):
        places.setdefault(look.pixels, []).append(j)
    yield from ((i, j, EQUAL) for i, look in enumerate(ones) for j in places.get(look.pixels, ()))
    left, right = ([k for k, look in enumerate(looks) if look.hash is not None] for looks in (ones, others))
    across = np.array([others[j].hash for j in right], np.uint64)
    for start in range(0, len(left), CHUNK):
        down = np.array([ones[i].hash for i in left[start : start + CHUNK]], np.uint64)
        bits = np.bitwise_count(down[:, None] ^ across)
        for row, column in np.argwhere(bits <= ALIKE).tolist():
            i, j = left[start + row], right[column]
            if ones[i].pixels != others[j].pixels:
                yield i, j, int(bits[row, column])


def joined(groups: Sequence[str], links: Sequence[tuple[int, int]]) -> list[str]:
    """The groups with one name for all that the links (two indices each) connect: the first of their names."""
    names = sorted(set(groups))
    place = {name: k for k, name in enumerate(names)}
    ends = [[place[groups[link[end]]] for link in links] for end in (0, 1)]
    graph = coo_array((np.ones(len(links)), ends), shape=(len(names), len(names)))
    labels = connected_components(graph, directed=False)[1].tolist()
    first = dict(zip(reversed(labels), reversed(names), strict=True))
    return [first[labels[place[group]]] for group in groups]


def words(one: str, other: str, bits: int) -> str:
    """ "a.png and b.png: equal pixels"."""
    return f"{one} and {other}: " + ("equal pixels" if bits == EQUAL else f"{bits} of 64 bits of their hashes differ")


def between(folder: Path, other: Path) -> list[str]:
    """In words, which pictures of one folder show what one of the other shows; of pairs, the clear ones count."""
    names, looks = _looks(Path(folder))
    return shown_in([f"{folder}/{name}" for name in names], looks, Path(other), str(other))


def shown_in(names: Sequence[str], looks: Sequence[Look], other: Path, known_as: str) -> list[str]:
    """In words, which pictures of these names and looks show what one of the folder `other` shows."""
    theirs, others = _looks(other)
    return [words(names[i], f"{known_as}/{theirs[j]}", bits) for i, j, bits in alike(looks, others)]


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
