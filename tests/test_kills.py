"""Killed, starved and locked out: a run loses nothing that it had saved, and ends with the same bytes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from hbl_lib import files, manifest, runs, stages
from hbl_lib.errors import KitError

ROOT = Path(__file__).parent.parent
# The chain as a person runs it without Jupyter, stage after stage, finished ones passed over; says where it is.
CHAIN = """
import sys
from hbl_lib import ablations, runs, stages
from hbl_lib.errors import KitError
print("loaded", flush=True)
run = runs.open_run(profile="smoke", results=sys.argv[1], device="cpu")
for name, stage in stages.BY_NAME.items():
    if not (run.folder / name / "manifest.json").is_file():
        print("at", name, flush=True)
        try:
            stage(run)
        except KitError as error:
            sys.exit(f"error: {error}")
for member in sys.argv[2:]:
    print("at", member, flush=True)
    ablations.run_member(run, *member.split("/"))
"""
RESULTS = ("loss.yaml", "genotype.yaml", "metrics.json")


def smoke(results, **options):
    return runs.open_run(profile="smoke", results=str(results), device="cpu", **options)


def start(results: Path, *members: str, **options) -> subprocess.Popen:
    words = [sys.executable, "-c", CHAIN, str(results), *members]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=ROOT, **pipes, **options)


def end(process: subprocess.Popen) -> str:
    """What a run said that must end well."""
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def kill_in(process: subprocess.Popen, name: str, longest: float) -> None:
    """Wait until a run comes to a stage, and for a random time of up to `longest` seconds more, and kill it."""
    assert any(line == f"at {name}\n" for line in process.stdout), f"it never came to {name}"
    time.sleep(random.Random(time.time_ns()).uniform(0, longest))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it was killed, with {process.returncode}"


def kept(results: Path) -> dict[str, bytes]:
    """The files that must not hang on when a run was killed."""
    folder = results / "smoke/llie_lol"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.name in RESULTS}


def seconds_of(results: Path) -> float:
    found = (results / "smoke/llie_lol").glob("*/manifest.json")
    return sum(files.read_json(path)["seconds"] for path in found)


def kill_often(results: Path, kills: int, seconds: float, seed: int) -> list[str]:
    """Start the chain, kill it at a random moment of what an undisturbed one takes, and again; where it was each time.

    A run that has come to its end begins anew, so that every kill hits one at work.
    """
    drawn, places = random.Random(seed), []
    while len(places) < kills:
        process = start(results)
        assert process.stdout.readline() == "loaded\n"
        try:
            process.communicate(timeout=drawn.uniform(0, seconds / 2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done = {path.parent.name for path in results.rglob("manifest.json")}
            places.append(next((stage for stage in manifest.STAGES if stage not in done), "after the last"))
        else:
            assert process.returncode == 0
            for stage in manifest.STAGES[1:]:
                shutil.rmtree(results / "smoke/llie_lol" / stage)
    return places


def assert_ends_as_undisturbed(finished_run: Path, results: Path, killed_in: list[str]) -> None:
    said = end(start(results))
    assert kept(results) == kept(finished_run), f"killed in {killed_in}"
    sys.stdout.write(
        f"killed in {', '.join(killed_in)}; {said.count('resumed at step')} resumed in the last run alone\n"
    )
    torn = [p for p in results.rglob(".*") if p.is_file() and p.name != ".lock"]
    assert torn == [], "temporary files of killed runs are left"


def test_a_run_killed_six_times_at_random_moments_ends_with_the_same_bytes(finished_run, tmp_path):
    places = kill_often(tmp_path, 6, seconds_of(finished_run), seed=time.time_ns())
    assert_ends_as_undisturbed(finished_run, tmp_path, places)


@pytest.mark.soak
@pytest.mark.parametrize("batch", range(5))
def test_runs_killed_thirty_times_in_all_end_with_the_same_bytes(finished_run, tmp_path, batch):
    """In each stage once a batch, at a random moment of it."""
    for name in manifest.STAGES:
        seconds = files.read_json(finished_run / "smoke/llie_lol" / name / "manifest.json")["seconds"]
        kill_in(start(tmp_path), name, seconds / 2)
        assert not (tmp_path / "smoke/llie_lol" / name / "manifest.json").exists(), "the stage ended before the kill"
    assert_ends_as_undisturbed(finished_run, tmp_path, list(manifest.STAGES))


@pytest.mark.soak
@pytest.mark.parametrize("member", ["06_loss_ablation/mbllen_searched", "07_architecture_ablation/synchronous"])
def test_a_member_of_an_ablation_killed_four_times_ends_with_the_same_bytes(finished_run, tmp_path, member):
    one, other = tmp_path / "undisturbed", tmp_path / "killed"
    for results in (one, other):
        shutil.copytree(finished_run, results)
    end(start(one, member))
    seconds = files.read_json(one / "smoke/llie_lol" / member / "manifest.json")["seconds"]
    for _ in range(4):
        kill_in(start(other, member), member, seconds / 4)
    end(start(other, member))
    assert kept(other) == kept(one)


AT_A_WRITE = """
import os
from hbl_lib import runs, stages
replace, left = os.replace, int(sys.argv[2])
def replace_and_die(*paths):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    replace(*paths)
os.replace = replace_and_die
"""


@pytest.mark.soak
@pytest.mark.parametrize("write", range(1, 13))
def test_a_stage_killed_between_writing_and_renaming_a_file_ends_with_the_same_bytes(finished_run, tmp_path, write):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    for stage in ("04_retrain", "05_evaluate"):
        shutil.rmtree(tmp_path / "smoke/llie_lol" / stage)
    code = CHAIN.replace("import sys", "import sys" + AT_A_WRITE, 1)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(write)], cwd=ROOT, capture_output=True)
    assert done.returncode == 9
    end(start(tmp_path))
    assert kept(tmp_path) == kept(finished_run)


def no_larger_than(size: int):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_is_told_and_the_run_goes_on_from_the_checkpoint_before(finished_run, tmp_path, cut_off):
    """The limit is on a file's size, which fails like a full disk and needs no rights."""
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    folder = smoke(tmp_path).folder / "04_retrain"
    for stage in ("04_retrain", "05_evaluate"):
        shutil.rmtree(folder.parent / stage)
    cut_off(lambda: stages.retrain(smoke(tmp_path)), 1)
    process = start(tmp_path, preexec_fn=no_larger_than(100_000))
    said = process.communicate()[0]
    assert process.returncode == 1
    assert f"error: {folder / 'checkpoint.safetensors'}: can't be written: File too large" in said
    assert "Free some space and start again." in said
    process = start(tmp_path)
    assert "04_retrain: resumed at step 1" in process.communicate()[0]
    assert kept(tmp_path) == kept(finished_run)


@pytest.mark.soak
def test_make_killed_with_all_that_it_started_goes_on_and_ends_with_the_same_bytes(finished_run, tmp_path):
    """make, Snakemake and papermill by SIGKILL; a notebook's kernel, in a session of its own, sees that and ends."""
    words = ["make", "reproduce", "PROFILE=smoke", "TASKS=llie_lol", f"PYTHON={sys.executable}", f"RESULTS={tmp_path}"]
    drawn, kills, ended = random.Random(time.time_ns()), 0, []
    for _ in range(30):  # one that finds a killed one's kernel still at work is refused, and starts again
        with (tmp_path / "said.txt").open("w") as said:
            process = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
            while process.poll() is None and (kills == 4 or len(list(tmp_path.rglob("manifest.json"))) < kills):
                time.sleep(0.1)
            if process.poll() is None:
                time.sleep(drawn.uniform(5, 15))
                os.killpg(process.pid, signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                ended.append(len(list(tmp_path.rglob("manifest.json"))))
        if process.returncode == 0:
            break
    assert (kills, process.returncode) == (4, 0), (tmp_path / "said.txt").read_text()
    sys.stdout.write(f"killed when {', '.join(map(str, ended))} stages had ended\n")
    assert kept(tmp_path) == kept(finished_run)


def test_a_results_folder_that_is_read_only_is_told_and_left_as_it_was():
    with tempfile.TemporaryDirectory(prefix="hbl") as made:
        folder = Path(made)
        folder.chmod(0o555)
        code = (
            "from hbl_lib import runs; runs.open_run(profile='smoke', results=sys.argv[1]).stage('00_data').__enter__()"
        )
        drop = "import os, sys; os.getuid() or os.setegid(65534) or os.seteuid(65534); "  # root may write anywhere
        words = [sys.executable, "-c", "from hbl_lib import runs; " + drop + code, made]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert f"{folder}/smoke: can't be written: Permission denied. Choose another" in done.stderr
        assert list(folder.iterdir()) == []


def test_the_lock_of_a_killed_run_is_recognised_and_that_of_a_living_one_says_whose_it_is(tmp_path, capsys):
    hold = "import sys, time; from hbl_lib import runs; " + (
        "s = runs.open_run(profile='smoke', results=sys.argv[1]).stage('00_data'); s.__enter__(); "
        "print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(KitError, match=rf"another run is at work there \(process {holder.pid} on .* UTC\)"),
            smoke(tmp_path).stage("00_data"),
        ):
            pytest.fail("the stage was entered")
        holder.kill()
    with smoke(tmp_path).stage("00_data"):
        assert f"the run before (process {holder.pid} on" in capsys.readouterr().out
    with smoke(tmp_path).stage("00_data"):
        assert capsys.readouterr().out == ""  # the one before ended well


def test_a_stage_and_make_do_not_work_on_the_same_results_at_once(tmp_path, capsys):
    hold = [sys.executable, "-m", "hbl_lib", "alone", str(tmp_path / "smoke"), sys.executable, "-c"]
    code = "import os; print(os.getppid(), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*hold, code], cwd=ROOT, **pipes) as holder:
        assert holder.stdout.readline() == f"{holder.pid}\n"
        refused = pytest.raises(KitError, match=rf"another run is at work there \(process {holder.pid} on")
        with refused, smoke(tmp_path).stage("00_data"):
            pytest.fail("the stage was entered")
        holder.kill()  # what it started lives on, and with it the lock
        with pytest.raises(KitError, match="another run is at work"), smoke(tmp_path).stage("00_data"):
            pytest.fail("the stage was entered")
        holder.stdin.close()  # now that ends as well
    for _ in range(100):
        try:
            with smoke(tmp_path).stage("00_data"):
                alone = [*hold, "pass"]
                done = subprocess.run(alone, cwd=ROOT, capture_output=True, text=True)
                assert done.returncode == 1 and "another run is at work there." in done.stderr, "no dead one is named"
            break
        except KitError:
            time.sleep(0.1)
    assert subprocess.run([*hold, "pass"], cwd=ROOT).returncode == 0


def test_ctrl_c_ends_in_a_line_each_and_the_run_goes_on_from_what_was_saved(tmp_path):
    """As a terminal sends it: to make's wrapper and to the stage that it started."""
    stage = [sys.executable, "-m", "hbl_lib", "stage", "00_data", "--profile", "smoke", "--results", str(tmp_path)]
    words = [sys.executable, "-m", "hbl_lib", "alone", str(tmp_path / "smoke"), *stage]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell starts by & has it ignored
    with subprocess.Popen(words, cwd=ROOT, **pipes, preexec_fn=heard) as process:
        assert process.stdout.readline().startswith("00_data: profile smoke")
        os.killpg(process.pid, signal.SIGINT)
        said, told = process.communicate()
    assert process.returncode == 130 and said == "stopping; the next start goes on from what was saved\n"
    assert told == "stopped; the next start goes on from what was saved\n"
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0


def test_what_make_starts_may_work_on_its_results(tmp_path):
    stage = "from hbl_lib import runs; runs.open_run(profile='smoke', results=sys.argv[1]).stage('00_data').__enter__()"
    alone = [sys.executable, "-m", "hbl_lib", "alone", str(tmp_path / "smoke")]
    words = [*alone, sys.executable, "-c", f"import sys; {stage}"]
    done = subprocess.run([*words, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_running_out_of_memory_is_told_with_stage_size_and_setting(finished_run, tmp_path):
    """Memory is really limited; torch's own error is what the kit turns into words."""
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    code = (
        "import resource, sys; from hbl_lib import __main__, stages; "
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096; "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 1_500_000_000,) * 2); "
        "sys.exit(__main__.main(sys.argv[1:]))"
    )
    overrides = "retrain.crop=300,retrain.batch=64"
    words = ["stage", "04_retrain", "--profile", "smoke", "--results", str(tmp_path), "--overrides", overrides]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "04_retrain: step 1: out of memory on cpu, with crops of 64x3x300x300" in done.stderr
    assert "lower retrain.crop (OVERRIDES=retrain.crop=150) or retrain.batch, which starts" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.cpu_count() < 2, reason="one core")
def test_two_runs_on_one_folder_the_second_is_refused_and_the_first_is_undisturbed(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    for stage in manifest.STAGES[3:]:
        shutil.rmtree(tmp_path / "smoke/llie_lol" / stage)
    first = start(tmp_path)
    assert first.stdout.readline() == "loaded\n"
    while not (tmp_path / "smoke/llie_lol/03_architecture_search/.lock").is_file():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # at work for as long as the second takes
    second = start(tmp_path)
    said = second.communicate()[0]
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1 and "another run is at work there (process" in said
    assert first.communicate() and first.returncode == 0
    assert kept(tmp_path) == kept(finished_run)
