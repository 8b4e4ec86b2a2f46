"""File lists: which pairs train, search, validate and test. Disjoint by group, fixed by seed, stored with checksums."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ValidationError

from . import files
from .errors import KitError
from .pairs import Pair

LISTS = ("train", "search", "validation", "test")


def deal(pairs: list[Pair], validation: float, test: float, seed: int) -> dict[str, list[Pair]]:
    """Deal whole groups out to the four lists: `test` and `validation` shares first, the rest in halves.

    The order is that of SHA-256 over seed and group name, so it is the same on every machine.
    """
    groups = sorted({pair.group for pair in pairs}, key=lambda g: hashlib.sha256(f"{seed}/{g}".encode()).digest())
    if len(groups) < len(LISTS):
        raise KitError(
            f"{len(groups)} picture(s) are too few: train, search, validation and test each need one of their own"
        )
    tested = max(1, round(test * len(groups)))
    validated = max(1, round(validation * len(groups)))
    trained = tested + validated + (len(groups) - tested - validated + 1) // 2
    if trained >= len(groups):
        raise KitError(f"with {len(groups)} pictures, validation={validation} and test={test} leave none to search on")
    ends = {"test": groups[:tested], "validation": groups[tested : tested + validated]}
    ends |= {"train": groups[tested + validated : trained], "search": groups[trained:]}
    return {name: [pair for pair in pairs if pair.group in ends[name]] for name in LISTS}


def write(path: Path, root: Path, lists: dict[str, list[Pair]], source: str) -> None:
    """Write splits.json: for each list its pairs, and the SHA-256 of every file."""
    names = {name for pairs in lists.values() for pair in pairs for name in pair.names()}
    stored = {name: [asdict(pair) for pair in pairs] for name, pairs in lists.items()}
    digests = {name: files.sha256(root / name) for name in sorted(names)}
    files.write_json(path, {"source": source, "lists": stored, "sha256": digests})


class _Splits(BaseModel):
    source: str
    lists: dict[str, list[Pair]]
    sha256: dict[str, str]


def _read(path: Path) -> _Splits:
    try:
        found = _Splits.model_validate(files.read_json(path))
    except ValidationError:
        found = None
    if found is None or set(found.lists) != set(LISTS):
        raise KitError(f"{path}: not a list of splits. 00_data writes it.")
    return found


def read(path: Path) -> dict[str, list[Pair]]:
    """Read splits.json."""
    lists = _read(path).lists
    return {name: lists[name] for name in LISTS}


def checksums(path: Path) -> dict[str, str]:
    """The SHA-256 of every file of the lists in splits.json."""
    return _read(path).sha256
