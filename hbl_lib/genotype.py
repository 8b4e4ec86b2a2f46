"""Genotype: which operation stands at each searched place. Derived, published, read and written as YAML."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import files
from .config import PARAMS
from .errors import KitError, nearest
from .network import FCM_LAYERS, UNIT_LAYERS, UNITS, Network
from .operations import SPECS, candidates
from .supernet import Supernet

PUBLISHED = PARAMS / "published/genotypes.yaml"


PLAIN = tuple(name for name, spec in SPECS.items() if not spec.keeps_channels)
CHANGES = {"encoder": 0, "decoder": FCM_LAYERS - 1}  # the layer of 3 -> 16 and of 16 -> 3 channels


def _check_row(where: str, row: Any, length: int, changes: int | None = None) -> tuple[str, ...]:
    """A row of operations; at the place `changes`, where the number of channels does, only plain convolutions fit."""
    if not isinstance(row, (list, tuple)) or len(row) != length:
        raise KitError(f"{where}: expected a list of {length} operations, found {row!r:.80}")
    for layer, name in enumerate(row):
        if not isinstance(name, str) or name not in SPECS:
            raise KitError(
                f"{where}: unknown operation {name!r}; known: {', '.join(SPECS)}.{nearest(str(name), SPECS)}"
            )
        if layer == changes and name not in PLAIN:
            raise KitError(
                f"{where}: layer {layer + 1} changes the number of channels, which {name} can't; known there: "
                f"{', '.join(PLAIN)}"
            )
    return tuple(row)


@dataclass(frozen=True)
class Genotype:
    """encoder: 9 FCM operations; hnu: 7 units of 8 (4 of R_u, then 4 of R_v); decoder: 9 FCM operations."""

    encoder: tuple[str, ...]
    hnu: tuple[tuple[str, ...], ...]
    decoder: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Any, source: Path | str = "genotype") -> Genotype:
        """Check and freeze plain data; an error names `source`, the part and the operation."""
        if not isinstance(data, dict) or set(data) != {"encoder", "hnu", "decoder"}:
            raise KitError(f"{source}: a genotype has exactly the keys encoder, hnu, decoder")
        if not isinstance(data["hnu"], (list, tuple)) or len(data["hnu"]) != UNITS:
            raise KitError(f"{source}: hnu: expected {UNITS} units")
        fcm = {part: _check_row(f"{source}: {part}", data[part], FCM_LAYERS, place) for part, place in CHANGES.items()}
        units = tuple(_check_row(f"{source}: hnu {i}", row, UNIT_LAYERS) for i, row in enumerate(data["hnu"]))
        return cls(hnu=units, **fcm)

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, as in YAML."""
        return {"encoder": list(self.encoder), "hnu": [list(unit) for unit in self.hnu], "decoder": list(self.decoder)}

    @classmethod
    def read(cls, path: Path) -> Genotype:
        """Read a genotype.yaml."""
        return cls.from_dict(files.read_yaml(path), path)

    def write(self, path: Path) -> None:
        """Write a genotype.yaml, atomically."""
        files.write_yaml(path, self.as_dict())

    @classmethod
    def published(cls, task: str) -> Genotype:
        """The genotype in the authors' public code for llie_lol, llie_mit, sihr, uie or llie_lol_synchronous."""
        known = files.read_yaml(PUBLISHED)["genotypes"]
        if task not in known:
            raise KitError(
                f"no published genotype for task {task!r}; there are: {', '.join(known)}.{nearest(task, known)}"
            )
        return cls.from_dict(known[task], f"{PUBLISHED.name}: {task}")

    @classmethod
    def uniform(cls, name: str) -> Genotype:
        """One operation everywhere, such as "3-RC"; the FCMs, which have none with identity, take its plain form.

        >>> Genotype.uniform("3-RC").counts()
        {'3-RC': 56, '3-C': 18}
        """
        plain = name.replace("RC", "C").replace("RDC", "DC")
        layers = {part: [plain] * FCM_LAYERS for part in ("encoder", "decoder")}
        return cls.from_dict(layers | {"hnu": [[name] * UNIT_LAYERS] * UNITS}, f"uniform {name}")

    @classmethod
    def drawn(cls, generator: torch.Generator, split: str = "paper") -> Genotype:
        """Each place uniformly from its own candidates (`operations.candidates`)."""

        def layers(part: str, _unit: int, _layer: int, in_channels: int, out_channels: int) -> nn.Module:
            names = candidates(part, in_channels, out_channels, split)
            rows[part].append(names[int(torch.randint(len(names), (), generator=generator))])
            return nn.Identity()

        rows: dict[str, list[str]] = {"encoder": [], "hnu": [], "decoder": []}
        Network(layers)  # asks for every place once
        units = [rows["hnu"][start : start + UNIT_LAYERS] for start in range(0, UNITS * UNIT_LAYERS, UNIT_LAYERS)]
        return cls.from_dict(rows | {"hnu": units}, "drawn genotype")

    @classmethod
    def derive(cls, supernet: Supernet) -> Genotype:
        """The operation of the largest softmax(alpha) at each place (ties: the first in the space's order)."""
        shares, names = supernet.shares(), supernet.operations
        fcm = {part: tuple(names[part][k] for k in shares[part].argmax(-1)) for part in ("encoder", "decoder")}
        units = tuple(tuple(names["hnu"][k] for k in unit) for unit in shares["hnu"].argmax(-1))
        return cls(hnu=units, **fcm)

    def operation(self, part: str, unit: int, layer: int) -> str:
        """The operation at one place; `unit` counts for the part "hnu" only."""
        return self.hnu[unit][layer] if part == "hnu" else getattr(self, part)[layer]

    def places(self) -> list[str]:
        """The operations in the order of a supernet's places: encoder, units, decoder."""
        return [*self.encoder, *(name for unit in self.hnu for name in unit), *self.decoder]

    def counts(self) -> dict[str, int]:
        """How often each operation occurs, most frequent first."""
        return dict(Counter(self.places()).most_common())

    def skip_collapse(self, limit: int = 5) -> list[int]:
        """Numbers (from 1) of the HNUs in which at least `limit` of the 8 layers are skip connections.

        >>> Genotype.published("uie").skip_collapse()
        [4]
        """
        return [i for i, unit in enumerate(self.hnu, 1) if unit.count("SC") >= limit]

    def difference(self, other: Genotype) -> str:
        """In words, where two genotypes first differ and in how many places."""
        places = [
            (f"{part} {unit + 1}.{layer + 1}" if part == "hnu" else f"{part} {layer + 1}", part, unit, layer)
            for part, units, count in (
                ("encoder", 1, FCM_LAYERS),
                ("hnu", UNITS, UNIT_LAYERS),
                ("decoder", 1, FCM_LAYERS),
            )
            for unit in range(units)
            for layer in range(count)
        ]
        apart = [(name, place) for name, *place in places if self.operation(*place) != other.operation(*place)]
        if not apart:
            return "no difference"
        name, place = apart[0]
        count = "1 place differs" if len(apart) == 1 else f"{len(apart)} places differ, first"
        return f"{count} {name}: {self.operation(*place)} against {other.operation(*place)}"
