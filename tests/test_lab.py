"""Notebooks run top to bottom in a real JupyterLab, clicked through as a person would."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from test_browser import BROWSER, browser  # noqa: F401 (browser is a fixture)

pytestmark = [pytest.mark.soak, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]
ROOT = Path(__file__).parent.parent
NAMES = ("02_loss_search", "09_report")


@pytest.fixture(scope="module")
def lab(chain, tmp_path_factory):
    """The address of a JupyterLab, and its folder: notebooks that work on a copy of a finished smoke run."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(chain[0], folder / "results/smoke", ignore=shutil.ignore_patterns("*.ipynb"))
    for name in NAMES:
        notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source = cell.source.replace('"quick"', '"smoke"').replace('"results"', repr(str(folder / "results")))
        nbformat.write(notebook, folder / f"{name}.ipynb")
    words = ["-m", "jupyterlab", "--no-browser", "--ServerApp.port=0", "--IdentityProvider.token=", "--allow-root"]
    words += [f"--ServerApp.root_dir={folder}", f"--LabApp.user_settings_dir={folder}/settings"]
    given = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_RUNTIME_DIR": f"{folder}/run",
    }
    server = subprocess.Popen([sys.executable, *words], cwd=folder, env=given, stderr=subprocess.DEVNULL)
    try:
        yield _address(folder / "run", server), folder
    finally:
        server.terminate()
        server.wait(30)


def _address(runtime, server, patience=120):
    """Where the server listens, once it answers."""
    began = time.monotonic()
    while time.monotonic() - began < patience and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            address = json.loads(path.read_text())["url"]
            with urllib.request.urlopen(f"{address}api/status") as answer:
                if answer.status == 200:
                    return address
        time.sleep(0.5)
    raise RuntimeError("JupyterLab did not start")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_jupyterlab_and_shows_what_it_says(browser, lab, name):  # noqa: F811
    address, folder = lab
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}lab/tree/{name}.ipynb")
    idle = page.get_by_text(re.compile(r"\| Idle"))
    idle.wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    path = folder / f"{name}.ipynb"
    for _ in range(60):
        page.wait_for_timeout(5000)
        idle.wait_for(timeout=300_000)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code" and cell.source]
        failed = [out for cell in code for out in cell.outputs if out.output_type == "error"]
        assert not failed, failed[0]["evalue"]
        if all(cell.execution_count for cell in code):
            break
    else:
        pytest.fail(f"{name} has not ended after five minutes")
    shown = [out for cell in code for out in cell.outputs if "text/html" in out.get("data", {})]
    assert len(shown) >= 3
    page.screenshot(path=folder / f"{name}.png")
    assert page.locator(".jp-OutputArea-output img, .jp-OutputArea-output table").count() > 0
    page.close()
