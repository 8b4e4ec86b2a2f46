"""What a stage leaves about its making, read back: parameters, checksums of what it read and wrote, and facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from . import files
from .errors import KitError

STAGES = (
    "00_data",
    "01_classifier",
    "02_loss_search",
    "03_architecture_search",
    "04_retrain",
    "05_evaluate",
)
ABLATIONS = ("06_loss_ablation", "07_architecture_ablation")  # each member a stage of its own below
NAME = "manifest.json"


class _Parameters(BaseModel, extra="allow"):
    seed: int
    task: dict[str, Any]


class _Manifest(BaseModel, extra="allow"):
    stage: str
    parameters: _Parameters
    inputs: dict[str, str]
    outputs: dict[str, str]
    facts: dict[str, Any]
    seconds: float


def read(path: Path) -> dict[str, Any]:
    """A manifest.json as plain data; one that a stage would not have written is a KitError."""
    data = files.read_json(path)
    try:
        _Manifest.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise KitError(f"{path}: not a manifest of this kit: {where} {fault['msg']}. Run its stage again.") from None
    return data
