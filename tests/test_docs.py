"""What is public is documented, the examples in its words hold, and `make docs` makes pages of them."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import hbl_lib

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


def test_make_docs_writes_a_page_for_every_module_that_asks_for_nothing(run, tmp_path):
    import sys

    code, text = run("make", "docs", f"PYTHON={sys.executable}", f"RESULTS={tmp_path}", "PROFILE=smoke")
    assert code == 0, text[-2000:]
    pages = tmp_path / "smoke/docs"
    for name in MODULES:
        assert (pages / f"{name.replace('.', '/')}.html").is_file() or (pages / name.replace(".", "/")).is_dir()
    page = (pages / "hbl_lib/losses.html").read_text()
    assert "colour x 0.1" in page and "cdn" not in page.lower()
