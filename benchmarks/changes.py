"""What each change gains: the kit's step against the same with that one change taken back, and what was predicted.

Predictions are by counting: a forward pass is 1, a gradient 3, a forward-mode pass 3; of the folded network
multiplications (21.8 billion), and maps read and written at 10 GB/s in a pass of .2 s. README says when they were made.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from hbl_lib import bilevel, config
from hbl_lib.classifier import Classifier
from hbl_lib.data import Crops, Pictures
from hbl_lib.losses import FoundLoss
from hbl_lib.perceptual import ClearFeatures, Trunk
from hbl_lib.search import LossSearch
from hbl_lib.supernet import Supernet
from hbl_lib.training import ClassifierTraining, RestorerTraining

from . import cases, measure, restorers
from .cases import Step
from .measure import device


class Change(NamedTuple):
    """What was changed, its predicted share of what it was before, and why that."""

    title: str
    predicted: float | None
    why: str


SEARCH = {
    "feature mixing": Change(
        "kernels mixed in place of feature maps", 0.62, "multiplications: HNU 45 taps for 68, FCM 25 for 44"
    ),
    "kernels layer by layer": Change(
        "kernels of all layers mixed at once", None, "little at 256 pixels, more at 64, where launching counts"
    ),
    "finite difference": Change(
        "exact hypergradient in place of the finite difference", 1.1, "9 passes for 8; paid for exactness"
    ),
    "weight step by itself": Change("the weight step takes the look-ahead's gradient", 0.75, "9 of 12 passes"),
    "model rebuilt": Change("no model is rebuilt", 0.99, "a copy of 17 MB"),
    "classifier not folded": Change("classifier's normalisations folded", 0.95, "fewer passes over its maps"),
    "clear features anew": Change("features of the clear picture once a step", 0.9, "one of ten passes through VGG-19"),
}
RESTORER = {
    "identities beside": Change("identities folded into kernels", 0.97, "ten additions of 6 MB"),
    "dense inputs apart": Change(
        "one convolution for all that reads a dense layer's input", 1.0, "ten concatenations less, ten additions more"
    ),
    "branches in turn": Change("R_u and R_v side by side", 1.0, "one of 28 places has two layers of one kind"),
    "nothing in place": Change("ReLUs and sums in place", 0.9, "sixteen maps that need no new memory"),
    "default format": Change("channels-last", 0.6, "what the convolutions alone gain"),
}
ARCHITECTURE = {"feature mixing": Change("kernels mixed, architecture search", 0.62, "as in the loss search")}
RETRAINING = {
    "whole trunk": Change(
        "the trunk stops at the deepest layer needed",
        0.88,
        "18.2 of 23.1 billion multiplications of VGG-19, for two pictures",
    ),
}
CLASSIFIER = {
    "decoded anew": Change(
        "each picture decoded once", 0.3, "16 decodings of 10 ms, one step ahead, beside a step of some 60 ms"
    ),
}
CORES = Change("one notebook a core in place of one on two (`threads: 1`)", 0.6, "crops are small")
STRIPS = Change("strips, memory", 0.41, "as at 12 megapixels: what does not grow with the picture is small")


def loss_search(size: int, perceptual_terms: bool) -> dict[str, Step]:
    """The kit's loss search iteration, "ours", and the same with one change taken back; nothing is shared by two."""

    def search(mixing: str = "kernel", hypergradient: str = "exact", folded: bool = True) -> LossSearch:
        torch.manual_seed(0)
        classifier = Classifier("resnet50").eval().requires_grad_(False).to(device())
        params = cases.search_params().model_copy(update={"hypergradient": hypergradient})
        space = cases.whole_space() if perceptual_terms else cases.PixelSpace()
        shown = (cases.crops(size, name) for name in ("train", "held out"))
        found = LossSearch(params, Supernet(mixing).to(device()), space, classifier, *shown)
        if not folded:
            found.classifier = classifier
        return found

    searches = {"ours": search(), "feature mixing": search("feature")}
    searches["finite difference"] = search(hypergradient="finite_difference")
    searches["classifier not folded"] = search(folded=False)
    left_out = () if perceptual_terms else ("clear features anew",)
    searches |= {name: search() for name in SEARCH if name not in (*searches, *left_out)}
    searches["kernels layer by layer"].network.alike = {}
    ways: dict[str, Callable[[LossSearch, int], object]] = {
        "weight step by itself": _by_itself,
        "model rebuilt": _rebuilding,
        "clear features anew": _forgetting,
    }
    return {
        name: cases.Repeated(functools.partial(ways.get(name, LossSearch.step), found))
        for name, found in searches.items()
    }


def _by_itself(search: LossSearch, index: int) -> None:
    """A step whose weight step computes the lower level's gradient anew."""

    def exact(values: bilevel.Values, beta: Tensor, upper: bilevel.Upper, weights: bilevel.Weights, *step: Any):
        found = bilevel.exact(values, beta, upper, weights, *step)
        return dataclasses.replace(found, lower=bilevel.without_upper(values, beta, weights).lower)

    with mock.patch.dict(bilevel.METHODS, exact=exact):
        search.step(index)


def _rebuilding(search: LossSearch, index: int) -> None:
    """A step that also makes a model of its own for the look-ahead, and loads weights into it."""
    rebuilt = copy.deepcopy(search.network)
    rebuilt.load_state_dict(search.network.state_dict())
    search.step(index)


def _forgetting(search: LossSearch, index: int) -> None:
    """A step that computes the features of the clear picture whenever it needs them."""

    def anew(clear_features: ClearFeatures, clear: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        with torch.no_grad():
            return dict(clear_features.trunk.stream(clear, wanted))

    with mock.patch.object(ClearFeatures, "of", anew):
        search.step(index)


def architecture_search(size: int) -> dict[str, Step]:
    """The kit's architecture search iteration, and the same with feature mixing."""
    return {name: cases.architecture_search(name, size, False) for name in ("ours", *ARCHITECTURE)}


def retraining(size: int) -> dict[str, Step]:
    """A step of retraining under LOL's published loss, and the same with the whole of the trunk."""
    params = config.load("quick", "llie_lol").retrain
    params = params.model_copy(update={"steps": 1000, "average": 0.0, "crop": size})

    def step() -> Step:
        torch.manual_seed(0)
        space, shown = cases.whole_space(), cases.crops(size, "retrain", params.batch)
        found = FoundLoss.published("llie_lol", space.trunk)
        loop = RestorerTraining(params, restorers.lol_restorer(), space, found, shown, cases.pictures())
        return cases.Repeated(loop.step)

    return {"ours": step(), "whole trunk": functools.partial(_to_the_end, step())}


def _to_the_end(step: Step) -> None:
    """A step in which the trunk computes all its layers."""
    stream = Trunk.stream

    def whole(trunk: Trunk, x: Tensor, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        return (found for found in stream(trunk, x, range(len(trunk.layers))) if found[0] in wanted)

    with mock.patch.object(Trunk, "stream", whole):
        step()


def classifier_training() -> dict[str, Step]:
    """A step of the classifier at `quick`, which has the most pictures, and one that decodes them all anew."""
    params = config.load("quick", "llie_lol").classifier.model_copy(update={"steps": 1000})

    def step(pictures: Pictures) -> Step:
        torch.manual_seed(0)
        shown = Crops(pictures, params.crop, 0, "classifier", params.batch // 2)
        return cases.Repeated(ClassifierTraining(params, shown, device()).step)

    kept = cases.pictures()
    return {"ours": step(kept), "decoded anew": step(Anew(kept.root, kept.pairs))}


class Anew(Pictures):
    """Pictures that are decoded whenever they are asked for."""

    def _decode(self, path: Path) -> np.ndarray:
        self._decoded.clear()
        return super()._decode(path)


STEPS_OF = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from benchmarks import cases, measure
step = cases.loss_search("ours", 64, False)
step()
print(measure.seconds(lambda: [step() for _ in range(60)]))
"""


def two_notebooks(threads: int) -> float:
    """Seconds of two loss searches of 60 steps on quick's crops: on one core each, or in turn on two."""
    took = measure.at_once(2 if threads == 1 else 1, STEPS_OF, str(threads))
    return max(map(float, took)) * (1 if threads == 1 else 2)
