"""Paired folders: which degraded picture belongs to which clear one, by layout and name. Nothing is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import files, images
from .errors import KitError

# Names of the two folders, degraded first (case does not matter), and the degradation of the set that has them.
LAYOUTS = {
    ("degraded", "clear"): "",
    ("low", "high"): "low_light",  # LOL-v1
    ("low", "normal"): "low_light",  # LOL-v2
    ("input", "expertc"): "low_light",  # MIT-Adobe 5K
    ("hazy", "clear"): "haze",  # RESIDE ITS, SOTS outdoor
    ("hazy", "gt"): "haze",  # SOTS, I-HAZE
    ("raw", "reference"): "underwater",  # UIEB
    ("raw-890", "reference-890"): "underwater",  # UIEB as published
    ("input", "gt"): "",  # LSUI, and many others
    ("rain", "norain"): "rain",  # Rain100
}
PANELS = ("train", "trans")  # PhysicsGAN: train/ holds hazy, clear and airlight side by side, trans/ the transmission
ONE_CLEAR_FOR_MANY = ("degraded", "hazy")  # degraded folders in which one clear picture may have several versions
BORDER = 10  # SOTS indoor: clear pictures are this much larger on each side than hazy ones
VALID = "valid"  # an optional third folder: white where a clear picture's metrics are to be measured
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
    held_out: list[str] = field(default_factory=list)  # in words, pictures that show a test picture of a set nearby

    def meant_for(self) -> str:
        """The degradation of the sets whose folders are named so; "" where the names do not say."""
        names = (self.layout[0].lower(), self.layout[1].lower())
        return LAYOUTS.get(names, "haze" if self.pairs and self.pairs[0].panels > 1 else "")

    def describe(self) -> str:
        """Layout, number of pairs and of scenes, in words."""
        groups = len({pair.group for pair in self.pairs})
        folders = " and ".join(f"{name}/" for name in dict.fromkeys(self.layout))
        words = f"{self.folder}: {folders}, {len(self.pairs)} pairs of {groups} scenes"
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


def pictures_in(folder: Path) -> list[Path]:
    """The files with a picture's ending, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES and not p.name.startswith("."))


def _encodable(paths: list[Path], problems: list[str]) -> list[Path]:
    """The paths whose names are text; others are problems."""
    kept = []
    for path in paths:
        raw = os.fsencode(path.name)
        if path.name.encode(errors="ignore") == raw:
            kept.append(path)
        else:
            problems.append(f"{path.parent.name}/{raw!r}: rename it, its name is not UTF-8")
    return kept


def _index(paths: list[Path], problems: list[str]) -> dict[str, Path]:
    """Bare stem -> path; stems that two files share are problems."""
    named: dict[str, list[Path]] = {}
    for path in paths:
        named.setdefault(bare(path.stem), []).append(path)
    for stem, several in sorted(named.items()):
        if len(several) > 1:
            names = ", ".join(path.name for path in several)
            problems.append(f"{several[0].parent.name}/: several pictures go by the name '{stem}': {names}")
    return {stem: several[-1] for stem, several in named.items()}


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
    by_stem, sources = (_index(pictures_in(folder), problems) for folder in (clear, restored))
    many = not by_stem.keys() & sources.keys()
    partners = {path: _match(stem, by_stem, many) for stem, path in sources.items()}
    problems += [f"{path}: has no partner in {clear}" for path, partner in partners.items() if partner is None]
    if problems or not partners:
        raise KitError("\n  ".join(problems) or f"{restored}: holds no pictures")
    return list(partners.items()), sorted(set(by_stem.values()) - set(partners.values()))


def listing(folder: Path) -> Listing:
    """Match the pairs of `folder` by name. Sizes and contents are `soundness.check`'s."""
    folder = Path(folder)
    found = Listing(folder, find_layout(folder))
    degraded, clear = (_encodable(pictures_in(folder / name), found.problems) for name in found.layout)
    panels = 3 if found.layout[0] == found.layout[1] else 1
    by_stem = _index(clear, found.problems)
    _index(degraded, found.problems)
    groups = _groups(folder, clear, found.problems)
    found.settled = frozenset(groups.values())
    many = found.layout[0].lower() in ONE_CLEAR_FOR_MANY
    valid = {path.stem: f"{VALID}/{path.name}" for path in pictures_in(folder / VALID)}
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
