"""The loop: interrupted and resumed, it ends where an undisturbed one ends."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hbl_lib import checkpoint, files, images, loop, runs
from hbl_lib.data import Crops, Pictures
from hbl_lib.errors import KitError
from hbl_lib.pairs import Pair
from hbl_lib.runs import Stage
from hbl_lib.seeding import generator

STEPS = 8
ALWAYS, NEVER = "checkpoint_seconds=0", "checkpoint_seconds=1e9"


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Real crops, for their names: two pairs of noise."""
    root, found = tmp_path_factory.mktemp("crops"), []
    for name in ("a", "b"):
        found.append(Pair(f"low {name}.png", f"high {name}.png", name))
        for file in found[-1].names():
            images.write(root / file, np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    return Crops(Pictures(root, found), 16, 0, "classifier")


class Toy:
    """A small network with Adam, momentum and a batch normalisation, and steps that can be interrupted."""

    def __init__(self):
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        self.adam = torch.optim.Adam([self.model[0].weight], lr=0.05)
        self.sgd = torch.optim.SGD([self.model[0].bias], lr=0.05, momentum=0.9)
        self.steps: list[int] = []

    def step(self, index: int, poison: float = 0.0) -> dict[str, Any]:
        self.steps.append(index)
        batch = torch.randn(4, 3, generator=generator(0, "toy", index)) + poison
        loss = (self.model(batch) - 1).square().mean()
        self.model.zero_grad()
        loss.backward()
        skipped = loop.not_finite(loss=loss, gradient=self.model[0].weight.grad.norm())
        for optimizer in () if skipped else (self.adam, self.sgd):
            optimizer.step()
        return {"step": index, "loss": loop.number(loss), "weights": self.model[0].weight.flatten().tolist(), **skipped}

    def run(self, stage: Stage, crops: Crops, step=None) -> list[dict[str, Any]]:
        parts = {"model": self.model, "adam": self.adam, "sgd": self.sgd}
        return loop.run(stage, STEPS, step or self.step, parts, lambda record: f"loss {record['loss']:.3f}", [crops])


@pytest.fixture
def run_toy(crops):
    """run_toy(results, step, ...): a toy run to its end, its history, and its stage."""

    def run(results: Path, step=None, overrides=ALWAYS, **options) -> tuple[Toy, list, Stage]:
        opened = runs.open_run(profile="smoke", results=str(results), device="cpu", overrides=overrides, **options)
        with opened.stage("01_classifier") as stage:
            toy = Toy()
            return toy, toy.run(stage, crops, step=step and (lambda index: step(toy, index))), stage

    return run


@pytest.fixture
def interrupt(run_toy, monkeypatch):
    """interrupt(results, at, saved): a run interrupted in step `at`, checkpointed after each step of `saved`."""

    def run(results: Path, at: int, saved: range = range(STEPS)) -> None:
        save = checkpoint.save

        def save_some(path, tree, before=None):
            if len(tree["history"]) - 1 in saved:
                save(path, tree, before)

        def step(toy: Toy, index: int) -> dict[str, Any]:
            if index == at:
                raise KeyboardInterrupt
            return toy.step(index)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoint, "save", save_some)
            run_toy(results, step)

    return run


def assert_same_end(one: Toy, other: Toy) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.mark.parametrize("at", [1, 5, STEPS - 1])
def test_an_interrupted_loop_ends_like_an_undisturbed_one(tmp_path, run_toy, interrupt, capsys, at):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    assert undisturbed.steps == [record["step"] for record in history] == list(range(STEPS))
    interrupt(tmp_path / "interrupted", at)
    toy, resumed, stage = run_toy(tmp_path / "interrupted")
    assert (toy.steps, stage.resumes) == (list(range(at, STEPS)), {"01_classifier": [at]})
    assert resumed == history
    assert_same_end(toy, undisturbed)
    said = capsys.readouterr().out
    assert f"resumed at step {at}" in said
    assert f"01_classifier: step {STEPS} of {STEPS}  loss {history[-1]['loss']:.3f}" in said


def test_the_older_checkpoint_is_kept_until_there_is_a_newer_one_that_can_be_read(
    tmp_path, run_toy, interrupt, monkeypatch
):
    """Killed again while the next checkpoint takes its name: the only good one must not have gone for a damaged one."""
    interrupt(tmp_path, 5)
    path = tmp_path / "smoke/llie_lol/01_classifier/checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    replace = os.replace

    def killed(source, target):
        if Path(target) == path:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        run_toy(tmp_path)
    assert run_toy(tmp_path)[2].resumes == {"01_classifier": [4]}


def test_every_resume_and_the_first_start_are_remembered(tmp_path, run_toy, interrupt):
    interrupt(tmp_path, 2)
    first = checkpoint.load(tmp_path / "smoke/llie_lol/01_classifier/checkpoint.safetensors")
    interrupt(tmp_path, 5)
    stage = run_toy(tmp_path)[2]
    manifest = files.read_json(stage.folder / "manifest.json")
    assert manifest["resumes"] == {"01_classifier": [2, 5]}
    assert manifest["started"] == first["started"]


def test_steps_after_the_last_checkpoint_are_done_again(tmp_path, run_toy, interrupt):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    interrupt(tmp_path / "interrupted", 6, saved=range(3))
    toy, resumed, stage = run_toy(tmp_path / "interrupted", overrides=NEVER)
    assert (stage.resumes["01_classifier"], resumed) == ([3], history)
    assert_same_end(toy, undisturbed)


def test_a_finished_loop_is_not_run_again(tmp_path, run_toy):
    finished, history, _ = run_toy(tmp_path)
    toy, again, stage = run_toy(tmp_path)
    assert (toy.steps, again, stage.resumes) == ([], history, {"01_classifier": [STEPS]})
    assert_same_end(toy, finished)


@pytest.mark.parametrize("change", [{"seed": 1}, {"overrides": "classifier.rate=0.5"}, {"data": "elsewhere"}])
def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path, run_toy, interrupt, capsys, change):
    interrupt(tmp_path, 5)
    toy, history, stage = run_toy(tmp_path, **change)
    assert (toy.steps, len(history), stage.resumes) == (list(range(STEPS)), STEPS, {})
    assert "belongs to other parameters, inputs or code; starting anew" in capsys.readouterr().out


def test_a_checkpoint_of_other_inputs_is_not_resumed(tmp_path, crops):
    run = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu")
    for content, expected in (("a", STEPS), ("b", STEPS), ("b", 0)):
        with run.stage("00_data") as stage:
            files.write_text(stage.folder / "splits.json", content)
        with run.stage("01_classifier") as stage:
            stage.need("00_data", "splits.json")
            toy = Toy()
            toy.run(stage, crops)
        assert len(toy.steps) == expected


def damage(path: Path, length: int | None) -> None:
    """Cut a file to `length`, or turn over one bit in its middle."""
    content = bytearray(path.read_bytes())
    if length is None:
        content[len(content) // 2] ^= 1
    path.write_bytes(content[:length])


@pytest.mark.parametrize("length", [0, 100, -1, None])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_resumed(tmp_path, run_toy, interrupt, capsys, length):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    interrupt(tmp_path / "torn", 5)
    path = tmp_path / "torn/smoke/llie_lol/01_classifier/checkpoint.safetensors"
    damage(path, length)
    toy, again, stage = run_toy(tmp_path / "torn")
    assert (again, stage.resumes["01_classifier"]) == (history, [4])
    assert_same_end(toy, undisturbed)
    assert f"can't go on from the last checkpoint: {path}: not a readable checkpoint" in capsys.readouterr().out


def test_with_both_checkpoints_damaged_the_loop_starts_anew(tmp_path, run_toy, interrupt):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    interrupt(tmp_path / "torn", 5)
    for path in (tmp_path / "torn/smoke/llie_lol/01_classifier").glob("checkpoint*"):
        damage(path, -1)
    toy, again, stage = run_toy(tmp_path / "torn")
    assert (again, stage.resumes) == (history, {})
    assert_same_end(toy, undisturbed)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken_and_its_pictures_are_named(tmp_path, run_toy, capsys, poison):
    before = {}

    def step(toy: Toy, index: int) -> dict[str, Any]:
        if index == 4:
            before.update({name: value.clone() for name, value in toy.model.state_dict().items()})
            return toy.step(index, poison)
        if index == 5:
            assert all(torch.equal(before[name], value) for name, value in toy.model.state_dict().items())
        return toy.step(index)

    _, history, _ = run_toy(tmp_path, step)
    assert [index for index, record in enumerate(history) if "skipped" in record] == [4]
    assert history[4]["loss"] is None
    assert re.search(r"step 5 is not taken: loss is (nan|inf).* on low [ab]\.png", capsys.readouterr().out)


def test_after_three_in_a_row_the_loop_stops_with_the_last_good_state_saved(tmp_path, run_toy):
    def step(toy: Toy, index: int) -> dict[str, Any]:
        return toy.step(index, float("nan") if index in (1, 3, 4, 5) else 0.0)

    with pytest.raises(KitError, match=r"01_classifier: steps 4 to 6 were not finite .* or lower classifier.rate"):
        run_toy(tmp_path, step)
    saved = checkpoint.load(tmp_path / "smoke/llie_lol/01_classifier/checkpoint.safetensors")
    assert len(saved["history"]) == 3
    assert all(value.isfinite().all() for value in saved["parts"]["model"].values())
    toy, history, _ = run_toy(tmp_path)  # the fault gone, the run goes on from there
    assert (toy.steps, len(history)) == ([3, 4, 5, 6, 7], STEPS)


@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")])
def test_a_step_that_does_not_fit_says_stage_size_and_setting_and_keeps_the_checkpoint(tmp_path, run_toy, raised):
    def step(toy: Toy, index: int) -> dict[str, Any]:
        if index == 3:
            raise raised
        return toy.step(index)

    with pytest.raises(
        KitError, match=r"01_classifier: step 4: out of memory on cpu, with crops of 1x3x16x16.* the last checkpoint\.$"
    ):
        run_toy(tmp_path, step)
    assert run_toy(tmp_path)[2].resumes == {"01_classifier": [3]}


def test_the_cosine_falls_from_start_to_end():
    rates = [loop.cosine(step, 50, 1e-3, 1e-5) for step in range(50)]
    assert (rates[0], rates[-1]) == (pytest.approx(1e-3), pytest.approx(1e-5))
    assert rates == sorted(rates, reverse=True)
