"""A restorer for use elsewhere: one folder with weights, genotype, task, metrics and manifest, and an ONNX file."""

from __future__ import annotations

import copy
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from . import files, manifest
from .errors import KitError
from .restorer import Restorer

OPSET = 18
BUNDLE = "checksums.json"  # of a bundle: {file: SHA-256}
# file in the bundle -> (stage, file) of the run
PARTS = {
    "restorer.safetensors": ("04_retrain", "restorer.safetensors"),
    "genotype.yaml": ("03_architecture_search", "genotype.yaml"),
    "loss.yaml": ("02_loss_search", "loss.yaml"),
    "metrics.json": ("05_evaluate", "metrics.json"),
    "manifest.json": ("04_retrain", "manifest.json"),
}


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Only errors from the logger of that name."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def onnx(restorer: Restorer, path: Path) -> None:
    """Write the network as ONNX: "degraded" (1, 3, H, W) in [0, 1], RGB -> "restored", same shape, not clipped.

    H and W are free, from 4 on.
    """
    example = torch.rand(1, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with _quiet("torch.onnx"), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own deprecations
        program = torch.onnx.export(
            copy.deepcopy(restorer).cpu().eval(),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes={"degraded": free},
            input_names=["degraded"],
            output_names=["restored"],
        )
    files.write_atomically(path, lambda name: program.save(name))


def bundle(run: Path, out: Path, with_onnx: bool = True) -> Path:
    """Write the restorer of the run folder `run` into the new folder `out`, whole or not at all.

    `Restorer.load(out)` reads it back. A run whose files are not of one making is refused.
    """
    run, out = Path(run), Path(out)
    if out.exists():
        raise KitError(f"{out}: is there already. Name a folder that is not, or remove it.")
    if not (run / "05_evaluate/manifest.json").is_file():
        raise KitError(f"{run}: not a finished run (results/PROFILE/TASK): no 05_evaluate/manifest.json in it")
    manifests = {stage: manifest.read(run / stage / manifest.NAME) for stage in ("04_retrain", "05_evaluate")}
    for stage, recorded in manifests.items():
        for name, digest in recorded["inputs"].items():
            if not (run / name).is_file() or files.sha256(run / name) != digest:
                raise KitError(f"{run / name}: is not what {stage} has read. Run the stages after it again.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as made:
        folder = Path(made) / out.name
        folder.mkdir()
        for name, (stage, file) in PARTS.items():
            written = file != manifest.NAME
            source = manifest.require_as_written(run / stage, file) if written else run / stage / file
            shutil.copyfile(source, folder / name)
        files.write_yaml(folder / "task.yaml", manifests["04_retrain"]["parameters"]["task"])
        if with_onnx:
            onnx(Restorer.load(folder / "restorer.safetensors"), folder / "restorer.onnx")
        files.write_json(folder / BUNDLE, files.checksums(folder))
        folder.rename(out)
    return out
