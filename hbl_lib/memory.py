"""How much memory a process takes, in MB of 10^6 bytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def resident(key: str) -> float:
    """VmRSS (now) or VmHWM (the peak) of this process; on Linux."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"no {key} in {STATUS}")


def peak(on_gpu: bool) -> float:
    """The process's peak; on a GPU that of its tensors."""
    if on_gpu:
        return torch.cuda.max_memory_allocated() / 1e6
    if STATUS.is_file():
        return resident("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
