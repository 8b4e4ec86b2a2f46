"""Fixtures that several test files share."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings

from hbl_lib import checkpoint, images, perceptual, runs, stages, weights
from hbl_lib.data import Pictures
from hbl_lib.losses import LossSpace
from hbl_lib.pairs import Pair

# Cases of each test in test_fuzz.py, of which there are 25: 450 in `make test`, 5,500 in `make soak`.
UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("test", max_examples=18, derandomize=True, **UNHURRIED)
settings.register_profile("soak", max_examples=220, **UNHURRIED)
settings.load_profile("test")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The tensors here are small: a second thread gains nothing, and beside another job it costs a factor of 20."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def run():
    """run(*words, **environment): a command in the project's folder; its exit status, and all that it said."""
    root = Path(__file__).parent.parent

    def call(*words, **environment):
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, env={**os.environ, **environment})
        return done.returncode, done.stdout + done.stderr

    return call


@pytest.fixture(scope="session")
def make(run):
    """make(results, *words): `make reproduce` on the smoke profile."""

    def call(results, *words):
        return run("make", "reproduce", "PROFILE=smoke", f"RESULTS={results}", f"PYTHON={sys.executable}", *words)

    return call


@pytest.fixture(scope="session")
def plan(run):
    """plan(**settings): what Snakemake would run with these settings of make on the smoke profile."""

    def call(**settings):
        given = {f"HBL_RUN_{name.upper()}": str(value) for name, value in {"profile": "smoke", **settings}.items()}
        return run(sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--nolock", **given)[1]

    return call


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """A machine without any trained weights, whatever this one holds."""
    monkeypatch.delenv("HBL_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def weight_file(no_weights, monkeypatch, tmp_path):
    """weight_file(name, content): the file of the trunk `name`, with this content and its SHA-256 the right one.

    The folder becomes HBL_WEIGHTS.
    """

    def write(name, content):
        path = tmp_path / weights.FILES[name]
        path.write_bytes(content)
        monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
        monkeypatch.setitem(weights.SHA256, path.name, hashlib.sha256(content).hexdigest())
        return path

    return write


@pytest.fixture
def space(no_weights):
    """The loss space over the seeded untrained trunk."""
    trunk = perceptual.feature_trunk()
    return LossSpace(trunk, perceptual.lpips_term(trunk))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, worker_id):
    """The results folder of one smoke run of the whole chain, without Jupyter. Copy it before changing anything.

    One for all of pytest's workers: the first that wants it makes it, the others wait.
    """
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    results = shared / "finished"
    with FileLock(shared / "finished.lock"):
        for name, stage in stages.BY_NAME.items():
            if not (results / "smoke/llie_lol" / name / "manifest.json").is_file():
                stage(runs.open_run(profile="smoke", results=str(results), device="cpu"))
    return results


@pytest.fixture(scope="session")
def chain(make, tmp_path_factory, worker_id):
    """The smoke results of one `make reproduce`, a task of the paper and one of one's own side by side; what it said.

    One for all of pytest's workers, like `finished_run`. Copy it before changing anything.
    """
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    said = shared / "chain.txt"
    with FileLock(shared / "chain.lock"):
        if not said.is_file():
            code, text = make(shared / "chain", "TASKS=llie_lol derain", "JOBS=2")
            assert code == 0, text[-3000:]
            said.write_text(text)
    return shared / "chain/smoke", said.read_text()


@pytest.fixture
def cut_off(monkeypatch):
    """cut_off(work, after): call `work`, which at smoke saves a checkpoint every step, and stop it at save `after`."""

    def run(work, after):
        saves, save = [], checkpoint.save

        def save_and_stop(path, tree, before=None):
            save(path, tree, before)
            saves.append(path)
            if len(saves) == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoint, "save", save_and_stop)
            work()

    return run


@pytest.fixture
def test_pictures(tmp_path, rng):
    """Two pairs of 14x20 noise in low/ and high/, and as many restored ones in mine/."""
    for folder in ("low", "high", "mine"):
        for number in range(4):
            picture = torch.randint(256, (14, 20, 3), generator=rng, dtype=torch.uint8).numpy()
            images.write(tmp_path / folder / f"{number}.png", picture)
    return Pictures(tmp_path, [Pair(f"low/{n}.png", f"high/{n}.png", str(n)) for n in (1, 3)])
