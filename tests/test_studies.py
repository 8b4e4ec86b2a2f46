"""The studies of the searches: what they train, rank and write, and that they go on where they were cut off."""

import shutil

import pytest
import torch

from hbl_lib import effects, files, losses, manifest, perceptual, runs, search_quality, stages, studies
from hbl_lib.errors import KitError
from hbl_lib.losses import FoundLoss, LossSpace
from hbl_lib.manifest import STUDIES


def smoke(results, **options):
    return runs.open_run(profile="smoke", results=str(results), device="cpu", **options)


@pytest.fixture(scope="module")
def studied(finished_run, tmp_path_factory):
    """A run with both studies, and its folder of results."""
    results = tmp_path_factory.mktemp("studied")
    shutil.copytree(finished_run, results, dirs_exist_ok=True)
    run = smoke(results)
    studies.run_studies(run, list(studies.BY_NAME), again=False)
    return run, results


def test_drawn_losses_have_weights_of_mean_one_and_a_layer_of_each_group():
    trunk = perceptual.untrained_trunk()
    space = LossSpace(trunk, perceptual.lpips_term(trunk))
    drawn = [
        studies.drawn_loss(FoundLoss.equal(trunk), space, torch.Generator().manual_seed(seed)) for seed in range(40)
    ]
    for loss in drawn:
        space.check(loss)
        assert sum(loss.weights.values()) == pytest.approx(len(losses.TERMS)) and min(loss.weights.values()) >= 0
    assert {loss.layers[0] for loss in drawn} == set(trunk.groups[0])
    assert len({tuple(loss.weights.values()) for loss in drawn}) == 40


def test_every_setting_is_told_with_signal_quality_and_what_it_is(studied):
    run, _ = studied
    for name, of in (("losses", "weights"), ("genotypes", "genotype")):
        found = files.read_json(run.folder / STUDIES / name / "metrics.json")
        assert len(found["settings"]) == getattr(run.params.studies, name)
        assert found["settings"][0]["name"] == "found" and all(row[of] for row in found["settings"])
        for pair, rank in found["ranks"].items():
            signal, quality = pair.split(" against ")
            sign = (-1) ** ((signal in studies.LESS_IS_BETTER) + (quality in studies.LESS_IS_BETTER))
            sides = [[row[key] for row in found["settings"]] for key in (signal, quality)]
            again = effects.rank_correlation(*sides)["rho"]
            assert rank["rho"] == (None if again is None else pytest.approx(sign * again))
    assert "classifier_loss against lpips" in files.read_json(run.folder / STUDIES / "losses/metrics.json")["ranks"]


def test_a_study_that_is_done_is_not_run_again_and_one_of_other_inputs_is(studied, tmp_path, monkeypatch):
    shutil.copytree(studied[1], tmp_path, dirs_exist_ok=True)
    asked = []
    monkeypatch.setattr(studies, "run_study", lambda run, name: asked.append(name))
    studies.run_studies(smoke(tmp_path), ["losses", "genotypes"], again=False)
    assert asked == []
    studies.run_studies(smoke(tmp_path, overrides="studies.steps=3"), ["losses"], again=False)
    genotype = smoke(tmp_path).folder / "03_architecture_search/genotype.yaml"
    genotype.write_text(genotype.read_text() + "\n")
    studies.run_studies(smoke(tmp_path), ["genotypes"], again=False)
    assert asked == ["losses", "genotypes"]


def test_a_study_cut_off_goes_on_with_the_same_bytes(studied, finished_run, tmp_path, cut_off):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    cut_off(lambda: studies.run_study(smoke(tmp_path), "genotypes"), 3)
    folder = studies.run_study(smoke(tmp_path), "genotypes")
    whole = studied[0].folder / STUDIES / "genotypes"
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert manifest.read(folder / manifest.NAME)["resumes"]


def test_figures_and_tables_are_made_of_what_was_written(studied):
    run, _ = studied
    for name in studies.BY_NAME:
        assert "4 settings" in search_quality.plot(run.folder, name)[1]
    assert "main run" in search_quality.signals(run.folder)[1]
    assert search_quality.signal_table(run.folder).loc[0, "loss search"] == "main run"
    table = search_quality.table(run.folder.parent, ["llie_lol"], ["0"])
    assert len(table.frame) == 5 and set(table.frame["file"]) == {
        f"llie_lol/{STUDIES}/{name}/metrics.json" for name in studies.BY_NAME
    }


def test_an_unknown_study_and_one_of_a_search_that_was_skipped_are_refused(finished_run, tmp_path):
    with pytest.raises(KitError, match=r"no study 'loses'; .*Did you mean 'losses'"):
        studies.run_study(smoke(tmp_path), "loses")
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = smoke(tmp_path, overrides="search=published")
    stages.loss_search(run)
    stages.architecture_search(run)
    with pytest.raises(KitError, match="search=published trains no supernet"):
        studies.run_study(run, "genotypes")
