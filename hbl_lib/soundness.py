"""What is wrong with a folder of pairs, by decoding every picture; pairs that show the same become one scene."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import images
from .errors import KitError, several
from .overlap import EQUAL, Look, alike, held_out_beside, pixels, shown_in, words
from .pairs import BORDER, Listing, Pair, listing
from .progress import Progress

SMALLEST = 11  # SSIM's window


def check(folder: Path) -> Listing:
    """`listing`, with every picture decoded: broken ones, unsupported modes and sizes that differ become problems.

    Pairs whose pictures show the same become one scene, so that no two lists share it.
    """
    found = listing(folder)
    bordered = found.layout[0].lower() == "hazy"
    looks: dict[int, tuple[str, Look]] = {}
    for index in Progress(f"pairs of {found.folder.name} checked", len(found.pairs)):
        try:
            pictures = _read(found.folder, found.pairs[index])
            found.pairs[index], faults = _examine(found.folder, found.pairs[index], bordered, *pictures)
            looks[index] = (pixels(pictures[0]), Look.of(pictures[1]))
        except KitError as error:
            faults = _unreadable(found.folder, found.pairs[index]) or [str(error)]
            faults = [fault.removeprefix(f"{found.folder}/") for fault in faults]
        found.problems += faults
    found.problems = list(dict.fromkeys(found.problems))
    _join(found, looks)
    _compare(found, looks)
    return found


def _join(found: Listing, looks: dict[int, tuple[str, Look]]) -> None:
    """One group for pairs that show the same; two that groups.json names only where their pixels are equal, or where
    both show what a third pair shows that it does not name.
    """
    indices, pairs = np.array(list(looks), int), found.pairs
    of_degraded, of_clear = ([Look(pixels) for pixels, _ in looks.values()], [look for _, look in looks.values()])
    names = sorted({pair.group for pair in pairs})
    place = {name: k for k, name in enumerate(names)}
    # Of each pair the place of its scene's name; of scenes that are joined, that of the first.
    group = np.array([place[pair.group] for pair in pairs], int)
    settled = np.array([pair.group in found.settled for pair in pairs], bool)
    kept, links = [], []
    for side, known in (("clear", of_clear), ("degraded", of_degraded)):
        for k, others, bits in alike(known, known):
            a, others = indices[k], indices[others]
            apart = (others > a) & (group[others] != group[a])
            named = settled[a] & settled[others] & (bits != EQUAL)
            for b, differ in zip(others[apart & named][:1], bits[apart & named][:1], strict=True):
                kept.append((a, b, words(getattr(pairs[a], side), getattr(pairs[b], side), differ)))
            for b, differ in zip(others[apart & ~named], bits[apart & ~named], strict=True):
                if group[a] != group[b]:
                    told = words(getattr(pairs[a], side), getattr(pairs[b], side), differ)
                    links.append(f"{told}; one scene")
                    first, last = sorted((group[a], group[b]))
                    group[group == last] = first
    found.pairs = [replace(pair, group=names[k]) for pair, k in zip(pairs, group, strict=True)]
    # Two that groups.json keeps apart are one scene after all where both are like a third that it does not name.
    found.twins += [f"{told}; two scenes, as groups.json says" for a, b, told in kept if group[a] != group[b]] + links


def _compare(found: Listing, looks: dict[int, tuple[str, Look]]) -> None:
    """Note which pictures show what the test pictures of another set show that lie nearby, as LOL-v1's and v2's do."""
    names, of_clear = [found.pairs[k].clear for k in looks], [look for _, look in looks.values()]
    for place in held_out_beside(found.folder):
        try:
            found.held_out += dict.fromkeys(shown_in(names, of_clear, found.folder / place, place))
        except KitError as error:
            found.held_out.append(f"not compared: {error}")


def _read(folder: Path, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    if pair.panels > 1 and images.size(folder / pair.degraded)[1] % pair.panels:
        raise KitError(f"{pair.degraded}: {pair.panels} pictures side by side must be equally wide")
    return pair.read(folder)


def _unreadable(folder: Path, pair: Pair) -> list[str]:
    """What keeps each of a pair's files from being read."""
    faults = []
    for name in pair.names():
        try:
            images.read(folder / name)
        except KitError as error:
            faults.append(str(error))
    return faults


def _examine(
    folder: Path, pair: Pair, bordered: bool, degraded: np.ndarray, clear: np.ndarray
) -> tuple[Pair, list[str]]:
    """What is wrong with a pair, and the pair, with SOTS's border if that is why sizes differ."""
    larger = [b - a for a, b in zip(degraded.shape[:2], clear.shape[:2], strict=True)]
    if bordered and larger == [2 * BORDER] * 2:
        pair = replace(pair, border=BORDER)
        degraded, clear = pair.read(folder)
    (h, w), (h2, w2) = degraded.shape[:2], clear.shape[:2]
    if (h, w) != (h2, w2):
        return pair, [f"{pair.degraded} is {w}x{h} but {pair.clear} is {w2}x{h2}: both must be of one size"]
    faults = []
    if min(h, w) < SMALLEST:
        faults.append(f"{pair.degraded} is {w}x{h}: smaller than {SMALLEST}x{SMALLEST}")
    if np.array_equal(degraded, clear):
        faults.append(f"{pair.degraded} and {pair.clear} are the same picture")
    valid = pair.read_valid(folder)
    if valid is not None and (valid.shape != (h, w) or not valid[5:-5, 5:-5].any()):  # SSIM's window has its border
        faults.append(f"{pair.valid}: must be as large as {pair.clear} and white somewhere, 5 pixels from the edge")
    return pair, faults


def sizes(found: Listing) -> list[tuple[str, int]]:
    """How many pairs there are of each size ("600x400"), the most frequent first; unreadable pictures are left out."""
    counts: Counter[str] = Counter()
    for pair in found.pairs:
        with contextlib.suppress(KitError):
            height, width = pair.size(found.folder)
            counts[f"{width}x{height}"] += 1
    return counts.most_common()


def require_sound(found: Listing) -> list[Pair]:
    """The pairs, or one error that lists what is wrong."""
    if found.problems:
        count = len(found.problems)
        head = f"{found.folder}: {count} problem(s); mend or remove these files, nothing was used:"
        raise KitError(
            f"{several(head, found.problems)}\n'.venv/bin/python -m hbl_lib data check {found.folder}' lists them all."
        )
    return found.pairs
