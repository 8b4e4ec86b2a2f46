"""Paired folders: which degraded picture belongs to which clear one, and what is wrong with a folder."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import files, images
from .errors import KitError

# Names of the two folders, degraded first; case does not matter.
LAYOUTS = (
    ("degraded", "clear"),
    ("low", "high"),  # LOL-v1
    ("low", "normal"),  # LOL-v2
    ("input", "expertc"),  # MIT-Adobe 5K
    ("hazy", "clear"),  # RESIDE ITS
    ("hazy", "gt"),  # SOTS
    ("raw", "reference"),  # UIEB, LSUI
    ("raw-890", "reference-890"),  # UIEB as published
)
AFFIXES = {
    *("low", "high", "normal", "input", "output", "expertc", "hazy", "haze", "clear", "clean", "gt", "raw", "ref"),
    *("reference", "degraded", "outdoor", "indoor"),
}


@dataclass(frozen=True)
class Pair:
    """One degraded picture and its clear one, as paths relative to the folder. Pairs of a group are never split."""

    degraded: str
    clear: str
    group: str


@dataclass
class Listing:
    """What a folder holds, and in words what is wrong with it."""

    folder: Path
    layout: tuple[str, str]
    pairs: list[Pair] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_layout(folder: Path) -> tuple[str, str]:
    """The names of the degraded and the clear subfolder."""
    if not folder.is_dir():
        raise KitError(f"{folder}: no such folder. DATA takes a folder that holds two: degraded and clear pictures.")
    inside = {path.name.lower(): path.name for path in sorted(folder.iterdir()) if path.is_dir()}
    fitting = [pair for pair in LAYOUTS if set(pair) <= inside.keys()]
    if len(fitting) != 1:
        expected = ", ".join(f"{a}/ and {b}/" for a, b in LAYOUTS)
        found = ", ".join(inside.values()) or "no subfolder"
        raise KitError(f"{folder}: holds {found}; expected exactly one of these layouts: {expected}")
    return inside[fitting[0][0]], inside[fitting[0][1]]


def bare(stem: str) -> str:
    """A file's stem in lower case without the affixes of known data sets: "low00012" and "normal00012" -> "00012"."""
    stem = re.sub(r"^(low|normal|high)(?=\d)", r"\1_", stem.lower())
    parts = [part for part in re.split(r"[_\s-]+", stem) if part]
    return "_".join(part for part in parts if part not in AFFIXES) or stem


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES and not p.name.startswith("."))


def _index(paths: list[Path], problems: list[str]) -> dict[str, Path]:
    """Bare stem -> path; stems that two files share are problems."""
    counts = Counter(bare(path.stem) for path in paths)
    for stem in sorted(stem for stem, count in counts.items() if count > 1):
        names = ", ".join(path.name for path in paths if bare(path.stem) == stem)
        problems.append(f"{paths[0].parent.name}/: several pictures go by the name '{stem}': {names}")
    return {bare(path.stem): path for path in paths}


def _match(stem: str, clear: dict[str, Path]) -> Path | None:
    """The clear picture of a degraded stem: the same name, or the longest name it starts with (SOTS: 0001_0.8_0.2)."""
    while stem not in clear:
        stem, cut, _ = stem.rpartition("_")
        if not cut:
            return None
    return clear[stem]


def listing(folder: Path) -> Listing:
    """Match the pairs of `folder` by name. Nothing is opened; sizes and contents are `check`'s."""
    folder = Path(folder)
    found = Listing(folder, find_layout(folder))
    degraded, clear = (_pictures(folder / name) for name in found.layout)
    by_stem = _index(clear, found.problems)
    _index(degraded, found.problems)
    groups = files.read_yaml(folder / "groups.yaml") if (folder / "groups.yaml").is_file() else {}
    used = set()
    for path in degraded:
        match = _match(bare(path.stem), by_stem)
        if match is None:
            found.problems.append(f"{found.layout[0]}/{path.name}: has no partner in {found.layout[1]}/")
            continue
        used.add(match)
        group = str(groups.get(match.stem, match.stem))
        found.pairs.append(Pair(f"{found.layout[0]}/{path.name}", f"{found.layout[1]}/{match.name}", group))
    found.problems += [f"{found.layout[1]}/{p.name}: has no partner in {found.layout[0]}/" for p in clear if p not in used]
    if not found.pairs:
        found.problems.append(f"no pair of pictures ({', '.join(images.SUFFIXES)}) was found")
    return found


def check(folder: Path) -> Listing:
    """`listing`, with every picture decoded: broken ones, unsupported modes and sizes that differ become problems."""
    found = listing(folder)
    for pair in found.pairs:
        shapes = []
        for name in (pair.degraded, pair.clear):
            try:
                shapes.append(images.read(found.folder / name).shape[:2])
            except KitError as error:
                found.problems.append(str(error).removeprefix(f"{found.folder}/"))
        if len(shapes) == 2 and shapes[0] != shapes[1]:
            (h, w), (h2, w2) = shapes
            found.problems.append(f"{pair.degraded} is {w}x{h} but {pair.clear} is {w2}x{h2}: pictures of a pair must be of one size")
    found.problems = list(dict.fromkeys(found.problems))
    return found


def require_sound(found: Listing) -> list[Pair]:
    """The pairs, or one error that lists what is wrong."""
    if found.problems:
        shown = "\n  ".join(found.problems[:10])
        more = f"\n  and {len(found.problems) - 10} more" if len(found.problems) > 10 else ""
        raise KitError(
            f"{found.folder}: {len(found.problems)} problem(s); mend or remove these files, nothing was used:\n  {shown}{more}\n"
            f"'python -m hbl_lib data check {found.folder}' lists them all."
        )
    return found.pairs
