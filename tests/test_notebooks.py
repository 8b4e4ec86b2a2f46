"""Every notebook runs on the smoke profile, alone and in the chain; the stages give the same files without Jupyter."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest

from hbl_lib import files, findings, notebooks, publish, report, runs, stages, tables
from hbl_lib.errors import KitError
from hbl_lib.manifest import STAGES

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TASKS = ("llie_lol", "derain")
MEASURED = {"PSNR (dB)": "psnr", "SSIM": "ssim", "LPIPS": "lpips"}
SAME = ("00_data/splits.json", "02_loss_search/loss.yaml", "03_architecture_search/genotype.yaml")


def test_the_chain_ends_with_the_path_of_the_report(chain):
    folder, text = chain
    assert f"\n{folder}/report.html\n" in text
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("task", TASKS)
def test_every_stage_leaves_metrics_a_manifest_and_its_executed_notebook(chain, task, stage):
    folder = chain[0] / task / stage
    metrics = files.read_json(folder / "metrics.json")
    assert (metrics["profile"], metrics["task"], metrics["stage"]) == ("smoke", task, stage)
    manifest = files.read_json(folder / "manifest.json")
    assert manifest["outputs"]["metrics.json"] == files.sha256(folder / "metrics.json")
    assert (folder / f"{stage}.ipynb").is_file()


def test_metrics_hold_no_times_hosts_or_paths(chain):
    for path in chain[0].rglob("metrics.json"):
        text = path.read_text()
        assert str(chain[0]) not in text and str(ROOT) not in text
        assert not re.search(r"\d{4}-\d\d-\d\dT|\"seconds\"", text)


def test_the_report_shows_every_result_beside_the_published_row_and_loads_nothing(chain):
    page = (chain[0] / "report.html").read_text()
    measured = files.read_json(chain[0] / "llie_lol/05_evaluate/metrics.json")
    for row in ("degraded", "color_matrix", "restored"):
        assert f"{measured[row]['psnr']:.2f}" in page or f"{measured[row]['psnr']:.4g}" in page
    assert f"{measured['restored']['psnr']:.2f} dB, {measured['restored']['ssim']:.3f}" in page
    (first, psnr), (second, ssim) = (tables.best_classical([measured], metric) for metric in ("psnr", "ssim"))
    best = f"{first} {psnr['psnr']:.2f} dB, {second} {ssim['ssim']:.3f}"
    assert re.search(rf'<a href="[^"]+05_evaluate/metrics.json"[^>]*>{best}</a>', page)
    assert 'href="#derain"' in page and 'id="derain"' in page
    assert "This task is not in the paper" in page and "rain is added" in page
    assert "24.16" in page and "0.8663" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page)
    assert page.count("<script") == 1
    assert all('alt="' in tag and 'alt=""' not in tag for tag in re.findall(r"<img[^>]*>", page))
    assert "<math" in page and "$$" not in page


def test_stages_that_ran_without_make_are_reported_too(chain, tmp_path):
    shutil.copytree(chain[0], tmp_path / "smoke", ignore=shutil.ignore_patterns("*.ipynb", "derain"))
    page = report.build(tmp_path / "smoke", ["llie_lol"]).read_text()
    assert 'id="llie_lol-04_retrain"' in page and "Not run by <code>make reproduce</code>" in page
    assert f"{files.read_json(chain[0] / 'llie_lol/05_evaluate/metrics.json')['restored']['psnr']:.2f} dB" in page


def test_a_second_make_has_nothing_to_do(make, chain):
    before = {path: path.stat().st_mtime_ns for path in chain[0].rglob("metrics.json")}
    code, text = make(chain[0].parent, "TASKS=llie_lol derain", "JOBS=2")
    assert code == 0, text
    assert before == {path: path.stat().st_mtime_ns for path in chain[0].rglob("metrics.json")}


def test_several_seeds_are_reported_with_their_spread(plan, chain, tmp_path):
    """The second seed's stages run here without Jupyter; that make would run them, and only them, a dry run tells."""
    results = tmp_path / "results"
    shutil.copytree(chain[0].parent, results)
    (results / "smoke/report.html").unlink()  # Snakemake has no record of a copy's parameters
    first = results / "smoke/derain/05_evaluate/metrics.json"
    planned = plan(tasks="derain", seeds="0 1", results=results)
    outputs = set(re.findall(r"smoke/derain/(\S+)/metrics\.json", " ".join(re.findall(r"output: (.*)", planned))))
    assert outputs == {f"seed_1/{stage}" for stage in STAGES}
    for stage in STAGES:
        stages.BY_NAME[stage](runs.open_run("smoke", "derain", 1, results=str(results), replica="seed_1"))
    read = [files.read_json(path) for path in (first, results / "smoke/derain/seed_1/05_evaluate/metrics.json")]
    assert [metrics["seed"] for metrics in read] == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert's own
        report.build(results / "smoke", ["derain"], ["0", "1"])
    one, other = (metrics["restored"]["psnr"] for metrics in read)
    table = publish.tables(results / "smoke", ["derain"], ["0", "1"])["table_derain"].frame
    row = table.set_index("method").loc["HBL, searched here"]
    assert one != other
    assert row["PSNR (dB)"] == pytest.approx((one + other) / 2)
    assert row["PSNR sd"] == pytest.approx(abs(one - other) / 2**0.5)
    page = (results / "smoke/report.html").read_text()
    assert "mean of seeds 0, 1" in page and "The notebooks of seed 0, as they ran" in page


def test_figure_7_holds_the_shares_of_the_found_losses(chain):
    table = pd.read_csv(chain[0] / "tables/figure7.csv")
    measured = table[table["source"] == "measured"]
    assert set(measured["task"]) == set(TASKS)
    for row in measured.to_dict("records"):
        weights = files.read_yaml(chain[0] / row["file"])[row["key"]]
        assert {term: row[term] for term in findings.TERMS_SHOWN} == pytest.approx(findings.shares(weights))


def test_the_stages_give_the_same_bytes_alone_as_side_by_side_in_jupyter(chain, finished_run):
    for name in [*SAME, *(f"{stage}/metrics.json" for stage in STAGES)]:
        one, other = (results / "llie_lol" / name for results in (chain[0], finished_run / "smoke"))
        assert one.read_bytes() == other.read_bytes(), name


def test_a_notebook_runs_alone_from_another_folder(chain, tmp_path):
    words = ("-m", "papermill", "-k", "python3", str(ROOT / "notebooks/05_evaluate.ipynb"), str(tmp_path / "out.ipynb"))
    done = subprocess.run(
        [sys.executable, *words, "-r", "profile", "smoke", "-r", "results", str(chain[0].parent)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_missing_input_names_the_notebook_that_makes_it(run, tmp_path):
    by_hand = ("stage", "03_architecture_search", "--profile", "smoke", "--results", str(tmp_path))
    notebook = ("notebook", str(ROOT / "notebooks/03_architecture_search.ipynb"), str(tmp_path / "out.ipynb"))
    for words in (by_hand, (*notebook, "profile=smoke", f"results={tmp_path}")):
        code, text = run(sys.executable, "-m", "hbl_lib", *words)
        assert code == 1
        assert "notebooks/02_loss_search.ipynb" in text or "notebooks/00_data.ipynb" in text
        assert text.count("error: ") == 1 and "Traceback" not in text


@pytest.mark.parametrize("word", ["profil=smoke", "seed=one", "smoke"])
def test_a_notebook_is_not_begun_with_a_parameter_that_it_cannot_take(run, tmp_path, word):
    notebook = str(ROOT / "notebooks/00_data.ipynb")
    code, text = run(sys.executable, "-m", "hbl_lib", "notebook", notebook, str(tmp_path / "out.ipynb"), word)
    assert code == 1 and text.startswith("error: ") and word.partition("=")[0] in text
    assert not any(tmp_path.iterdir())


def little(path, *sources):
    """A notebook of these cells, the first of which holds no parameters."""
    cells = [nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}), *map(nbformat.v4.new_code_cell, sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_notebook_s_kernel_is_reached_by_sockets_of_its_own_and_by_no_port(tmp_path, monkeypatch):
    asked = "import ipykernel; print(ipykernel.get_connection_info())"
    long = tmp_path / ("long" * 30)  # where a socket's path would be too long
    long.mkdir()
    for folder in (tmp_path, long):
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        executed = tmp_path / "executed.ipynb"
        notebooks.execute(little(tmp_path / "asks.ipynb", asked), executed, {})
        (output,) = nbformat.read(executed, 4).cells[1].outputs
        assert '"transport": "ipc"' in output["text"]


def test_a_kernel_that_dies_and_a_notebook_that_can_t_be_read_are_told_in_one_message(tmp_path):
    dies = little(tmp_path / "dies.ipynb", "import os; os._exit(1)")
    with pytest.raises(KitError, match=r"executed.ipynb: its kernel died"):
        notebooks.execute(dies, tmp_path / "executed.ipynb", {})
    dies.write_text("{")
    with pytest.raises(KitError, match=r"dies.ipynb: not a notebook that can be read"):
        notebooks.execute(dies, tmp_path / "executed.ipynb", {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_thin_and_without_outputs(path):
    notebook = json.loads(path.read_text())
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    assert len(code) <= 15
    lengths = sorted(len("".join(cell["source"]).splitlines()) for cell in code)
    assert lengths[len(lengths) // 2] <= 10


def test_each_notebook_names_the_next_in_the_order_of_the_readme():
    order = re.findall(r"^\| `(\d\d_\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(order) == sorted(path.stem for path in NOTEBOOKS)
    for name, following in itertools.pairwise(order):
        assert f"**Next**: `{following}`" in (ROOT / f"notebooks/{name}.ipynb").read_text(), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_understands_every_parameter(path):
    cells = json.loads(path.read_text())["cells"]
    source = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    known = papermill.inspect_notebook(str(path))
    assert list(known) == re.findall(r"(?m)^(\w+):", source)
    assert {facts["inferred_type_name"] for facts in known.values()} <= {"str", "int"}


def test_a_misspelt_setting_of_make_is_refused_and_no_ablations_are_none(run, plan):
    code, said = run("make", "reproduce", "TASK=sihr", "PROFILE=smoke")
    assert code != 0 and "no setting TASK; there are: PROFILE TASKS DATA" in said
    assert "rule member" not in plan(tasks="llie_lol", ablations="0", results="nowhere")
    assert "rule member" in plan(tasks="llie_lol", ablations="1", results="nowhere")
