"""pyproject.toml, requirements.lock and environment.yml stay in step, and name no place."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from hbl_lib import ablations, embedded, files, manifest, tables
from hbl_lib.baselines import CLASSICAL

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
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
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


RUNS = """quick-embedded/llie_lol quick-embedded/llie_mit quick-embedded/sihr quick-embedded/uie
quick-lol97/llie_lol real-lol97/llie_lol quick-uieb256/uie quick-lsui/uie quick-ihaze20/sihr"""


def test_every_result_in_the_readme_stands_in_a_committed_metrics_file():
    section = (ROOT / "README.md").read_text().split("## What was measured")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    for name, (task, pictures, effort, *cells) in zip(RUNS.split(), rows, strict=True):
        folder = ROOT / "results/reference" / name
        scores = files.read_json(folder / "05_evaluate/metrics.json")
        dealt = files.read_json(folder / "00_data/metrics.json")
        seconds = files.read_json(folder / "04_retrain/manifest.json")["seconds"]
        assert task == f"`{scores['task']}`"
        assert pictures.endswith(f", {dealt['images']} ({scores['images']})"), name
        assert effort == f"{scores['steps']}, {seconds:.0f}", name
        for metric, digits in (("psnr", 2), ("ssim", 3)):
            label, untrained = tables.best_classical([scores], metric)
            measured = [scores["degraded"], scores["color_matrix"], untrained, scores["restored"]]
            texts = [f"{score[metric]:.{digits}f}".lstrip("0") for score in measured]
            best = max(range(4), key=lambda i: measured[i][metric])
            texts[best] = f"**{texts[best]}**"
            shown = [cell.split(", ")[metric == "ssim"] for cell in cells]
            whose = cells[2].split(", ")[0].split()[0] if " " not in shown[2] else shown[2].split()[0]
            assert (whose, [shown[0], shown[1], shown[2].split()[-1], shown[3]]) == (label, texts), name


def test_every_ablation_in_the_readme_stands_in_a_committed_metrics_file():
    section = (ROOT / "README.md").read_text().split("### The ablations")[1].split("\n## ")[0]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    told = {row[0]: row[1:] for row in rows}
    embedded, real = (ROOT / "results/reference" / name / "llie_lol" for name in ("quick-embedded", "real-lol97"))

    def scores(found):
        return f"{found['psnr']:.2f}, {found['ssim']:.3f}".replace(" 0.", " .")

    def member(ablation, name, folder=embedded):
        return files.read_json(folder / ablation / name / "metrics.json")

    losses, architectures = manifest.ABLATIONS
    for name, known in ablations.members(architectures, "llie_lol").items():
        found = member(architectures, name)
        cells = [f"{found['parameters']:,}", f"{found['macs']['count'] / 1e9:.2f}", scores(found["restored"])]
        assert told[known.label] == [*cells, scores(member(architectures, name, real)["restored"])], name
    for pictures, folder in (("embedded", embedded), ("LOL-v1", real)):
        for model, name in (("U-Net", "unet"), ("MBLLEN", "mbllen")):
            both = (member(losses, f"{name}_{weights}", folder)["restored"] for weights in ("default", "searched"))
            assert told[f"{model}, {pictures}"] == list(map(scores, both))
        ours = (member(*place, folder)["restored"] for place in ((losses, "ours_default"), (architectures, "ours")))
        assert told[f"HBL, {pictures}"] == list(map(scores, ours))
    compared = files.read_json(embedded / "05_evaluate/metrics.json")["compared"]
    assert {name: told[method.label] for name, method in CLASSICAL.items()} == {
        name: [scores(found)] for name, found in compared.items()
    }
