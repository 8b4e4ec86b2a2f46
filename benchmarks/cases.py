"""What is measured: the kit's side and the reference's, on the same pictures, weights and terms."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hbl_lib import bilevel, config, images, modes, perceptual, supernet, training
from hbl_lib.classifier import Classifier, upper_loss
from hbl_lib.data import Crops, Pictures
from hbl_lib.losses import PIXEL_TERMS, FoundLoss, LossSpace
from hbl_lib.network import Network
from hbl_lib.operations import FCM_OPERATIONS, HNU_OPERATIONS
from hbl_lib.pairs import Pair
from hbl_lib.parameters import LossSearchParams
from hbl_lib.perceptual import IMAGENET_MEAN, IMAGENET_STD, Trunk
from hbl_lib.search import ArchitectureSearch, LossSearch
from hbl_lib.supernet import Supernet

from . import measure, published, restorers
from .measure import device
from .restorers import Step

SIDES = ("ours", "reference")
RATE = 5e-4
PIXELS = 640  # on a side, of the pictures that crops are cut from


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def pictures() -> Pictures:
    """Four pairs of smooth noise, the degraded one a third as bright; what is measured does not hang on the content."""
    root, drawn, pairs = Path(_folder().name), np.random.default_rng(0), []
    for index in range(4):
        coarse = torch.from_numpy(drawn.random((1, 3, 40, 40), np.float32))
        clear = F.interpolate(coarse, size=(PIXELS, PIXELS), mode="bicubic").clamp(0, 1)
        pairs.append(Pair(f"low/{index}.png", f"high/{index}.png", str(index)))
        images.write(root / pairs[-1].clear, images.to_picture(clear))
        images.write(root / pairs[-1].degraded, images.to_picture(clear * 0.3))
    return Pictures(root, pairs)


def crops(size: int, name: str, batch: int = 1) -> Crops:
    return Crops(pictures(), size, 0, name, batch)


class PixelSpace(nn.Module):
    """The loss space without its perceptual terms."""

    weighed, groups, clear_features = PIXEL_TERMS, (), ()

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk("none", [nn.Identity()], (), IMAGENET_MEAN, IMAGENET_STD)

    def values(self, restored: Tensor, clear: Tensor) -> Tensor:
        return published.pixel_values(restored, clear)

    def coefficients(self, weights: Tensor, _shares: Sequence[Tensor]) -> Tensor:
        return weights

    def forward(self, restored: Tensor, clear: Tensor, _found: FoundLoss) -> Tensor:
        return self.values(restored, clear).sum()


def whole_space() -> LossSpace:
    """The space over VGG-19 and AlexNet in full width, untrained."""
    return LossSpace(*perceptual.untrained_in_full_width()).to(device())


def search_params() -> LossSearchParams:
    return config.load("paper", "llie_lol").loss_search.model_copy(update={"epochs": None, "steps": 1000})


def loss_search(side: str, size: int, perceptual_terms: bool) -> Step:
    """One iteration, one beta step and one weight step, at (1, 3, size, size); "frozen": reference, alpha frozen."""
    train, held_out = crops(size, "train"), crops(size, "held out")
    space = whole_space() if perceptual_terms else PixelSpace()
    torch.manual_seed(0)
    classifier = Classifier("resnet50").eval().requires_grad_(False).to(device())
    if side == "ours":
        search = LossSearch(search_params(), Supernet().to(device()), space, classifier, train, held_out)
        return Repeated(search.step)
    layers = [layer for group in space.groups for layer in group]
    values = published.all_values(space.trunk, space.lpips, layers) if perceptual_terms else published.pixel_values
    count = len(space.names) if perceptual_terms else len(PIXEL_TERMS)
    scheme = published.LossSearch(reference_supernet(side), values, count, classifier, RATE)

    def step(index: int) -> None:
        scheme.step(*(x.to(device()) for x in train.at(index)), held_out.at(index)[0].to(device()))

    return Repeated(step)


def reference_supernet(side: str) -> Network:
    """The published supernet; of the side "frozen" with alphas that ask for no gradient."""
    network = published.supernet().to(device())
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (side == "frozen" and name.endswith(".alpha")))
    return network


class Repeated:
    """A loop's step, with the next index at each call."""

    def __init__(self, step: Callable[[int], object]):
        self.step, self.indices = step, itertools.count()

    def __call__(self) -> None:
        self.step(next(self.indices))


def reference_architecture_search(side: str, space: nn.Module, found: FoundLoss) -> published.ArchitectureSearch:
    """The published scheme under a found loss; of the side "pruned" with the gradients alone that a step uses."""
    values, count = published.pixel_values, len(PIXEL_TERMS)
    if space.groups:
        values = published.all_values(space.trunk, space.lpips, found.layers)
        count += 1 + len(found.layers)
    beta, network = torch.ones(count, device=device()), published.supernet().to(device())
    return published.ArchitectureSearch(network, values, beta, RATE, prunes=side == "pruned")


def architecture_search(side: str, size: int, perceptual_terms: bool) -> Step:
    """One iteration, one alpha step and one weight step, under a loss with all weights 1.

    Side "pruned": the reference without the gradients that it computes and does not use; "feature mixing": the kit's
    own, but with feature maps mixed in place of kernels.
    """
    train, held_out = crops(size, "train"), crops(size, "held out")
    space = whole_space() if perceptual_terms else PixelSpace()
    found = FoundLoss.equal(space.trunk)
    torch.manual_seed(0)
    if side in ("ours", "feature mixing"):
        params = config.load("paper", "llie_lol").architecture_search
        params = params.model_copy(update={"epochs": None, "steps": 1000})
        network = Supernet("kernel" if side == "ours" else "feature").to(device())
        search = ArchitectureSearch(params, network, space, found, train, held_out)
        return Repeated(search.step)
    scheme = reference_architecture_search(side, space, found)

    def step(index: int) -> None:
        scheme.step(*([x.to(device()) for x in shown.at(index)] for shown in (train, held_out)))

    return Repeated(step)


def hypergradient_errors(seed: int, size: int) -> dict[str, float]:
    """Relative errors in float32 against double backward in float64, over noise and the whole (narrow) loss space.

    The kit's, the published scheme's, and that of double backward in float32: what float32 itself leaves.
    """
    torch.manual_seed(seed)
    clear, unseen = torch.rand(2, 1, 3, size, size)
    plain, classifier = Supernet(), Classifier("resnet10").eval().requires_grad_(False)
    for alpha in plain.alphas():
        alpha.requires_grad_(False)
    trunk = perceptual.untrained_trunk()
    space = LossSpace(trunk, perceptual.lpips_term(trunk))

    def estimate(method: str) -> Tensor:
        weights = {name: p for name, p in plain.named_parameters() if p.requires_grad}
        to = next(iter(weights.values())).dtype
        values = bilevel.at_weights(plain, lambda y: space.values(y, clear.to(to)), 0.3 * clear.to(to))
        upper = bilevel.at_weights(plain, lambda y: upper_loss(classifier, y), 0.3 * unseen.to(to))
        coefficients = torch.ones(len(space.names), dtype=to)
        return bilevel.METHODS[method](values, coefficients, upper, weights, RATE).coefficients.double()

    methods = {"ours": "exact", "reference": "finite_difference", "double_backward": "double_backward"}
    found = {name: estimate(method) for name, method in methods.items()}
    for module in (plain, classifier, space):
        module.double()
    truth = estimate("double_backward")
    return {name: ((value - truth).norm() / truth.norm()).item() for name, value in found.items()}


class Waiting:
    """Crops whose waiting time is counted."""

    def __init__(self, shown: Crops, clock: Callable[[], float]):
        self.shown, self.clock, self.waited = shown, clock, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.shown, name)

    def at(self, index: int) -> tuple[Tensor, Tensor]:
        began = self.clock()
        batch = self.shown.at(index)
        self.waited += self.clock() - began
        return batch


def loader_steps(profile: str, clock: Callable[[], float]) -> dict[str, tuple[Step, Waiting]]:
    """{stage: (a step of its loop, its crops)}: those with the most crops to a step, and the shortest steps."""
    params, space, steps = config.load(profile, "llie_lol"), PixelSpace(), {"epochs": None, "steps": 1000}
    judging = params.classifier.model_copy(update=steps)
    retraining = params.retrain.model_copy(update={**steps, "average": 0.0})
    both = Waiting(crops(judging.crop, "classifier", judging.batch // 2), clock)
    shown = Waiting(crops(retraining.crop, "retrain", retraining.batch), clock)
    judging_loop = training.ClassifierTraining(judging, both, device())
    restorer = training.RestorerTraining(
        retraining, restorers.lol_restorer(), space, FoundLoss.equal(space.trunk), shown, pictures()
    )
    return {
        "classifier": (Repeated(judging_loop.step), both),
        "retrain": (Repeated(restorer.step), shown),
    }


PEAK_OF = """
import sys
from hbl_lib import memory, strips
from hbl_lib.__main__ import main
if sys.argv[1] == "reference":
    strips.is_large = lambda degraded: False
if main(sys.argv[2:]):
    sys.exit(1)
print(memory.resident("VmHWM"))
"""


def restore_large(side: str, channels: int = 3, height: int = 3000, width: int = 4000) -> float:
    """Peak MB of the process in which `restore` works on a picture; the reference: whole.

    `channels`: 3 of 8 bits, or 4 of 16, with transparency.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, picture = Path(folder) / "restorer.safetensors", Path(folder) / "large.png"
        restorers.lol_restorer().save(checkpoint)
        tile = np.random.default_rng(0).random((100, 100, channels), np.float32)
        values = np.tile(tile, (height // 100, width // 100, 1))  # noise alone would take long to be packed
        alpha, bits = (None, 8) if channels == 3 else (values[..., 3], 16)
        modes.write(picture, modes.Picture(values[..., :3], alpha, bits=bits))
        words = ["restore", "--device", "cpu", "--checkpoint", str(checkpoint), "--out", f"{folder}/out", str(picture)]
        return float(measure.script(PEAK_OF, side, *words).splitlines()[-1])


def operations(side: str, count: int) -> Step:
    """Forward and backward through a supernet with the first `count` candidates (of FCMs at most four), at 128x128."""
    torch.manual_seed(0)
    names = {"hnu": HNU_OPERATIONS[:count], "encoder": FCM_OPERATIONS[:count], "decoder": FCM_OPERATIONS[:count]}
    if side == "ours":
        with mock.patch.object(supernet, "candidates", lambda part, *_: names[part]):
            network: nn.Module = Supernet()
    else:
        network = published.supernet(names)
    network, picture = network.to(device()), torch.rand(1, 3, 128, 128, device=device())
    return lambda: network(picture).mean().backward()


FRESH: dict[str, Callable[[str, int], Step]] = {
    "operations": operations,
    "loss_search": functools.partial(loss_search, perceptual_terms=False),
    "loss_search_perceptual": functools.partial(loss_search, perceptual_terms=True),
}
