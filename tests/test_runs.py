"""Runs: devices, folders, locks, manifests and seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hbl_lib import files, runs, seeding
from hbl_lib.errors import KitError

HOLD = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"


def open_smoke(results: Path, **options) -> runs.Run:
    return runs.open_run(profile="smoke", device="cpu", results=str(results), **options)


@pytest.mark.parametrize(("name", "near"), [("gpu", "cpu"), ("cudaa", "cuda"), ("Auto", "auto")])
def test_an_unknown_device_is_told_the_nearest(name, near):
    with pytest.raises(KitError, match=f"device '{name}' is not one of auto, cpu, cuda.*Did you mean '{near}'"):
        runs.choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_without_cuda_is_an_error_and_auto_is_the_cpu():
    with pytest.raises(KitError, match="cuda was asked for, but this torch finds no CUDA device"):
        runs.open_run(profile="smoke", device="cuda")
    assert runs.choose_device("auto") == torch.device("cpu")


def test_opening_a_run_writes_nothing_and_says_where_it_will_live(tmp_path):
    run = open_smoke(tmp_path / "results", seed=4, overrides="retrain.steps=5")
    assert run.folder == tmp_path / "results" / "smoke" / "llie_lol"
    assert (run.params.seed, run.params.retrain.steps) == (4, 5)
    assert list(tmp_path.iterdir()) == []
    assert runs.open_run(profile="smoke", device="cpu").folder == runs.ROOT / "results" / "smoke" / "llie_lol"


def test_data_comes_from_the_run_or_from_the_folder_that_is_named(tmp_path):
    assert open_smoke(tmp_path).data_root == tmp_path / "smoke" / "llie_lol" / "00_data" / "pictures"
    assert open_smoke(tmp_path, data=str(tmp_path / "lol")).data_root == tmp_path / "lol"
    assert open_smoke(tmp_path, data="no/such/lol").data_root == runs.ROOT / "no/such/lol"


def test_a_missing_output_names_the_notebook_that_makes_it(tmp_path):
    run = open_smoke(tmp_path)
    with pytest.raises(KitError, match=r"loss\.yaml: is missing\. notebooks/02_loss_search\.ipynb makes it"):
        run.output("02_loss_search", "loss.yaml")
    with run.stage("03_architecture_search") as stage, pytest.raises(KitError, match=r"02_loss_search\.ipynb"):
        stage.need("02_loss_search", "loss.yaml")


def test_a_stage_at_work_in_another_process_is_left_alone(tmp_path):
    run = open_smoke(tmp_path)
    with run.stage("01_classifier") as stage:
        folder = stage.folder
    before = (folder / "manifest.json").read_bytes()
    command = [sys.executable, "-c", HOLD, str(folder / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(KitError, match="01_classifier: another run is at work there"), run.stage("01_classifier"):
            pytest.fail("the stage was entered")
        with run.stage("02_loss_search"):
            pass  # another stage is free
        assert (folder / "manifest.json").read_bytes() == before
        holder.kill()
    with run.stage("01_classifier"), pytest.raises(KitError, match="another run"), run.stage("01_classifier"):
        pytest.fail("the stage was entered a second time")  # the first time it was: a lock dies with its process


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match=r"file.*can't be written"), open_smoke(tmp_path / "file").stage("00_data"):
        pytest.fail("the stage was entered")


def test_the_manifest_says_what_was_made_from_what_by_what(tmp_path):
    run = open_smoke(tmp_path, seed=2)
    with run.stage("00_data") as stage:
        files.write_text(stage.folder / "splits.json", "{}")
    with run.stage("01_classifier") as stage:
        path = stage.need("00_data", "splits.json")
        files.write_text(stage.folder / "sub" / "out.txt", "abc")
        files.write_text(stage.checkpoint, "passing")
        stage.facts["trunk"] = "untrained"
    manifest = files.read_json(run.folder / "01_classifier" / "manifest.json")
    assert manifest["inputs"] == {"00_data/splits.json": files.sha256(path)}
    assert manifest["outputs"] == {"sub/out.txt": files.sha256(run.folder / "01_classifier" / "sub" / "out.txt")}
    assert manifest["parameters"] == run.params.model_dump()
    assert manifest["facts"] == {"trunk": "untrained"}
    assert (manifest["stage"], manifest["device"], manifest["threads"]) == ("01_classifier", "cpu", 1)
    assert manifest["versions"].keys() >= {"python", "torch", "numpy", "pillow"}
    assert manifest["hardware"]
    assert (manifest["seconds"] < 60, manifest["resumes"]) == (True, {})


def test_a_failing_stage_writes_no_manifest_and_lets_go_of_its_lock(tmp_path):
    run = open_smoke(tmp_path)
    with pytest.raises(ZeroDivisionError), run.stage("01_classifier") as stage:
        _ = 1 / 0
    assert not (stage.folder / "manifest.json").exists()
    with run.stage("01_classifier"):
        pass


def test_a_generator_is_fixed_by_seed_and_names_alone():
    def draw(*names: object) -> list[int]:
        return torch.randint(1000, (8,), generator=seeding.generator(*names)).tolist()

    before = torch.get_rng_state()
    assert draw(0, "crop", 3) == draw(0, "crop", 3)
    purposes = ((0, "crop", 3), (1, "crop", 3), (0, "order", 3), (0, "crop", 4))
    assert len({tuple(draw(*names)) for names in purposes}) == 4
    assert torch.equal(torch.get_rng_state(), before)
    assert seeding.generator(0, "crop", 3).initial_seed() == 1747200980807013253  # the same on every machine


def test_a_stage_starts_from_the_same_global_seed_each_time(tmp_path):
    drawn = []
    for seed, name in ((0, "01_classifier"), (0, "01_classifier"), (0, "04_retrain"), (1, "01_classifier")):
        with open_smoke(tmp_path, seed=seed).stage(name):
            drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
