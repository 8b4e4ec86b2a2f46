"""Pairs in memory, and the crops a training step sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import images
from .errors import KitError
from .pairs import Pair
from .runs import generator


class Pictures:
    """A list of pairs; each picture is decoded once and kept as 8-bit."""

    def __init__(self, root: Path, pairs: list[Pair]):
        self.root, self.pairs = root, pairs
        self._decoded: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    def _read(self, name: str) -> np.ndarray:
        if name not in self._decoded:
            self._decoded[name] = images.read(self.root / name)
        return self._decoded[name]

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Degraded and clear of pair `index`, (H, W, 3) uint8 each."""
        pair = self.pairs[index]
        return self._read(pair.degraded), self._read(pair.clear)

    def tensors(self, index: int) -> tuple[Tensor, Tensor]:
        """Degraded and clear of pair `index`, (1, 3, H, W) in [0, 1] each."""
        degraded, clear = self.pictures(index)
        return images.to_tensor(degraded), images.to_tensor(clear)


class Crops:
    """Random crops with flips and quarter turns. What a step sees depends on the seed and the step alone.

    So a resumed run goes on with the very crops it would have seen, and nothing about the order needs storing.
    """

    def __init__(self, pictures: Pictures, crop: int, seed: int, name: str, batch: int = 1):
        self.pictures, self.crop, self.seed, self.name, self.batch = pictures, crop, seed, name, batch
        for index, pair in enumerate(pictures.pairs):
            height, width = pictures.pictures(index)[0].shape[:2]
            if min(height, width) < crop:
                section = name.split("/")[0]
                raise KitError(
                    f"{pair.degraded} is {width}x{height}, smaller than the crop of {crop}. Lower {section}.crop."
                )

    def _one(self, index: int, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
        both = np.stack(self.pictures.pictures(index))  # (2, H, W, 3)
        top = int(torch.randint(both.shape[1] - self.crop + 1, (), generator=drawn))
        left = int(torch.randint(both.shape[2] - self.crop + 1, (), generator=drawn))
        turns, flip = torch.randint(4, (2,), generator=drawn).tolist()
        both = np.rot90(both[:, top : top + self.crop, left : left + self.crop], turns, axes=(1, 2))
        both = np.flip(both, axis=2) if flip % 2 else both
        degraded, clear = both
        return images.to_tensor(degraded), images.to_tensor(clear)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: degraded and clear, (batch, 3, crop, crop). Every picture comes once an epoch."""
        drawn = generator(self.seed, self.name, "crop", step)
        crops = []
        for place in range(step * self.batch, (step + 1) * self.batch):
            epoch, position = divmod(place, len(self.pictures))
            order = torch.randperm(len(self.pictures), generator=generator(self.seed, self.name, "order", epoch))
            crops.append(self._one(int(order[position]), drawn))
        degraded, clear = zip(*crops, strict=True)
        return torch.cat(degraded), torch.cat(clear)
