"""Fixtures that several test files share."""

import pytest
import torch

from hbl_lib import checkpoint, loop, perceptual, runs, stages
from hbl_lib.losses import LossSpace


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The tensors here are small: a second thread gains nothing, and beside another job it costs a factor of 20."""
    torch.set_num_threads(1)


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
def space(no_weights):
    """The loss space over the seeded untrained trunk."""
    trunk = perceptual.feature_trunk()
    return LossSpace(trunk, perceptual.lpips_term(trunk))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The results folder of one smoke run of the whole chain, without Jupyter. Copy it before changing anything."""
    results = tmp_path_factory.mktemp("finished")
    for stage in stages.BY_NAME.values():
        stage(runs.open_run(profile="smoke", results=str(results), device="cpu"))
    return results


@pytest.fixture
def cut_off(monkeypatch):
    """cut_off(work, after): call `work`, which saves a checkpoint every step, and stop it at save number `after`."""

    def run(work, after):
        saves, save = [], checkpoint.save

        def save_and_stop(path, tree):
            save(path, tree)
            saves.append(path)
            if len(saves) == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "SAVE_EVERY_S", -1)
            patch.setattr(checkpoint, "save", save_and_stop)
            work()

    return run
