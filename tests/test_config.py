"""Parameters: what loads, what an override may change, and what a wrong one is told."""

from __future__ import annotations

import shutil

import pytest
from pydantic import ValidationError

from hbl_lib import config
from hbl_lib.errors import KitError

LOL_TRAIN = 345  # pictures of LOL's train list, as the published schedule meets them


def smoke(overrides: str = "", **options) -> config.Params:
    return config.load("smoke", "llie_lol", overrides=overrides, **options)


@pytest.mark.parametrize("profile", ["paper", "quick", "smoke"])
@pytest.mark.parametrize("task", config.names("tasks"))
def test_every_profile_loads_with_every_task(profile, task):
    params = config.load(profile, task, seed=3, data="/some/where")
    assert (params.profile, params.task.name, params.seed, params.task.data) == (profile, task, 3, "/some/where")
    assert "llie_lol" in config.names("tasks")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("quik", "llie_lol"), "no profile 'quik'; there are: .*quick.* Did you mean 'quick'"),
        (("quick", "llie_lo"), "no task 'llie_lo'; .* Did you mean 'llie_lol'"),
        (("../tasks/llie_lol", "llie_lol"), "no profile"),
    ],
)
def test_an_unknown_profile_or_task_is_told_the_nearest(arguments, told):
    with pytest.raises(KitError, match=told):
        config.load(*arguments)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("retain.steps=5", "retain.steps=5.*no section 'retain'.*Did you mean 'retrain'"),
        ("retrain.setps=5", r"retrain\.setps: unknown parameter.*Did you mean 'steps'"),
        ("steps=5", r"steps: unknown parameter\. Name its section: classifier\.steps, .*retrain\.steps"),
        ("retrain.warmup=5", r"retrain\.warmup: unknown parameter\.(?! Name)"),
        ("sed=5", "sed: unknown parameter.*Did you mean 'seed'"),
        ("retrain.steps=many", r"retrain\.steps: .*valid integer, found 'many'"),
        ("retrain.steps=5.0", r"retrain\.steps: .*valid integer"),
        ("retrain.steps=0", r"retrain\.steps: .*greater than 0, found 0"),
        ("retrain.steps=", "retrain: .*give either epochs or steps"),
        ("retrain.recipe=moden", r"no recipe 'moden' in params/recipes.yaml; .*Did you mean 'modern'"),
        ("retrain.optimizer=adan", r"retrain\.optimizer: .*'sgd' or 'adam', found 'adan'"),
        ("perceptual.download=1", r"perceptual\.download: .*boolean"),
        ("retrain=5,threads=-1", "threads: .*found -1.*retrain: "),  # every fault at once
        ("retrain.steps", "write section.key=value"),
        ("retrain.steps=[1", "is not a YAML value"),
    ],
)
def test_a_wrong_override_is_refused_in_words_that_name_the_key(override, told):
    with pytest.raises(KitError, match=told):
        smoke(override)


def test_overrides_change_what_they_name_and_nothing_else():
    before, after = smoke().model_dump(), smoke(" retrain.steps=5 , threads=7,").model_dump()
    assert (after["retrain"]["steps"], after["threads"]) == (5, 7)
    before["retrain"]["steps"], before["threads"] = 5, 7
    assert after == before


@pytest.mark.parametrize("assignment", ["seed=7", "profile=paper"])
def test_what_has_a_setting_of_its_own_is_no_override(assignment):
    with pytest.raises(KitError, match="setting of its own"):
        smoke(assignment)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ("loss_search.steps=10,loss_search.warmup=20", "leaves the upper level none of the 10 steps"),
        ("classifier.batch=1", r"classifier\.batch"),
        ("classifier.batch=5", r"classifier\.batch"),
    ],
)
def test_values_that_could_not_work_are_refused_at_once(overrides, told):
    with pytest.raises(KitError, match=told):
        smoke(overrides)


def test_steps_and_epochs_override_each_other():
    assert (smoke("retrain.epochs=2").retrain.epochs, smoke("retrain.epochs=2").retrain.steps) == (2, None)
    paper = config.load("paper", "llie_lol", overrides="loss_search.steps=9").loss_search
    assert (paper.epochs, paper.steps) == (None, 9)
    assert smoke("retrain.epochs=2,retrain.steps=4").retrain.steps == 4


def test_steps_for_counts_steps_or_epochs_over_the_pictures():
    assert smoke("retrain.steps=11").retrain.steps_for(345, 4) == 11
    by_epochs = smoke("retrain.epochs=3").retrain
    assert (by_epochs.steps_for(345), by_epochs.steps_for(10, 4), by_epochs.steps_for(2, 4)) == (1035, 6, 3)


def test_parameters_are_frozen_at_every_level():
    params = smoke()
    with pytest.raises(ValidationError, match="frozen"):
        params.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        params.retrain.steps = 1


def test_a_profile_file_with_missing_or_unknown_keys_is_told_which(tmp_path, monkeypatch):
    shutil.copytree(config.PARAMS, tmp_path / "params")
    monkeypatch.setattr(config, "PARAMS", tmp_path / "params")
    profile = tmp_path / "params" / "profiles" / "smoke.yaml"
    profile.write_text(profile.read_text().replace("threads: 1", "thread: 1"))
    with pytest.raises(KitError, match=r"'smoke'.*threads: is missing.*thread: unknown.*Did you mean 'threads'"):
        smoke()


def test_the_paper_profile_is_the_published_schedule():
    params = config.load("paper", "llie_lol")
    for search in (params.loss_search, params.architecture_search):
        assert (search.epochs, search.rate, search.momentum, search.weight_decay) == (30, 5e-4, 0.9, 3e-4)
        assert search.steps_for(LOL_TRAIN) == 30 * LOL_TRAIN  # batch 1
    assert (params.retrain.rate, params.retrain.batch, params.classifier.network) == (1e-4, 1, "resnet50")
    assert not params.perceptual.untrained


@pytest.mark.parametrize("profile", ["paper", "quick", "smoke"])
def test_the_searches_are_long_enough_for_their_upper_weights_to_move(profile):
    params = config.load(profile, "llie_lol")
    loss, architecture = params.loss_search, params.architecture_search
    for search, rate in ((loss, loss.beta_rate), (architecture, architecture.alpha_rate)):
        steps = search.steps_for(LOL_TRAIN)
        assert steps * rate >= 1.5
        if profile != "smoke":  # smoke's numbers mean nothing
            assert (steps - search.warmup) * rate >= 1.5


@pytest.mark.parametrize("rate", ["1e-3", "5E-4"])
def test_a_rate_can_be_written_as_people_write_it(rate):
    assert smoke(f"retrain.rate={rate}").retrain.rate == float(rate)


def test_an_infinite_rate_is_refused():
    with pytest.raises(KitError, match=r"retrain\.rate"):
        smoke("retrain.rate=.inf")


def test_a_task_file_may_override_single_parameters_of_a_profile(tmp_path, monkeypatch):
    shutil.copytree(config.PARAMS, tmp_path / "params")
    monkeypatch.setattr(config, "PARAMS", tmp_path / "params")
    path = tmp_path / "params/tasks/mine.yaml"
    path.write_text("title: Mine\ndegradation: rain\ndata: folder\nsettings: {smoke: {retrain: {steps: 9}}}\n")
    assert (config.load("smoke", "mine").retrain.steps, config.load("smoke", "mine").task.data) == (9, "folder")
    assert config.load("smoke", "mine", overrides="retrain.steps=7").retrain.steps == 7
    assert config.load("quick", "mine").retrain.steps == config.load("quick", "derain").retrain.steps


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("settings: {smok: {retrain: {steps: 9}}}", r"mine\.yaml: settings: no profile 'smok'"),
        ("settings: {quick: {retrain: {step: 9}}}", r"quick: retrain: no parameter 'step'. Did you mean 'steps'?"),
        ("settings: {smoke: {retrian: {steps: 9}}}", r"mine\.yaml: settings: smoke: retrian is no section"),
        ("setings: {smoke: {retrain: {steps: 9}}}", r"setings: unknown parameter. Did you mean 'settings'?"),
    ],
)
def test_settings_that_can_not_be_are_named(tmp_path, monkeypatch, line, told):
    shutil.copytree(config.PARAMS, tmp_path / "params")
    monkeypatch.setattr(config, "PARAMS", tmp_path / "params")
    (tmp_path / "params/tasks/mine.yaml").write_text(f"title: Mine\ndegradation: rain\n{line}\n")
    with pytest.raises(KitError, match=told):
        config.load("smoke", "mine")


def test_how_the_pictures_of_a_folder_came_about_need_not_be_known(tmp_path, monkeypatch):
    shutil.copytree(config.PARAMS, tmp_path / "params")
    monkeypatch.setattr(config, "PARAMS", tmp_path / "params")
    (tmp_path / "params/tasks/mine.yaml").write_text("title: Mine\n")
    assert config.load("smoke", "mine", data="folder").task.degradation == ""
    with pytest.raises(KitError, match="no degradation ''; there are: low_light, haze"):
        config.load("smoke", "mine")


def test_a_recipe_fills_what_profile_and_overrides_leave_open():
    paper, modern = (
        config.load("real", "llie_lol", overrides=f"retrain.recipe={name}") for name in ("paper", "modern")
    )
    assert (paper.retrain.optimizer, paper.retrain.rate, paper.retrain.average) == ("sgd", 1e-4, 0.0)
    assert paper.retrain.optimizer != modern.retrain.optimizer and paper.retrain.steps == modern.retrain.steps == 800
    assert smoke("retrain.recipe=paper,retrain.rate=0.5").retrain.rate == 0.5
    assert config.load("paper", "llie_lol").retrain.recipe == "paper"
