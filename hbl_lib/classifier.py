"""The clear-or-degraded classifier, whose cross-entropy is the upper level of the loss search (HBL, Section 2.2).

The paper shows the classifier clear pictures and their degraded versions ("plain"). Such a classifier can go by
brightness alone; once the restored picture is bright it may have nothing more to say. So by default ("matched") both
classes get a random gain and gamma, and the degraded class is one third each: as it is; brought to the clear picture's
mean; that, blended with the clear picture. Label smoothing keeps the confidence, and so the loss, from running to its
floor.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import checkpoint
from .data import Crops
from .errors import KitError
from .seeding import generator

CLASSES = ("degraded", "clear")
CLEAR = 1
NETWORKS = ("resnet10", "resnet18", "resnet50")


class Classifier(nn.Module):
    """RGB pictures (N, 3, H, W) in [0, 1] -> logits (N, 2) of `CLASSES`."""

    def __init__(self, network: str):
        from torchvision.models import resnet  # takes seconds, so only where one is made

        super().__init__()
        self.name = network
        if network not in NETWORKS:
            raise KitError(f"classifier.network '{network}' is not one of {', '.join(NETWORKS)}")
        if network == "resnet10":
            self.network = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=2)
        else:
            self.network = getattr(resnet, network)(num_classes=2)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network((pictures - 0.5) / 0.25)

    def folded(self) -> Classifier:
        """A frozen copy with every batch normalisation folded into the convolution before it; the same logits."""
        from torch.fx.experimental.optimization import fuse

        folded = copy.deepcopy(self).eval()
        folded.network = fuse(folded.network)
        return folded.requires_grad_(False)

    def save(self, path: Path) -> None:
        """Write name and weights into one file."""
        checkpoint.save(path, {"network": self.name, "weights": self.state_dict()})

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Read what `save` wrote, frozen and in evaluation mode."""
        saved = checkpoint.load(path)
        if not {"network", "weights"} <= saved.keys() or saved["network"] not in NETWORKS:
            raise KitError(f"{path}: not a classifier's checkpoint. 01_classifier writes it.")
        classifier = cls(saved["network"])
        checkpoint.load_weights(classifier, saved["weights"], f"{path}: the weights do not fit {saved['network']}")
        return classifier.eval().requires_grad_(False)


def upper_loss(classifier: Classifier, restored: Tensor) -> Tensor:
    """L_C: cross-entropy of the frozen classifier on the restored picture against the label "clear"."""
    return F.cross_entropy(classifier(restored), torch.full((len(restored),), CLEAR, device=restored.device))


def _uniform(drawn: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=drawn)


def match_mean(degraded: Tensor, clear: Tensor) -> Tensor:
    """Degraded with one gain a picture that brings its mean to the clear one's; (N, 3, H, W), clipped to [0, 1]."""
    gain = clear.mean((1, 2, 3), keepdim=True) / degraded.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)
    return (degraded * gain).clamp(0, 1)


def samples(degraded: Tensor, clear: Tensor, negatives: str, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
    """2N pictures and their labels, from N pairs: first the degraded ones, then the clear ones."""
    count = len(clear)
    labels = torch.tensor([0] * count + [CLEAR] * count)
    if negatives == "plain":
        return torch.cat((degraded, clear)), labels
    matched = match_mean(degraded, clear)
    share = _uniform(drawn, count, 0.4, 1)
    kinds = torch.stack((degraded, matched, share * matched + (1 - share) * clear))
    kind = torch.randint(3, (count,), generator=drawn)
    both = torch.cat((kinds[kind, torch.arange(count)], clear))
    gain, gamma = _uniform(drawn, 2 * count, 0.75, 1.25), _uniform(drawn, 2 * count, 0.75, 1.35)
    return (both.clamp(0, 1) ** gamma * gain).clamp(0, 1), labels


@torch.no_grad()
def confusion(classifier: Classifier, crops: Crops, negatives: str, batches: int) -> list[list[int]]:
    """Counts [true class][predicted class] over crops of held-out pictures."""
    table = torch.zeros(2, 2, dtype=torch.long)
    device = next(classifier.parameters()).device
    for step in range(batches):
        pictures, labels = samples(*crops.at(step), negatives, generator(crops.seed, "confusion", negatives, step))
        predicted = classifier(pictures.to(device)).argmax(1).cpu()
        table += torch.bincount(labels * 2 + predicted, minlength=4).view(2, 2)
    return table.tolist()
