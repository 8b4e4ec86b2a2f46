"""A folder's lock: held by one process at a time, and gone with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from .errors import KitError
from .progress import say


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which dies with its process; what a killed one left in it is told."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115 (closed below)
        lock.seek(0)
        holder = lock.read(200)
        whose = f" ({holder})" if holder else ""
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.seek(0)
        lock.truncate()
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
        if holder:
            say(f"{folder}: the run before{whose} was cut off; this one goes on from what it saved")
        try:
            yield
        finally:
            lock.truncate(0)
