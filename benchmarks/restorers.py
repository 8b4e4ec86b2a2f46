"""What is measured of the restorer: folded, without one part of its folding, and its convolutions alone."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable
from unittest import mock

import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

from hbl_lib import deploy, images
from hbl_lib.genotype import Genotype
from hbl_lib.network import Network
from hbl_lib.operations import Convolution, Dense
from hbl_lib.restorer import Restorer

from .measure import device

Step = Callable[[], object]


def lol_restorer() -> Restorer:
    torch.manual_seed(0)
    return Restorer(Genotype.published("llie_lol")).to(device())


@torch.no_grad()
def folded_difference(task: str, seed: int) -> tuple[float, float]:
    """A published network with new weights on a photograph, in float32: how far folding moves its output at most.

    And how far float32 itself does, from float64.
    """
    torch.manual_seed(seed)
    network = Restorer(Genotype.published(task)).to(device())
    picture = images.to_tensor(data.chelsea()).to(device())
    single = network(picture)
    apart = (network.deploy()(picture) - single).abs().max().item()
    return apart, (network.double()(picture.double()) - single).abs().max().item()


def without_one_fold(picture: Tensor) -> dict[str, Step]:
    """The folded network, and the same with one part of its folding taken back.

    What identity a layer keeps beside its kernel is not joined with another branch's layer either.
    """
    trained = lol_restorer()

    def unfolded(keeps: Callable[[nn.Module], bool]) -> Network:
        """The folded network, but for the layers that are to stay as they are."""

        def fold(layer: nn.Module, otherwise: Callable[[nn.Module], nn.Module] = deploy.fold) -> nn.Module:
            stays = copy.deepcopy(layer).to(memory_format=torch.channels_last)
            return stays if keeps(layer) else otherwise(layer)

        with mock.patch.object(deploy, "fold", fold):
            return trained.deploy()

    networks = {"ours": trained.deploy()}
    networks["identities beside"] = unfolded(lambda layer: isinstance(layer, Convolution) and layer.spec.residual)
    networks["dense inputs apart"] = unfolded(lambda layer: isinstance(layer, Dense))
    with mock.patch.object(deploy, "_alike", lambda *_: False):
        networks["branches in turn"] = trained.deploy()
    steps: dict[str, Step] = {name: functools.partial(network, picture) for name, network in networks.items()}
    steps["nothing in place"] = functools.partial(_nothing_in_place, networks["ours"], picture)
    plain_format = trained.deploy().to(memory_format=torch.contiguous_format)
    steps["default format"] = functools.partial(_as_it_comes, plain_format, picture)
    return steps


def _nothing_in_place(network: Network, picture: Tensor) -> Tensor:
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(F, "relu_", F.relu))
        for name in ("add", "sigmoid"):
            patches.enter_context(mock.patch.object(Tensor, f"{name}_", getattr(Tensor, name)))
        return network(picture)


def _as_it_comes(network: Network, picture: Tensor) -> Tensor:
    """The network on a picture with sides of a multiple of 4, not converted to channels-last."""
    half, quarter = network.encoder(picture)
    return network.decoder(network.units(quarter), half, quarter)


class Convolutions:
    """Every convolution that a network calls on a picture, to be run alone in either memory format."""

    def __init__(self, network: nn.Module, picture: Tensor):
        self.counts: dict[tuple, int] = {}
        self.calls: dict[tuple, tuple[Callable[..., Tensor], tuple, dict]] = {}
        originals = {name: getattr(F, name) for name in ("conv2d", "conv_transpose2d")}
        try:
            for name, function in originals.items():
                setattr(F, name, functools.partial(self._noted, function))
            with torch.no_grad():
                network(picture)
        finally:
            for name, function in originals.items():
                setattr(F, name, function)

    def _noted(
        self, function: Callable[..., Tensor], x: Tensor, weight: Tensor, *rest: object, **named: object
    ) -> Tensor:
        key = (function.__name__, tuple(x.shape), tuple(weight.shape), repr(rest), repr(sorted(named.items())))
        self.counts[key] = self.counts.get(key, 0) + 1
        self.calls.setdefault(key, (function, (x.detach().clone(), weight.detach().clone(), *rest), named))
        return function(x, weight, *rest, **named)

    def sides(self) -> dict[tuple, Step]:
        """{(key, format): the convolution alone}."""
        found = {}
        for key, (function, (x, weight, *rest), named) in self.calls.items():
            for form in (torch.contiguous_format, torch.channels_last):
                ready = x.contiguous(memory_format=form), weight.contiguous(memory_format=form)
                found[key, form] = functools.partial(function, *ready, *rest, **named)
        return found

    def total(self, seconds: dict) -> float:
        """Their summed time, each in its better format."""
        forms = (torch.contiguous_format, torch.channels_last)
        return sum(n * min(seconds[key, form] for form in forms) for key, n in self.counts.items())

    def layers(self, seconds: dict) -> list[dict[str, object]]:
        """Each of them: what goes in, its kernel, how often it is called, and the ratio of channels-last to default."""
        found = []
        for key, count in self.counts.items():
            default, last = (seconds[key, form] for form in (torch.contiguous_format, torch.channels_last))
            name, seen, kernel, *_ = key
            found.append(
                {"call": name, "input": seen, "kernel": kernel, "count": count, "channels_last": last / default}
            )
        return found
