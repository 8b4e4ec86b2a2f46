"""Restored test pictures that were made elsewhere, as methods to compare with: METHODS="name=folder ..."."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from . import images, metrics, modes, pairs
from .baselines import CLASSICAL
from .config import located
from .data import Pictures
from .errors import KitError
from .evaluation import TOP_ROWS, Method, refuse_the_clear_picture


def parse(methods: str) -> dict[str, Path]:
    """ "name=folder name='a folder'" as a mapping; quotes keep a space within a folder."""
    found: dict[str, Path] = {}
    told = KitError(
        f"METHODS {methods!r:.400}: write name=folder or name='a folder', each name once; a name has at most 40 "
        "letters, digits, _, + and -, and begins with a letter"
    )
    try:
        words = shlex.split(methods)
    except ValueError:
        raise told from None
    for word in words:
        name, _, folder = word.partition("=")
        if not folder or name in found or not re.fullmatch(r"[A-Za-z][\w+-]{0,39}", name, re.ASCII):
            raise told
        if name.lower() in (*TOP_ROWS, "clear", *CLASSICAL):
            raise KitError(f"METHODS: the name '{name}' is taken; choose another")
        found[name] = located(folder)
    return found


def refuse_own(folders: Mapping[str, Path], run: Path) -> None:
    """Refuse a folder within, or with links into, a 05_evaluate of the run (or its other seeds): it is written anew."""
    root = run.resolve()
    for name, folder in folders.items():
        places = [folder.resolve(), *(path.resolve() for path in (folder.iterdir() if folder.is_dir() else ()))]
        if any("05_evaluate" in place.relative_to(root).parts for place in places if place.is_relative_to(root)):
            raise KitError(f"METHODS: {name}: {folder} is written anew by 05_evaluate; copy the pictures elsewhere")


def read(folders: Mapping[str, Path], test: Pictures) -> dict[str, Method]:
    """Restored pictures made elsewhere as methods: one folder a name, with a picture for every test picture.

    They are matched with the degraded pictures by name. A picture that is missing, can't be read, is of another size or
    the clear one itself is a KitError before anything is scored.
    """
    return {name: _from_folder(f"METHODS: {name}", Path(folder), test) for name, folder in folders.items()}


def _from_folder(where: str, folder: Path, test: Pictures) -> Method:
    try:
        matched = pairs.match(folder, (test.root / test.pairs[0].degraded).parent)[0]
    except KitError as error:
        raise KitError(f"{where}: {error}") from None
    partners = {degraded: restored for restored, degraded in matched}
    found = []
    for index, pair in enumerate(test.pairs):
        path = partners.get(test.root / pair.degraded)
        if path is None:
            raise KitError(
                f"{where}: {folder} has no restored {Path(pair.degraded).name}; each of the {len(test)} test pictures "
                "is needed (00_data/splits.json lists them)"
            )
        degraded, clear = test.pictures(index)
        size, expected = images.size(path), degraded.shape[:2]
        if size != expected:
            raise KitError(f"{where}: {path} is {size[1]}x{size[0]}, but {pair.degraded} {expected[1]}x{expected[0]}")
        picture = modes.read(path).eight_bits()
        refuse_the_clear_picture(f"{where}: {path}", metrics.psnr(picture, clear, test.valid(index)))
        found.append(path)
    return lambda index, _degraded: modes.read(found[index]).eight_bits()
