"""A folder's lock: held by one process at a time, and gone with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from .errors import KitError
from .progress import say

ALONE = "HBL_ALONE"  # the environment's name for the folder that `python -m hbl_lib alone` holds for what it started


@contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[TextIO]:
    """Hold a folder's lock, which dies with its process; what a killed one left in it is told.

    `shared`: beside others that share it, but not beside one that has it for itself. Gives the lock's file: a process
    that inherits it holds the lock too.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115 (closed below)
        whose = _holder(lock)  # before it can be gone
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        left = "" if shared else _holder(lock)
        lock.truncate(0)  # also when shared: one that was killed would be named as who refuses the next
        if not shared:
            lock.write(f"process {os.getpid()} on {platform.node()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
            lock.flush()
    except BlockingIOError:
        lock.close()
        raise KitError(
            f"{folder}: another run is at work there{whose}. Wait for it, or use another results folder."
        ) from None
    except OSError as error:
        raise KitError(f"{folder}: can't be written: {error.strerror}. Choose another results folder.") from None
    with lock:
        if left:
            say(f"{folder}: the run before{left} was cut off; this one goes on from what it saved")
        try:
            yield lock
        finally:
            if not shared:
                lock.truncate(0)


def _holder(lock: TextIO) -> str:
    """Who has or had it, in brackets; empty where nobody is known."""
    lock.seek(0)
    text = lock.read(200)
    return f" ({text})" if text else ""


def alone(folder: Path, command: Sequence[str]) -> int:
    """Run a command while no other one may, by the lock on `folder`; its exit status."""
    with locked(folder) as lock:  # which the command inherits, so that it goes on holding it if this process is killed
        environment = os.environ | {ALONE: str(folder.resolve())}
        with subprocess.Popen(command, pass_fds=[lock.fileno()], env=environment) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:  # a terminal's has reached the command too, which ends what it started
                say("stopping; the next start goes on from what was saved")
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()
                return process.wait()
