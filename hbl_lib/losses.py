"""The eight terms of the loss space (HBL, Table 1), the space with its variable beta, and a found loss.

Terms take restored and clear pictures (N, 3, H, W), RGB in [0, 1] (restored may leave the range), and return a scalar.
Scales follow the authors' public code: colour x 0.1, SSIM x 10, the rest x 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import files
from .config import PARAMS
from .errors import KitError, nearest
from .perceptual import LPIPS, VGG19_GROUPS, ClearFeatures, Trunk
from .ssim import PARTS, ssim_index, ssim_parts

TERMS = ("l1", "l2", "color", "ssim", "lpips", "vgg", "tv", "laplacian")
PIXEL_TERMS = ("l1", "l2", "color", "ssim", "tv", "laplacian")
LARGEST = 1e6  # a weight that is read; far above any that was found
PUBLISHED = PARAMS / "published/loss.yaml"


def l1(restored: Tensor, clear: Tensor) -> Tensor:
    """L_a: mean absolute error."""
    return (restored - clear).abs().mean()


def l2(restored: Tensor, clear: Tensor) -> Tensor:
    """L_b: mean squared error."""
    return (restored - clear).square().mean()


def color(restored: Tensor, clear: Tensor) -> Tensor:
    """L_c x 0.1: mean angle between RGB vectors, in degrees; the cosine is clamped to +-0.999999."""
    cosine = F.cosine_similarity(restored, clear, dim=1, eps=1e-8).clamp(-0.999999, 0.999999)
    return 0.1 * 180 / math.pi * torch.acos(cosine).mean()


def ssim(restored: Tensor, clear: Tensor) -> Tensor:
    """L_d x 10: 1 - SSIM (Table 1 with all three exponents at 1)."""
    return 10 * (1 - ssim_index(restored, clear))


def ssim_raised(restored: Tensor, clear: Tensor, exponents: Tensor) -> tuple[Tensor, Tensor]:
    """L_d x 10 with the parts raised to `exponents` (3,): 1 - mean l^a c^b s^g; and its slopes in them, (3,)."""
    logs = ssim_parts(restored, clear).log()
    product = (exponents.view(3, 1, 1, 1, 1) * logs).sum(0).exp()
    return 10 * (1 - product.mean()), -10 * (product * logs).mean((1, 2, 3, 4))


def tv(restored: Tensor, _clear: Tensor) -> Tensor:
    """L_g: 2 (mean squared vertical + mean squared horizontal difference) of the restored picture."""
    return 2 * (restored.diff(dim=-2).square().mean() + restored.diff(dim=-1).square().mean())


def laplacian(restored: Tensor, _clear: Tensor) -> Tensor:
    """L_h: mean squared response to the 4-neighbour Laplacian, inside the border."""
    middle = restored[..., 1:-1, 1:-1]
    neighbours = restored[..., :-2, 1:-1] + restored[..., 2:, 1:-1] + restored[..., 1:-1, :-2] + restored[..., 1:-1, 2:]
    return (neighbours - 4 * middle).square().mean()


_FUNCTIONS = {"l1": l1, "l2": l2, "color": color, "ssim": ssim, "tv": tv, "laplacian": laplacian}


def _same_place(layer: int, group: Sequence[int], other: Sequence[int]) -> int:
    """The layer of `other` as far along as `layer` is in `group`."""
    return other[round(group.index(layer) / (len(group) - 1) * (len(other) - 1))]


def published() -> dict[str, Any]:
    """What is published of the losses: {"weights", "vgg19_layers", "figure8_layers", "layers_of", "notes"}, by task."""
    return files.read_yaml(PUBLISHED)


def published_weights(task: str) -> dict[str, float] | None:
    """The weights in the authors' public code; None for a task that has none."""
    known = published()["weights"].get(task)
    return known and {term: float(known[term]) for term in TERMS}


@dataclass(frozen=True)
class FoundLoss:
    """A loss that can be trained with: eight weights, and one trunk layer for each group."""

    weights: dict[str, float]
    layers: tuple[int, ...]
    trunk: str
    exponents: tuple[float, ...] = ()  # of SSIM's parts, where they were searched

    @classmethod
    def equal(cls, trunk: Trunk) -> FoundLoss:
        """All weights 1 (the search's start), the first layer of each group."""
        return cls(dict.fromkeys(TERMS, 1.0), tuple(group[0] for group in trunk.groups), trunk.name)

    @classmethod
    def published(cls, task: str, trunk: Trunk, layers_of: str = "paper") -> FoundLoss:
        """The weights and VGG-19 layers in the authors' public code (llie_mit has no layers: those of llie_lol).

        The layer of the second group is the paper's, unless `layers_of` is "code": for UIE and SIHR they differ. Over a
        trunk of another layout, the layer at the same relative place of each group stands for VGG-19's.
        """
        known = published()
        weights = published_weights(task)
        if weights is None:
            raise KitError(f"no published loss for task {task!r}; there are: {', '.join(known['weights'])}")
        layers = list(known["vgg19_layers"][known["layers_of"].get(task, task)])
        if layers_of == "paper":
            layers[1] = known["figure8_layers"][task]
        places = zip(layers, VGG19_GROUPS, trunk.groups, strict=True)
        return cls(weights, tuple(_same_place(*place) for place in places), trunk.name)

    def write(self, path: Path) -> None:
        """Write loss.yaml."""
        raised = {"ssim_exponents": list(self.exponents)} if self.exponents else {}
        files.write_yaml(path, {"weights": self.weights, "trunk": self.trunk, "layers": list(self.layers)} | raised)

    @classmethod
    def read(cls, path: Path) -> FoundLoss:
        """Read loss.yaml, where a term without a weight weighs 0; a wrong key, weight or layer is named."""
        data = files.read_yaml(path)
        if not isinstance(data, dict) or set(data) - {"ssim_exponents"} != {"weights", "trunk", "layers"}:
            raise KitError(f"{path}: a loss has exactly the keys weights, trunk, layers (and perhaps ssim_exponents)")
        weights = data["weights"] if isinstance(data["weights"], dict) else {}
        for term in weights:
            if term not in TERMS:
                raise KitError(f"{path}: weights: unknown term {term!r}.{nearest(str(term), TERMS)}")
        for term in TERMS:
            value = weights.setdefault(term, 0.0)
            if not _is_weight(value):
                raise KitError(f"{path}: weights: {term} must be a finite number of at least 0, not {value!r:.40}")
        if not isinstance(data["layers"], list) or any(type(index) is not int for index in data["layers"]):
            raise KitError(f"{path}: layers: expected one layer index for each group")
        raised = data.get("ssim_exponents", [])
        if not isinstance(raised, list) or len(raised) not in (0, len(PARTS)) or not all(map(_is_weight, raised)):
            raise KitError(f"{path}: ssim_exponents: expected {len(PARTS)} finite numbers of at least 0")
        weights = {term: float(weights[term]) for term in TERMS}
        return cls(weights, tuple(data["layers"]), str(data["trunk"]), tuple(map(float, raised)))


def _is_weight(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value <= LARGEST


class Space(Protocol):
    """What a search and a training need of a space of losses that is linear in its values."""

    trunk: Trunk
    weighed: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    clear_features: tuple[ClearFeatures, ...]

    def values(self, restored: Tensor, clear: Tensor) -> Tensor:
        """All l_i of the space, 1-D."""
        ...

    def coefficients(self, weights: Tensor, shares: Sequence[Tensor]) -> Tensor:
        """c_i of weights and of each group's shares, as many as `values`."""
        ...

    def __call__(self, restored: Tensor, clear: Tensor, found: FoundLoss) -> Tensor: ...


class LossSpace(nn.Module):
    """The space of losses: L(restored; beta) = sum_i c_i(beta) l_i(restored), linear in what `values` returns.

    l_i are the six pixel terms, LPIPS, and the distance at every selectable layer of the trunk, in this order.
    `weighed` are the names of beta's weights, `groups` the layers among which it selects. Two ways of the authors'
    public code differ from the paper's: `vgg_distance` "absolute" (the paper: "squared") is the mean absolute
    difference of features; `lpips_input` "unsigned" (lpips asks for "signed") feeds [0, 1] to a distance that expects
    [-1, 1], so that it sees every picture as (x + 1) / 2. With `ssim` "raised", the exponents of SSIM's three parts
    belong to beta too (Table 1): `values` are then taken at `exponents`, which beta owns, and end with the SSIM term's
    slopes in them, whose coefficients are 0, but not their derivatives.
    """

    weighed = TERMS

    def __init__(
        self,
        trunk: Trunk,
        lpips: LPIPS,
        vgg_distance: str = "squared",
        lpips_input: str = "signed",
        ssim: str = "plain",
    ):
        super().__init__()
        self.trunk, self.lpips, self.groups = trunk, lpips, trunk.groups
        self.absolute, self.unsigned = vgg_distance == "absolute", lpips_input == "unsigned"
        self.layers = tuple(index for group in trunk.groups for index in group)
        self.clear_features = ClearFeatures(trunk), ClearFeatures(lpips.trunk)
        self.exponents = torch.ones(len(PARTS)) if ssim == "raised" else None
        raised = () if self.exponents is None else tuple(f"slope in the exponent of {name}" for name in PARTS)
        self.names = (*PIXEL_TERMS, "lpips", *(f"vgg {index}" for index in self.layers), *raised)

    def coefficients(self, weights: Tensor, shares: Sequence[Tensor]) -> Tensor:
        """c, one for each of `values`, from the eight weights, each group's softmax, and exponents where they move."""
        weight = dict(zip(TERMS, weights, strict=True))
        pixel = torch.stack([weight[name] for name in (*PIXEL_TERMS, "lpips")])
        moved = []
        if self.exponents is not None:  # 0, with the derivative that the SSIM term has in its exponents
            moved = [weight["ssim"].detach() * (self.exponents - self.exponents.detach())]
        return torch.cat([pixel, *(weight["vgg"] * share for share in shares), *moved])

    def perceptual(self, restored: Tensor, clear: Tensor, layers: Sequence[int], lpips: bool) -> list[Tensor]:
        """LPIPS (where asked for), then L_e at each of `layers`: the mean squared difference of the trunk's features.

        A trunk that both terms stand on runs once.
        """
        shared = lpips and self.lpips.trunk is self.trunk and not self.unsigned
        taps = self.lpips.taps if shared else ()
        wanted = sorted({*layers, *taps})
        distances, at_taps = {}, []
        if wanted:
            known = self.clear_features[0].of(clear, wanted)
            for index, features in self.trunk.stream(restored, wanted):
                if index in layers:
                    apart = features - known[index]
                    distances[index] = (apart.abs() if self.absolute else apart.square()).mean()
                if index in taps:
                    at_taps.append(self.lpips.at_tap(index, features, known[index]))
        if lpips and not shared:
            pair = ((restored + 1) / 2, (clear + 1) / 2) if self.unsigned else (restored, clear)
            at_taps = [self.lpips.term(*pair, self.clear_features[1])]
        whole = [torch.stack(at_taps).sum(0).mean()] if lpips else []
        return [*whole, *(distances[index] for index in layers)]

    def values(self, restored: Tensor, clear: Tensor) -> Tensor:
        """All l_i, (len(names),)."""
        functions, slopes = dict(_FUNCTIONS), []
        if self.exponents is not None:
            raised, slopes = ssim_raised(restored, clear, self.exponents.detach().to(restored))
            functions["ssim"] = lambda *_: raised
        pixel = [functions[name](restored, clear) for name in PIXEL_TERMS]
        return torch.stack([*pixel, *self.perceptual(restored, clear, self.layers, lpips=True), *slopes])

    def terms(self, restored: Tensor, clear: Tensor, found: FoundLoss) -> dict[str, Tensor]:
        """The eight terms under a found loss; a term of weight 0 is not computed."""
        self.check(found)
        terms = {name: _FUNCTIONS[name](restored, clear) for name in PIXEL_TERMS if found.weights[name]}
        if found.exponents and "ssim" in terms:
            terms["ssim"] = ssim_raised(restored, clear, torch.tensor(found.exponents).to(restored))[0]
        layers, lpips = found.layers if found.weights["vgg"] else (), bool(found.weights["lpips"])
        perceptual = self.perceptual(restored, clear, layers, lpips)
        if lpips:
            terms["lpips"] = perceptual.pop(0)
        if layers:
            terms["vgg"] = torch.stack(perceptual).sum()
        return terms

    def check(self, found: FoundLoss) -> None:
        """Refuse a loss found over another trunk or with layers outside the trunk's groups."""
        if not any(found.weights.values()):
            raise KitError(
                "all weights of the loss are 0: there is nothing to train with. Search again, or edit loss.yaml."
            )
        if found.trunk != self.trunk.name:
            raise KitError(
                f"the loss was found over the features '{found.trunk}', but here they are '{self.trunk.name}': its VGG "
                "weight and layers mean nothing there. Set HBL_WEIGHTS as in the loss search, or search again."
            )
        groups = self.trunk.groups
        if len(found.layers) != len(groups) or any(i not in g for i, g in zip(found.layers, groups, strict=True)):
            raise KitError(f"loss layers {list(found.layers)}: one layer of each group is needed: {groups}")

    def forward(self, restored: Tensor, clear: Tensor, found: FoundLoss) -> Tensor:
        """L_Q under a found loss."""
        terms = self.terms(restored, clear, found)
        return torch.stack([found.weights[name] * value for name, value in terms.items()]).sum()


class Beta(nn.Module):
    """The loss hyper-parameters: non-negative weights, started at 1, and a softmax over each group of layers.

    Where the space raises SSIM's parts to powers, their exponents too, which the space then takes from here.
    """

    def __init__(self, space: Space):
        super().__init__()
        self.weighed, self.groups, self.trunk = space.weighed, space.groups, space.trunk.name
        self.expand = space.coefficients  # the method alone: the space is no part of beta's state
        self.weights = nn.Parameter(torch.ones(len(space.weighed)))
        self.choices = nn.ParameterList(nn.Parameter(torch.zeros(len(group))) for group in space.groups)
        self.exponents = None
        if getattr(space, "exponents", None) is not None:
            self.exponents = space.exponents = nn.Parameter(torch.ones(len(PARTS)))

    def coefficients(self) -> Tensor:
        """c(beta), one for each of the space's values; differentiable."""
        return self.expand(self.weights, [F.softmax(choice, 0) for choice in self.choices])

    @torch.no_grad()
    def project(self) -> None:
        """Non-negativity: clamp the weights to at least 0."""
        for positive in filter(lambda p: p is not None, (self.weights, self.exponents)):
            positive.clamp_(min=0)

    def snapshot(self) -> dict[str, Any]:
        """Weights by name and each group's softmax, as plain numbers."""
        return {
            "weights": dict(zip(self.weighed, self.weights.tolist(), strict=True)),
            "choices": [F.softmax(choice, 0).tolist() for choice in self.choices],
            **({} if self.exponents is None else {"exponents": self.exponents.tolist()}),
        }

    def found(self) -> FoundLoss:
        """The loss at this beta: its weights, and the most probable layer of each group."""
        layers = tuple(group[int(c.argmax())] for group, c in zip(self.groups, self.choices, strict=True))
        found = self.snapshot()
        return FoundLoss(found["weights"], layers, self.trunk, tuple(found.get("exponents", ())))
