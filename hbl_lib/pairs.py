"""Paired folders: which degraded picture belongs to which clear one, and what is wrong with a folder."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import files, images
from .errors import KitError
from .overlap import EQUAL, Look, alike, joined, pixels, words
from .progress import Progress

# Names of the two folders, degraded first; case does not matter.
LAYOUTS = (
    ("degraded", "clear"),
    ("low", "high"),  # LOL-v1
    ("low", "normal"),  # LOL-v2
    ("input", "expertc"),  # MIT-Adobe 5K
    ("hazy", "clear"),  # RESIDE ITS, SOTS outdoor
    ("hazy", "gt"),  # SOTS, I-HAZE
    ("raw", "reference"),  # UIEB
    ("raw-890", "reference-890"),  # UIEB as published
    ("input", "gt"),  # LSUI
    ("rain", "norain"),  # Rain100
)
PANELS = ("train", "trans")  # PhysicsGAN: train/ holds hazy, clear and airlight side by side, trans/ the transmission
ONE_CLEAR_FOR_MANY = ("degraded", "hazy")  # degraded folders in which one clear picture may have several versions
BORDER = 10  # SOTS indoor: clear pictures are this much larger on each side than hazy ones
VALID = "valid"  # an optional third folder: white where a clear picture's metrics are to be measured
SMALLEST = 11  # SSIM's window
AFFIXES = {
    *("low", "high", "normal", "input", "output", "expertc", "hazy", "haze", "clear", "clean", "gt", "raw", "ref"),
    *("reference", "degraded", "outdoor", "indoor", "rain", "norain"),
}


@dataclass(frozen=True)
class Pair:
    """One degraded picture and its clear one, as paths relative to the folder. Pairs of a group are never split.

    `border`: pixels to take off each side of the clear picture. `panels`: 3 where one file holds degraded, clear and a
    third picture side by side. `valid`: a picture that is white where metrics count; empty, they count everywhere.
    """

    degraded: str
    clear: str
    group: str
    border: int = 0
    panels: int = 1
    valid: str = ""

    def names(self) -> list[str]:
        """Its files."""
        return list(dict.fromkeys(filter(None, (self.degraded, self.clear, self.valid))))

    def read(self, root: Path, decode: Callable[[Path], np.ndarray] = images.read) -> tuple[np.ndarray, np.ndarray]:
        """Degraded and clear, (H, W, 3) uint8 each; sizes are not compared. `decode` reads a file."""
        degraded, clear = (decode(root / name) for name in (self.degraded, self.clear))
        if self.panels > 1:
            width = degraded.shape[1] // self.panels
            return degraded[:, :width], degraded[:, width : 2 * width]
        inside = slice(self.border, -self.border or None)
        return degraded, clear[inside, inside]

    def read_valid(self, root: Path, decode: Callable[[Path], np.ndarray] = images.read) -> np.ndarray | None:
        """Where metrics count, (H, W) bool; None: everywhere."""
        return decode(root / self.valid)[..., 0] > 127 if self.valid else None

    def size(self, root: Path) -> tuple[int, int]:
        """(height, width) of the degraded picture, from the file's header."""
        height, width = images.size(root / self.degraded)
        return height, width // self.panels


@dataclass
class Listing:
    """What a folder holds, and in words what is wrong with it."""

    folder: Path
    layout: tuple[str, str]
    pairs: list[Pair] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    settled: frozenset[str] = frozenset()  # scenes that groups.json names
    twins: list[str] = field(default_factory=list)  # in words, pictures of two names that show the same

    def describe(self) -> str:
        """Layout, number of pairs and of scenes, in words."""
        groups = len({pair.group for pair in self.pairs})
        folders = " and ".join(f"{name}/" for name in dict.fromkeys(self.layout))
        words = f"{self.folder}: {folders}, {len(self.pairs)} pairs of {groups} pictures"
        if any(pair.panels > 1 for pair in self.pairs):
            words += "; hazy, clear and airlight side by side in each file"
        cropped = sum(pair.border > 0 for pair in self.pairs)
        if cropped:
            words += f"; {BORDER} pixels are taken off each side of the clear picture in {cropped} of them"
        masked = sum(bool(pair.valid) for pair in self.pairs)
        return words + (f"; {VALID}/ limits the metrics of {masked}" if masked else "")


def find_layout(folder: Path) -> tuple[str, str]:
    """The names of the degraded and the clear subfolder."""
    if not folder.is_dir():
        raise KitError(f"{folder}: no such folder. DATA takes a folder that holds two: degraded and clear pictures.")
    inside = _subfolders(folder)
    if set(PANELS) <= inside.keys():
        return inside[PANELS[0]], inside[PANELS[0]]
    fitting = _fitting(inside)
    if len(fitting) != 1:
        expected = ", ".join(f"{a}/ and {b}/" for a, b in (*LAYOUTS, PANELS))
        found = ", ".join(f"{name}/" for name in inside.values()) or "no subfolder"
        if fitting:
            several = ", ".join(f"{inside[a]}/ and {inside[b]}/" for a, b in fitting)
            raise KitError(
                f"{folder}: holds {found}, which fits several layouts: {several}. Keep the two that are meant."
            )
        deeper = [name for name in inside.values() if _fitting(_subfolders(folder / name))]
        hint = f" Did you mean {folder / deeper[0]}?" if deeper else ""
        raise KitError(
            f"{folder}: holds {found}; expected one of these layouts: {expected} (README says of which sets).{hint}"
        )
    return inside[fitting[0][0]], inside[fitting[0][1]]


def _subfolders(folder: Path) -> dict[str, str]:
    return {path.name.lower(): path.name for path in sorted(folder.iterdir()) if path.is_dir()}


def _fitting(inside: dict[str, str]) -> list[tuple[str, str]]:
    return [pair for pair in LAYOUTS if set(pair) <= inside.keys()]


def bare(stem: str) -> str:
    """A file's stem in lower case without the affixes of known data sets: "low00012" and "normal00012" -> "00012"."""
    stem = re.sub(r"^(low|normal|high)(?=\d)", r"\1_", stem.lower())
    parts = [part for part in re.split(r"[_\s-]+", stem) if part]
    return "_".join(part for part in parts if part not in AFFIXES) or stem


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES and not p.name.startswith("."))


def _encodable(paths: list[Path], problems: list[str]) -> list[Path]:
    """The paths whose names are text; others are problems."""
    kept = [path for path in paths if path.name.encode(errors="ignore") == os.fsencode(path.name)]
    problems += [
        f"{path.parent.name}/{os.fsencode(path.name)!r}: rename it, its name is not UTF-8"
        for path in paths
        if path not in kept
    ]
    return kept


def _index(paths: list[Path], problems: list[str]) -> dict[str, Path]:
    """Bare stem -> path; stems that two files share are problems."""
    counts = Counter(bare(path.stem) for path in paths)
    for stem in sorted(stem for stem, count in counts.items() if count > 1):
        names = ", ".join(path.name for path in paths if bare(path.stem) == stem)
        problems.append(f"{paths[0].parent.name}/: several pictures go by the name '{stem}': {names}")
    return {bare(path.stem): path for path in paths}


def _match(stem: str, clear: dict[str, Path], many: bool) -> Path | None:
    """The clear picture of a stem: the same name or, with `many`, the longest it starts with (SOTS: 0001_0.8_0.2)."""
    while many and stem not in clear and "_" in stem:
        stem = stem.rpartition("_")[0]
    return clear.get(stem)


def _groups(folder: Path, clear: list[Path], problems: list[str]) -> dict[str, str]:
    """groups.json: {stem of a clear picture: scene}, for pictures of one scene; absent, each picture is its own."""
    path = folder / "groups.json"
    if not path.is_file():
        return {}
    groups = files.read_json(path)
    if not isinstance(groups, dict) or not all(isinstance(scene, str) for scene in groups.values()):
        raise KitError(f"{path}: expected one object, the stem of a clear picture to the name of its scene")
    unknown = sorted(groups.keys() - {picture.stem for picture in clear})
    problems += [f"groups.json: no clear picture is called '{name}'" for name in unknown]
    return groups


def match(restored: Path, clear: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Restored pictures with their clear ones, matched by name, and the clear ones that none is a restoration of.

    Where no name is the same in both, several restored pictures may begin with the name of one clear one (hazy sets).
    A restored picture without a clear one, or no picture at all, is a KitError.
    """
    for folder in (restored, clear):
        if not folder.is_dir():
            raise KitError(f"{folder}: no such folder")
    problems: list[str] = []
    by_stem, sources = (_index(_pictures(folder), problems) for folder in (clear, restored))
    many = not by_stem.keys() & sources.keys()
    partners = {path: _match(stem, by_stem, many) for stem, path in sources.items()}
    problems += [f"{path}: has no partner in {clear}" for path, partner in partners.items() if partner is None]
    if problems or not partners:
        raise KitError("\n  ".join(problems) or f"{restored}: holds no pictures")
    return list(partners.items()), sorted(set(by_stem.values()) - set(partners.values()))


def listing(folder: Path) -> Listing:
    """Match the pairs of `folder` by name. Nothing is opened; sizes and contents are `check`'s."""
    folder = Path(folder)
    found = Listing(folder, find_layout(folder))
    degraded, clear = (_encodable(_pictures(folder / name), found.problems) for name in found.layout)
    panels = 3 if found.layout[0] == found.layout[1] else 1
    by_stem = _index(clear, found.problems)
    _index(degraded, found.problems)
    groups = _groups(folder, clear, found.problems)
    found.settled = frozenset(groups.values())
    many = found.layout[0].lower() in ONE_CLEAR_FOR_MANY
    valid = {path.stem: f"{VALID}/{path.name}" for path in _pictures(folder / VALID)}
    clear_stems = {path.stem for path in clear}
    found.problems += [
        f"{name}: no clear picture has this name" for stem, name in valid.items() if stem not in clear_stems
    ]
    used = set()
    for path in degraded:
        match = _match(bare(path.stem), by_stem, many)
        if match is None:
            found.problems.append(f"{found.layout[0]}/{path.name}: has no partner in {found.layout[1]}/")
            continue
        used.add(match)
        group = groups.get(match.stem, match.stem)
        limits = valid.get(match.stem, "")
        names = (f"{name}/{file.name}" for name, file in zip(found.layout, (path, match), strict=True))
        found.pairs.append(Pair(*names, group, panels=panels, valid=limits))
    found.problems += [
        f"{found.layout[1]}/{p.name}: has no partner in {found.layout[0]}/" for p in clear if p not in used
    ]
    found.problems = list(dict.fromkeys(found.problems))
    if not found.pairs:
        found.problems.append(f"no pair of pictures ({', '.join(images.SUFFIXES)}) was found")
    return found


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
            faults = [str(error).removeprefix(f"{found.folder}/")]
        found.problems += faults
    found.problems = list(dict.fromkeys(found.problems))
    _join(found, looks)
    return found


def _join(found: Listing, looks: dict[int, tuple[str, Look]]) -> None:
    """One group for pairs that show the same; two that groups.json names only where their pixels are equal."""
    indices, links = list(looks), {}
    of_degraded, of_clear = [Look(looks[k][0]) for k in indices], [looks[k][1] for k in indices]
    for side, known in (("clear", of_clear), ("degraded", of_degraded)):
        for a, b, bits in alike(known, known):
            one, other = found.pairs[indices[a]], found.pairs[indices[b]]
            if a < b and one.group != other.group:
                told = words(getattr(one, side), getattr(other, side), bits)
                if bits != EQUAL and {one.group, other.group} <= found.settled:
                    found.twins.append(f"{told}; two scenes all the same, as groups.json says")
                else:
                    links[indices[a], indices[b]] = f"{told}; one scene"
    if links:
        groups = joined([pair.group for pair in found.pairs], list(links))
        found.pairs = [replace(pair, group=group) for pair, group in zip(found.pairs, groups, strict=True)]
        found.twins += links.values()


def _read(folder: Path, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    if pair.panels > 1 and images.size(folder / pair.degraded)[1] % pair.panels:
        raise KitError(f"{pair.degraded}: {pair.panels} pictures side by side must be equally wide")
    return pair.read(folder)


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


def between(folder: Path, other: Path) -> list[str]:
    """In words, which pictures of one folder show what one of the other shows; of pairs, the clear ones count."""
    names, looks = zip(*(_looks(Path(place)) for place in (folder, other)), strict=True)
    return [words(names[0][i], names[1][j], bits) for i, j, bits in alike(*looks)]


def require_unseen(folder: Path, unseen: Path) -> None:
    """Refuse data that shows what the pictures of the folder `unseen` show, such as those of another set's test."""
    shown = between(folder, unseen)
    if shown:
        raise KitError(_several(f"{folder}: shows what must stay unseen (task.unseen); remove these pictures:", shown))


def _several(head: str, lines: list[str]) -> str:
    """A message with the first ten of its lines."""
    more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
    return "\n  ".join([head, *lines[:10], *more])


def _looks(folder: Path) -> tuple[list[str], list[Look]]:
    """Names and looks of the clear pictures of a folder of pairs, or of the pictures in any other folder."""
    try:
        listed = {pair.clear: pair for pair in listing(folder).pairs}
    except KitError:
        listed = {path.name: None for path in _pictures(folder)}
    if not listed:
        raise KitError(f"{folder}: {'holds no pictures' if folder.is_dir() else 'no such folder'}")
    looks, pairs = [], list(listed.items())
    for index in Progress(f"pictures of {folder} read", len(pairs)):
        name, pair = pairs[index]
        looks.append(Look.of(pair.read(folder)[1] if pair else images.read(folder / name)))
    return [str(folder / name) for name in listed], looks


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
            f"{_several(head, found.problems)}\n'python -m hbl_lib data check {found.folder}' lists them all."
        )
    return found.pairs
