"""Load: ten thousand pairs, and twenty runs side by side."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.soak
# The peak from /proc: that of getrusage would be the larger one of the test's own process, which the child was once.
CHECK = """
import pathlib, re, sys
from hbl_lib.__main__ import main
status = main(["data", "check", sys.argv[1]])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


def test_ten_thousand_pairs_are_listed_and_checked_in_a_minute_and_half_a_gigabyte(tmp_path):
    drawn = np.random.default_rng(0)
    for side in ("low", "high"):
        (tmp_path / side).mkdir()
    for number in range(10_000):
        clear = drawn.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(clear).resize((96, 64), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"high/{number:05}.png", compress_level=1)
        picture.point(lambda v: v // 4).save(tmp_path / f"low/{number:05}.png", compress_level=1)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CHECK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    seconds, megabytes = time.monotonic() - began, int(re.search(r"peak (\d+)", done.stdout)[1]) / 1024
    sys.stdout.write(f"10,000 pairs: {seconds:.0f} s, {megabytes:.0f} MB\n")
    assert done.returncode == 0 and "10000 pairs of" in done.stdout and "nothing wrong" in done.stdout
    assert seconds < 60 and megabytes < 500


def test_twenty_runs_side_by_side_from_one_clone_are_undisturbed(finished_run, tmp_path):
    """As many `make reproduce` at once, each with a results folder of its own: each ends, and with the same bytes."""
    words = ["make", "reproduce", "PROFILE=smoke", "TASKS=llie_lol", f"PYTHON={sys.executable}"]
    started = [
        subprocess.Popen(
            [*words, f"RESULTS={tmp_path / str(n)}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for n in range(20)
    ]
    with ThreadPoolExecutor(20) as pool:  # a full pipe would stop a run
        said = list(pool.map(lambda process: process.communicate()[0], started))
    failed = [text[-2000:] for process, text in zip(started, said, strict=True) if process.returncode]
    assert not failed, "\n\n".join(failed)
    run = finished_run / "smoke/llie_lol"
    for path in (path for name in ("loss.yaml", "genotype.yaml", "metrics.json") for path in run.glob(f"*/{name}")):
        found = {(tmp_path / str(n) / "smoke/llie_lol" / path.relative_to(run)).read_bytes() for n in range(20)}
        assert found == {path.read_bytes()}, path
