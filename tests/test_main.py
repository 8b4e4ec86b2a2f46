"""What a person reads when something is wrong: one message, exit status 1, nothing half-written."""

import numpy as np
import pytest
from PIL import Image

from hbl_lib.__main__ import main
from hbl_lib.lock import locked


def folder_of_pairs(folder, count=4, size=(20, 16)):
    for number in range(count):
        for side, level in (("low", 30), ("high", 200)):
            path = folder / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size[1], size[0], 3), level + number, np.uint8)).save(path)
    return folder


def missing_folder(folder):
    return folder.with_name("nowhere")


def unpaired(folder):
    (folder / "high/2.png").unlink()
    return folder


def sizes_that_differ(folder):
    Image.new("RGB", (5, 5)).save(folder / "low/1.png")
    return folder


def truncated(folder):
    path = folder / "low/3.png"
    path.write_bytes(path.read_bytes()[:60])
    return folder


FAULTS = [
    (missing_folder, "nowhere: no such folder"),
    (unpaired, "low/2.png: has no partner in high/"),
    (sizes_that_differ, "low/1.png is 5x5 but high/1.png is 20x16"),
    (truncated, "low/3.png: the picture is broken"),
]


def run(words, capsys):
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(("fault", "told"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("command", ["check", "stage"])
def test_a_fault_of_the_data_is_one_message_and_nothing_is_written(tmp_path, capsys, fault, told, command):
    data = fault(folder_of_pairs(tmp_path / "pairs"))
    words = [command, *(["00_data"] if command == "stage" else []), "--profile", "smoke", "--data", data]
    status, _, error = run([*words, "--results", tmp_path / "results"], capsys)
    assert status == 1
    assert error.startswith("error: ") and told in error
    written = [path for path in (tmp_path / "results").rglob("*") if path.is_file() and path.name != ".lock"]
    assert written == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--overrides", "retrain.stepz=3"], "retrain.stepz: unknown parameter. Did you mean 'steps'?"),
        (["--profile", "quik"], "no profile 'quik'"),
        (["--tasks", "llie_lo"], "no task 'llie_lo'"),
        (["--tasks", "llie_lol uie", "--data", "folder"], "DATA is one task's, but TASKS names 2: llie_lol uie"),
        (["--tasks", ""], "TASKS '': expected names of params/tasks"),
        (["--tasks", "uie uie"], "TASKS 'uie uie': expected names of params/tasks, each once"),
        (["--overrides", "task.published_table=table9"], "no table 'table9'; there are: table2"),
        (["--seeds", "0 0"], "SEEDS '0 0': expected whole numbers from 0 on, each once"),
        (
            ["--overrides", "task.degradation=hase"],
            "no degradation 'hase'; there are: low_light, haze, underwater, rain. Did you mean 'haze'?",
        ),
        (["--device", "gpu"], "device 'gpu' is not one of auto, cpu, cuda"),
        (["--tasks", "uie,sihr"], "TASKS 'uie,sihr': expected names of params/tasks, each once, separated by spaces"),
        (["--ablations", "yes"], "ABLATIONS 'yes': 1 runs the ablations, 0 or nothing leaves them out"),
        (["--jobs", "two"], "JOBS 'two': expected a whole number of at least 1, or auto"),
        (["--results", "a{b}"], "RESULTS 'a{b}': choose a folder without <, >, {, }"),
    ],
)
def test_a_wrong_parameter_is_one_message(capsys, words, told):
    status, _, error = run(["check", *words], capsys)
    assert status == 1 and told in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("count", "size", "told"),
    [
        (3, (80, 70), "3 picture(s) are too few: train, search, validation and test each need one of their own"),
        (4, (80, 60), "low/0.png is 80x60, smaller than the crop of 64. Lower"),
    ],
)
def test_a_folder_on_which_a_later_stage_would_fail_is_refused_before_the_first(tmp_path, capsys, count, size, told):
    data = folder_of_pairs(tmp_path / "pairs", count, size)
    status, _, error = run(["check", "--profile", "smoke", "--data", data], capsys)
    assert status == 1 and told in error


def test_a_sound_folder_is_told_by_what_it_holds(tmp_path, capsys):
    status, out, _ = run(["data", "check", folder_of_pairs(tmp_path / "pairs")], capsys)
    assert status == 0
    assert "low/ and high/, 4 pairs of 4 scenes" in out and "4 of 20x16" in out and "nothing wrong" in out


@pytest.mark.parametrize(("task", "noted"), [("llie_mit", False), ("uie", True), ("derain", True)])
def test_a_folder_of_another_tasks_set_is_taken_with_a_note(tmp_path, capsys, task, noted):
    data = folder_of_pairs(tmp_path / "pairs", 40, (64, 64))
    status, out, _ = run(["check", "--profile", "smoke", "--tasks", task, "--data", data], capsys)
    assert status == 0 and ("low/ and high/, the folders of a set for low light, but task" in out) == noted


def test_data_check_lists_every_problem_and_fails(tmp_path, capsys):
    data = truncated(sizes_that_differ(unpaired(folder_of_pairs(tmp_path / "pairs"))))
    status, out, _ = run(["data", "check", data], capsys)
    assert status == 1 and "3 problem(s)" in out
    for _, told in FAULTS[1:]:
        assert told in out


def test_an_unknown_stage_names_the_nearest(capsys):
    status, _, error = run(["stage", "04_retrian"], capsys)
    assert status == 1 and "Did you mean '04_retrain'?" in error


def test_a_notebook_that_computes_no_stage_is_told_from_a_stage(capsys):
    status, _, error = run(["stage", "08_searched_results"], capsys)
    assert status == 1 and "computes no stage of its own" in error and "papermill" in error


def test_restoring_by_a_run_that_is_not_there_names_its_folder(tmp_path, capsys):
    words = ["restore", "--run", tmp_path / "quick/nope", "--out", tmp_path / "out", tmp_path / "a.png"]
    status, _, error = run(words, capsys)
    assert status == 1 and f"{tmp_path / 'quick/nope'}: no such folder of a run or bundle" in error


def test_a_replica_stays_in_its_tasks_folder(tmp_path, capsys):
    words = ["stage", "00_data", "--profile", "smoke", "--results", tmp_path, "--replica", "../x"]
    status, _, error = run(words, capsys)
    assert status == 1 and "replica '../x': use names of letters, digits" in error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "mine"], "METHODS 'mine': write name=folder"),
        (["--methods", "mine=nowhere"], "nowhere: no such folder"),
        (["--overrides", "search=published", "--tasks", "derain"], "no published genotype for task 'derain'"),
        (["--methods", "mine=.", "--tasks", "uie sihr"], "METHODS are one task's, but TASKS names 2"),
    ],
)
def test_what_would_stop_a_later_stage_is_told_before_the_first_stage(capsys, words, told):
    status, _, error = run(["check", "--profile", "smoke", *words], capsys)
    assert status == 1 and told in error


def test_a_member_goes_with_an_ablation_alone(tmp_path, capsys):
    wrong = {
        (
            "04_retrain",
            "--member",
            "3-C",
        ): "--member is for 06_loss_ablation, 07_architecture_ablation, 12_search_quality, not for 04",
        ("07_architecture_ablation",): "07_architecture_ablation needs --member: supernet, 1-C, 3-C",
        ("04_retrain", "--methods", "a=b"): "--methods is for 05_evaluate, not for 04_retrain",
    }
    for words, told in wrong.items():
        status, _, error = run(["stage", *words, "--profile", "smoke", "--results", tmp_path], capsys)
        assert status == 1 and told in error
    assert list(tmp_path.iterdir()) == []


def test_tables_without_results_say_what_makes_them(tmp_path, capsys):
    status, said, error = run(["tables", "--tasks", "uie", "--results", tmp_path], capsys)
    assert status == 1 and "none of uie has run there. make reproduce runs them" in error and "uie: has not run" in said


def test_a_method_that_lacks_a_picture_is_told_before_a_finished_evaluation_is_touched(finished_run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    source = next((finished_run / "smoke/llie_lol/05_evaluate/pictures/gamma").iterdir())
    (tmp_path / "mine" / source.name).write_bytes(source.read_bytes())
    words = ["check", "--profile", "smoke", "--results", finished_run, "--methods", f"mine={tmp_path / 'mine'}"]
    status, _, error = run(words, capsys)
    assert status == 1 and "has no restored" in error and "each of the 2 test pictures is needed" in error


def test_a_stage_and_make_refuse_each_other_and_two_stages_do_not(tmp_path, capsys):
    """Snakemake takes a refused job's files away, so make must not come so far."""
    words = ["stage", "00_data", "--profile", "smoke", "--results", str(tmp_path)]
    with locked(tmp_path / "smoke"):
        assert main(words) == 1
    assert f"{tmp_path / 'smoke'}: another run is at work there" in capsys.readouterr().err
    with locked(tmp_path / "smoke", shared=True):
        assert main(words) == 0
        assert main(["alone", str(tmp_path / "smoke"), "true"]) == 1
    assert "another run is at work there" in capsys.readouterr().err
    assert main(["alone", str(tmp_path / "smoke"), "true"]) == 0
