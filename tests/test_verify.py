"""`verify` finds what has changed in a run or a bundle since its checksums were recorded."""

import shutil

import pytest
from skimage import data as skimage_data

from hbl_lib import export, files, images, runs, stages
from hbl_lib.__main__ import main
from hbl_lib.errors import KitError


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "results") / "smoke/llie_lol"


def verify(folder, capsys):
    status = main(["verify", str(folder)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_run_as_it_was_made_is_found_so(run, capsys):
    status, said = verify(run, capsys)
    assert status == 0 and "all is as it was recorded" in said
    assert [line.split(":")[0] for line in said.splitlines()[:-1]] == sorted(path.name for path in run.iterdir())


@pytest.mark.parametrize(
    "file", ["02_loss_search/loss.yaml", "05_evaluate/metrics.json", "00_data/pictures/clear/coffee.png"]
)
def test_a_changed_and_a_missing_file_are_named(run, capsys, file):
    with (run / file).open("ab") as opened:
        opened.write(b" ")
    status, said = verify(run, capsys)
    assert status == 1 and f"{run / file}: has changed" in said
    (run / file).unlink()
    status, said = verify(run, capsys)
    assert status == 1 and f"{run / file}: is missing" in said


def test_a_changed_input_is_told_with_each_stage_that_read_it(run, capsys):
    (run / "02_loss_search/loss.yaml").write_text("weights: {}\n")
    said = verify(run, capsys)[1]
    for stage in ("02_loss_search", "03_architecture_search", "04_retrain"):
        assert any(line.startswith(f"{stage}: ") and "nothing wrong" not in line for line in said.splitlines())


@pytest.mark.parametrize("file", ["05_evaluate/metrics.json", "02_loss_search/loss.yaml"])
def test_no_table_is_made_of_what_was_changed(run, capsys, file):
    text = (run / file).read_text()
    (run / file).write_text(text.replace(".", ".9", 1))
    assert (run / file).read_text() != text
    words = ["tables", "--profile", "smoke", "--results", str(run.parents[1])]
    assert main(words) == 1
    assert f"{run / file}: has changed since its stage wrote it" in capsys.readouterr().err
    (run / file).write_text(text)
    assert main(words) == 0


def test_no_stage_goes_on_from_what_was_changed(run, capsys):
    path = run / "03_architecture_search/genotype.yaml"
    path.write_text(path.read_text().replace("dilated", "dense", 1) + " ")
    before = files.checksums(run / "04_retrain")
    assert main(["stage", "04_retrain", "--profile", "smoke", "--results", str(run.parents[1])]) == 1
    assert f"{path}: has changed since its stage wrote it" in capsys.readouterr().err
    assert files.checksums(run / "04_retrain") == before


def test_the_pictures_of_a_folder_are_compared_with_the_lists(run, tmp_path, capsys):
    pictures = shutil.move(run / "00_data/pictures", tmp_path / "pairs")
    manifest = files.read_json(run / "00_data/manifest.json")
    manifest["parameters"]["task"]["data"] = str(pictures)
    manifest["outputs"] = {name: d for name, d in manifest["outputs"].items() if not name.startswith("pictures/")}
    files.write_json(run / "00_data/manifest.json", manifest)
    assert verify(run, capsys)[0] == 0
    (tmp_path / "pairs/degraded/coffee_0.png").unlink()
    assert "pairs/degraded/coffee_0.png: is missing" in verify(run, capsys)[1]


def test_pictures_behind_links_are_compared_too_and_lists_that_are_gone_are_one_problem(tmp_path, capsys):
    for side in ("low", "high"):
        (tmp_path / "store" / side).mkdir(parents=True)
        for name in ("astronaut", "chelsea", "coffee", "rocket"):
            picture = getattr(skimage_data, name)()[:64, :64]
            images.write(tmp_path / "store" / side / f"{name}.png", picture if side == "high" else picture // 4)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / side).symlink_to(tmp_path / "store" / side)
    run = runs.open_run("smoke", data=str(tmp_path / "data"), device="cpu", results=str(tmp_path / "results"))
    stages.data(run)
    assert verify(run.folder, capsys)[0] == 0
    (tmp_path / "store/low/coffee.png").write_bytes(b"")
    assert "data/low/coffee.png: has changed" in verify(run.folder, capsys)[1]
    (run.folder / "00_data/splits.json").unlink()
    said = verify(run.folder, capsys)[1]
    assert "splits.json: no such file" in said and "problem(s)" in said


def test_a_member_that_did_not_end_is_told(run, capsys):
    (run / "06_loss_ablation/unet_default").mkdir(parents=True)
    assert "06_loss_ablation/unet_default: 0 files compared, 1 wrong" in verify(run, capsys)[1]


def test_a_stage_that_is_gone_is_named(run, capsys):
    shutil.rmtree(run / "05_evaluate")
    (run / "seed_1").mkdir()
    shutil.copytree(run / "00_data", run / "seed_1/00_data")
    status, said = verify(run, capsys)
    assert status == 0 and {"05_evaluate: is not there", "seed_1/04_retrain: is not there"} <= set(said.splitlines())
    assert said.endswith("\nwhat is there is as it was recorded\n")


def test_a_file_that_no_manifest_names_is_wrong(run, capsys):
    recorded = files.read_json(run / "04_retrain/manifest.json")
    del recorded["outputs"]["metrics.json"]
    files.write_json(run / "04_retrain/manifest.json", recorded)
    status, said = verify(run, capsys)
    assert status == 1 and f"{run / '04_retrain/metrics.json'}: its manifest does not name it" in said


def test_a_profile_s_folder_tells_what_each_of_its_runs_lacks(run, capsys):
    (run / "05_evaluate/manifest.json").unlink()
    shutil.rmtree(run / "04_retrain")
    status, said = verify(run.parent, capsys)
    assert status == 1 and f"{run.name}/04_retrain: is not there" in said
    assert f"{run.name}/05_evaluate: 0 files compared, 1 wrong\n  has no manifest: it did not end" in said


def test_a_file_beside_the_stages_is_told(run, capsys):
    (run / "restored.json").write_text("{}")
    status, said = verify(run, capsys)
    assert status == 1 and f"{run / 'restored.json'}: nothing that was recorded names it" in said


def test_a_damaged_manifest_or_an_unfinished_replica_does_not_hide_the_other_stages(run, capsys):
    (run / "00_data/manifest.json").write_text("{")
    (run / "05_evaluate/metrics.json").write_text("{}")
    shutil.copytree(run / "04_retrain", run / "seed_1/04_retrain")
    (run / "seed_1/04_retrain/manifest.json").unlink()
    status, said = verify(run, capsys)
    assert status == 1
    assert "00_data/manifest.json: " in said and f"{run / '05_evaluate/metrics.json'}: has changed" in said
    assert "seed_1/04_retrain: 0 files compared, 1 wrong\n  has no manifest: it did not end" in said


@pytest.mark.parametrize("file", ["05_evaluate/metrics.json", "04_retrain/restorer.safetensors"])
def test_no_bundle_is_made_of_what_was_changed(run, tmp_path, file):
    (run / file).write_bytes((run / file).read_bytes() + b" ")
    with pytest.raises(KitError, match=r"has changed since its stage wrote it|is not what 05_evaluate has read"):
        export.bundle(run, tmp_path / "bundle", with_onnx=False)
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_is_compared_with_its_own_checksums(run, tmp_path, capsys):
    bundle = export.bundle(run, tmp_path / "bundle", with_onnx=False)
    assert verify(bundle, capsys)[0] == 0
    (bundle / "genotype.yaml").write_text("")
    (bundle / "more").touch()
    status, said = verify(bundle, capsys)
    assert status == 1 and "genotype.yaml: has changed" in said
    assert f"{bundle / 'more'}: nothing that was recorded names it" in said


def test_what_is_neither_is_told(tmp_path, capsys):
    assert "neither a run (results/PROFILE/TASK) nor a bundle" in verify(tmp_path, capsys)[1]
    (tmp_path / "manifest.json").write_text("[]")
    assert "not a manifest of this kit" in verify(tmp_path, capsys)[1]
