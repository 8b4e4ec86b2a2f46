"""Restoring pictures with a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import images, modes
from .errors import KitError
from .progress import Progress


@torch.no_grad()
def restore(restorer: nn.Module, degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> restored (H, W, 3) uint8, on the restorer's own device."""
    device = next(restorer.parameters()).device
    return images.to_picture(restorer(images.to_tensor(degraded).to(device)))


@torch.no_grad()
def restore_any(restorer: nn.Module, degraded: modes.Picture) -> modes.Picture:
    """A picture of any mode -> restored, of the same size and mode; transparency is kept as it is."""
    device = next(restorer.parameters()).device
    tensor = torch.from_numpy(degraded.rgb).permute(2, 0, 1)[None].to(device)
    return degraded.with_rgb(restorer(tensor)[0].permute(1, 2, 0).cpu().numpy())


def restore_files(restorer: nn.Module, files: Sequence[Path], out: Path, overwrite: bool = False) -> list[Path]:
    """Restore pictures into the folder `out` under their own names; returns what was written.

    Nothing there is overwritten without `overwrite`, an input never. Pictures that can't be read are passed over
    until the others are done, and then told in one KitError.
    """
    targets = [Path(out) / Path(file).name for file in files]
    for file, target in zip(files, targets, strict=True):
        if targets.count(target) > 1:
            raise KitError(
                f"{file}: another picture is called {target.name} too; restore them into folders of their own"
            )
        if target.exists() and (not overwrite or target.samefile(file)):
            hint = "" if target.samefile(file) else " or say --overwrite"
            raise KitError(f"{target}: is there already. Choose another folder for --out{hint}.")
    problems = []
    for index in Progress("pictures restored", len(files)):
        try:
            modes.write(targets[index], restore_any(restorer, modes.read(files[index])))
        except KitError as error:
            problems.append(str(error))
    if problems:
        raise KitError(f"{len(problems)} of {len(files)} pictures were not restored:\n  " + "\n  ".join(problems))
    return targets
