"""Settings of make: how many notebooks run side by side. What is wrong with the others: test_main.py."""

import os

import pytest

from hbl_lib import settings
from hbl_lib.errors import KitError


def test_as_many_notebooks_run_side_by_side_as_the_cores_have_room_for(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert [settings.jobs("auto", threads, on_gpu=False) for threads in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert settings.jobs("auto", 1, on_gpu=True) == 1
    assert settings.jobs("3", 8, on_gpu=True) == 3
    with pytest.raises(KitError, match="JOBS '0': expected a whole number of at least 1, or auto"):
        settings.jobs("0", 1, on_gpu=False)
