"""A stage that was cut off and started again ends with the same bytes as one that was not; stale inputs are refused."""

import shutil

import pytest

from hbl_lib import checkpoint, files, images, runs, splits, stages
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.losses import FoundLoss

LOOPS = {
    "01_classifier": ("metrics.json", "classifier.safetensors"),
    "02_loss_search": ("metrics.json", "loss.yaml", "history.json"),
    "03_architecture_search": ("metrics.json", "genotype.yaml", "history.json"),
    "04_retrain": ("metrics.json", "restorer.safetensors"),
}


def smoke(results, **options):
    return runs.open_run(profile="smoke", results=str(results), device="cpu", **options)


@pytest.mark.parametrize("cut_after", [1, 2])
@pytest.mark.parametrize("name", LOOPS)
def test_a_stage_cut_off_and_started_again_gives_the_same_bytes(finished_run, tmp_path, cut_off, name, cut_after):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    folder = smoke(tmp_path).folder / name
    for path in folder.iterdir():
        path.unlink()
    cut_off(lambda: stages.BY_NAME[name](smoke(tmp_path)), cut_after)
    saved = {"checkpoint.safetensors", "checkpoint_before.safetensors"} if cut_after > 1 else {"checkpoint.safetensors"}
    assert {path.name for path in folder.iterdir()} == {".lock"} | saved
    stages.BY_NAME[name](smoke(tmp_path))
    for file in LOOPS[name]:
        assert (folder / file).read_bytes() == (smoke(finished_run).folder / name / file).read_bytes(), file
    assert [path.name for path in folder.glob("checkpoint*")] == ["checkpoint.safetensors"]


def test_what_fails_after_a_loop_has_ended_does_not_cost_the_loop(finished_run, tmp_path, capsys):
    """As when a notebook's later cell fails, and Snakemake removes what the stage had made."""
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    folder = smoke(tmp_path).folder / "04_retrain"
    for path in folder.iterdir():
        if path.name != "checkpoint.safetensors":
            path.unlink()
    stages.retrain(smoke(tmp_path))
    assert "04_retrain: resumed at step 3" in capsys.readouterr().out
    for file in LOOPS["04_retrain"]:
        assert (folder / file).read_bytes() == (smoke(finished_run).folder / "04_retrain" / file).read_bytes()


def test_published_loss_and_genotype_take_the_place_of_both_searches(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = smoke(tmp_path, overrides="search=published")
    for name in ("02_loss_search", "03_architecture_search"):
        stages.BY_NAME[name](run)
    assert FoundLoss.read(run.output("02_loss_search", "loss.yaml")).weights["l1"] == 1.376733
    assert Genotype.read(run.output("03_architecture_search", "genotype.yaml")) == Genotype.published("llie_lol")
    metrics = files.read_json(run.output("03_architecture_search", "metrics.json"))
    assert metrics["search"] == "published" and metrics["parameters"] == 527_840
    assert files.read_json(run.output("02_loss_search", "history.json")) == []


def test_another_seed_is_refused_by_the_stages_after(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    with pytest.raises(KitError, match="was made with seed 0, and this run has seed 1"):
        stages.evaluate(smoke(tmp_path, seed=1))


def test_other_file_lists_are_refused_by_the_stages_after(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    stages.data(smoke(tmp_path, overrides="data.split_seed=5"))
    with pytest.raises(KitError, match=r"was made from an earlier 00_data/splits\.json"):
        stages.evaluate(smoke(tmp_path))


def test_a_picture_that_changed_since_its_checksum_was_stored_is_refused(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = smoke(tmp_path)
    name = splits.read(run.output("00_data", "splits.json"))["train"][0].clear
    images.write(run.data_root / name, 255 - images.read(run.data_root / name))
    with pytest.raises(KitError, match=f"{name}: has changed since 00_data stored its checksum"):
        stages.classifier(run)


def test_a_refused_stage_leaves_what_an_earlier_run_finished(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    folder = smoke(tmp_path).folder / "05_evaluate"
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    with pytest.raises(KitError):
        stages.evaluate(smoke(tmp_path, seed=1))
    assert before == {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    assert folder / "manifest.json" in before


def test_the_loss_search_leaves_alpha_at_its_start(finished_run, tmp_path, monkeypatch):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    kept, save = [], checkpoint.save

    def keep(path, tree, before=None):
        save(path, tree, before)
        kept.append(checkpoint.load(path)["parts"]["network"])

    monkeypatch.setattr(checkpoint, "save", keep)
    shutil.rmtree(smoke(tmp_path).folder / "02_loss_search")
    stages.loss_search(smoke(tmp_path))
    for name, value in kept[-1].items():
        assert name.endswith(".alpha") == value.equal(kept[0][name]), name
