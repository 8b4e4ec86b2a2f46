"""Paired folders: which degraded picture belongs to which clear one, and what is wrong with a folder."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import files, images
from .errors import KitError
from .progress import Progress

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
ONE_CLEAR_FOR_MANY = ("degraded", "hazy")  # degraded folders in which one clear picture may have several versions
SMALLEST = 11  # SSIM's window
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


def listing(folder: Path) -> Listing:
    """Match the pairs of `folder` by name. Nothing is opened; sizes and contents are `check`'s."""
    folder = Path(folder)
    found = Listing(folder, find_layout(folder))
    degraded, clear = (_pictures(folder / name) for name in found.layout)
    by_stem = _index(clear, found.problems)
    _index(degraded, found.problems)
    groups = _groups(folder, clear, found.problems)
    many = found.layout[0].lower() in ONE_CLEAR_FOR_MANY
    used = set()
    for path in degraded:
        match = _match(bare(path.stem), by_stem, many)
        if match is None:
            found.problems.append(f"{found.layout[0]}/{path.name}: has no partner in {found.layout[1]}/")
            continue
        used.add(match)
        group = groups.get(match.stem, match.stem)
        found.pairs.append(Pair(f"{found.layout[0]}/{path.name}", f"{found.layout[1]}/{match.name}", group))
    found.problems += [
        f"{found.layout[1]}/{p.name}: has no partner in {found.layout[0]}/" for p in clear if p not in used
    ]
    if not found.pairs:
        found.problems.append(f"no pair of pictures ({', '.join(images.SUFFIXES)}) was found")
    return found


def check(folder: Path) -> Listing:
    """`listing`, with every picture decoded: broken ones, unsupported modes and sizes that differ become problems."""
    found = listing(folder)
    for index in Progress(f"pairs of {folder.name} checked", len(found.pairs)):
        pair, shapes, digests = found.pairs[index], [], []
        for name in (pair.degraded, pair.clear):
            try:
                picture = images.read(found.folder / name)
                shapes.append(picture.shape[:2])
                digests.append(hashlib.sha256(picture.tobytes()).digest())
            except KitError as error:
                found.problems.append(str(error).removeprefix(f"{found.folder}/"))
        if len(shapes) == 2 and shapes[0] == shapes[1] and min(shapes[0]) < SMALLEST:
            found.problems.append(
                f"{pair.degraded} is {shapes[0][1]}x{shapes[0][0]}: smaller than {SMALLEST}x{SMALLEST}"
            )
        if len(digests) == 2 and digests[0] == digests[1]:
            found.problems.append(f"{pair.degraded} and {pair.clear} are the same picture")
        if len(shapes) == 2 and shapes[0] != shapes[1]:
            (h, w), (h2, w2) = shapes
            found.problems.append(f"{pair.degraded} is {w}x{h} but {pair.clear} is {w2}x{h2}: both must be of one size")
    found.problems = list(dict.fromkeys(found.problems))
    return found


def sizes(found: Listing) -> list[tuple[str, int]]:
    """How many pairs there are of each size ("600x400"), the most frequent first; unreadable pictures are left out."""
    counts: Counter[str] = Counter()
    for pair in found.pairs:
        with contextlib.suppress(KitError):
            height, width = images.size(found.folder / pair.degraded)
            counts[f"{width}x{height}"] += 1
    return counts.most_common()


def require_sound(found: Listing) -> list[Pair]:
    """The pairs, or one error that lists what is wrong."""
    if found.problems:
        shown = "\n  ".join(found.problems[:10])
        more = f"\n  and {len(found.problems) - 10} more" if len(found.problems) > 10 else ""
        raise KitError(
            f"{found.folder}: {len(found.problems)} problem(s); mend or remove these files, nothing was used:"
            f"\n  {shown}{more}\n"
            f"'python -m hbl_lib data check {found.folder}' lists them all."
        )
    return found.pairs
