"""Every command that README shows is run as it stands, at the smoke profile, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hbl_lib import images

ROOT = Path(__file__).parent.parent
LEFT_OUT = ("make test",)  # which runs this
# What stands for a place or for hours of computing, and what is put there.
PUT = {
    "results/quick": "results/smoke",
    "--profile quick": "--profile smoke",
    "PICTURES": "pairs/low",
    "CLEAR": "pairs/high",
    "FOLDER": "pairs",
    "make reproduce": f"make reproduce PROFILE=smoke TASKS='llie_lol derain' PYTHON='{sys.executable}'",
}


def commands():
    """The lines of README's blocks marked sh."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and line not in LEFT_OUT]


@pytest.fixture(scope="module")
def project(chain, tmp_path_factory):
    """A folder that looks like a clone in which `make reproduce` has run, beside a folder of pairs."""
    folder = tmp_path_factory.mktemp("clone")
    for path in ROOT.iterdir():
        if path.name not in ("results", ".git", ".snakemake", ".venv", "pairs"):
            (folder / path.name).symlink_to(path)
    shutil.copytree(chain[0], folder / "results/smoke")
    (folder / "results/reference").symlink_to(ROOT / "results/reference")
    (folder / ".venv").symlink_to(sys.prefix)
    judged = chain[0] / "llie_lol/05_evaluate/pictures"
    for name, version in (("low", "degraded"), ("high", "clear")):
        shutil.copytree(judged / version, folder / "pairs" / name)
    return folder


def test_readme_has_commands():
    assert len(commands()) >= 9 and "make reproduce" in commands()


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs_as_it_stands(project, command):
    words = command
    for what, instead in PUT.items():
        words = words.replace(what, instead)
    given = {"PYTHONPATH": str(project), "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run(["bash", "-c", words], cwd=project, capture_output=True, text=True, env=os.environ | given)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_the_python_of_the_readme_restores_a_picture(project):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    export = [sys.executable, "-m", "hbl_lib", "export", "--run", "results/smoke/llie_lol", "--out", "bundle_of_python"]
    given = os.environ | {"PYTHONPATH": str(project)}
    shutil.copy(next((project / "pairs/low").iterdir()), project / "dark.png")
    for words in (export, [sys.executable, "-c", block.replace('"bundle"', '"bundle_of_python"')]):
        done = subprocess.run(words, cwd=project, capture_output=True, text=True, env=given)
        assert done.returncode == 0, done.stderr[-2000:]
    assert images.read(project / "restored.png").shape == images.read(project / "dark.png").shape
