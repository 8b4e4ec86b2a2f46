"""The one loop that classifier, searches and retraining run in: progress, history, checkpoints, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from . import checkpoint, progress
from .errors import KitError
from .runs import Stage

SAVE_EVERY_S = 15.0


class Stateful(Protocol):
    """Modules, optimisers, and whatever else has a state to keep."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """A rate that falls from `start` at step 0 to `end` at the last step along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * step / max(1, steps - 1))) / 2


def run(
    stage: Stage,
    steps: int,
    step: Callable[[int], dict[str, Any]],
    parts: Mapping[str, Stateful],
    note: Callable[[dict[str, Any]], str],
) -> list[dict[str, Any]]:
    """Call `step` for 0 .. steps - 1 and return what it returned, one record (plain values) a step.

    `parts` are all that a step changes; they are checkpointed every few seconds. A checkpoint of the same parameters,
    inputs and code is resumed; any other is overwritten. `note` words a record for the progress line.
    """
    history: list[dict[str, Any]] = []
    fingerprint = stage.fingerprint()
    if stage.checkpoint.exists():
        history = _resume(stage, fingerprint, parts)
    shown = progress.Progress(stage.name, steps, start=len(history))
    saved = time.monotonic()
    for index in shown:
        history.append(_finite(stage.name, index, step(index)))
        shown.note(note(history[-1]))
        if time.monotonic() - saved > SAVE_EVERY_S or index + 1 == steps:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save(stage.checkpoint, {"fingerprint": fingerprint, "history": history, "parts": states})
            saved = time.monotonic()
    return history


def _finite(name: str, index: int, record: dict[str, Any]) -> dict[str, Any]:
    for key, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise KitError(
                f"{name}: step {index + 1}: {key} is {value}. The checkpoint before it is kept; lower the rate or the "
                "clip of this stage (OVERRIDES) and start again."
            )
    return record


def _resume(stage: Stage, fingerprint: str, parts: Mapping[str, Stateful]) -> list[dict[str, Any]]:
    try:
        saved = checkpoint.load(stage.checkpoint)
    except KitError as error:
        progress.say(f"{stage.name}: starting from the beginning: {error}")
        return []
    if saved.get("fingerprint") != fingerprint:
        progress.say(f"{stage.name}: the checkpoint there belongs to other parameters, inputs or code; starting anew")
        return []
    for name, part in parts.items():
        part.load_state_dict(saved["parts"][name])
    stage.resumed[stage.name] = len(saved["history"])
    progress.say(f"{stage.name}: resumed at step {stage.resumed[stage.name]}")
    return saved["history"]
