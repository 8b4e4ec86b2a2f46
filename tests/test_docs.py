"""What is public is documented, the examples in its words hold, and `make docs` makes pages of them."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import hbl_lib
from hbl_lib import files, manifest

MODULES = [
    module.name for module in pkgutil.walk_packages(hbl_lib.__path__, "hbl_lib.") if module.name != "hbl_lib.__main__"
]


def public(owner, module):
    """The classes, functions and methods that belong to a module or class, by name."""
    for name, value in vars(owner).items():
        inner = getattr(value, "__func__", value.fget if isinstance(value, property) else value)
        own = getattr(inner, "__module__", None) == module and (inspect.isfunction(inner) or inspect.isclass(inner))
        if own and not name.startswith("_") and not inner.__name__.startswith("_"):
            yield name, getattr(owner, name) if not isinstance(value, property) else value
            if inspect.isclass(inner):
                yield from ((f"{name}.{below}", found) for below, found in public(inner, module))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_says_what_it_is_and_its_examples_hold(name):
    module = importlib.import_module(name)
    assert module.__doc__
    silent = [where for where, value in public(module, name) if not inspect.getdoc(value)]
    assert not silent
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 12


def test_the_map_names_every_module():
    named = set(re.findall(r"`(\w+)`", hbl_lib.__doc__.split("What a stage leaves")[0]))
    assert named == {name.split(".")[1] for name in MODULES}


def test_the_keys_of_metrics_and_history_are_told(chain):
    rows = dict(re.findall(r"^- (0\d_\w+): ((?:.|\n  )*)", hbl_lib.__doc__, re.MULTILINE))
    assert len(rows) == 6
    for stage, told in rows.items():
        folder = chain[0] / "llie_lol" / stage
        keys = set(manifest.metrics(folder)) - {"profile", "task", "stage", "seed", "data", "images"}
        if (folder / "history.json").is_file():
            keys |= set(files.read_json(folder / "history.json")[-1])
        assert keys <= set(re.findall(r"\w+", told)), stage


def test_make_docs_writes_a_page_for_every_module_that_asks_for_nothing(run, tmp_path):
    import sys

    code, text = run("make", "docs", f"PYTHON={sys.executable}", f"RESULTS={tmp_path}", "PROFILE=smoke")
    assert code == 0, text[-2000:]
    pages = tmp_path / "smoke/docs"
    for name in MODULES:
        assert (pages / f"{name.replace('.', '/')}.html").is_file() or (pages / name.replace(".", "/")).is_dir()
    page = (pages / "hbl_lib/losses.html").read_text()
    assert "colour x 0.1" in page and "cdn" not in page.lower()
