"""Progress of a loop: a plain line every few seconds in batch, a bar in JupyterLab."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from tqdm.auto import tqdm

from .errors import printable

EVERY_S = 4.0


def interactive() -> bool:
    """True in a kernel that a Jupyter server started for a person."""
    return "JPY_SESSION_NAME" in os.environ


class Progress:
    """Iterate over range(start, total); `note` sets what stands behind the count, such as the loss."""

    def __init__(self, label: str, total: int, start: int = 0):
        self.label, self.total, self.start, self.text = label, total, start, ""

    def note(self, text: str) -> None:
        """What stands behind the count from now on."""
        self.text = text

    def __iter__(self) -> Iterator[int]:
        if interactive():
            with tqdm(range(self.start, self.total), desc=self.label, initial=self.start, total=self.total) as bar:
                for step in bar:
                    yield step
                    bar.set_postfix_str(self.text, refresh=False)
            return
        began = said = time.monotonic()
        for step in range(self.start, self.total):
            yield step
            now, done = time.monotonic(), step + 1
            if now - said >= EVERY_S or done == self.total:
                left = (now - began) / (done - self.start) * (self.total - done)
                say(f"{self.label}: step {done} of {self.total}  {self.text}  {left:.0f} s left")
                said = now


def say(text: str) -> None:
    """One plain line, shown at once."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()
