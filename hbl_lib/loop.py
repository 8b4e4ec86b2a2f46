"""The one loop that classifier, searches and retraining run in: progress, history, checkpoints, resume.

It also holds what to do with a step that is not finite, and with one that does not fit into the memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from . import checkpoint, progress
from .data import Crops
from .errors import KitError, out_of_memory
from .runs import Stage

PATIENCE = 3  # steps in a row that may fail to be finite


class Stateful(Protocol):
    """Modules, optimisers, and whatever else has a state to keep."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, nested."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take over what `state_dict` gave."""
        ...


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """A rate that falls from `start` at step 0 to `end` at the last step along half a cosine.

    >>> [round(cosine(step, 3, 1.0, 0.0), 3) for step in range(3)]
    [1.0, 0.5, 0.0]
    """
    return end + (start - end) * (1 + math.cos(math.pi * step / max(1, steps - 1))) / 2


def not_finite(**values: Tensor | float) -> dict[str, str]:
    """{} where all values are finite, else {"skipped": "loss is nan"}: then the step must not be taken."""
    wrong = [
        f"{name} is {value}"
        for name, value in zip(values, map(_plain, values.values()), strict=True)
        if not math.isfinite(value)
    ]
    return {"skipped": ", ".join(wrong)} if wrong else {}


def number(value: Tensor | float) -> float | None:
    """A plain number for a record; None where it is not finite."""
    plain = _plain(value)
    return plain if math.isfinite(plain) else None


def _plain(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else value


def run(
    stage: Stage,
    steps: int,
    step: Callable[[int], dict[str, Any]],
    parts: Mapping[str, Stateful],
    note: Callable[[dict[str, Any]], str],
    crops: Sequence[Crops],
) -> list[dict[str, Any]]:
    """Call `step` for 0 .. steps - 1 and return what it returned, one record (plain values) a step.

    `parts` are all that a step changes; they are checkpointed every `checkpoint_seconds`, and the checkpoint before
    the last is kept. A checkpoint of the same parameters, inputs and code is resumed; any other is overwritten. `note`
    words a record for the progress line; `crops` are all that the steps see, the first of them what they train on.

    A step whose loss or gradient is not finite changes no part and says so in its record (`not_finite`); it is told
    with its pictures, and after three in a row the loop stops with the state before them saved.
    """
    fingerprint = stage.fingerprint()
    history = _resume(stage, fingerprint, parts)
    steps_left = progress.Progress(stage.name, steps, start=len(history))
    saved, buffers = time.monotonic(), _buffers(parts)
    for index in steps_left:
        statistics = [(buffer, buffer.clone()) for buffer in buffers]
        history.append(_fitting(stage, index, step, crops[0]))
        if "skipped" in history[-1]:
            with torch.no_grad():
                for buffer, value in statistics:  # of a batch normalisation: a forward pass has changed them
                    buffer.copy_(value)
            history[-1]["skipped"] += f" on {' and '.join(shown.names(index) for shown in crops)}"
            progress.say(f"{stage.name}: step {index + 1} is not taken: {history[-1]['skipped']}")
            _stop_in_time(stage, fingerprint, history, parts, crops[0].section)
        else:
            steps_left.note(note(history[-1]))
        if time.monotonic() - saved >= stage.run.params.checkpoint_seconds or index + 1 == steps:
            _save(stage, fingerprint, history, parts)
            saved = time.monotonic()
    return history


def _buffers(parts: Mapping[str, Stateful]) -> list[Tensor]:
    """All that modules keep beside their parameters; what they don't keep are constants."""
    modules = [part for part in parts.values() if isinstance(part, nn.Module)]
    kept = [(module, module.state_dict().keys()) for module in modules]
    return [buffer for module, names in kept for name, buffer in module.named_buffers() if name in names]


def _fitting(stage: Stage, index: int, step: Callable[[int], dict[str, Any]], crops: Crops) -> dict[str, Any]:
    """The record of a step; one that does not fit into the memory says which setting to lower."""
    try:
        return step(index)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        smaller = max(16, crops.crop // 2)
        settings = [f"{crops.section}.crop (OVERRIDES={crops.section}.crop={smaller})"] if smaller < crops.crop else []
        settings += [f"{crops.section}.batch"] if crops.batch > 1 else []
        lower = f", or lower {' or '.join(settings)}, which starts this stage anew" if settings else ""
        raise KitError(
            f"{stage.name}: step {index + 1}: out of memory on {stage.run.device}, with crops of "
            f"{crops.batch}x3x{crops.crop}x{crops.crop}. Free memory and start again, which goes on from the last "
            f"checkpoint{lower}."
        ) from None


def _save(stage: Stage, fingerprint: str, history: list[dict[str, Any]], parts: Mapping[str, Stateful]) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    tree = {"fingerprint": fingerprint, "history": history, "parts": states}
    tree |= {"resumes": stage.resumes.get(stage.name, []), "started": stage.first_start, "seconds": stage.seconds}
    checkpoint.save(stage.checkpoint, tree, stage.checkpoint_before)


def _stop_in_time(
    stage: Stage, fingerprint: str, history: list[dict[str, Any]], parts: Mapping[str, Stateful], section: str
) -> None:
    """After PATIENCE steps in a row that were not finite: save the state before them, and stop."""
    last = history[-PATIENCE:]
    if len(last) < PATIENCE or not all("skipped" in record for record in last):
        return
    _save(stage, fingerprint, history[:-PATIENCE], parts)
    reasons = "; ".join(record["skipped"] for record in last)
    raise KitError(
        f"{stage.name}: steps {len(history) - PATIENCE + 1} to {len(history)} were not finite and not taken: "
        f"{reasons}. {stage.checkpoint} holds the state before them. Look at these pictures, or lower {section}.rate "
        f"(OVERRIDES={section}.rate=...), which starts this stage anew."
    )


def _resume(stage: Stage, fingerprint: str, parts: Mapping[str, Stateful]) -> list[dict[str, Any]]:
    """The history in the newest checkpoint that can be read, its state put into the parts; [] where none fits."""
    for path in filter(lambda path: path.exists(), (stage.checkpoint, stage.checkpoint_before)):
        try:
            saved = checkpoint.load(path)
        except KitError as error:
            progress.say(f"{stage.name}: can't go on from the last checkpoint: {error}")
            continue
        if saved.get("fingerprint") != fingerprint:
            progress.say(
                f"{stage.name}: the checkpoint there belongs to other parameters, inputs or code; starting anew"
            )
            return []
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        if path == stage.checkpoint_before:  # else the next save would put the unreadable one in its place
            stage.set_aside()
        stage.resume(saved["resumes"], len(saved["history"]), saved["started"], saved["seconds"])
        progress.say(f"{stage.name}: resumed at step {len(saved['history'])}")
        return saved["history"]
    return []
