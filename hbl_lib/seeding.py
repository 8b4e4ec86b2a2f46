"""Random numbers: every purpose has a seed of its own, made of the run's seed and a name."""

from __future__ import annotations

import hashlib

import torch


def _mix(seed: int, *names: object) -> int:
    """A 63-bit seed for one purpose: the same names give the same numbers on every machine."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator of its own for one purpose."""
    return torch.Generator().manual_seed(_mix(seed, *names))


def seed_everything(seed: int, *names: object) -> None:
    """The one place that seeds torch's global generators (initial weights and the like)."""
    torch.manual_seed(_mix(seed, *names))
