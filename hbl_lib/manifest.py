"""What a stage leaves about its making, read back: parameters, checksums of what it read and wrote, and facts."""

from __future__ import annotations

from collections.abc import Mapping
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
STUDIES = "12_search_quality"  # likewise
NAME = "manifest.json"
CHECKPOINTS = ("checkpoint.safetensors", "checkpoint_before.safetensors", "checkpoint_unreadable.safetensors")


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


def outputs(folder: Path) -> list[str]:
    """What a stage has written into its folder, by name: not its executed notebook, checkpoints, or hidden files."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".ipynb")
    passing = (*CHECKPOINTS, NAME)
    return [str(p.relative_to(folder)) for p in found if not p.name.startswith(".") and p.name not in passing]


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


def inputs_unchanged(folder: Path, recorded: Mapping[str, Any]) -> bool:
    """Whether the stages of the run in `folder` still hold what the stage of the manifest `recorded` read of them."""
    return all(_written(folder, file) == digest for file, digest in recorded["inputs"].items())


def _written(folder: Path, file: str) -> str | None:
    """The SHA-256 of STAGE/FILE, by its stage's manifest where the file itself was not brought along."""
    if (folder / file).is_file():
        return files.sha256(folder / file)
    stage, _, name = file.partition("/")
    path = folder / stage / NAME
    return read(path)["outputs"].get(name) if path.is_file() else None


def require_as_written(folder: Path, name: str) -> Path:
    """The output `name` of the stage in `folder`; one whose bytes are not those that the stage wrote is a KitError."""
    path, recorded = folder / name, read(folder / NAME)["outputs"].get(name)
    if files.sha256(path) != recorded:
        raise KitError(
            f"{path}: has changed since its stage wrote it, so nothing is made of it. Put back what was there, or run "
            f"the stage again. '.venv/bin/python -m hbl_lib verify {folder}' compares its other files."
        )
    return path


def metrics(folder: Path) -> dict[str, Any]:
    """The metrics.json of the stage in `folder`, as the stage wrote it."""
    return files.read_json(require_as_written(folder, "metrics.json"))
