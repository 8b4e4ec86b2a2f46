"""Measuring: both sides in turn in one process, and memory in a fresh process for each side."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from hbl_lib import memory

ROOT = Path(__file__).parent.parent
REPEATS = 7


def device() -> torch.device:
    """The GPU, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """What was measured on."""
    from hbl_lib.runs import describe_device

    return f"{describe_device(device())}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def seconds(work: Callable[[], object]) -> float:
    """What one call takes, to its end on the device."""
    _finish()
    began = time.perf_counter()
    work()
    _finish()
    return time.perf_counter() - began


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int = REPEATS, warmup: int = 1) -> dict[str, float]:
    """{side: median seconds}; in each round every side runs once, so that a slow moment meets them all."""
    for _ in range(warmup):
        for work in sides.values():
            work()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def _give_back() -> None:
    """Return what was freed to the system: memory that construction left over would be used anew without counting."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def peak(work: Callable[[], object]) -> float:
    """MB that `work` takes at its peak, above what the process (on a GPU: its tensors) held before."""
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    _give_back()
    before = memory.resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    work()
    return memory.resident("VmHWM") - before


def at_once(count: int, source: str, *words: str) -> list[str]:
    """What a Python script prints in each of `count` processes of its own that run beside each other."""
    command = [sys.executable, "-c", source, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(count)]
    ended = [process.communicate() for process in running]
    for process, (_, told) in zip(running, ended, strict=True):
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n{told[-2000:]}")
    return [printed for printed, _ in ended]


def script(source: str, *words: str) -> str:
    """What a Python script prints in a process of its own."""
    return at_once(1, source, *words)[0]


@functools.cache
def fresh(case: str, side: str, size: int) -> dict[str, float]:
    """What a step of a case costs in a process of its own: memory_mb of the first, seconds of the second."""
    source = "import sys; from benchmarks.__main__ import one; one(*sys.argv[1:3], int(sys.argv[3]))"
    return json.loads(script(source, case, side, str(size)).splitlines()[-1])
