"""The paper's tables and figures from one `make reproduce` with ablations, on a folder of pairs with awkward names."""

import base64
import hashlib
import html
import re
import shlex
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text
from skimage import data, transform

from hbl_lib import ablations, config, files, images, metrics, paper, publish, runs, splits, stages
from hbl_lib.baselines import CLASSICAL
from hbl_lib.manifest import ABLATIONS

MEASURED = {"PSNR (dB)": "psnr", "SSIM": "ssim", "LPIPS": "lpips"}
MARKUP = "<img src=x onerror=alert(1)>"
RESULTS = """re's"ults `touch ran` $(touch ran) $(shell touch ran); touch ran & é 100%"""
# A photograph, and what its file is called.
NAMES = {
    "astronaut": MARKUP,
    "chelsea": """a 'b' "c" `d` $(e)""",
    "coffee": "; touch f",
    "rocket": "{curly} 100%",
    "retina": "夜 ночь",
    "hubble_deep_field": "&lt;b&gt;",
    "immunohistochemistry": "--out",
    "colorwheel": "line\nbreak",
}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of pairs, and one of the degraded ones restored elsewhere, by gamma."""
    root = tmp_path_factory.mktemp("awkward") / "a folder; with 'quotes' & <b> `c` $(d) {e}"
    for photograph, name in NAMES.items():
        clear = transform.resize(getattr(data, photograph)()[..., :3], (96, 112), anti_aliasing=True)
        degraded = (clear**2.2 * 0.4 * 255).round().astype("uint8")
        images.write(root / "pairs/low" / f"{name}.png", degraded)
        images.write(root / "pairs/high" / f"{name}.png", (clear * 255).round().astype("uint8"))
        images.write(root / "gamma" / f"{name}.png", CLASSICAL["gamma"].restore(degraded))
    return root


def settings(pictures):
    """Of make."""
    methods = f"mine={shlex.quote(str(pictures / 'gamma'))}"
    given = {"data": pictures / "pairs", "methods": methods, "overrides": f"task.title={MARKUP}"}
    return {"tasks": "llie_lol", "ablations": "1", **given}


@pytest.fixture(scope="session")
def ablated(make, pictures, tmp_path_factory):
    """The results of a task with its ablations, and with one method more."""
    results = tmp_path_factory.mktemp("ablated") / RESULTS
    code, text = make(results, "JOBS=2", *(f"{name.upper()}={value}" for name, value in settings(pictures).items()))
    assert code == 0, text[-3000:]
    return results / "smoke"


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_markup_in_names_and_parameters_never_becomes_markup(ablated):
    page = (ablated / "report.html").read_text()
    assert MARKUP.replace("<", "&lt;").replace(">", "&gt;") in page
    for tag, attributes in Tags(page).found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "form", "base"), (tag, attributes)
        assert attributes.get("src", "data:image/").startswith("data:image/"), (tag, attributes)
        assert not attributes.get("href", "").startswith(("javascript:", "data:")), (tag, attributes)


def test_the_only_script_is_the_kit_s_own_and_no_other_would_run(ablated):
    page = (ablated / "report.html").read_text()
    own = (config.ROOT / "hbl_lib/assets/page.js").read_text()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [own]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)
    allowed = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    allowed += f"script-src 'sha256-{digest}'"
    assert html.unescape(policy) == allowed


def test_a_command_in_the_name_of_the_results_is_not_run(ablated):
    assert ablated.parent.name == RESULTS
    assert not list(config.ROOT.glob("ran*")) and not list(config.ROOT.glob("notebooks/ran*"))


def test_a_changed_folder_of_pictures_runs_the_stages_that_read_it_again(plan, ablated, pictures):
    given = {**settings(pictures), "results": ablated.parent}
    assert "Nothing to be done" in plan(**given)
    (pictures / "pairs/groups.json").write_text("{}")
    planned = plan(**given)
    (pictures / "pairs/groups.json").unlink()
    assert re.search(r"^rule 00_data", planned, re.MULTILINE)
    extra = pictures / "gamma/one more.png"
    extra.write_bytes(b"")
    planned = plan(**given)
    extra.unlink()
    assert re.search(r"^rule 05_evaluate", planned, re.MULTILINE) and "rule 00_data" not in planned


def test_a_stage_whose_folder_is_gone_runs_again(plan, ablated, pictures, tmp_path):
    """Though the report is there."""
    given = settings(pictures) | {"results": ablated.parent}
    for name in ("02_loss_search", "06_loss_ablation/unet_default"):
        gone = shutil.move(ablated / "llie_lol" / name, tmp_path / "gone")
        planned = plan(**given)
        shutil.move(gone, ablated / "llie_lol" / name)
        assert name.split("/")[0] in planned and "Nothing to be done" not in planned
    assert "Nothing to be done" in plan(**given)


def test_every_awkward_name_is_in_the_lists_and_nothing_ran(ablated, pictures):
    dealt = splits.read(ablated / "llie_lol/00_data/splits.json")
    assert sorted(Path(p.degraded).stem for part in dealt.values() for p in part) == sorted(NAMES.values())
    assert not (Path(__file__).parent.parent / "f").exists()


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


def follow(tables):
    """Follow every measured cell of the csv files back to its metrics file; how many there are."""
    cells = 0
    for path in tables.glob("[tf]*[!7].csv"):
        table = pd.read_csv(path)
        assert set(MEASURED) <= set(table)
        for row in table.to_dict("records"):
            has_file = isinstance(row["file"], str)
            assert has_file == (not pd.isna(row["PSNR (dB)"])), row
            if has_file:
                read = [files.read_json(tables.parent / name) for name in row["file"].split()]
                for heading, metric in MEASURED.items():
                    values = [at(metrics, row["key"])[metric] for metrics in read]
                    mean = None if None in values else pytest.approx(sum(values) / len(values))
                    assert pd.isna(row[heading]) if mean is None else row[heading] == mean
                    cells += mean is not None
                if not pd.isna(row.get(paper.DIFFERENCE)):
                    assert row[paper.DIFFERENCE] == pytest.approx(row["PSNR (dB)"] - row["published PSNR (dB)"])
                if not pd.isna(row.get("parameters", float("nan"))):
                    assert (row["parameters"], row["steps"]) == (read[0]["parameters"], read[0]["steps"])
                    assert row["GMAC at 400x600"] == pytest.approx(read[0]["macs"]["count"] / 1e9)
    return cells


def test_every_measured_cell_of_tables_2_and_5_and_figure_6_stands_in_its_metrics_file(ablated):
    assert follow(ablated / "tables") == 2 * (14 + 9 + 6)  # PSNR and SSIM of each row


def test_every_measured_cell_of_tables_3_and_4_stands_in_its_metrics_file(pictures, tmp_path):
    """Without Jupyter, and with the members that make rows there."""
    losses, architectures = ABLATIONS
    for task in ("sihr", "uie"):
        run = runs.open_run("smoke", task, data=str(pictures / "pairs"), results=str(tmp_path), device="cpu")
        for stage in stages.BY_NAME.values():
            stage(run)
        ablations.run_members(run, losses, ["unet_default", "mbllen_default"])
        ablations.run_members(run, architectures, ["published", "ours"])
    for name, table in publish.tables(tmp_path / "smoke", ["sihr", "uie"], ["0"]).items():
        publish.write_table(tmp_path / "smoke/tables", name, table)
    methods = ["degraded", "DCP", "UDCP", "Fusion", "U-Net", "MBLLEN", "HBL, published loss and genotype"]
    for number in (3, 4):
        table = pd.read_csv(tmp_path / f"smoke/tables/table{number}.csv", index_col="method")
        assert table.loc[[*methods, "HBL, searched here"], "PSNR (dB)"].notna().all()
    # of each task 13 rows of methods, 2 of Table 5's architectures, 3 of Figure 6's bars
    assert follow(tmp_path / "smoke/tables") == 2 * 2 * (13 + 2 + 3)


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


def test_the_protocol_stands_with_every_table_and_figure_of_scores(ablated):
    words, page = metrics.PROTOCOLS["rgb"].words, html.unescape((ablated / "report.html").read_text())
    tables = [path.read_text() for path in (ablated / "tables").glob("*.md") if "PSNR" in path.read_text()]
    assert len(tables) == 4 and all(words in text for text in tables) and page.count(words) >= 3
    drawn = [(name, figure) for name, figure, _ in publish.figures(ablated, ["llie_lol"], ["0"])]
    of_scores = [figure for name, figure in drawn if re.match("figure[36]", name)]
    texts = [" ".join(text.get_text() for text in figure.findobj(Text)) for figure in of_scores]
    assert len(texts) >= 3 and all("protocol 'rgb'" in text for text in texts)


def test_make_tables_gives_the_same_files_and_trains_nothing(run, ablated):
    made = [path for name in ("tables", "figures") for path in (ablated / name).iterdir()]
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
