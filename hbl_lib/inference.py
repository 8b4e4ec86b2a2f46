"""Restoring pictures with a trained network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from . import images


@torch.no_grad()
def restore(restorer: nn.Module, degraded: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> restored (H, W, 3) uint8, on the restorer's own device."""
    device = next(restorer.parameters()).device
    return images.to_picture(restorer(images.to_tensor(degraded).to(device)))
