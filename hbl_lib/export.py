"""A restorer for use elsewhere: one folder with weights, genotype, task, metrics and manifest, and an ONNX file."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from . import files
from .errors import KitError
from .restorer import Restorer
from .runs import Run

OPSET = 18
# file in the bundle -> (stage, file) of the run
PARTS = {
    "restorer.safetensors": ("04_retrain", "restorer.safetensors"),
    "genotype.yaml": ("03_architecture_search", "genotype.yaml"),
    "loss.yaml": ("02_loss_search", "loss.yaml"),
    "metrics.json": ("05_evaluate", "metrics.json"),
    "manifest.json": ("04_retrain", "manifest.json"),
}


class _AnySize(nn.Module):
    """A restorer whose padding is by indices, so that one graph serves every size."""

    def __init__(self, restorer: Restorer):
        super().__init__()
        self.restorer = restorer

    @staticmethod
    def _reflected(side: int) -> Tensor:
        at = torch.arange(4 * ((side + 3) // 4))
        return torch.where(at < side, at, 2 * (side - 1) - at).clamp(0)

    def forward(self, degraded: Tensor) -> Tensor:
        height, width = degraded.shape[-2:]
        padded = degraded.index_select(2, self._reflected(height)).index_select(3, self._reflected(width))
        return self.restorer(padded)[..., :height, :width]


def onnx(restorer: Restorer, path: Path) -> None:
    """Write the network as ONNX: "degraded" (1, 3, H, W) in [0, 1], RGB -> "restored", same shape, not clipped.

    H and W are free, from 4 on.
    """
    example = torch.rand(1, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    module = _AnySize(restorer).cpu().eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own deprecations
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes={"degraded": free},
            input_names=["degraded"],
            output_names=["restored"],
        )
    files.write_atomically(path, lambda name: program.save(name))


def bundle(run: Run, out: Path, with_onnx: bool = True) -> Path:
    """Write a run's restorer into the new folder `out`, whole or not at all; `Restorer.load(out)` reads it back."""
    out = Path(out)
    if out.exists():
        raise KitError(f"{out}: is there already. Name a folder that is not, or remove it.")
    sources = {name: run.output(*place) for name, place in PARTS.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as made:
        folder = Path(made) / out.name
        folder.mkdir()
        for name, source in sources.items():
            shutil.copyfile(source, folder / name)
        files.write_yaml(folder / "task.yaml", run.params.task.model_dump())
        if with_onnx:
            onnx(Restorer.load(folder / "restorer.safetensors"), folder / "restorer.onnx")
        folder.rename(out)
    return out
