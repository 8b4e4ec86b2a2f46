"""The loop: interrupted and resumed, it ends where an undisturbed one ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hbl_lib import files, loop, runs
from hbl_lib.runs import Stage, generator

STEPS = 8
ALWAYS, NEVER = -1.0, 1e9


class Toy:
    """A small network with Adam and momentum, and steps that can be interrupted."""

    def __init__(self):
        self.model = torch.nn.Linear(3, 2)
        self.adam = torch.optim.Adam([self.model.weight], lr=0.05)
        self.sgd = torch.optim.SGD([self.model.bias], lr=0.05, momentum=0.9)
        self.steps: list[int] = []

    def step(self, index: int) -> dict[str, Any]:
        self.steps.append(index)
        batch = torch.randn(4, 3, generator=generator(0, "toy", index))
        loss = (self.model(batch) - 1).square().mean()
        self.model.zero_grad()
        loss.backward()
        for optimizer in (self.adam, self.sgd):
            optimizer.step()
        return {"step": index, "loss": loss.item(), "weights": self.model.weight.flatten().tolist()}

    def run(self, stage: Stage, step=None) -> list[dict[str, Any]]:
        parts = {"model": self.model, "adam": self.adam, "sgd": self.sgd}
        return loop.run(stage, STEPS, step or self.step, parts, lambda record: f"loss {record['loss']:.3f}")


def run_toy(results: Path, step=None, **options) -> tuple[Toy, list, Stage]:
    run = runs.open_run(profile="smoke", results=str(results), device="cpu", **options)
    with run.stage("01_classifier") as stage:
        toy = Toy()
        return toy, toy.run(stage, step=step and (lambda index: step(toy, index))), stage


def interrupt(results: Path, monkeypatch, at: int, saved: range = range(STEPS)) -> None:
    """A run that is interrupted in step `at` and was checkpointed after each step of `saved`."""

    def step(toy: Toy, index: int) -> dict[str, Any]:
        monkeypatch.setattr(loop, "SAVE_EVERY_S", ALWAYS if index in saved else NEVER)
        if index == at:
            raise KeyboardInterrupt
        return toy.step(index)

    with pytest.raises(KeyboardInterrupt):
        run_toy(results, step)


def assert_same_end(one: Toy, other: Toy) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.mark.parametrize("at", [1, 5, STEPS - 1])
def test_an_interrupted_loop_ends_like_an_undisturbed_one(tmp_path, monkeypatch, capsys, at):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    assert undisturbed.steps == [record["step"] for record in history] == list(range(STEPS))
    interrupt(tmp_path / "interrupted", monkeypatch, at)
    toy, resumed, stage = run_toy(tmp_path / "interrupted")
    assert (toy.steps, stage.resumed_at) == (list(range(at, STEPS)), at)
    assert resumed == history
    assert_same_end(toy, undisturbed)
    said = capsys.readouterr().out
    assert f"resumed at step {at}" in said
    assert f"01_classifier: step {STEPS} of {STEPS}  loss {history[-1]['loss']:.3f}" in said


def test_steps_after_the_last_checkpoint_are_done_again(tmp_path, monkeypatch):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    interrupt(tmp_path / "interrupted", monkeypatch, 6, saved=range(3))
    toy, resumed, stage = run_toy(tmp_path / "interrupted")
    assert (stage.resumed_at, resumed) == (3, history)
    assert_same_end(toy, undisturbed)


def test_a_finished_loop_is_not_run_again(tmp_path):
    finished, history, _ = run_toy(tmp_path)
    toy, again, stage = run_toy(tmp_path)
    assert (toy.steps, again, stage.resumed_at) == ([], history, STEPS)
    assert_same_end(toy, finished)


@pytest.mark.parametrize("change", [{"seed": 1}, {"overrides": "classifier.rate=0.5"}, {"data": "elsewhere"}])
def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path, monkeypatch, capsys, change):
    interrupt(tmp_path, monkeypatch, 5)
    toy, history, stage = run_toy(tmp_path, **change)
    assert (toy.steps, len(history), stage.resumed_at) == (list(range(STEPS)), STEPS, None)
    assert "belongs to other parameters, inputs or code; starting anew" in capsys.readouterr().out


def test_a_checkpoint_of_other_inputs_is_not_resumed(tmp_path):
    run = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu")
    for content, expected in (("a", STEPS), ("b", STEPS), ("b", 0)):
        with run.stage("00_data") as stage:
            files.write_text(stage.folder / "splits.json", content)
        with run.stage("01_classifier") as stage:
            stage.need("00_data", "splits.json")
            toy = Toy()
            toy.run(stage)
        assert len(toy.steps) == expected


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_torn_checkpoint_is_told_and_the_loop_starts_anew(tmp_path, monkeypatch, capsys, length):
    undisturbed, history, _ = run_toy(tmp_path / "undisturbed")
    interrupt(tmp_path / "torn", monkeypatch, 5)
    path = tmp_path / "torn/smoke/llie_lol/01_classifier/checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    toy, again, stage = run_toy(tmp_path / "torn")
    assert (again, stage.resumed_at) == (history, None)
    assert_same_end(toy, undisturbed)
    assert "starting from the beginning: " in capsys.readouterr().out


def test_the_cosine_falls_from_start_to_end():
    rates = [loop.cosine(step, 50, 1e-3, 1e-5) for step in range(50)]
    assert (rates[0], rates[-1]) == (pytest.approx(1e-3), pytest.approx(1e-5))
    assert rates == sorted(rates, reverse=True)
