"""Feature trunks of the perceptual terms, and LPIPS. Which weights they hold is part of their name.

`weights` finds the files. Without VGG-19, a SqueezeNet trunk in HBL_WEIGHTS stands in, under the name "squeeze";
without either, a profile that allows it goes on with seeded untrained features, under the name "untrained".
torchvision, which takes seconds to import, is imported only where a network is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import weights
from .errors import KitError
from .files import sha256

UNTRAINED_WIDTH = 0.125  # untrained features carry no knowledge, so an eighth of VGG-19's channels serves as well
UNTRAINED_TAPS = (3, 8, 17, 26)  # the last ReLU of each group
VGG19_GROUPS = (tuple(range(0, 4)), tuple(range(5, 9)), tuple(range(10, 18)), tuple(range(19, 27)))
SQUEEZE_GROUPS = ((0, 1), (3, 4), (6, 7), (9, 10, 11, 12))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class Trunk(nn.Module):
    """A frozen stack of layers over RGB pictures (N, 3, H, W) in [0, 1].

    `groups` are the four sets of layer indices from which the loss space selects one layer each. `unit` scales the
    features: a trunk over 0-255 would otherwise count 255^2 times as much in a squared distance.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[nn.Module],
        groups: tuple[tuple[int, ...], ...],
        mean: Sequence[float],
        std: Sequence[float],
        bgr: bool = False,
        unit: float = 1.0,
    ):
        super().__init__()
        self.name, self.groups, self.bgr, self.unit = name, groups, bgr, unit
        self.layers = nn.Sequential(*layers)
        for module in self.layers.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # a layer's features must outlive the next layer
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.checksum: str | None = None
        self.requires_grad_(False).eval()

    def stream(self, x: Tensor, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """(index, output) of the layers `wanted`, one after the other; nothing past the deepest of them is computed."""
        x = ((x.flip(1) if self.bgr else x) - self.mean) / self.std
        for index, layer in enumerate(self.layers[: max(wanted) + 1]):
            try:
                x = layer(x)
            except RuntimeError as error:
                if "too small" not in str(error) and "greater than actual input" not in str(error):
                    raise
                raise KitError(f"the picture is too small for layer {index} of trunk {self.name}: {error}") from None
            if index in wanted:
                yield index, x * self.unit if self.unit != 1 else x

    def features(self, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """The outputs of the layers `wanted` (ascending indices), all at once."""
        return [features for _, features in self.stream(x, wanted)]


class ClearFeatures:
    """Features of clear pictures over a trunk: computed once for a picture, without gradients, and kept for a while.

    A picture is known by its content, so that whatever shows it again finds it: the second pass of a search step, and
    crops that repeat. `room`: bytes kept at the most; the last picture's are kept in any case (of VGG-19 in full width
    at 256 pixels they fill it alone).
    """

    def __init__(self, trunk: Trunk, room: int = 2**27):
        self.trunk, self.room = trunk, room
        self.computed, self.found = 0, 0  # pictures
        self._kept: dict[Any, dict[int, Tensor]] = {}

    def of(self, clear: Tensor, wanted: Sequence[int]) -> dict[int, Tensor]:
        """{index: features} of the layers `wanted` (ascending) for clear pictures (N, 3, H, W)."""
        content = hashlib.blake2b(clear.detach().cpu().contiguous().numpy(), digest_size=16).digest()
        key = (content, clear.shape, clear.dtype, clear.device, tuple(wanted))
        if key in self._kept:
            self.found += 1
            self._kept[key] = self._kept.pop(key)  # the newest is the last
        else:
            self.computed += 1
            with torch.no_grad():
                self._kept[key] = dict(self.trunk.stream(clear, wanted))
            while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > self.room:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]


def reuse(clear_features: Iterable[ClearFeatures]) -> dict[str, int]:
    """How often features of clear pictures were computed and found again, since the last resume, for the manifest."""
    of = list(clear_features)
    return {"computed": sum(r.computed for r in of), "found_again": sum(r.found for r in of)}


def _bytes(features: dict[int, Tensor]) -> int:
    return sum(part.nbytes for part in features.values())


class LPIPS(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018), version 0.1, over a trunk.

    distance(a, b): a, b (N, 3, H, W), RGB in [0, 1] -> (N,). The rescaling to [-1, 1] that the lpips package asks its
    caller for, and its own shift and scale, come to ImageNet's mean and deviation for [0, 1].
    """

    def __init__(self, trunk: Trunk, taps: Sequence[int], weights: Sequence[Tensor]):
        super().__init__()
        self.trunk, self.taps, self.name = trunk, tuple(taps), trunk.name
        self.linear = nn.ParameterList(nn.Parameter(w.reshape(-1), requires_grad=False) for w in weights)

    @staticmethod
    def _unit(features: Tensor) -> Tensor:
        return features / (features.square().sum(1, keepdim=True) + 1e-14).sqrt()  # finite slope where all are zero

    def at_tap(self, tap: int, restored: Tensor, clear: Tensor) -> Tensor:
        """(N,) what the trunk's features of both pictures at `tap` add to the distance."""
        apart = (self._unit(restored) - self._unit(clear)).square()
        return torch.einsum("nchw,c->nhw", apart, self.linear[self.taps.index(tap)]).mean((1, 2))

    def forward(self, restored: Tensor, clear: Tensor) -> Tensor:
        """The metric. Values outside [0, 1], such as those of [-1, 1], are a KitError: they would score wrongly."""
        for name, x in (("restored", restored), ("clear", clear)):
            low, high = x.min().item(), x.max().item()
            if not 0 <= low <= high <= 1:
                raise KitError(
                    f"LPIPS takes pictures in [0, 1], but the {name} one reaches from {low:.4g} to {high:.4g}"
                )
        return self.term(restored, clear)

    def term(self, restored: Tensor, clear: Tensor, clear_features: ClearFeatures | None = None) -> Tensor:
        """The loss's term: what a network restores may leave the range."""
        known = (clear_features or ClearFeatures(self.trunk)).of(clear, self.taps)
        stream = self.trunk.stream(restored, self.taps)
        return sum(self.at_tap(tap, features, known[tap]) for tap, features in stream)


def _load_features(layers: nn.Module, path: Path) -> None:
    """Fill `layers` from the `features.*` entries of a torchvision weight file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = layers.state_dict()
        layers.load_state_dict({key: state[f"features.{key}"] for key in wanted})
    except Exception as error:  # torch.load raises many kinds
        raise KitError(f"{path}: not the torchvision weight file its name says: {str(error)[:200]}") from None


def _seeded(layers: nn.Module, seed: int) -> None:
    """He initialisation with zero biases, so that activations keep their scale, from a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)


def vgg19(width: float = 1.0) -> nn.Sequential:
    """VGG-19's layers 0 to 26, untrained, with all channel counts multiplied by `width`."""
    from torchvision.models.vgg import cfgs, make_layers

    return make_layers([c if c == "M" else int(c * width) for c in cfgs["E"]])[:27]


def squeezenet(path: Path) -> Trunk:
    """The Caffe SqueezeNet 1.1 trunk from its npz file: BGR, 0-255, minus the Caffe mean."""
    from torchvision import models

    layers = models.squeezenet1_1(weights=None).features
    try:
        with np.load(path, allow_pickle=False) as saved:
            names = {key: key.removeprefix("features.").replace("squeeze1x1", "squeeze") for key in saved.files}
            state = {name: torch.from_numpy(saved[key]) for key, name in names.items()}
        layers.load_state_dict(state)
    except Exception as error:  # of numpy, zipfile and torch
        raise KitError(f"{path}: not the SqueezeNet 1.1 trunk that its name says: {str(error)[:200]}") from None
    scale = [1 / 255] * 3
    return Trunk("squeeze", layers, SQUEEZE_GROUPS, [m / 255 for m in CAFFE_MEAN_BGR], scale, bgr=True, unit=1 / 255)


def untrained_trunk(seed: int = 0, width: float = UNTRAINED_WIDTH) -> Trunk:
    """Seeded untrained features in VGG-19's layout, with all channel counts multiplied by `width`."""
    layers = vgg19(width)
    _seeded(layers, seed)
    return Trunk("untrained", layers, VGG19_GROUPS, IMAGENET_MEAN, IMAGENET_STD)


def feature_trunk(download: bool = False, untrained: bool = True, seed: int = 0) -> Trunk:
    """The trunk of the VGG term: VGG-19, else SqueezeNet from HBL_WEIGHTS, else (if allowed) untrained features."""
    path = weights.find("vgg19", download)
    if path is not None:
        layers = vgg19()
        _load_features(layers, path)
        trunk = Trunk("vgg19", layers, VGG19_GROUPS, IMAGENET_MEAN, IMAGENET_STD)
    elif (path := weights.find("squeeze")) is not None:
        trunk = squeezenet(path)
    elif untrained:
        trunk = untrained_trunk(seed)
    else:
        raise KitError(
            f"{weights.FILES['vgg19']} (VGG-19, torchvision's ImageNet weights) {weights.missing()} "
            "The profiles smoke, quick and real run without it, on untrained features."
        )
    trunk.checksum = sha256(path) if path is not None else None
    return trunk


def _linear_weights(net: str, count: int) -> list[Tensor]:
    """LPIPS v0.1's linear weights."""
    path = weights.find_linear(net)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return [state[f"lin{i}.model.1.weight"] for i in range(count)]
    except Exception as error:  # torch.load raises many kinds
        raise KitError(f"{path}: not LPIPS's linear weights: {str(error)[:200]}") from None


def alexnet() -> nn.Sequential:
    """AlexNet's feature layers, untrained."""
    from torchvision import models

    return models.AlexNet().features


def lpips_metric(download: bool = False) -> LPIPS | None:
    """Standard LPIPS (AlexNet, v0.1), or None where AlexNet's weights are absent."""
    path = weights.find("alex", download)
    if path is None:
        return None
    layers = alexnet()
    _load_features(layers, path)
    lpips = alexnet_lpips("alex", layers, _linear_weights("alex", 5))
    lpips.trunk.checksum = sha256(path)
    return lpips


def alexnet_lpips(name: str, layers: nn.Sequential, linear: Sequence[Tensor]) -> LPIPS:
    """LPIPS over given AlexNet layers and linear weights."""
    return LPIPS(Trunk(name, layers, (), IMAGENET_MEAN, IMAGENET_STD), (1, 4, 7, 9, 11), linear)


def lpips_term(trunk: Trunk, download: bool = False, untrained: bool = True) -> LPIPS:
    """The distance for the LPIPS term of the loss: standard, else over the SqueezeNet or (if allowed) untrained trunk.

    `trunk` is the VGG term's, which a stand-in shares.
    """
    standard = lpips_metric(download)
    if standard is not None:
        return standard
    if trunk.name == "squeeze":
        return LPIPS(trunk, (1, 4, 7, 9, 10, 11, 12), _linear_weights("squeeze", 7))
    if not untrained:
        raise KitError(
            f"{weights.FILES['alex']} (AlexNet, torchvision's ImageNet weights, for LPIPS) {weights.missing()}"
        )
    trunk = trunk if trunk.name == "untrained" else untrained_trunk()
    channels = [trunk.layers[tap - 1].out_channels for tap in UNTRAINED_TAPS]
    return LPIPS(trunk, UNTRAINED_TAPS, [torch.full((count,), 1 / count) for count in channels])


def untrained_in_full_width() -> tuple[Trunk, LPIPS]:
    """VGG-19 and LPIPS's AlexNet with untrained weights: what they cost does not hang on what they have learned."""
    channels = (64, 192, 384, 256, 256)
    lpips = alexnet_lpips("alex", alexnet(), [torch.full((count,), 1 / count) for count in channels])
    return Trunk("vgg19", vgg19(), VGG19_GROUPS, IMAGENET_MEAN, IMAGENET_STD), lpips
