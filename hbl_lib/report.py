"""The report: one HTML page from the executed notebooks, metrics and manifests of a profile. It opens offline."""

from __future__ import annotations

import html
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from . import (
    ablations,
    claims,
    effects,
    figures,
    files,
    manifest,
    metrics,
    outcomes,
    page,
    paper,
    publish,
    references,
    references_page,
    speed,
    studies,
    tables,
)
from .degradations import MODELS
from .manifest import ABLATIONS, STAGES, STUDIES
from .markup import Html, linked, table_text
from .search import MOVED

SEARCHED = "08_searched_results"
CLAIMS, LEDGER, RECIPE = "10_claims", "11_ledger", "13_recipe"
WORDS = (
    "3-C is a network of 3x3 convolutions alone, 3-RC of 3x3 convolutions with their input added, Ours_a one whose "
    "loss and architecture were searched at once."
)
SHARED = {  # notebooks over all tasks: id and title of their sections
    SEARCHED: ("searched", "Searched losses and architectures (Figures 7, 8)"),
    CLAIMS: ("claims", "Which claims hold"),
    LEDGER: ("ledger", "Paper against public code"),
    RECIPE: ("recipe", "Recipes of retraining"),
}


def manifests(folder: Path, seeds: Sequence[str] = ("0",)) -> pd.DataFrame:
    """What ran on what: one row for each stage of each seed."""
    rows = []
    of_members = [f"{ablation}/{name}" for ablation in ABLATIONS for name in ablations.members(ablation, folder.name)]
    of_studies = [f"{STUDIES}/{name}" for name in studies.BY_NAME]
    for replica, stage in itertools.product(outcomes.replicas(folder, seeds), (*STAGES, *of_members, *of_studies)):
        path = replica / stage / manifest.NAME
        if path.is_file():
            m = manifest.read(path)
            rows.append(
                {
                    "stage": stage,
                    "seed": str(m["parameters"]["seed"]),
                    "seconds": float(m["seconds"]),
                    "ended (UTC)": m["ended"][:16].replace("T", " "),
                    "machine": f"{m['device']}: {m['hardware']}, {m['threads']} thread{'s' * (m['threads'] > 1)}",
                    "torch": m["versions"]["torch"],
                    "clear features computed, found again": _reused(m["facts"].get("clear_features")),
                    "manifest": str(path.relative_to(folder.parent)),
                }
            )
    return pd.DataFrame(rows)


def _reused(counts: Mapping[str, int] | None) -> str:
    return f"{counts['computed']:,}, {counts['found_again']:,}" if counts else ""


def notes(folder: Path, seeds: Sequence[str] = ("0",)) -> list[str]:
    """What a reader must know before believing the numbers, each from a stage's own files (of the first seed)."""
    found = []
    data, loss, architecture, test = (
        manifest.metrics(folder / stage)
        for stage in ("00_data", "02_loss_search", "03_architecture_search", "05_evaluate")
    )
    dealt = ", ".join(f"{count} {name}" for name, count in data["lists"].items())
    found.append(f"Data: {data['data']}, {data['images']} pairs ({dealt}).")
    if data["held_out"]:
        found.append(
            f"{len(data['held_out'])} pictures show what test pictures of another set show, so scores on that test are "
            f"not of unseen pictures: {data['held_out'][0]}{', ...' if len(data['held_out']) > 1 else ''}"
        )
    if test["profile"] != "paper":
        found.append(
            f"Profile '{test['profile']}': {test['steps']} retraining steps on small data. These numbers show that the "
            "chain works; they can't be compared with the paper's."
        )
    for term, name, proper in (("VGG", loss["trunk"], "vgg19"), ("LPIPS", loss["lpips_term"], "alex")):
        if name != proper:
            found.append(
                f"The {term} term of the loss used the features '{name}', since the weights of '{proper}' were not at "
                "hand. What the search says of this term is not testable here."
            )
    if test["restored"]["lpips"] is None:
        found.append("LPIPS was not measured: AlexNet's weights were not at hand.")
    if test["search"] == "published":
        found.append("Both searches were skipped: loss and architecture are the published ones, retrained here.")
    else:
        for name, summary in (("Loss", loss), ("Architecture", architecture)):
            if not summary["resolved"]:
                found.append(f"{name} search not resolved: nothing moved by {MOVED}.")
        found.append(f"Weights and operations shown are those that seed {seeds[0]} found; another may find others.")
    if architecture["skip_collapse"]:
        units = ", ".join(map(str, architecture["skip_collapse"]))
        found.append(f"Skip connections have taken over (5 or more of 8 layers) in HNU {units}.")
    found.append(tables.gains(outcomes.measured(folder, seeds)))
    task = outcomes.task_of(folder)
    if task.published_table == "":
        found.append("This task is not in the paper, so there is no published row.")
    if task.degradation and not (model := MODELS[task.degradation]).HADAMARD:
        found.append(f"Its degradation is {model.FORM}; HBL's units are made for products.")
    return found


def notes_html(folder: Path, seeds: Sequence[str] = ("0",)) -> str:
    """The notes as paragraphs."""
    return "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes(folder, seeds))


def overview(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str] = ("0",)) -> pd.DataFrame:
    """One row a task: mean PSNR and SSIM, published and of the test pictures here; and the file."""
    rows, known, base = [], references.overview(), os.path.relpath(references.FOLDER.parent, profile_folder)
    for task in tasks:
        params, runs = outcomes.task_of(profile_folder / task), outcomes.measured(profile_folder / task, seeds)
        printed = paper.published_scores(params).get(params.published_row)
        row = {"task": params.title, "published": _scores(printed) if printed else ""}
        scores = {label: _scores(metrics.mean([run[name] for run in runs])) for name, label in tables.ROWS.items()}
        row |= {"HBL": scores.pop("HBL")} | scores  # first, so that a phone shows it
        (first, psnr), (second, ssim) = (tables.best_classical(runs, metric) for metric in ("psnr", "ssim"))
        best = f"{first} {psnr['psnr']:.2f} dB, {second} {ssim['ssim']:.3f}"
        of = outcomes.files_of(profile_folder / task, seeds, outcomes.EVALUATION)
        row["best that learns nothing"] = Html(linked(of.split(), html.escape(best)))
        row |= _on_real_pictures(known, task, base) | {"measured on": tables.source(runs)}
        rows.append(row | {"file": of})
    return pd.DataFrame(rows)


def _on_real_pictures(known: pd.DataFrame, task: str, base: str) -> dict[str, Html]:
    """The reference runs of a task on real pictures, in words: those of profile `real`, else all that there are."""
    known = known[(known["folder"] == task) & (known["data"] != "embedded pictures")]
    longest = known[known["reference"].str.startswith("real-")]
    rows = (longest if len(longest) else known).to_dict("records")
    told = [
        f"{linked(row['file'].split(), row['restored'], base)} "
        f"({html.escape(row['reference'])}, {_seeds(row['seeds'])})"
        for row in rows
    ]
    return {"reference runs on real pictures": Html("; ".join(told))} if told else {}


def _seeds(listed: str) -> str:
    return f"seed{'s' * (',' in listed)} {listed}"


def _scores(mean: Mapping[str, float | None]) -> str:
    return f"{mean['psnr']:.2f} dB, {mean['ssim']:.3f}"


def table_html(table: tables.Table) -> str:
    """A table with its caption, its notes, and links to the metrics files of measured rows."""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in (table.caption, *table.notes))
    return f"{table_text(tables.shown_columns(table), 'file', listed=False)}{notes}"


def _ablated(folder: Path, ablation: str) -> bool:
    """Whether an ablation's notebook has run over members that are what they would be now."""
    names = ablations.members(ablation, folder.name)
    finished = all(ablations.finished(folder, f"{ablation}/{name}") for name in names)
    return finished and (folder / ablation / f"{ablation}.ipynb").is_file()


def _executed(path: Path) -> tuple[str, str]:
    """Title and HTML of a notebook that make ran; of one that only ran elsewhere, as in JupyterLab, a word."""
    if path.is_file():
        return page.notebook(path)
    return path.stem, "<p>Not run by <code>make reproduce</code>, which alone keeps the notebook for this page.</p>"


def _folded(id: str, path: Path, opened: bool) -> str:
    """A notebook under its title, which unfolds it."""
    title, body = _executed(path)
    head = f'<details class="stage" id="{id}"{" open" * opened}><summary><h3>{html.escape(title)}</h3></summary>'
    return f"{head}{body}</details>"


def task_section(folder: Path, seeds: Sequence[str], opened: bool) -> page.Section:
    """One task: notes, results, what ran, and its notebooks, unfolded or not."""
    executed = [(stage, folder / stage / f"{stage}.ipynb") for stage in STAGES]
    executed += [(a, folder / a / f"{a}.ipynb") for a in ABLATIONS if _ablated(folder, a)]
    studied = folder / STUDIES / f"{STUDIES}.ipynb"
    executed += [(STUDIES, studied)] if studied.is_file() else []
    parts = "".join(_folded(f"{folder.name}-{stage}", path, opened) for stage, path in executed)
    which = f" of seed {html.escape(seeds[0])}" if len(seeds) > 1 else ""
    which = f"<p>The notebooks{which}, as they ran; a title folds and unfolds its notebook.</p>"
    body = (
        f"{notes_html(folder, seeds)}"
        f"{table_html(paper.comparison(folder, seeds))}<p>An empty cell was not measured or not published.</p>"
        "<details><summary>What ran on what</summary>"
        f"{table_text(manifests(folder, seeds), links='manifest')}</details>"
        f"{which}{parts}"
    )
    below = {f"{folder.name}-{stage}": stage for stage, _ in executed}
    return page.Section(folder.name, outcomes.task_of(folder).title, body, below)


def speed_html(results: Path) -> str:
    """What the benchmarks measured."""
    entries, path = speed.measured(results)
    own = path != speed.REFERENCE
    base = os.path.relpath(path.parent, results / "PROFILE")
    where = linked([path.name], "bench.json", base)
    where += " of these results" if own else ", committed with the kit"
    alt = "Time and memory of a search iteration against the crop's side, and of a supernet's gradient against the "
    alt += "number of candidates, for the published scheme (reference) and for the kit"
    sides, gains = speed.table(entries).rename(columns={"reference": "reference side"}), speed.gains(entries)
    told = (
        "<h3>What each change gains</h3><p>The kit's step as a share of the same with that one change taken back.</p>"
    )
    return (
        "<p>The kit's side against a reference written plainly: the published scheme for the searches (its alpha "
        "frozen, or pruned of gradients that nothing uses, where so named), the plain network and others for the "
        "restorer. Times are medians, both sides in turn in one run (in the plots of one step); memory is of a fresh "
        "process for each side; a plan's time stands against what the stage took. Measured on "
        f"{html.escape(speed.machines(entries))}; from {where}; <code>make bench</code> measures anew, "
        "<code>.venv/bin/python -m benchmarks --only 'frugal panorama gains training_gains slices'</code> the rest.</p>"
        f"{table_text(sides.assign(file=path.name), 'file', base, listed=False)}"
        + (f"{told}{table_text(gains.assign(file=path.name), 'file', base, listed=False)}" if len(gains) else "")
        + (figures.show(figures.scaling(entries), alt).text if any("x" in entry for entry in entries) else "")
    )


def first_screen(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> str:
    """Pictures of each task under sliders, the headline table, and the verdicts."""
    sliders = []
    for folder in (profile_folder / task for task in tasks):
        versions, _ = publish.versions(folder, 0, with_members=False)
        restored = versions[paper.label_of(manifest.metrics(folder / outcomes.EVALUATION))]
        title = outcomes.task_of(folder).title
        sliders.append(page.slider(title, versions["degraded"], restored, versions["clear"]))
    known, base = references.judged(), os.path.relpath(references.FOLDER, profile_folder)
    own = claims.table(profile_folder, tasks, seeds).frame
    verdicts = [claims.summary(frame, base).assign(runs=name) for name, frame in known]
    told = pd.concat([*verdicts, claims.summary(own, "").assign(runs="this run")])
    counted = f"this run's: {claims.tally([own])}"
    if known:
        frames = [frame for _, frame in known]
        searches = [frame[frame["claim"].isin((claims.LOSS, claims.UNIFORM, claims.STRATEGY))] for frame in frames]
        counted = (
            f"those of the reference runs on real pictures: {claims.tally(frames)} (of these, a search against a set "
            f"loss or architecture, or against both searched at once: {claims.tally(searches)}); {counted}"
        )
    headline = overview(profile_folder, tasks, seeds)
    basis = "; ".join(headline["measured on"].unique())
    return (
        f'<div class="sliders">{"".join(sliders)}</div>'
        f'<p><b>The paper\'s comparisons</b>, <a href="#verdicts">by verdict</a>: {counted}. Fewer than '
        f"{effects.MIN_SCENES} test scenes or {effects.MIN_SEEDS} seeds resolve nothing.</p>"
        f"{table_text(headline.drop(columns='measured on'), 'file', listed=False)}"
        "<p>The paper's number, this run's and those of the reference runs stand on different test pictures: they do "
        "not compare with one another. Within a row, HBL, the degraded pictures, the colour matrix (a 3x4 one for all "
        "pictures, fitted on those that train) and the best of six methods that learn nothing, by PSNR and by SSIM, "
        "compare. Measured numbers outside the notebooks link to the file that they come from, means over seeds to the "
        "first seed's.</p>"
        '<h3 id="verdicts">Verdicts on the paper\'s claims</h3><p>What each claim was held against, by its verdict, '
        f"with the effect on PSNR in dB and its 95 % interval: of reference runs of at least {effects.MIN_SEEDS} seeds "
        "(by name, <code>real-lol97</code> being LOL at the profile <code>real</code>), then of this run. "
        f"{html.escape(WORDS)} "
        '<a href="#claims">Which claims hold</a> has SSIM, files, command and why, '
        '<a href="#reference">Reference runs</a> those of these.</p>'
        f"{table_text(told[['runs', *told.columns.drop('runs')]])}"
        f"<p>PSNR and SSIM of the first table, means over test pictures: {html.escape(basis)}. Published: the paper's, "
        f"on its own test pictures. Protocol: {html.escape(metrics.PROTOCOL)}.</p>"
    )


def build(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str] = ("0",)) -> Path:
    """Write results/PROFILE/report.html over the tasks that have run there.

    Notebooks are those of the first seed; the first task's are unfolded, the others tell the same story again.
    """
    sections = [page.Section("top", "Results", first_screen(profile_folder, tasks, seeds), {})]
    sections += [task_section(profile_folder / task, seeds, opened=task == tasks[0]) for task in tasks]
    parts = references_page.parts(profile_folder)
    for name, (place, heading) in SHARED.items():
        title, body = _executed(profile_folder / f"{name}.ipynb")
        measured = references_page.elsewhere(parts, place)
        sections.append(page.Section(place, heading, f"{measured}<h3>{html.escape(title)}</h3>{body}", {}))
    sections.append(page.Section("reference", "Reference runs", references_page.section(profile_folder, parts), {}))
    sections.append(page.Section("speed", "How fast", speed_html(profile_folder.parent), {}))
    path = profile_folder / "report.html"
    files.write_text(path, page.whole(profile_folder.name, sections))
    return path
