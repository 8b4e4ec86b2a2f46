"""python -m benchmarks [--out FOLDER] [--only PARTS]: measure, write bench.json; ten minutes on two cores."""

from __future__ import annotations

import argparse
import functools
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from hbl_lib import config, files, manifest, plan, runs, stages
from hbl_lib.baselines.mbllen import MBLLEN
from hbl_lib.baselines.unet import UNet
from hbl_lib.progress import say

from . import cases, changes, measure, restorers
from .cases import SIDES
from .changes import Change
from .published import PlainRestorer

SIZE = 256
PICTURE = (400, 600)  # of LOL
SEEDS = range(7)
# name: what ours may cost at most, as a share of the reference, or as a value (`of_value` of its entry)
TARGETS = {
    "loss_search_iteration_time": 1 / 2.4,
    "loss_search_iteration_time_perceptual": 1 / 1.8,
    "loss_search_iteration_memory": 1 / 2.5,
    "loss_search_iteration_memory_perceptual": 1 / 1.8,
    "loss_search_iteration_memory_400": 1 / 3,
    "architecture_search_iteration_time": 1 / 2,
    "architecture_search_iteration_time_perceptual": 1 / 2,
    "hypergradient_error": 1e-4,
    "restorer_vs_convolutions": 1.35,
    "restorer_vs_plain": 0.7,
    "folded_output_difference": 1e-5,
    "loader_share": 0.05,
    "restore_12mp_memory_mb": 2000.0,
    "restore_12mp_memory_mb_16_bits_alpha": 2000.0,
    "restore_12mp_memory_mb_panorama": 2000.0,
}
SUFFIXES = {"reference": "", "frozen": "_alpha_frozen", "pruned": "_pruned"}  # of entries, by what ours is against
WITHIN = 0.15  # of what a plan says
Entry = dict[str, Any]


def entry(name: str, ours: float, reference: float | None, unit: str, of_value: bool = False, **more: Any) -> Entry:
    """An entry of bench.json; `of_value`: the target is of ours itself, not of its ratio to the reference."""
    ratio = ours / reference if reference else None
    group = next((known for known in ("loader_share", "folded_output_difference") if name.startswith(known)), name)
    target = TARGETS.get(re.sub("_(alpha_frozen|pruned|at_64)$", "", group))  # the same against another reference
    met = None if target is None else bool((ours if of_value else ratio) <= target)
    if "within" in more:  # of what happened
        met = bool(abs(ratio - 1) <= more["within"])
    found = {"name": name, "ours": ours, "reference": reference, "ratio": ratio, "unit": unit, "target": target}
    found |= {"of_value": of_value, "met": met, **more, "machine": measure.machine()}
    compared = "" if ratio is None else f", reference {reference:.4g}, ratio {ratio:.3f}"
    wanted = "" if met is None else f" ({'met' if met else 'missed'})"
    say(f"{name}: {ours:.4g} {unit}{compared}{wanted}")
    return found


def iterations(loss_side: str = "reference", architecture_side: str = "reference") -> list[Entry]:
    """Time of the searches' iterations against those sides of their cases."""
    found = []
    for suffix, perceptual in (("", False), ("_perceptual", True)):
        took = measure.in_turn({side: cases.loss_search(side, SIZE, perceptual) for side in ("ours", loss_side)})
        name = f"loss_search_iteration_time{suffix}{SUFFIXES[loss_side]}"
        found.append(entry(name, took["ours"], took[loss_side], "s"))
    return found + architecture(architecture_side, False)


def architecture(side: str, perceptual: bool) -> list[Entry]:
    """Time of the architecture search's iteration against a side of its case."""
    took = measure.in_turn({name: cases.architecture_search(name, SIZE, perceptual) for name in ("ours", side)})
    name = f"architecture_search_iteration_time{'_perceptual' * perceptual}{SUFFIXES[side]}"
    return [entry(name, took["ours"], took[side], "s")]


def memory(loss_side: str = "reference") -> list[Entry]:
    """Memory of the loss search's iterations against a side of its cases, each side in a fresh process."""
    found = []
    for case, size, suffix in (
        ("loss_search", SIZE, ""),
        ("loss_search_perceptual", SIZE, "_perceptual"),
        ("loss_search", 400, "_400"),
    ):
        took = {side: measure.fresh(case, side, size)["memory_mb"] for side in ("ours", loss_side)}
        name = f"loss_search_iteration_memory{suffix}{SUFFIXES[loss_side]}"
        found.append(entry(name, took["ours"], took[loss_side], "MB"))
    return found


def frugal() -> list[Entry]:
    """The searches against references without maps for a frozen alpha, or without gradients that nothing uses."""
    return iterations("frozen", "pruned") + memory("frozen")


def perceptual() -> list[Entry]:
    """The architecture search with perceptual terms, against both of its references."""
    return architecture("reference", True) + architecture("pruned", True)


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
    found = [entry(f"restorer_vs_{name}", took["ours"], took[name], "s") for name in names]
    found[0]["layers"] = convolutions.layers(took)
    return found


def folded() -> list[Entry]:
    """How far the folded network's output is from the network's, in float32, beside what float32 does to the latter."""
    found = []
    for task in ("llie_lol", "llie_mit", "sihr", "uie"):
        both = [restorers.folded_difference(task, seed) for seed in SEEDS]
        ours, own = (statistics.median(values) for values in zip(*both, strict=True))
        found.append(entry(f"folded_output_difference_{task}", ours, own, "of the range", True, seeds=both))
    return found


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


def panorama() -> list[Entry]:
    """Peak of the process that restores 12 megapixels of 800 rows."""
    peak = cases.restore_large("ours", height=800, width=15000)
    return [entry("restore_12mp_memory_mb_panorama", peak, None, "MB", True)]


def scaling() -> list[Entry]:
    """Time and memory against the picture's size and the number of candidates, each side in a fresh process."""
    found = []
    for kind, case, counts in (
        ("size", "loss_search", (128, SIZE, 400, 512)),
        ("operations", "operations", (2, 4, 6, 9)),
    ):
        for count in counts:
            took = {side: measure.fresh(case, side, count) for side in SIDES}
            for key, unit in (("seconds", "s"), ("memory_mb", "MB")):
                values = (took[side][key] for side in SIDES)
                found.append(entry(f"scaling_{kind}_{key}_{count}", *values, unit, x=count))
    return found


def gain(change: Change, where: str, ours: float, without: float, unit: str = "s") -> Entry:
    """What a change gains in a place: ours, and ours without it."""
    name = f"change_{'_'.join(change.title.split())}_{'_'.join(where.split())}"
    return entry(
        name, ours, without, unit, change=change.title, where=where, predicted=change.predicted, why=change.why
    )


def gains() -> list[Entry]:
    """What each change of the loss search, the folded network and the rest gains."""
    found = []
    for size, perceptual in ((64, False), (SIZE, False), (128, True)):
        took = measure.in_turn(changes.loss_search(size, perceptual))
        where = f"{size} pixels{', perceptual terms' if perceptual else ''}"
        found += [gain(changes.SEARCH[name], where, took["ours"], took[name]) for name in took if name != "ours"]
    with torch.no_grad():
        took = measure.in_turn(restorers.without_one_fold(torch.rand(1, 3, *PICTURE, device=measure.device())))
    found += [gain(change, "400x600", took["ours"], took[name]) for name, change in changes.RESTORER.items()]
    rounds = [[changes.two_notebooks(threads) for threads in (1, 2)] for _ in range(measure.REPEATS)]
    found.append(gain(changes.CORES, "two loss searches", *map(statistics.median, zip(*rounds, strict=True))))
    large = [cases.restore_large(side, height=6000) for side in SIDES]
    return [*found, gain(changes.STRIPS, "24 megapixels", *large, "MB")]


def training_gains() -> list[Entry]:
    """What each change of the architecture search, retraining and the classifier gains."""
    places = (
        (changes.ARCHITECTURE, "256 pixels", changes.architecture_search(SIZE)),
        (changes.RETRAINING, "256 pixels", changes.retraining(SIZE)),
        (changes.CLASSIFIER, "quick", changes.classifier_training()),
    )
    found = []
    for known, where, sides in places:
        took = measure.in_turn(sides)
        found += [gain(change, where, took["ours"], took[name]) for name, change in known.items()]
    return found


SLICES = {"01_classifier": 90, "02_loss_search": 48, "03_architecture_search": 16, "04_retrain": 480}  # steps


def slices() -> list[Entry]:
    """What `plan` says of the profile paper, against slices of it; features untrained, in full width."""
    settings = ["perceptual.download=false", "perceptual.untrained=true"]
    sections = {stage: stage.partition("_")[2] for stage in SLICES}
    cut = [f"{sections[stage]}.steps={steps}" for stage, steps in SLICES.items()]
    given = ("paper", "llie_lol")
    said = {cost.stage: cost.seconds for cost in plan.plan(*given, overrides=",".join([*settings, *cut]))}
    found, threads = [], torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        run = runs.open_run(*given, results=folder, overrides=",".join([*settings, *cut]))
        for stage in ("00_data", *SLICES):
            stages.BY_NAME[stage](run)
        for stage, steps in SLICES.items():
            taken = manifest.read(run.folder / stage / manifest.NAME)["seconds"]
            found.append(entry(f"plan_{stage}_{steps}_steps", said[stage], taken, "s", within=WITHIN))
    torch.set_num_threads(threads)  # stages set their own
    return found


def one(case: str, side: str, size: int) -> None:
    """A side of a case in this process, as a line of JSON."""
    step = cases.FRESH[case](side, size)
    say(json.dumps({"memory_mb": measure.peak(step), "seconds": measure.seconds(step)}))


USUAL = (iterations, memory, hypergradient, restorer, folded, loader, large, scaling)
ASKED_FOR = (frugal, perceptual, panorama, gains, training_gains, slices)  # they take long, or go with those that do


def main() -> int:
    usual, asked_for = ([part.__name__ for part in parts] for parts in (USUAL, ASKED_FOR))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=measure.ROOT / "results/bench", help="folder for bench.json")
    parser.add_argument(
        "--only",
        default="",
        help=f"parts to measure; what else bench.json holds stays: {' '.join(usual)}, or {' '.join(asked_for)}",
    )
    arguments = parser.parse_args()
    parts = {part.__name__: part for part in (*USUAL, *ASKED_FOR)}
    chosen = arguments.only.split() or usual
    if unknown := [name for name in chosen if name not in parts]:
        parser.error(f"--only {unknown[0]}: no such part; there are: {', '.join(parts)}")
    path, began = arguments.out / "bench.json", time.monotonic()
    kept = files.read_json(path) if arguments.only and path.is_file() else []
    for name in chosen:
        found = parts[name]()
        new = {entry["name"]: entry for entry in found}
        kept = [new.pop(entry["name"], entry) for entry in kept] + list(new.values())  # each where it stood
        files.write_json(path, kept)
    say(f"{time.monotonic() - began:.0f} s; {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
