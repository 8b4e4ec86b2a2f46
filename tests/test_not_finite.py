"""The four loops on real pictures: a step that is not finite leaves all that they train as it was."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hbl_lib import checkpoint, data, files, runs, stages

LOOPS = ("01_classifier", "02_loss_search", "03_architecture_search", "04_retrain")
MOVING = "loss_search.warmup=0,architecture_search.warmup=0,retrain.average=0.5"  # all parts move in the second step


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal to the last bit; rates are set anew in every step."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one if key != "lr")
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(
    ("name", "poison", "step"),
    [*((name, poison, 1) for name in LOOPS for poison in ("loss", "gradient")), (LOOPS[2], "gradient", 0)],
)
def test_the_step_is_not_taken_and_its_pictures_are_named(finished_run, tmp_path, monkeypatch, name, poison, step):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu", overrides=MOVING)
    shutil.rmtree(run.folder / name)
    at, conv2d, save, saved, now = data.Crops.at, F.conv2d, checkpoint.save, [], False

    def crops_at(crops, index):
        nonlocal now
        now = index == step
        degraded, clear = at(crops, index)
        return (degraded * float("nan") if now and poison == "loss" else degraded), clear

    def poisoned(*arguments, **options):
        found = conv2d(*arguments, **options)
        if now and poison == "gradient" and found.requires_grad:
            found.register_hook(lambda gradient: gradient * float("nan"))
        return found

    def remember(path, tree, before=None):
        saved.extend([copy.deepcopy(tree["parts"])] if "parts" in tree else [])
        save(path, tree, before)

    with monkeypatch.context() as patch:
        patch.setattr(data.Crops, "at", crops_at)
        patch.setattr(F, "conv2d", poisoned)
        patch.setattr(checkpoint, "save", remember)
        stages.BY_NAME[name](run)
    history = files.read_json(run.output(name, "history.json"))
    assert [index for index, record in enumerate(history) if "skipped" in record] == [step]
    assert f"{poison} is nan" in history[step]["skipped"] and ".png" in history[step]["skipped"]
    if step == 0:  # an optimiser has no state then
        assert saved[0]["upper"]["state"] == {} and not same(saved[0], saved[1])
        return
    first, after_poison, last = saved
    assert same(first, after_poison) and not same(after_poison, last)
