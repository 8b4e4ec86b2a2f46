"""python -m benchmarks [--out FOLDER]: measure everything, write bench.json, in at most ten minutes on two cores."""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from hbl_lib import config, files
from hbl_lib.baselines.mbllen import MBLLEN
from hbl_lib.baselines.unet import UNet
from hbl_lib.progress import say

from . import cases, measure, restorers
from .cases import SIDES
from .published import PlainRestorer

SIZE = 256
PICTURE = (400, 600)  # of LOL
SEEDS = range(7)
# name: what ours may cost at most, as a share of the reference, or as a value where there is no reference
TARGETS = {
    "loss_search_iteration_time": 1 / 2.4,
    "loss_search_iteration_time_perceptual": 1 / 1.8,
    "loss_search_iteration_memory": 1 / 2.5,
    "loss_search_iteration_memory_perceptual": 1 / 1.8,
    "loss_search_iteration_memory_400": 1 / 3,
    "architecture_search_iteration_time": 1 / 2,
    "hypergradient_error": 1e-4,
    "restorer_vs_convolutions": 1.35,
    "restorer_vs_plain": 0.7,
    "loader_share": 0.05,
    "restore_12mp_memory_mb": 2000.0,
    "restore_12mp_memory_mb_16_bits_alpha": 2000.0,
}
Entry = dict[str, Any]


def entry(name: str, ours: float, reference: float | None, unit: str, of_value: bool = False, **more: Any) -> Entry:
    """An entry of bench.json; `of_value`: the target is of ours itself, not of its ratio to the reference."""
    ratio = ours / reference if reference else None
    target = TARGETS.get(name, TARGETS.get("loader_share") if name.startswith("loader_share_") else None)
    met = None if target is None else bool((ours if of_value else ratio) <= target)
    found = {"name": name, "ours": ours, "reference": reference, "ratio": ratio, "unit": unit, "target": target}
    found |= {"of_value": of_value, "met": met, **more, "machine": measure.machine()}
    compared = "" if ratio is None else f", reference {reference:.4g}, ratio {ratio:.3f}"
    wanted = "" if target is None else f" (at most {target:.3g}: {'met' if met else 'missed'})"
    say(f"{name}: {ours:.4g} {unit}{compared}{wanted}")
    return found


def iterations() -> list[Entry]:
    """Time of the searches' iterations."""
    took = measure.in_turn({side: cases.loss_search(side, SIZE, False) for side in (*SIDES, "frozen")})
    found = [
        entry(f"loss_search_iteration_time{suffix}", took["ours"], took[side], "s")
        for side, suffix in (("reference", ""), ("frozen", "_alpha_frozen"))
    ]
    took = measure.in_turn({side: cases.loss_search(side, SIZE, True) for side in SIDES})
    found.append(entry("loss_search_iteration_time_perceptual", took["ours"], took["reference"], "s"))
    took = measure.in_turn({side: cases.architecture_search(side, SIZE) for side in (*SIDES, "pruned")})
    for side, suffix in (("reference", ""), ("pruned", "_pruned")):
        found.append(entry(f"architecture_search_iteration_time{suffix}", took["ours"], took[side], "s"))
    return found


def memory() -> list[Entry]:
    """Memory of the searches' iterations, each side in a fresh process."""
    found = []
    for case, size, suffix in (
        ("loss_search", SIZE, ""),
        ("loss_search_perceptual", SIZE, "_perceptual"),
        ("loss_search", 400, "_400"),
    ):
        took = {side: measure.fresh(case, side, size)["memory_mb"] for side in SIDES}
        found.append(entry(f"loss_search_iteration_memory{suffix}", took["ours"], took["reference"], "MB"))
    ours, frozen = (measure.fresh("loss_search", side, SIZE)["memory_mb"] for side in ("ours", "frozen"))
    return [*found, entry("loss_search_iteration_memory_alpha_frozen", ours, frozen, "MB")]


def hypergradient() -> list[Entry]:
    """Errors of the hypergradient in float32, medians over seeds, at two sizes; the target is of the first."""
    found = []
    for size, suffix in ((32, ""), (64, "_at_64")):
        errors = [cases.hypergradient_errors(seed, size) for seed in SEEDS]
        middle = {side: statistics.median(e[side] for e in errors) for side in errors[0]}
        more = {"double_backward_in_float32": middle["double_backward"], "errors": errors}
        name = f"hypergradient_error{suffix}"
        found.append(entry(name, middle["ours"], middle["reference"], "relative", True, **more))
    return found


@torch.no_grad()
def restorer() -> list[Entry]:
    """The folded network against its convolutions alone, the plain network, MBLLEN and U-Net."""
    torch.manual_seed(0)
    picture, trained = torch.rand(1, 3, *PICTURE, device=measure.device()), restorers.lol_restorer()
    deployed, convolutions = trained.deploy(), restorers.Convolutions(trained, picture)
    plain = PlainRestorer(trained.genotype)
    plain.load_state_dict(trained.state_dict())
    others = {"plain": plain, "not_folded": trained, "mbllen": MBLLEN(), "unet": UNet()}
    others = {name: network.to(measure.device()).eval() for name, network in others.items()}
    sides = {name: functools.partial(network, picture) for name, network in others.items()}
    sides |= {"ours": functools.partial(deployed, picture)} | convolutions.sides()
    took = measure.in_turn(sides)
    took["convolutions"] = convolutions.total(took)
    names = ("convolutions", "plain", "not_folded", "mbllen", "unet")
    return [entry(f"restorer_vs_{name}", took["ours"], took[name], "s") for name in names]


def loader() -> list[Entry]:
    """The share of a step that waits for its crops, the larger of classifier and retraining."""
    found = []
    for profile in config.names("profiles"):
        shares = {}
        for stage, (step, crops) in cases.loader_steps(profile, time.perf_counter).items():
            step()
            steps, waited = [], []
            for _ in range(measure.REPEATS):
                crops.waited = 0.0
                steps.append(measure.seconds(step))
                waited.append(crops.waited)
            shares[stage] = statistics.median(waited) / statistics.median(steps)
        found.append(entry(f"loader_share_{profile}", max(shares.values()), None, "of a step", True, shares=shares))
    return found


def large() -> list[Entry]:
    """Peak of the process that restores 12 megapixels."""
    took = {side: cases.restore_large(side) for side in SIDES}
    found = [entry("restore_12mp_memory_mb", took["ours"], took["reference"], "MB", True)]
    return [*found, entry("restore_12mp_memory_mb_16_bits_alpha", cases.restore_large("ours", 4), None, "MB", True)]


def scaling() -> list[Entry]:
    """Time and memory against the picture's size, and time against the number of candidates."""
    found = []
    for size in (128, SIZE, 400, 512):
        took = {side: measure.fresh("loss_search", side, size) for side in SIDES}
        for key, unit in (("seconds", "s"), ("memory_mb", "MB")):
            values = (took[side][key] for side in SIDES)
            found.append(entry(f"scaling_size_{key}_{size}", *values, unit, x=size))
    for count in range(2, 10):  # identity alone has no weights
        took = measure.in_turn({side: cases.mixed_layer(side, count) for side in SIDES})
        found.append(entry(f"scaling_operations_seconds_{count}", took["ours"], took["reference"], "s", x=count))
    return found


def changes() -> list[Entry]:
    """What each change of the loss search and the folded network gains: ours against ours with that one taken back."""
    with torch.no_grad():
        picture = torch.rand(1, 3, *PICTURE, device=measure.device())
        took = measure.in_turn(restorers.without_one_fold(picture))
    found = [
        entry(f"change_{name.replace(' ', '_')}_restorer", took["ours"], took[name], "s")
        for name in took.keys() - {"ours"}
    ]
    for size, perceptual in ((64, False), (SIZE, False), (128, True)):
        took = measure.in_turn(cases.without_one_change(size, perceptual), repeats=5)
        terms = "_perceptual" if perceptual else ""
        for name in took.keys() - {"ours"}:
            named = f"change_{name.replace(' ', '_')}_{size}{terms}"
            found.append(entry(named, took["ours"], took[name], "s"))
    threads = [[cases.two_notebooks(count) for count in (1, 2)] for _ in range(3)]
    found.append(entry("change_one_notebook_a_core", *map(statistics.median, zip(*threads, strict=True)), "s"))
    large = [cases.restore_large(side, height=6000) for side in SIDES]
    return [*found, entry("change_strips_at_24_megapixels", *large, "MB")]


def one(case: str, side: str, size: int) -> None:
    """A side of a case in this process, as a line of JSON."""
    step = cases.FRESH[case](side, size)
    say(json.dumps({"memory_mb": measure.peak(step), "seconds": measure.seconds(step)}))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=measure.ROOT / "results/bench", help="folder for bench.json")
    parser.add_argument(
        "--only",
        default="",
        help="parts to measure; what else bench.json holds stays: iterations memory hypergradient restorer loader "
        "large scaling, or changes",
    )
    arguments = parser.parse_args()
    parts = {part.__name__: part for part in (iterations, memory, hypergradient, restorer, loader, large, scaling)}
    chosen = arguments.only.split() or list(parts)
    parts["changes"] = changes  # when asked for: it takes minutes
    if unknown := [name for name in chosen if name not in parts]:
        parser.error(f"--only {unknown[0]}: no such part; there are: {', '.join(parts)}")
    path, began = arguments.out / "bench.json", time.monotonic()
    kept = files.read_json(path) if arguments.only and path.is_file() else []
    for name in chosen:
        found = parts[name]()
        new = {entry["name"] for entry in found}
        kept = [*(entry for entry in kept if entry["name"] not in new), *found]
        files.write_json(path, kept)
    say(f"{time.monotonic() - began:.0f} s; {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
