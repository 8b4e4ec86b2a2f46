"""The report: one HTML page from the executed notebooks, metrics and manifests of a profile. It opens offline."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from . import ablations, figures, files, manifest, metrics, paper, publish, references, speed, studies, tables
from .degradations import MODELS
from .errors import KitError
from .html import table_text
from .manifest import ABLATIONS, STAGES, STUDIES

SEARCHED = "08_searched_results"
SEARCHED_LINK = '<a href="#searched">Searched losses and architectures (Figures 7, 8)</a>'
CLAIMS, LEDGER, RECIPE = "10_claims", "11_ledger", "13_recipe"
CLAIMS_LINK = '<a href="#claims">Which claims hold</a>'
LEDGER_LINK = '<a href="#ledger">Paper against code</a>'
RECIPE_LINK = '<a href="#recipe">Recipes of retraining</a>'
REFERENCE_LINK = '<a href="#reference">Reference runs</a>'
SPEED_LINK = '<a href="#speed">How fast</a>'
TEMPLATE = """{% extends 'basic/index.html.j2' %}
{% block input_group %}<details class="code"><summary>code</summary>{{ super() }}</details>{% endblock %}"""

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 0 1rem 4rem; }
h1, h2, h3 { line-height: 1.2; }
section { border-top: 2px solid var(--line); margin-top: 2.5rem; }
nav a { margin-right: 1rem; display: inline-block; } a.anchor-link { display: none; }
img, svg { max-width: 100%; height: auto; } img { background: white; }
div.wide, .jp-OutputArea-output, .highlight, .jp-RenderedHTMLCommon { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: left; }
td a { white-space: nowrap; } td { min-width: 3.5rem; }
@media (min-width: 50rem) { td:first-child { white-space: nowrap; } }
td.long { min-width: 17rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { font-size: .8rem; background: var(--soft); padding: .5rem; overflow: auto; max-height: 16rem; }
details.code { margin: .3rem 0; } details.code > summary { cursor: pointer; font-size: .8rem; opacity: .7; }
.note { border-left: 4px solid #d55e00; padding: .2rem .8rem; background: var(--soft); }
math[display=block] { margin: .8rem 0; overflow-x: auto; overflow-y: hidden; }
"""


def manifests(folder: Path, seeds: Sequence[str] = ("0",)) -> pd.DataFrame:
    """What ran on what: one row for each stage of each seed."""
    rows = []
    of_members = [f"{ablation}/{name}" for ablation in ABLATIONS for name in ablations.members(ablation, folder.name)]
    of_studies = [f"{STUDIES}/{name}" for name in studies.BY_NAME]
    for replica, stage in itertools.product(paper.replicas(folder, seeds), (*STAGES, *of_members, *of_studies)):
        path = replica / stage / manifest.NAME
        if path.is_file():
            m = manifest.read(path)
            rows.append(
                {
                    "stage": stage,
                    "seed": str(m["parameters"]["seed"]),
                    "seconds": float(m["seconds"]),
                    "ended (UTC)": m["ended"][:16].replace("T", " "),
                    "machine": f"{m['device']}: {m['hardware']}, {m['threads']} threads",
                    "torch": m["versions"]["torch"],
                    "manifest": str(path.relative_to(folder.parent)),
                }
            )
    return pd.DataFrame(rows)


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
                found.append(f"{name} search not resolved: nothing moved by 0.2.")
        found.append("What the searches found is of one seed; another may find other weights and operations.")
    if architecture["skip_collapse"]:
        units = ", ".join(map(str, architecture["skip_collapse"]))
        found.append(f"Skip connections have taken over (5 or more of 8 layers) in HNU {units}.")
    found.append(tables.verdict(paper.measured(folder, seeds)))
    task = paper.task_of(folder)
    if task.published_table == "":
        found.append("This task is not in the paper, so there is no published row.")
    if task.degradation and not (model := MODELS[task.degradation]).HADAMARD:
        found.append(f"Its degradation is {model.FORM}; HBL's units are made for products.")
    return found


def notes_html(folder: Path, seeds: Sequence[str] = ("0",)) -> str:
    """The notes as paragraphs."""
    return "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes(folder, seeds))


def overview(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str] = ("0",)) -> pd.DataFrame:
    """One row a task: mean PSNR and SSIM of the test pictures, degraded, by colour matrix, and restored."""
    rows = []
    for task in tasks:
        runs = paper.measured(profile_folder / task, seeds)
        means = {label: metrics.mean([run[name] for run in runs]) for name, label in tables.ROWS.items()}
        scores = {label: f"{mean['psnr']:.2f} dB, {mean['ssim']:.3f}" for label, mean in means.items()}
        rows.append({"task": paper.task_of(profile_folder / task).title, **scores, "source": tables.source(runs)})
    return pd.DataFrame(rows)


def _mathml(markdown: str) -> str:
    """Markdown with its formulas as MathML, which browsers show without a network."""
    from latex2mathml.converter import convert

    def block(match: re.Match[str]) -> str:
        return convert(match.group(1).strip(), display="block")

    def inline(match: re.Match[str]) -> str:
        return convert(match.group(1), display="inline")

    return re.sub(r"\$([^$\n]+)\$", inline, re.sub(r"\$\$(.+?)\$\$", block, markdown, flags=re.DOTALL))


def notebook_html(path: Path) -> str:
    """The body of an executed notebook, code folded away, formulas as MathML, nothing loaded from a network."""
    import nbformat
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _mathml(re.sub(r"^(#+) ", r"#\1 ", cell.source, flags=re.MULTILINE))
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True)
    exporter.raw_template = TEMPLATE
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    body, _ = exporter.from_notebook_node(notebook)
    return body


def table_html(table: paper.Table) -> str:
    """A table with its caption, its notes, and links to the metrics files of measured rows."""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in (table.caption, *table.notes))
    return f"{table_text(paper.shown_columns(table), links='file')}{notes}"


def _ablated(folder: Path, ablation: str) -> bool:
    """Whether an ablation's notebook has run over members that are what they would be now."""
    names = ablations.members(ablation, folder.name)
    finished = all(ablations.finished(folder, f"{ablation}/{name}") for name in names)
    return finished and (folder / ablation / f"{ablation}.ipynb").is_file()


def task_html(folder: Path, seeds: Sequence[str]) -> str:
    """One task: notes, results, pictures, ablations, what ran, and its notebooks."""
    executed = [(stage, folder / stage / f"{stage}.ipynb") for stage in STAGES]
    missing = [stage for stage, path in executed if not path.is_file()]
    if missing:
        raise KitError(
            f"{folder}: the executed notebook {missing[0]}.ipynb is missing. make reproduce runs them in order."
        )
    executed += [(a, folder / a / f"{a}.ipynb") for a in ABLATIONS if _ablated(folder, a)]
    studied = folder / STUDIES / f"{STUDIES}.ipynb"
    executed += [(STUDIES, studied)] if studied.is_file() else []
    links = "".join(f'<a href="#{folder.name}-{stage}">{stage}</a>' for stage, _ in executed)
    parts = "".join(f'<section id="{folder.name}-{stage}">{notebook_html(path)}</section>' for stage, path in executed)
    _, figure, alt = next(publish.comparisons(folder))
    which = f"<p>The notebooks are those of seed {html.escape(seeds[0])}.</p>" if len(seeds) > 1 else ""
    return (
        f'<h2 id="{folder.name}">{html.escape(paper.task_of(folder).title)}</h2>{notes_html(folder, seeds)}'
        f"{table_html(paper.comparison(folder, seeds))}<p>An empty cell was not measured or not published.</p>"
        f"{figures.show(figure, alt, photographs=True).text}"
        "<details><summary>What ran on what</summary>"
        f"{table_text(manifests(folder, seeds), links='manifest')}</details>"
        f"<nav>{links}</nav>{which}{parts}"
    )


def speed_html(results: Path) -> str:
    """What the benchmarks measured."""
    entries, path = speed.measured(results)
    own = path != speed.REFERENCE
    where = "bench/bench.json of these results" if own else "results/reference/bench/bench.json, committed with the kit"
    alt = "Time and memory of a search iteration against the crop's side, and time of a mixed layer against the number "
    alt += "of its candidates, for the published scheme (reference) and for the kit"
    return (
        "<h2>How fast</h2><p>The kit's side against a reference written plainly, in turn in one run, medians: the "
        "published scheme for the searches, the plain network and others for the restorer. Measured on "
        f"{html.escape(speed.machines(entries))}; from {html.escape(where)}; <code>make bench</code> measures anew.</p>"
        f"{table_text(speed.table(entries))}"
        + (figures.show(speed.scaling(entries), alt).text if any("x" in entry for entry in entries) else "")
    )


def references_html() -> str:
    """The runs committed with the kit: their scores, and what each says of claims, variants, and searches."""
    parts = [
        "<h2>Reference runs</h2><p>Committed with the kit under results/reference, with metrics and manifests; the "
        "name begins with the profile. Of the real pictures only small parts are at hand, so no number compares with a "
        f"published one. Means over seeds and test pictures.</p>{table_text(references.overview())}"
    ]
    for reference in references.references():
        name = html.escape("/".join(reference.folder.parts[-2:]))
        for title, shown in references.told(reference):
            parts.append(f"<details><summary>{name}: {html.escape(title)}</summary>{shown.text}</details>")
    return "".join(parts)


def build(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str] = ("0",)) -> Path:
    """Write results/PROFILE/report.html over the tasks that have run there; notebooks are those of the first seed."""
    from pygments.formatters import HtmlFormatter

    body = "".join(task_html(profile_folder / task, seeds) for task in tasks)
    body += f'<section id="searched">{notebook_html(profile_folder / f"{SEARCHED}.ipynb")}</section>'
    body += f'<section id="claims">{notebook_html(profile_folder / f"{CLAIMS}.ipynb")}</section>'
    body += f'<section id="ledger">{notebook_html(profile_folder / f"{LEDGER}.ipynb")}</section>'
    body += f'<section id="recipe">{notebook_html(profile_folder / f"{RECIPE}.ipynb")}</section>'
    body += f'<section id="reference">{references_html()}</section>'
    body += f'<section id="speed">{speed_html(profile_folder.parent)}</section>'
    links = "".join(
        f'<a href="#{task}">{html.escape(paper.task_of(profile_folder / task).title)}</a>' for task in tasks
    )
    light = HtmlFormatter(style="default").get_style_defs("body .highlight")
    dark = HtmlFormatter(style="monokai").get_style_defs("body .highlight")
    style = f"{STYLE}{light}@media (prefers-color-scheme: dark) {{{dark}}}"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>HBL, {html.escape(profile_folder.name)}</title><style>{style}</style></head><body>"
        "<h1>HBL: searched loss and architecture for image restoration</h1>"
        "<p>A rerun of Zhu, Ma, Fan and Liu, <i>Hierarchical Bilevel Learning with Architecture and Loss Search for "
        "Hadamard-based Image Restoration</i>, IJCAI 2022, from pictures to tables. Each measured row links to "
        "the file that it comes from. First, PSNR and SSIM of every task, means over its test pictures. Protocol: "
        f"{html.escape(metrics.PROTOCOL)}.</p>"
        f"{table_text(overview(profile_folder, tasks, seeds))}"
        f"<nav>{links}{SEARCHED_LINK}{CLAIMS_LINK}{LEDGER_LINK}{RECIPE_LINK}{REFERENCE_LINK}{SPEED_LINK}</nav>{body}</body></html>\n"
    )
    path = profile_folder / "report.html"
    files.write_text(path, page)
    return path
