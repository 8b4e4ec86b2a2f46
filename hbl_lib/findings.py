"""What the paper reads from its found losses and networks (Section 4.4, Figures 7 and 8), held against the numbers.

Every claim is computed from weights and genotypes, published or measured; nothing here knows the answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from . import images, losses
from .errors import KitError
from .genotype import Genotype
from .losses import FoundLoss, published_weights
from .network import UNIT_LAYERS, UNITS
from .perceptual import Trunk

NAMES = {"llie_lol": "LOL", "llie_mit": "MIT", "sihr": "SIHR", "uie": "UIE"}
TERMS_SHOWN = {"l1": "l1", "l2": "l2", "color": "colour", "ssim": "SSIM", "vgg": "VGG", "lpips": "LPIPS"}
LEFT_OUT = {"tv": "TV", "laplacian": "Laplacian"}
MARGIN = 0.01  # of the shares' sum: a lead by less is none
SMALL = 0.01  # "small to zero", the paper says of the terms left out, without a number
CLAIMED_TERM = {"llie_lol": "l1", "llie_mit": "l1", "sihr": "vgg", "uie": "ssim"}
LIGHT = ("1-C", "1-DC")
CLAIMED_OPERATIONS = {"llie_lol": LIGHT, "llie_mit": LIGHT, "sihr": ("SC",), "uie": LIGHT}
CHANNELS = (34, 42, 51, 60)
GROUP = 2  # the group of VGG layers that Figure 8 looks at, from 1


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Figure 7a: the softmax over the weights of six terms, TV and Laplacian left out."""
    powers = {term: math.exp(weights[term]) for term in TERMS_SHOWN}
    return {term: power / sum(powers.values()) for term, power in powers.items()}


def dominant(weights: Mapping[str, float]) -> str:
    """The term of the largest share (ties: the first in Table 1's order)."""
    found = shares(weights)
    return max(found, key=found.__getitem__)


def lead(weights: Mapping[str, float], term: str) -> float:
    """The share of `term` above the largest of the others."""
    found = shares(weights)
    return found[term] - max(share for other, share in found.items() if other != term)


def at_top(shares: Mapping[str, float]) -> list[str]:
    """The terms whose share is the largest, or less than the margin below it."""
    return [term for term, share in shares.items() if share > max(shares.values()) - MARGIN]


def leading(weights: Mapping[str, float]) -> list[str]:
    """The leading terms of a found loss, as shown."""
    return [TERMS_SHOWN[term] for term in at_top(shares(weights))]


def _agreement(claim: str | None, first: str, ahead: float) -> str:
    if claim is None:
        return "the paper does not show this task"
    if ahead < MARGIN:
        return f"undecided: less than {MARGIN} apart"
    return "agrees" if claim == first else f"differs: {TERMS_SHOWN[first]}, not {TERMS_SHOWN[claim]}"


def heat_map_claims(weights_by_task: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Figure 7a, a row a task: the claim, the dominant term, its share, its lead over the second, and the agreement."""
    rows = []
    for task, weights in weights_by_task.items():
        found, claim = shares(weights), CLAIMED_TERM.get(task)
        first, second = sorted(found, key=found.__getitem__, reverse=True)[:2]
        ahead = lead(weights, first)
        row = {"claim": claim, "dominant": first, "share": found[first], "second": second, "lead": ahead}
        rows.append({"task": task, **row, "agreement": _agreement(claim, first, ahead)})
    return pd.DataFrame(rows)


def place(unit: int, layer: int) -> str:
    """A searched place of an HNU in words; `unit` and `layer` (of 8) count from 0."""
    return f"HNU {unit + 1} {'R_u' if layer < UNIT_LAYERS // 2 else 'R_v'} {layer % (UNIT_LAYERS // 2) + 1}"


def layer_claims(genotypes: Mapping[str, Genotype], low_light: str = "llie_lol") -> pd.DataFrame:
    """Figure 7b, a row for each of the 56 places: three tasks' operations, and for how many tasks the claim holds."""
    tasks = (low_light, "sihr", "uie")
    if missing := [NAMES[task] for task in tasks if task not in genotypes]:
        raise KitError(f"Figure 7b compares three tasks; there is no genotype of {', '.join(missing)}")
    rows = []
    for unit in range(UNITS):
        for layer in range(UNIT_LAYERS):
            names = {task: genotypes[task].operation("hnu", unit, layer) for task in tasks}
            held = sum(name in CLAIMED_OPERATIONS[task] for task, name in names.items())
            rows.append({"place": place(unit, layer), **names, "held": held})
    return pd.DataFrame(rows)


def claimed_layers() -> dict[str, int]:
    """The layer of VGG group 2 that the paper's Figure 8 names, by task."""
    return losses.published()["figure8_layers"]


def selected_layers(measured: Mapping[str, FoundLoss] | None = None) -> pd.DataFrame:
    """Figure 8: the trunk layer of group 2 by the paper, in the public code, and measured (with the trunk's name)."""
    rows = {}
    for task, claimed in claimed_layers().items():
        code = losses.published()["vgg19_layers"].get(task)
        found = (measured or {}).get(task)
        rows[task] = {
            "paper": claimed,
            "public code": code and code[GROUP - 1],
            "measured": found and found.layers[GROUP - 1],
            "trunk": found and found.trunk,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("task").reset_index()
    return table.astype({"paper": "Int64", "public code": "Int64", "measured": "Int64"})


def features(trunk: Trunk, layer: int, picture: np.ndarray, channels: Sequence[int] = CHANNELS) -> np.ndarray:
    """Figure 8: (len(channels), h, w) features of a (H, W, 3) uint8 picture; layer and channels count from 0."""
    if layer >= len(trunk.layers):
        raise KitError(f"trunk '{trunk.name}' has no layer {layer}; its last is {len(trunk.layers) - 1}")
    with torch.no_grad():
        found = trunk.features(images.to_tensor(picture).to(trunk.mean.device), [layer])[0][0]  # (C, h, w)
    if len(found) <= max(channels):
        raise KitError(f"layer {layer} of trunk '{trunk.name}' has {len(found)} channels; Figure 8 shows {channels}")
    return found[list(channels)].cpu().numpy()


def published() -> tuple[dict[str, dict[str, float]], dict[str, Genotype]]:
    """Weights and genotypes in the authors' public code, by task."""
    return {task: published_weights(task) for task in NAMES}, {task: Genotype.published(task) for task in NAMES}


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _named(task: str, unresolved: Collection[str] = ()) -> str:
    return NAMES.get(task, task) + (" (search not resolved: no evidence)" if task in unresolved else "")


def _loss_sentence(row: Any, weights: Mapping[str, float], task: str) -> str:
    top, second, equal = TERMS_SHOWN[row.dominant], TERMS_SHOWN[row.second], 1 / len(TERMS_SHOWN)
    text = f"{task}: {top} has the largest share, {row.share:.3f}, {row.lead:.3f} above {second} (equal: {equal:.3f}); "
    if row.agreement.startswith("differs"):
        values = f"weight {weights[row.claim]:.3f} against {weights[row.dominant]:.3f}"
        return f"{text}the paper's dominant term is {TERMS_SHOWN[row.claim]} ({values})."
    return text + ("as in the paper" if row.agreement == "agrees" else row.agreement) + "."


def loss_sentences(
    weights: Mapping[str, Mapping[str, float]], whose: str, unresolved: Collection[str] = ()
) -> list[str]:
    """Figure 7a in words: each task's dominant term against the paper's, and whether the rest is near zero."""
    if not weights:
        return []
    rows = heat_map_claims(weights).itertuples()
    said = [_loss_sentence(r, weights[r.task], f"{_named(r.task, unresolved)}, {whose} weights") for r in rows]
    large = [
        f"{_named(task)}'s {name} ({found[term]:.3f})"
        for task, found in weights.items()
        for term, name in LEFT_OUT.items()
        if found[term] > SMALL
    ]
    end = f"at most {SMALL} {f'but for {_joined(large)}' if large else 'without exception'}"
    if len(large) == len(LEFT_OUT) * len(weights):
        end = f"none of at most {SMALL}: {_joined(large)}"
    return [*said, f"TV and Laplacian, 'small to zero' in the paper: {whose} weights, {end}."]


def layer_sentence(genotypes: Mapping[str, Genotype], whose: str, low_light: str = "llie_lol") -> str:
    """Figure 7b in words: at how many places the claim holds for all three tasks, and at which for two."""
    table = layer_claims(genotypes, low_light)
    three, two = (table[table["held"] == held]["place"].tolist() for held in (3, 2))
    text = f"1-C or 1-DC in {NAMES[low_light]} and UIE with SC in SIHR (Figure 7b), {whose} genotypes: "
    text += f"{len(three) or 'none'} of {len(table)} places {'shows' if len(three) < 2 else 'show'} all three"
    text += f" ({', '.join(three)})" if three else ""
    return text + f"; {len(two)} show two of three{f' ({_joined(two)})' if two else ''}."


def skip_sentences(genotypes: Mapping[str, Genotype], whose: str) -> list[str]:
    """Where the warning of skip collapse fires, with the number of skip connections."""
    return [
        f"{_named(task)}, {whose} genotype: {found.hnu[unit - 1].count('SC')} of the {UNIT_LAYERS} layers of HNU "
        f"{unit} are skip connections: the warning of skip collapse fires."
        for task, found in genotypes.items()
        for unit in found.skip_collapse()
    ]


def older_list_sentence() -> str:
    """Why SIHR's published VGG dominance rests on how its older list is read."""
    weights = published_weights("sihr")
    older = {**weights, "ssim": 10 * weights["ssim"]}
    return (
        f"SIHR's published weights come {losses.published()['notes']['sihr']}. By the list as it stands "
        f"{TERMS_SHOWN[dominant(older)]} would have a share of {shares(older)[dominant(older)]:.3f}; only the division "
        f"by 10 puts {TERMS_SHOWN[dominant(weights)]} first."
    )


def vgg_sentence(table: pd.DataFrame) -> str:
    """Figure 8 in words: the layers of group 2 in the public code, as `selected_layers` has them, and the paper's."""
    rows = table.dropna(subset=["public code"])
    pairs = ", ".join(f"{NAMES[row['task']]} {row['public code']} (paper {row['paper']})" for _, row in rows.iterrows())
    text = f"VGG-19 layer selected in group {GROUP}, public code: {pairs}"
    shifts = set(rows["paper"] - rows["public code"])
    if shifts == {0}:
        return text + "; as in Figure 8."
    return text + ("; counting from another start does not explain the differences." if len(shifts) > 1 else ".")


def sentences(
    weights: Mapping[str, Mapping[str, float]],
    genotypes: Mapping[str, Genotype],
    whose: str = "published",
    unresolved: Collection[str] = (),
) -> list[str]:
    """All findings on one set of weights and genotypes; `unresolved` tasks are told as such."""
    said = loss_sentences(weights, whose, unresolved)
    for task in ("llie_lol", "llie_mit"):
        if {task, "sihr", "uie"} <= genotypes.keys():
            said.append(layer_sentence(genotypes, whose, task))
    return [*said, *skip_sentences(genotypes, whose)]


def published_sentences() -> list[str]:
    """All findings on what the authors' public code holds."""
    return [*sentences(*published()), older_list_sentence(), vgg_sentence(selected_layers())]
