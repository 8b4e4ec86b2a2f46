"""The discrete network of a genotype, and its weights on disk."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from . import checkpoint, deploy, operations
from .errors import KitError
from .genotype import Genotype
from .network import COMBINATIONS, Network


class Restorer(Network):
    """Degraded (N, 3, H, W), RGB in [0, 1] -> restored, same shape, not clipped."""

    def __init__(self, genotype: Genotype, combine: str = "division"):
        def layers(part: str, unit: int, layer: int, in_channels: int, out_channels: int) -> nn.Module:
            return operations.make(genotype.operation(part, unit, layer), in_channels, out_channels)

        super().__init__(layers, combine)
        self.genotype = genotype

    def deploy(self) -> Network:
        """The folded network: the same output but for rounding, faster, without gradients."""
        return deploy.deploy(self)

    def save(self, path: Path) -> None:
        """Write weights, genotype and how the units combine into one file, atomically."""
        facts = {"genotype": self.genotype.as_dict(), "combine": self.combine}
        checkpoint.save(path, {**facts, "weights": self.state_dict()})

    @classmethod
    def load(cls, path: Path, genotype: Genotype | None = None) -> Restorer:
        """Read what `save` wrote: the file, or the folder of a run or of a bundle that holds it.

        With `genotype` given, a file of another genotype is refused.
        """
        path = Path(path)
        if path.is_dir():
            places = (path / "restorer.safetensors", path / "04_retrain" / "restorer.safetensors")
            found = [place for place in places if place.is_file()]
            if not found:
                raise KitError(
                    f"{path}: neither a run nor a bundle: no restorer.safetensors in it. make reproduce makes runs."
                )
            path = found[0]
        saved = checkpoint.load(path)
        if not {"genotype", "weights"} <= saved.keys():
            raise KitError(
                f"{path}: not a restorer's checkpoint (it holds {', '.join(saved)}). Pass restorer.safetensors."
            )
        found = Genotype.from_dict(saved["genotype"], path)
        if genotype is not None and found != genotype:
            raise KitError(
                f"{path}: the weights belong to another genotype ({found.difference(genotype)}). "
                "Retrain (04_retrain) after an architecture search, or pass the genotype.yaml they were trained with."
            )
        combine = saved.get("combine", "division")
        if combine not in COMBINATIONS:
            raise KitError(f"{path}: combine: expected one of {', '.join(COMBINATIONS)}, not {combine!r:.40}")
        restorer = cls(found, combine)
        where = f"{path}: the weights do not fit the genotype stored with them"
        checkpoint.load_weights(restorer, saved["weights"], where)
        return restorer
