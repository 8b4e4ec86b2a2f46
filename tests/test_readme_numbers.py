"""The numbers in README are those of the committed reference runs, each read from its metrics files."""

import statistics
from pathlib import Path

from hbl_lib import ablations, claims, manifest, metrics, outcomes, references, search_quality, tables

ROOT = Path(__file__).parent.parent
KNOWN = {"/".join(known.folder.parts[-2:]): known for known in references.references()}
RUNS = """quick-embedded/llie_lol quick-embedded/llie_mit quick-embedded/sihr quick-embedded/uie
quick-lol97/llie_lol real-lol97/llie_lol quick-uieb256/uie real-uieb256/uie real-uieb256-published/uie quick-lsui/uie
quick-ihaze20/sihr"""


def section(title):
    return (ROOT / "README.md").read_text().split(title)[1].split("\n## ")[0]


def mean(runs, key):
    return metrics.mean([run[key] for run in runs])


def scores(found):
    return f"{found['psnr']:.2f}, {found['ssim']:.3f}".replace(" 0.", " .")


def test_every_result_in_the_readme_stands_in_a_committed_metrics_file():
    rows = [line.strip("| ").split(" | ") for line in section("## What was measured").splitlines() if line[:3] == "| `"]
    for name, (task, pictures, effort, *cells) in zip(RUNS.split(), rows, strict=True):
        folder, seeds = KNOWN[name]
        runs = outcomes.measured(folder, seeds)
        dealt = manifest.metrics(folder / "00_data")
        trained = [manifest.read(of / "04_retrain" / manifest.NAME) for of in outcomes.replicas(folder, seeds)]
        seconds = sum(of["seconds"] for of in trained) / len(seeds)
        assert task == f"`{runs[0]['task']}`"
        told = f"{dealt['images']} ({runs[0]['images']})" + (f", {len(seeds)} seeds" if len(seeds) > 1 else "")
        assert pictures.endswith(f", {told}"), name
        assert effort == f"{runs[0]['steps']}, {seconds:.0f}", name
        for metric, digits in (("psnr", 2), ("ssim", 3)):
            label, untrained = tables.best_classical(runs, metric)
            measured = [mean(runs, "degraded"), mean(runs, "color_matrix"), untrained, mean(runs, "restored")]
            texts = [f"{score[metric]:.{digits}f}".lstrip("0") for score in measured]
            best = max(range(4), key=lambda i: measured[i][metric])
            texts[best] = f"**{texts[best]}**"
            shown = [cell.split(", ")[metric == "ssim"] for cell in cells]
            whose = cells[2].split(", ")[0].split()[0] if " " not in shown[2] else shown[2].split()[0]
            assert (whose, [shown[0], shown[1], shown[2].split()[-1], shown[3]]) == (label, texts), name


def test_every_ablation_in_the_readme_stands_in_a_committed_metrics_file():
    lines = section("### The ablations").split("\n### ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    told = {row[0]: row[1:] for row in rows}
    of = KNOWN["real-lol97/llie_lol"]

    def members(ablation, name):
        return outcomes.measured(*of, f"{ablation}/{name}")

    losses, architectures = manifest.ABLATIONS
    for name, known in ablations.members(architectures, "llie_lol").items():
        found = members(architectures, name)
        spread = statistics.stdev(run["restored"]["psnr"] for run in found)
        cells = [f"{found[0]['parameters']:,}", f"{found[0]['macs']['count'] / 1e9:.2f}"]
        assert told[known.label] == [*cells, scores(mean(found, "restored")), f"{spread:.2f}"[1:]], name
    for model, name in (("U-Net", "unet"), ("MBLLEN", "mbllen"), ("HBL", "ours")):
        searched = (architectures, "ours") if name == "ours" else (losses, f"{name}_searched")
        both = (mean(members(*place), "restored") for place in ((losses, f"{name}_default"), searched))
        assert told[model] == list(map(scores, both))


def test_what_we_found_are_the_verdicts_on_the_reference_runs():
    """A row of README's table is a row of `references.verdicts`."""
    wanted = [
        "| "
        + " | ".join([row.pop("claim"), f"`{row.pop('runs')}`", *list(row.values())[1:]]).replace("\u00a0", " ")
        + " |"
        for row in references.verdicts().to_dict("records")
    ]
    told = [line for line in section("## What we found").splitlines() if "| `real-" in line]
    assert told == wanted


def interval(mean, low, high, digits):
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def test_what_we_found_of_the_searches_stands_in_metrics_files():
    told = " ".join(section("## What we found").split())
    folder, seeds = KNOWN["real-lol97/llie_lol"]
    ranks = search_quality.table(folder.parent, [folder.name], seeds[:1]).frame.set_index(["signal", "quality"])
    judge, supernet = "L_C of the classifier", "L_Q under shared weights"
    for pair, words in (
        ((judge, "PSNR (dB)"), "PSNR with rho"),
        ((judge, "SSIM"), "SSIM with"),
        ((supernet, "PSNR (dB)"), "trained: rho"),
    ):
        row = ranks.loc[pair]
        assert f"{words} {interval(row['rho'], row['rho from'], row['rho to'], 2)}" in told
    assert f"Over {ranks.loc[judge, 'settings'].iloc[0]} losses" in told
    signals = references.signals().set_index(["reference", "loss search"])
    shares = [
        [
            f"{signals.loc[(name, 'main run'), f'judged clear ({part} fifth)']:.0%}".replace("%", " %")
            for part in ("first", "last")
        ]
        for name in ("real-lol97/llie_lol", "real-uieb256/uie")
    ]
    (lol_first, lol_last), (uie_first, uie_last) = shares
    assert f"clear in {lol_first} of the first fifth of the loss search's steps and in {lol_last} of the last" in told
    assert f"on UIEB in {uie_first} and {uie_last}." in told
    assert (signals.loc[["real-lol97/llie_lol", "real-uieb256/uie"], "faint"] == 0).all()
    members = (f"{outcomes.ARCHITECTURES}/{name}" for name in ("ours", "published"))
    uieb = (outcomes.measured(*KNOWN[name]) for name in ("real-uieb256/uie", "real-uieb256-published/uie"))
    sides = {"LOL": [outcomes.measured(folder, seeds, member) for member in members], "UIEB": list(uieb)}
    for name, (found, published) in sides.items():
        of = claims.between(found, published)
        psnr, ssim = (interval(of[m].mean, of[m].low, of[m].high, digits) for m, digits in (("psnr", 2), ("ssim", 3)))
        assert f"{name} {psnr.replace(' (', ' dB (')}, SSIM {ssim}" in told
