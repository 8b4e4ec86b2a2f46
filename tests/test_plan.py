"""A plan counts every stage's own steps, and says what they take."""

import pytest

from hbl_lib import config, plan
from hbl_lib.__main__ import main


@pytest.fixture(scope="module")
def costs():
    return plan.plan("smoke", "llie_lol", device="cpu")


def test_a_plan_has_every_stage_with_its_steps_time_and_memory(costs):
    params = config.load("smoke", "llie_lol")
    steps = {cost.stage: cost.steps for cost in costs}
    assert steps == {
        "00_data": 9,
        "01_classifier": params.classifier.steps,
        "02_loss_search": params.loss_search.steps,
        "03_architecture_search": params.architecture_search.steps,
        "04_retrain": params.retrain.steps,
        "05_evaluate": 2,
    }
    assert all(cost.seconds > 0 and 100 < cost.memory_mb < 5000 for cost in costs)


def test_the_table_adds_up(costs):
    lines = plan.table(costs).splitlines()
    assert len(lines) == len(costs) + 2 and lines[0].split() == ["stage", "steps", "s", "a", "step", "time", "memory"]
    assert lines[-1].split()[1] == plan.words(sum(cost.seconds for cost in costs)).split()[0]


def test_a_plan_for_other_pairs_counts_their_data_and_test_pictures():
    steps = {cost.stage: cost.steps for cost in plan.plan("smoke", "llie_lol", device="cpu", pairs=90)}
    assert (steps["00_data"], steps["05_evaluate"], steps["04_retrain"]) == (90, 20, 3)


class Clocked:
    """A search whose resting steps take 1 s and whose moving ones 4 s, by a clock of its own."""

    def __init__(self, monkeypatch, warmup):
        self.params = config.load("quick", "uie").loss_search.model_copy(update={"warmup": warmup})
        self.steps, self.now = self.params.steps, 0.0
        monkeypatch.setattr(plan.time, "perf_counter", lambda: self.now)

    def step(self, index):
        self.now += 1.0 if index < self.params.warmup else 4.0


@pytest.mark.parametrize("warmup", [0, 15])
def test_a_search_takes_what_its_resting_and_its_moving_steps_take(monkeypatch, warmup):
    search = Clocked(monkeypatch, warmup)
    assert plan._searching(search, 1.0) == (search.steps, warmup * 1.0 + (search.steps - warmup) * 4.0)


def test_epochs_grow_with_the_number_of_pairs_and_steps_do_not():
    assert plan._scaled(600, 30, 2.5) == 1500
    assert plan._scaled(600, None, 2.5) == 600


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (600, "10 min"), (8000, "2 h 13 min")])
def test_times_in_words(seconds, words):
    assert plan.words(seconds) == words


def test_a_wrong_number_of_pairs_is_refused(capsys):
    assert main(["plan", "--pairs", "0"]) == 1
    assert "--pairs 0: expected a whole number of at least 1" in capsys.readouterr().err
