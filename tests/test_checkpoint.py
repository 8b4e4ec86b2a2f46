"""Checkpoints: what goes in comes out bit for bit, and nothing in a file is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hbl_lib import checkpoint
from hbl_lib.errors import KitError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DTYPES = (*FLOATS, torch.uint8, torch.int32, torch.int64, torch.bool)


def test_nested_trees_come_back_with_types_keys_and_values(tmp_path):
    tree = {
        "tensors": {str(dtype): (torch.arange(6).reshape(2, 3) % 2).to(dtype) for dtype in DTYPES},
        "plain": {"int": 1, "float": 0.1, "text": "Ü", "none": None, "yes": True, "list": [1, [2.5, {"deep": 3}]]},
        "integers": {0: torch.tensor(1.5), 10: {"a": torch.ones(2)}},
        "empty": {"dict": {}, "list": [], "tensor": torch.zeros(0, 3)},
        "scalar": torch.tensor(7),
    }
    checkpoint.save(tmp_path / "c", tree)
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded["plain"] == tree["plain"]
    assert list(loaded["integers"]) == [0, 10]
    assert loaded["integers"][0].item() == 1.5
    assert loaded["integers"][10]["a"].tolist() == [1, 1]
    assert (loaded["empty"]["dict"], loaded["empty"]["list"], loaded["empty"]["tensor"].shape) == ({}, [], (0, 3))
    assert loaded["scalar"].shape == ()
    for name, tensor in tree["tensors"].items():
        assert loaded["tensors"][name].dtype == tensor.dtype
        assert torch.equal(loaded["tensors"][name], tensor)


def test_views_parameters_and_shared_tensors_come_back_by_value(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    checkpoint.save(
        tmp_path / "c", {"t": base.T, "again": base, "p": torch.nn.Parameter(base[1:]), "same": [base, base]}
    )
    loaded = checkpoint.load(tmp_path / "c")
    assert torch.equal(loaded["t"], base.T)
    assert torch.equal(loaded["p"], base[1:])
    assert all(torch.equal(part, base) for part in (loaded["again"], *loaded["same"]))


def _train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        batch = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.999)),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=3e-4),
    ],
    ids=["adam", "sgd"],
)
def test_training_goes_on_bit_for_bit_after_a_reload(tmp_path, make):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))
    optimizer = make(model.parameters())
    _train(model, optimizer, range(3))
    checkpoint.save(tmp_path / "c", {"model": model.state_dict(), "optimizer": optimizer.state_dict()})

    again = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))
    resumed = make(again.parameters())
    loaded = checkpoint.load(tmp_path / "c")
    again.load_state_dict(loaded["model"])
    resumed.load_state_dict(loaded["optimizer"])
    _train(model, optimizer, range(3, 8))
    _train(again, resumed, range(3, 8))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_truncated_file_is_an_error_that_names_it(tmp_path):
    checkpoint.save(tmp_path / "whole", {"a": torch.arange(100.0), "b": [1, 2]})
    whole, torn = (tmp_path / "whole").read_bytes(), tmp_path / "torn.safetensors"
    for length in (0, 1, 7, 8, 9, 50, len(whole) // 2, len(whole) - 1):
        torn.write_bytes(whole[:length])
        with pytest.raises(KitError, match=r"torn\.safetensors: not a readable checkpoint"):
            checkpoint.load(torn)


def test_foreign_and_missing_files_are_errors_that_name_them(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other-a")
    save_file({"a": torch.ones(1)}, tmp_path / "other-b", metadata={"tree": '{"$dict": [["x", {"$tensor": "gone"}]]}'})
    (tmp_path / "other-c").write_text("not a checkpoint at all, but long enough to have a header")
    torch.save({"a": torch.ones(1)}, tmp_path / "other-d")
    for name in "abcd":
        with pytest.raises(KitError, match=f"other-{name}: not a readable checkpoint"):
            checkpoint.load(tmp_path / f"other-{name}")
    with pytest.raises(KitError, match="none: no such checkpoint"):
        checkpoint.load(tmp_path / "none")


class _Evil:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_under_a_checkpoints_name_is_not_run(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "checkpoint.safetensors"
    path.write_bytes(pickle.dumps(_Evil(marker)))
    with pytest.raises(KitError, match="not a readable checkpoint"):
        checkpoint.load(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 (the payload does work where pickles are read)
    assert marker.exists()


def test_a_failing_save_leaves_the_old_checkpoint(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "c", {"a": object()})
    assert checkpoint.load(tmp_path / "c") == {"a": 1}
    assert list(tmp_path.iterdir()) == [tmp_path / "c"]
