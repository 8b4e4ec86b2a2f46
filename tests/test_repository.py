"""What a repository has beside its code: files for CI and citing that are valid, and short advice for contributors."""

import re
import sys
from pathlib import Path

import pytest

from hbl_lib import files

ROOT = Path(__file__).parent.parent
VALID = [(path, "github-workflows") for path in sorted((ROOT / ".github/workflows").glob("*.yml"))]
VALID.append((ROOT / "CITATION.cff", "citation-file-format"))


@pytest.mark.parametrize(("path", "schema"), VALID, ids=lambda given: getattr(given, "name", ""))
def test_a_file_fits_its_published_schema(run, path, schema):
    code, text = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path))
    assert code == 0, text


def test_workflows_call_what_make_has_and_with_settings_that_it_knows():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    known = re.search(r"^KNOWN = (.*)$", makefile, re.MULTILINE).group(1).split()
    for path, _ in VALID[:-1]:
        for job in files.read_yaml(path)["jobs"].values():
            for step in job["steps"]:
                called = re.findall(r"^make (\S+)", step.get("run", ""), re.MULTILINE)
                assert set(called) <= targets
                assert set(step.get("env", {})) <= set(known)


def test_advice_for_contributors_is_short_and_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 50
    for path in re.findall(r"`((?:hbl_lib|params|tests|notebooks|results)/[\w/.]*)`", text):
        assert (ROOT / path).exists() or "NAME" in path, path
