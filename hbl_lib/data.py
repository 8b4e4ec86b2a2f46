"""Pairs in memory, and the crops a training step sees."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import files, images
from .errors import KitError
from .pairs import Pair
from .parameters import Params
from .seeding import generator

CROPPED = ("classifier", "loss_search", "architecture_search", "retrain")  # sections with a crop


class Pictures:
    """A list of pairs; each picture is decoded once and kept as 8-bit.

    checksums: SHA-256 by name; a file that no longer has it is refused when it is read.
    """

    def __init__(self, root: Path, pairs: list[Pair], checksums: Mapping[str, str] | None = None):
        self.root, self.pairs, self.checksums = root, pairs, checksums or {}
        self._decoded: dict[Path, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    def _decode(self, path: Path) -> np.ndarray:
        if path not in self._decoded:
            known = self.checksums.get(str(path.relative_to(self.root)))
            if known is not None and files.sha256(path) != known:
                raise KitError(
                    f"{path}: has changed since 00_data stored its checksum. Run notebooks/00_data.ipynb again, and "
                    "the stages after it."
                )
            self._decoded[path] = images.read(path)
        return self._decoded[path]

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Degraded and clear of pair `index`, (H, W, 3) uint8 each."""
        return self.pairs[index].read(self.root, self._decode)

    def valid(self, index: int) -> np.ndarray | None:
        """Where the metrics of pair `index` count, (H, W) bool; None: everywhere."""
        return self.pairs[index].read_valid(self.root, self._decode)


class Centres(Pictures):
    """The central squares of pictures, of at most `side`."""

    def __init__(self, pictures: Pictures, side: int):
        super().__init__(pictures.root, pictures.pairs, pictures.checksums)
        self.whole, self.side = pictures, side

    def _window(self, index: int) -> tuple[slice, slice]:
        sizes = self.whole.pictures(index)[0].shape[:2]
        starts = ((size - min(size, self.side)) // 2 for size in sizes)
        return tuple(slice(start, start + self.side) for start in starts)

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Degraded and clear square of pair `index`, (at most side, at most side, 3) uint8 each."""
        window = self._window(index)
        degraded, clear = (picture[window] for picture in self.whole.pictures(index))
        return degraded, clear

    def valid(self, index: int) -> np.ndarray | None:
        """Where the metrics of that square count."""
        valid = self.whole.valid(index)
        return valid if valid is None else valid[self._window(index)]


class Crops:
    """Random crops with flips and quarter turns. What a step sees depends on the seed and the step alone.

    So a resumed run goes on with the very crops it would have seen, and nothing about the order needs storing. While a
    step computes, a thread cuts the crops of the next one. In the first `halves` steps crops have half the side and are
    four times as many.
    """

    def __init__(self, pictures: Pictures, crop: int, seed: int, name: str, batch: int = 1, halves: int = 0):
        self.pictures, self.crop, self.seed, self.name, self.batch = pictures, crop, seed, name, batch
        self.halves = halves
        self.section = name.split("/")[0]  # of the parameters
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ahead: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None  # a step, and its batch
        for index, pair in enumerate(pictures.pairs):
            height, width = pictures.pictures(index)[0].shape[:2]
            if min(height, width) < crop:
                raise KitError(_too_small(pair, width, height, crop, self.section))

    def _one(self, index: int, crop: int, drawn: torch.Generator) -> np.ndarray:
        """Degraded and clear, (2, crop, crop, 3) uint8."""
        whole = self.pictures.pictures(index)
        top, left = (int(torch.randint(n - crop + 1, (), generator=drawn)) for n in whole[0].shape[:2])
        both = np.stack([picture[top : top + crop, left : left + crop] for picture in whole])
        turns, flip = torch.randint(4, (2,), generator=drawn).tolist()
        both = np.rot90(both, turns, axes=(1, 2))
        return np.flip(both, axis=2) if flip % 2 else both

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: degraded and clear, (batch, 3, crop, crop) each. Every picture comes once an epoch."""
        ready, self._ahead = self._ahead, None
        batch = ready[1].result() if ready and ready[0] == step else self._cut(step)
        self._ahead = step + 1, self._worker.submit(self._cut, step + 1)
        return batch

    def _cut(self, step: int) -> tuple[Tensor, Tensor]:
        drawn = generator(self.seed, self.name, "crop", step)
        crop = self.crop // 2 if step < self.halves else self.crop
        cut = np.stack([self._one(index, crop, drawn) for index in self._indices(step)], axis=1)  # (2, batch, ...)
        return images.to_tensor(cut[0]), images.to_tensor(cut[1])

    def _indices(self, step: int) -> list[int]:
        """Which pairs the batch of a step is cropped from."""
        found = []
        start, end = (self.batch * (k + 3 * min(k, self.halves)) for k in (step, step + 1))
        for place in range(start, end):
            epoch, position = divmod(place, len(self.pictures))
            order = torch.randperm(len(self.pictures), generator=generator(self.seed, self.name, "order", epoch))
            found.append(int(order[position]))
        return found

    def names(self, step: int) -> str:
        """The degraded pictures that the batch of a step is cropped from, in words."""
        return ", ".join(self.pictures.pairs[index].degraded for index in self._indices(step))


def require_large_enough(params: Params, root: Path, pairs: list[Pair]) -> None:
    """Refuse pictures smaller than a stage's crop before any stage runs."""
    sections = {name: getattr(params, name).crop for name in CROPPED}
    section = max(sections, key=sections.__getitem__)
    for pair in pairs:
        height, width = pair.size(root)
        if min(height, width) < sections[section]:
            raise KitError(_too_small(pair, width, height, sections[section], section))


def _too_small(pair: Pair, width: int, height: int, crop: int, section: str) -> str:
    return f"{pair.degraded} is {width}x{height}, smaller than the crop of {crop}. Lower {section}.crop (OVERRIDES)."
