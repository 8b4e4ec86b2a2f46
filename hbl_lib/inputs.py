"""What stages begin with: crops of the lists, the loss space, and what the stages before have found."""

from __future__ import annotations

from . import perceptual, splits
from .classifier import Classifier
from .data import Crops, Pictures
from .genotype import Genotype
from .losses import FoundLoss, LossSpace
from .parameters import RetrainParams
from .runs import Run, Stage
from .supernet import Supernet


def pictures(stage: Stage, *lists: str) -> Pictures:
    """The pairs of the named lists; a picture that has changed since 00_data is refused."""
    stored = stage.need("00_data", "splits.json")
    dealt = splits.read(stored)
    return Pictures(stage.run.data_root, [pair for name in lists for pair in dealt[name]], splits.checksums(stored))


def crops(stage: Stage, section: str, crop: int, lists: tuple[str, ...], batch: int = 1) -> Crops:
    """Crops of the named lists for a section of the parameters."""
    name = "/".join((section, *lists))
    return Crops(pictures(stage, *lists), crop, stage.run.params.seed, name, batch)


def both_levels(stage: Stage, section: str, crop: int) -> list[Crops]:
    """What a search learns from: the train list for the lower level, the search list for the upper one."""
    return [crops(stage, section, crop, (name,)) for name in ("train", "search")]


def retraining_crops(stage: Stage, params: RetrainParams) -> Crops:
    """What a restorer trains on: train and search lists together."""
    shown = pictures(stage, "train", "search")
    halves = int(params.half_crops * params.steps_for(len(shown), params.batch))
    return Crops(shown, params.crop, stage.run.params.seed, "retrain/train/search", params.batch, halves)


def loss_space(run: Run) -> LossSpace:
    """The loss space over the trunks at hand."""
    params = run.params.perceptual
    trunk = perceptual.feature_trunk(params.download, params.untrained)
    lpips, ways = perceptual.lpips_term(trunk, params.download, params.untrained), run.params.loss_space
    return LossSpace(trunk, lpips, ways.vgg_distance, ways.lpips_input, ways.ssim).to(run.device)


def supernet(run: Run, mixing: str = "kernel") -> Supernet:
    """A freshly drawn supernet as the parameters have it."""
    return Supernet(mixing, run.params.network.split, run.params.network.combine).to(run.device)


def recorded_space(stage: Stage) -> LossSpace:
    """`loss_space`, with its trunks noted in the manifest."""
    space = loss_space(stage.run)
    for term, trunk in (("vgg_term", space.trunk), ("lpips_term", space.lpips.trunk)):
        stage.facts[term] = {"features": trunk.name, "sha256": trunk.checksum}
    return space


def trained_classifier(stage: Stage) -> Classifier:
    """What 01 has trained, on the run's device."""
    return Classifier.load(stage.need("01_classifier", "classifier.safetensors")).to(stage.run.device)


def found_loss(stage: Stage) -> FoundLoss:
    """What the loss search found: 02's, or that of the last of several rounds, which end in 03."""
    params = stage.run.params
    alternated = params.rounds > 1 and params.search == "here"
    return FoundLoss.read(stage.need("03_architecture_search" if alternated else "02_loss_search", "loss.yaml"))


def found_genotype(stage: Stage) -> Genotype:
    """What the architecture search found."""
    return Genotype.read(stage.need("03_architecture_search", "genotype.yaml"))
