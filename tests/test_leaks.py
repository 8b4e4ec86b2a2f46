"""No picture of the test list reaches training or selection: the stages run without them, and give the same bytes."""

import shutil

import pytest

from hbl_lib import ablations, files, manifest, runs, splits, stages
from hbl_lib.errors import KitError

TRAINED = ("01_classifier", "02_loss_search", "03_architecture_search", "04_retrain")
MADE = ("classifier.safetensors", "loss.yaml", "genotype.yaml", "restorer.safetensors", "metrics.json", "history.json")


def smoke(results):
    return runs.open_run(profile="smoke", results=str(results), device="cpu")


@pytest.fixture
def without(finished_run, tmp_path):
    """without(LIST): a copy of a finished run from which the pictures of that list are gone; its later stages too."""

    def copy(name):
        shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
        run = smoke(tmp_path)
        dealt = splits.read(run.output("00_data", "splits.json"))
        for file in {file for pair in dealt[name] for file in pair.names()}:
            (run.data_root / file).unlink()
        for stage in (*TRAINED, "05_evaluate"):
            shutil.rmtree(run.folder / stage)
        return run

    return copy


def test_training_and_selection_never_open_a_test_picture(finished_run, without):
    run = without("test")
    for stage in TRAINED:
        stages.BY_NAME[stage](run)
        for path in (finished_run / "smoke/llie_lol" / stage).iterdir():
            if path.name in MADE:
                assert (run.folder / stage / path.name).read_bytes() == path.read_bytes(), path
    with pytest.raises(KitError, match="no such file"):
        stages.evaluate(run)


def test_a_member_is_searched_and_trained_before_it_opens_a_test_picture(without):
    run = without("test")
    for stage in TRAINED:
        stages.BY_NAME[stage](run)
    member = f"{manifest.ABLATIONS[0]}/unet_searched"
    with pytest.raises(KitError, match="no such file"):
        ablations.run_member(run, manifest.ABLATIONS[0], "unet_searched")
    assert len(files.read_json(run.folder / member / "train/history.json")) == 2


def test_retraining_selects_on_the_validation_list(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = smoke(tmp_path)
    for pair in splits.read(run.output("00_data", "splits.json"))["validation"]:
        (run.data_root / pair.clear).unlink(missing_ok=True)
    shutil.rmtree(run.folder / "04_retrain")
    with pytest.raises(KitError, match="no such file"):
        stages.retrain(run)
    record = files.read_json(smoke(finished_run).output("04_retrain", "history.json"))
    best = files.read_json(smoke(finished_run).output("04_retrain", "metrics.json"))
    assert best["validation_psnr"] == max(r["validation_psnr"] for r in record if "validation_psnr" in r)


def test_the_lists_share_no_file_and_no_scene(finished_run):
    dealt = splits.read(smoke(finished_run).output("00_data", "splits.json"))
    for kind in (lambda pair: pair.names(), lambda pair: [pair.group]):
        named = [{name for pair in part for name in kind(pair)} for part in dealt.values()]
        assert sum(map(len, named)) == len(set().union(*named))
    stored = splits.checksums(smoke(finished_run).output("00_data", "splits.json"))
    assert {name for part in dealt.values() for pair in part for name in pair.names()} == set(stored)
