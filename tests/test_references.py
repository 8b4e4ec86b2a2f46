"""The reference runs committed with the kit are shown as they stand in their files."""

import re
import shutil
from pathlib import Path

from test_claims import SEEDS, folder  # noqa: F401 (folder is a fixture)

from hbl_lib import config, files, outcomes, references, references_page


def test_every_committed_run_is_a_row_with_its_own_scores_and_nothing_of_it_is_a_picture():
    table = references.overview()
    evaluated = sorted(references.FOLDER.glob("*/*/05_evaluate/metrics.json"))
    assert len(table) == len(evaluated) > 0
    for row, path in zip(table.to_dict("records"), evaluated, strict=True):
        listed = [config.ROOT / "results" / one for one in row["file"].split()]
        assert listed[0] == path and len(listed) == len(row["seeds"].split(", ")) and all(map(Path.is_file, listed))
        if "," not in row["seeds"]:
            scores = files.read_json(path)["restored"]
            assert row["restored"] == f"{scores['psnr']:.2f} dB, {scores['ssim']:.3f}"
    kinds = {path.suffix for path in references.FOLDER.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".yaml"}


def test_a_reference_of_three_seeds_is_told_with_its_claims(folder, tmp_path):  # noqa: F811
    root = tmp_path / "results/reference"
    shutil.copytree(folder, root / "real-mine/llie_lol")
    (found,) = references.references(root)
    assert found == (root / "real-mine/llie_lol", list(SEEDS))
    told = {part.kind: part.body for part in references_page.details(found)}
    assert "replicates" in told["claims"].replace("\u00a0", " ")
    scores = [run["restored"]["psnr"] for run in outcomes.measured(folder, SEEDS)]
    row = references.overview(root).iloc[0]
    assert row["restored"].startswith(f"{sum(scores) / 3:.2f} dB") and row["seeds"] == "0, 1, 2"


def test_the_report_names_every_reference_and_says_that_nothing_compares():
    quick = config.ROOT / "results/quick"
    page = references_page.section(quick, references_page.parts(quick))
    for name in references.overview()["reference"]:
        assert name in page
    assert "no number compares" in page
    for path in re.findall(r'href="([^"]*)"', page):
        assert path.startswith("../reference/") and (config.ROOT / "results/quick" / path).resolve().is_file(), path
    assert "real-lol97/llie_lol: Which claims hold" in page
    assert page.count("<details") == page.count("</details>") > 0
    for row in re.findall(r"<tr><td>real-.*?</tr>", page):  # of scores, and of how long the signal lasted
        numbers = re.findall(r"<td[^>]*>(?:<a [^>]*>)?[\d.]+\.\d\d.*?</td>", row)
        assert len(numbers) >= 3 and all("href" in number for number in numbers), row
    (ledger,) = re.findall(r"real-uieb256/uie: Paper against.*?</details>", page, flags=re.DOTALL)
    assert "classifier_plain" in ledger and "not run" not in ledger
    assert "make reproduce PROFILE=real TASKS=&quot;uie&quot; SEEDS=&quot;0 1 2&quot; VARIANTS=" in ledger
