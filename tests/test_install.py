"""pyproject.toml, requirements.lock and environment.yml stay in step, and name no place."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from hbl_lib import embedded

ROOT = Path(__file__).parent.parent


def locked():
    pins = re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return {name for name, _ in pins}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def test_every_declared_package_is_pinned_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {name_of(r) for r in declared} <= locked()


def test_every_pin_satisfies_its_declared_bound():
    from packaging.requirements import Requirement

    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for text in project["project"]["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower()]), text


def test_every_pin_carries_hashes():
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())
    pins = [block for block in blocks if re.match(r"[a-z0-9._-]+==", block)]
    assert len(pins) > 100
    assert all("--hash=sha256:" in block for block in pins)


def test_conda_installs_the_same_lock_with_hashes():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["--require-hashes", "--requirement requirements.lock"]
    python = next(e for e in environment["dependencies"] if isinstance(e, str) and e.startswith("python="))
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    from packaging.specifiers import SpecifierSet

    assert SpecifierSet(bounds).contains(python.removeprefix("python="))


def test_no_committed_file_names_a_package_host_or_a_place_on_one_machine():
    words = ["git", "ls-files", "-co", "--exclude-standard", "--exclude=*.log"]  # but logs that a user keeps here
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    pattern = re.compile(
        r"https?://\S*(pypi|pythonhosted|/simple\b|/whl/|registry)|" + re.escape(str(ROOT.parent)) + "/"
    )
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if path.is_file() and path.name != "test_install.py":
            assert not pattern.search(path.read_text(errors="ignore")), name


def test_the_readme_names_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"reproduce", "test"} <= named <= targets


def test_ci_runs_what_the_readme_says():
    assert (ROOT / ".ci/run").read_text().strip().endswith("make test")


def test_the_readme_lists_every_embedded_picture_with_its_licence():
    text = (ROOT / "README.md").read_text()
    for row in embedded.licences():
        assert f"| {row['picture']} | {row['package']} | {row['credit']} | {row['licence']} |" in text
