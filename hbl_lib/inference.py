"""Restoring pictures with a trained network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import images, modes, strips
from .errors import KitError, out_of_memory
from .network import Network
from .progress import Progress


@torch.no_grad()
def _forward(restorer: nn.Module, degraded: Tensor) -> Tensor:
    """(1, 3, H, W) through the restorer, on its own device; a picture too large for the memory is a KitError."""
    try:
        degraded = degraded.to(next(restorer.parameters()).device)
        if isinstance(restorer, Network) and strips.is_large(degraded):
            return strips.restore(restorer, degraded).cpu()
        return restorer(degraded).cpu()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        height, width = degraded.shape[-2:]
        raise KitError(
            f"a picture of {width}x{height} does not fit into the memory; reduce it, or restore it elsewhere"
        ) from None


def restore(restorer: nn.Module, degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> restored (H, W, 3) uint8, on the restorer's own device."""
    return images.to_picture(_forward(restorer, images.to_tensor(degraded)))


def restore_any(restorer: nn.Module, degraded: modes.Picture) -> modes.Picture:
    """A picture of any mode -> restored, of the same size and mode; transparency is kept as it is."""
    tensor = torch.from_numpy(degraded.rgb).permute(2, 0, 1)[None]
    return degraded.with_rgb(_forward(restorer, tensor)[0].permute(1, 2, 0).numpy())


def _targets(files: Sequence[Path], out: Path, overwrite: bool) -> list[Path]:
    """Where each picture goes; a name that is taken is a KitError before any picture is restored."""
    targets = [Path(out) / Path(file).name for file in files]
    names = Counter(targets)
    for file, target in zip(files, targets, strict=True):
        if names[target] > 1:
            raise KitError(
                f"{file}: another picture is called {target.name} too; restore them into folders of their own"
            )
        if target.exists() or target.is_symlink():
            itself = target.exists() and Path(file).exists() and target.samefile(file)
            if itself or not overwrite:
                hint = "" if itself else " or say --overwrite"
                raise KitError(f"{target}: is there already. Choose another folder for --out{hint}.")
    return targets


def restore_files(restorer: nn.Module, files: Sequence[Path], out: Path, overwrite: bool = False) -> list[Path]:
    """Restore pictures into the folder `out` under their own names; returns what was written.

    Nothing there is overwritten without `overwrite`, an input never. Pictures that can't be read are passed over
    until the others are done, and then told in one KitError.
    """
    targets, problems = _targets(files, out, overwrite), []
    for index in Progress("pictures restored", len(files)):
        try:
            picture = modes.read(files[index])
            images.require_suffix(targets[index])
            modes.write(targets[index], restore_any(restorer, picture))
        except KitError as error:
            problems.append(f"{files[index]}: {str(error).removeprefix(f'{files[index]}: ')}")
    if problems:
        rest = f", the others are in {out}" if len(problems) < len(files) else ""
        raise KitError(f"{len(problems)} of {len(files)} pictures were not restored{rest}:\n  " + "\n  ".join(problems))
    return targets
