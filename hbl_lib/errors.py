"""The one error that users meet: it names the file or key, says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KitError(Exception):
    """Something the user can mend: a missing folder, an unknown key, a broken picture."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (IPython asks for this)."""
        return [f"error: {printable(str(self))}"]


def printable(text: str) -> str:
    """Text without control characters, by which a file's name could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def out_of_memory(error: BaseException) -> bool:
    """Whether a MemoryError or one of torch's RuntimeErrors says that memory ran out, on a CPU or a GPU."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def several(head: str, lines: list[str]) -> str:
    """A message with the first ten of its lines."""
    more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
    return "\n  ".join([head, *lines[:10], *more])


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of `known`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
