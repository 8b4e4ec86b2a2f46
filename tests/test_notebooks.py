"""Every notebook runs on the smoke profile, alone and in the chain; the stages give the same files without Jupyter."""

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
import pytest
from PIL import Image

from hbl_lib import ablations, files, findings, publish, report, runs, stages
from hbl_lib.runs import ABLATIONS, STAGES

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TASKS = ("llie_lol", "derain")
MEASURED = {"PSNR (dB)": "psnr", "SSIM": "ssim", "LPIPS": "lpips"}
SAME = ("00_data/splits.json", "02_loss_search/loss.yaml", "03_architecture_search/genotype.yaml")


def run(*words, **environment):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    return done.returncode, done.stdout + done.stderr


def make(results, *words):
    """A task of the paper and one of one's own, side by side."""
    tasks = ("TASKS=llie_lol derain", "JOBS=2", "PROFILE=smoke")
    return run("make", "reproduce", *tasks, f"RESULTS={results}", f"PYTHON={sys.executable}", *words)


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """The smoke results of one `make reproduce`."""
    results = tmp_path_factory.mktemp("chain")
    code, text = make(results)
    assert code == 0, text[-3000:]
    return results / "smoke", text


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
    assert 'href="#derain"' in page and 'id="derain"' in page
    assert "This task is not in the paper" in page and "rain is added" in page
    assert "24.16" in page and "0.8663" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page)
    assert "<script" not in page
    assert all('alt="' in tag and 'alt=""' not in tag for tag in re.findall(r"<img[^>]*>", page))
    assert "<math" in page and "$$" not in page


def test_a_second_make_has_nothing_to_do(chain):
    before = {path: path.stat().st_mtime_ns for path in chain[0].rglob("metrics.json")}
    code, text = make(chain[0].parent)
    assert code == 0, text
    assert before == {path: path.stat().st_mtime_ns for path in chain[0].rglob("metrics.json")}


def test_several_seeds_are_reported_with_their_spread(chain, tmp_path):
    """The second seed's stages run here without Jupyter; that make would run them, and only them, a dry run tells."""
    results = tmp_path / "results"
    shutil.copytree(chain[0].parent, results)
    (results / "smoke/report.html").unlink()  # Snakemake has no record of a copy's parameters
    first = results / "smoke/derain/05_evaluate/metrics.json"
    words = ("-m", "snakemake", "--dry-run", "--cores", "1", "--nolock", "--config", "profile=smoke", "tasks=derain")
    planned = run(sys.executable, *words, "seeds=0 1", f"results={results}")[1]
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
    assert "mean of seeds 0, 1" in page and "The notebooks are those of seed 0" in page


@pytest.fixture(scope="session")
def ablated(chain, tmp_path_factory):
    """A copy of the chain's results, with the ablations of one task and one method more."""
    results = tmp_path_factory.mktemp("ablated") / "results"
    shutil.copytree(chain[0].parent, results)
    for name in ("report.html", "llie_lol/05_evaluate/metrics.json"):  # Snakemake has no record of a copy's parameters
        (results / "smoke" / name).unlink()
    elsewhere = results / "smoke/llie_lol/05_evaluate/pictures/gamma"
    given = shutil.copytree(elsewhere, results.parent / "given folder")
    code, text = make(results, "TASKS=llie_lol", "ABLATIONS=1", f"METHODS=mine='{given}'")
    assert code == 0, text[-3000:]
    return results / "smoke"


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_each_member_is_a_job_of_its_own_and_one_more_shows_them_all(ablated, ablation):
    folder = ablated / "llie_lol" / ablation
    for member in ablations.members(ablation, "llie_lol"):
        assert files.read_json(folder / member / "metrics.json")["stage"] == f"{ablation}/{member}"
        assert ablations.finished(ablated / "llie_lol", f"{ablation}/{member}")
        assert (folder / member / f"{ablation}.ipynb").is_file()
    assert (folder / f"{ablation}.ipynb").is_file()
    assert f'id="llie_lol-{ablation}"' in (ablated / "report.html").read_text()


def test_the_loss_of_mbllen_is_searched_in_its_own_space(ablated):
    weights = files.read_json(ablated / "llie_lol/06_loss_ablation/mbllen_searched/metrics.json")["weights"]
    assert list(weights) == ["mae", "ssim", "ms_ssim", "vgg", "region_low", "region_high"]
    assert all(weight != 1 for weight in weights.values())


def at(metrics, key):
    for name in key.split("."):
        metrics = metrics[name]
    return metrics


def test_every_measured_cell_of_every_table_stands_in_its_metrics_file(chain, ablated):
    cells = 0
    for path in [*(chain[0] / "tables").glob("table*.csv"), *(ablated / "tables").glob("[tf]*[!7].csv")]:
        table = pd.read_csv(path)
        assert set(MEASURED) <= set(table)
        for row in table.to_dict("records"):
            has_file = isinstance(row["file"], str)
            assert has_file == (not pd.isna(row["PSNR (dB)"])), row
            if has_file:
                files_ = [files.read_json(path.parent.parent / name) for name in row["file"].split()]
                for heading, metric in MEASURED.items():
                    values = [at(metrics, row["key"])[metric] for metrics in files_]
                    missing = None in values
                    assert (
                        pd.isna(row[heading]) if missing else row[heading] == pytest.approx(sum(values) / len(values))
                    )
                    cells += not missing
                if "difference (dB)" in row and not pd.isna(row["difference (dB)"]):
                    assert row["difference (dB)"] == pytest.approx(row["PSNR (dB)"] - row["published PSNR (dB)"])
                if not pd.isna(row.get("parameters", float("nan"))):
                    assert (row["parameters"], row["steps"]) == (files_[0]["parameters"], files_[0]["steps"])
                    assert row["GMAC at 400x600"] == pytest.approx(files_[0]["macs"]["count"] / 1e9)
    assert cells > 60


def test_figure_7_holds_the_shares_of_the_found_losses(chain):
    table = pd.read_csv(chain[0] / "tables/figure7.csv")
    measured = table[table["source"] == "measured"]
    assert set(measured["task"]) == set(TASKS)
    for row in measured.to_dict("records"):
        weights = files.read_yaml(chain[0] / row["file"])[row["key"]]
        assert {term: row[term] for term in findings.TERMS_SHOWN} == pytest.approx(findings.shares(weights))


def test_tables_2_and_5_hold_every_row_of_the_paper_and_every_method(ablated):
    table2, table5 = (pd.read_csv(ablated / f"tables/table{n}.csv", index_col="method") for n in (2, 5))
    methods = ["degraded", "colour matrix", "Gamma", "CLAHE", "LIME", "DCP", "UDCP", "Fusion", "U-Net", "MBLLEN"]
    methods += ["HBL, published loss and genotype", "HBL, searched here", "mine (restored elsewhere)"]
    assert table2.loc[methods, "PSNR (dB)"].notna().all()
    assert table2.loc["mine (restored elsewhere)", "PSNR (dB)"] == table2.loc["Gamma", "PSNR (dB)"]
    assert table2["published PSNR (dB)"].notna().sum() >= 9
    assert table5.loc[["Supernet", "1-C", "3-C", "1-RC", "3-RC", "Ours_a", "Ours"]].notna()["SSIM"].all()
    bars = pd.read_csv(ablated / "tables/figure6.csv")
    assert len(bars) == 6 and bars["published"].isna().all()


def content(path):
    """A file's bytes; of an svg without the names of its clip paths, which hang on the last digits of a layout."""
    return re.sub(rb"\bp[0-9a-f]{10}\b", b"", path.read_bytes()) if path.suffix == ".svg" else path.read_bytes()


def test_make_tables_gives_the_same_files_and_trains_nothing(ablated):
    made = [path for name in ("tables", "figures") for path in (ablated / name).iterdir() if "derain" not in path.name]
    assert {path.suffix for path in made} == {".csv", ".md", ".tex", ".png", ".svg"}
    named = {path.name for path in made}
    assert {"table2.tex", "table5.md", "figure3.svg", "figure6.png", "figure7a.svg", "figure8_llie_lol.png"} <= named
    before = {path: content(path) for path in made}
    times = {path: path.stat().st_mtime_ns for path in ablated.rglob("metrics.json")}
    for path in made:
        path.unlink()
    words = ("PROFILE=smoke", "TASKS=llie_lol uie", f"RESULTS={ablated.parent}", f"PYTHON={sys.executable}")
    code, text = run("make", "tables", *words)
    assert code == 0 and "uie: has not run" in text, text
    assert {path: content(path) for path in made} == before
    assert times == {path: path.stat().st_mtime_ns for path in ablated.rglob("metrics.json")}


def test_scenes_named_later_make_the_chain_deal_the_lists_again(tmp_path):
    for side, level in (("low", 20), ("high", 200)):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (70, 66), (level, level, number)).save(tmp_path / "pairs" / side / f"{number}.png")
    words = ("-m", "snakemake", "--dry-run", "--cores", "1", "--nolock", "--config", "profile=smoke")
    words += (f"data={tmp_path / 'pairs'}", f"results={tmp_path}")
    (tmp_path / "pairs/groups.json").write_text("{}")
    assert "groups.json" in run(sys.executable, *words)[1]


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


def test_a_missing_input_names_the_notebook_that_makes_it(tmp_path):
    words = ("-m", "hbl_lib", "stage", "03_architecture_search", "--profile", "smoke", "--results", str(tmp_path))
    code, text = run(sys.executable, *words)
    assert code == 1
    assert "notebooks/02_loss_search.ipynb" in text or "notebooks/00_data.ipynb" in text
    assert "Traceback" not in text


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_understands_every_parameter(path):
    code, text = run(sys.executable, "-m", "papermill", "--help-notebook", str(path))
    assert code == 0 and "Unable to parse" not in text
    assert "profile: str" in text and "results: str" in text
