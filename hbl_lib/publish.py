"""Writes the paper's tables and figures into results/PROFILE/tables and figures, from what the stages left."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from . import (
    ablations,
    claims,
    evaluation,
    files,
    findings,
    images,
    ledger,
    manifest,
    markup,
    outcomes,
    paper,
    paper_figures,
    perceptual,
    search_quality,
    variants,
)
from .baselines import CLASSICAL
from .losses import FoundLoss
from .parameters import TaskParams
from .tables import Table, shown_columns

FIGURE_OF = {"table2": "figure3", "table3": "figure4", "table4": "figure5"}
HALVES = {"llie_mit": "_mit"}  # Table 2 and Figure 3 have two data sets; LOL keeps the plain name
UNIT_SHOWN = 1  # the HNU of Figure 7b; the paper does not say which one it shows


def numbered(task: TaskParams, name: str) -> str:
    """ "table2" or "figure3" for the task the paper has it for, with the task's name behind it for others."""
    return name + HALVES.get(task.name, "")


def table_name(task: TaskParams) -> str:
    """Under which name the task's comparison is written."""
    return numbered(task, task.published_table) if task.published_table else f"table_{task.name}"


def _ablation_name(task: TaskParams, name: str) -> str:
    return name if paper.ablated(task) else f"{name}_{task.name}"


def tables(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> dict[str, Table]:
    """Every table that has something measured, by the name of its files."""
    found = {}
    for folder in (profile_folder / task for task in tasks):
        task = outcomes.task_of(folder)
        found[table_name(task)] = paper.comparison(folder, seeds)
        if (folder / outcomes.ARCHITECTURES).is_dir():
            found[_ablation_name(task, "table5")] = paper.architectures(folder, seeds)
        if (folder / outcomes.LOSSES).is_dir():
            found[_ablation_name(task, "figure6")] = paper.losses(folder, seeds)
        if (folder / variants.FOLDER).is_dir():
            for group in variants.GROUPS:
                found[_ablation_name(task, group)] = ledger.table(folder, seeds, group)
    weights = loss_weights(profile_folder, tasks)
    frames = {"published": weights[0], "measured": weights[1]}
    shares = pd.concat(frames, names=["source", "task"]).reset_index()
    here = (shares["source"] == "measured").to_numpy()
    shares.loc[here, "resolved"] = [task not in weights[2] for task in shares.loc[here, "task"]]
    shares.loc[here, "file"] = [f"{task}/02_loss_search/loss.yaml" for task in shares.loc[here, "task"]]
    shares.loc[here, "key"] = "weights"
    ranked = search_quality.table(profile_folder, tasks, seeds)
    if len(ranked.frame):
        found["search_quality"] = ranked
    found["claims"] = claims.table(profile_folder, tasks, seeds)
    found["figure7"] = Table(shares, "Figure 7a: softmax of the loss weights, TV and Laplacian left out")
    return found


def write_table(folder: Path, name: str, table: Table) -> list[Path]:
    """NAME.csv (every column, full precision), NAME.md and NAME.tex (rounded, with caption and notes)."""
    shown = markup.as_text(shown_columns(table))
    markdown = shown.to_markdown(index=False, disable_numparse=True)
    numeric = [
        not isinstance(table.frame[c].dropna().iloc[0] if table.frame[c].notna().any() else 0.0, str) for c in shown
    ]
    latex = shown.drop(columns="file", errors="ignore")
    latex = latex.to_latex(
        index=False,
        escape=True,
        caption=_escaped(table.caption),
        label=f"tab:{name}",
        column_format="".join("r" if number else "l" for number, c in zip(numeric, shown, strict=True) if c != "file"),
    )
    below = "".join(f"\\par\\footnotesize {_escaped(note)}\n" for note in table.notes)
    texts = {
        "csv": table.frame.to_csv(index=False),
        "md": "\n\n".join((table.caption, markdown, *table.notes)) + "\n",
        "tex": latex.replace("\\end{table}", f"{below}\\end{{table}}"),
    }
    for suffix, text in texts.items():
        files.write_text(folder / f"{name}.{suffix}", text)
    return [folder / f"{name}.{suffix}" for suffix in texts]


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "_%&#${}" else c) for c in text)


def versions(folder: Path, index: int, with_members: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shown test picture under each method made for the task, and its scores, both by label (first seed)."""
    main = manifest.metrics(folder / outcomes.EVALUATION)
    image, task = main["per_image"][index], outcomes.task_of(folder)
    stem = Path(image["degraded_file"]).stem
    pictures, scores = {}, {}

    def add(label: str, stage: str, key: str, score: dict[str, Any] | None) -> None:
        name = f"pictures/{key}/{stem}.png"
        if (folder / stage / name).is_file():
            pictures[label] = images.read(manifest.require_as_written(folder / stage, name))
            scores.update({label: score} if score else {})

    def of_member(label: str, stage: str, name: str) -> None:
        member = f"{stage}/{name}"
        if with_members and ablations.finished(folder, member):
            judged = manifest.metrics(folder / member)["per_image"]
            add(label, member, "restored", judged[index]["restored"])

    add("degraded", outcomes.EVALUATION, "degraded", image["degraded"])
    add("colour matrix", outcomes.EVALUATION, "color_matrix", image["color_matrix"])
    for name, score in image["compared"].items():
        method = CLASSICAL.get(name)
        if method is None or method.suits(task.degradation):
            add(method.label if method else name, outcomes.EVALUATION, name, score)
    of_member("U-Net", outcomes.LOSSES, "unet_default")
    of_member("MBLLEN", outcomes.LOSSES, "mbllen_default")
    of_member("HBL, published", outcomes.ARCHITECTURES, "published")
    add(paper.label_of(main), outcomes.EVALUATION, "restored", image["restored"])
    add("clear", outcomes.EVALUATION, "clear", None)
    return pictures, scores


def comparisons(folder: Path, with_members: bool = True) -> Iterator[tuple[str, Figure, str]]:
    """Figures 3 to 5, a figure for each test picture shown: name, figure, and alternative text."""
    task = outcomes.task_of(folder)
    per_image = manifest.metrics(folder / outcomes.EVALUATION)["per_image"]
    base = FIGURE_OF.get(task.published_table)
    base = numbered(task, base) if base else f"figure_{task.name}"
    for number, index in enumerate(evaluation.shown(len(per_image)), 1):
        pictures, scores = versions(folder, index, with_members)
        file = Path(per_image[index]["degraded_file"]).name
        alt = f"Test picture {file} in {len(pictures)} versions, each with a detail and its error map: "
        alt += "; ".join(_scored(label, scores.get(label)) for label in pictures)
        yield base + (f"_{number}" if number > 1 else ""), paper_figures.comparison(pictures, scores, "clear"), alt


def _scored(label: str, score: dict[str, Any] | None) -> str:
    return f"{label} {score['psnr']:.2f} dB, SSIM {score['ssim']:.3f}" if score else label


def loss_weights(profile_folder: Path, tasks: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Figure 7a: shares as published, as measured (first seed), and the tasks whose search is not resolved."""
    measured = outcomes.searched(profile_folder, tasks)[0]
    frames = (
        pd.DataFrame({t: findings.shares(w) for t, w in of.items()}).T for of in (findings.published()[0], measured)
    )
    summaries = {task: manifest.metrics(profile_folder / task / "02_loss_search") for task in measured}
    return *frames, [task for task, summary in summaries.items() if not summary["resolved"]]


def searched_results(profile_folder: Path, tasks: Sequence[str]) -> Iterator[tuple[str, Figure, str]]:
    """Figures 7 and 8: name, figure, and alternative text."""
    published, measured, unresolved = loss_weights(profile_folder, tasks)
    yield (
        "figure7a",
        paper_figures.loss_heat_map(published, measured, unresolved),
        f"Softmax of six loss weights by task; the largest share, with those less than {findings.MARGIN} below, is, "
        + "; ".join(
            f"{whose}, "
            + ", ".join(f"{task}: {' and '.join(findings.at_top(row.to_dict()))}" for task, row in frame.iterrows())
            for whose, frame in (("published", published), ("measured", measured.drop(index=unresolved)))
        ),
    )
    yield (
        "figure7b",
        paper_figures.searched_layers(findings.published()[1], outcomes.genotypes(profile_folder, tasks), UNIT_SHOWN),
        f"Operations of the eight layers of HNU {UNIT_SHOWN} by task, published and measured",
    )
    for task in tasks:
        yield from features(profile_folder / task)


def features(folder: Path) -> Iterator[tuple[str, Figure, str]]:
    """Figure 8, one task: four channels of a layer of VGG group 2, of a test picture and of its restoration.

    The layer selected here, and, where the trunk has VGG-19's layout, the one that the paper names.
    """
    task, search = outcomes.task_of(folder), folder / "02_loss_search"
    found = FoundLoss.read(manifest.require_as_written(search, "loss.yaml"))
    trunk = perceptual.feature_trunk()
    layers = {}
    if found.trunk == trunk.name:
        layers[""] = (found.layers[findings.GROUP - 1], "selected here")
    if trunk.groups == perceptual.VGG19_GROUPS and task.name in (claimed := findings.claimed_layers()):
        layers["_published"] = (claimed[task.name], "the paper's")
    if trunk.name == "untrained":
        trunk = perceptual.untrained_trunk(width=1.0)  # the loss's own is too narrow to have these channels
    main = manifest.metrics(folder / outcomes.EVALUATION)["per_image"][0]
    stem = Path(main["degraded_file"]).stem
    names = [f"pictures/{key}/{stem}.png" for key in ("degraded", "restored")]
    pair = [images.read(manifest.require_as_written(folder / outcomes.EVALUATION, name)) for name in names]
    for suffix, (layer, whose) in layers.items():
        maps = [findings.features(trunk, layer, picture) for picture in pair]
        title = f"{outcomes.name_of(task)}: layer {layer} ({whose}) of '{trunk.name}'"
        if trunk.name != "vgg19":
            title += ", not VGG-19: the mechanism only"
        figure = paper_figures.feature_maps(*pair, *maps, findings.CHANNELS, title)
        channels = ", ".join(map(str, findings.CHANNELS))
        alt = f"{title}: channels {channels} of a degraded test picture and of its restoration"
        yield f"figure8_{task.name}{suffix}", figure, alt


def figures(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str]) -> Iterator[tuple[str, Figure, str]]:
    """Every figure for which there is something measured."""
    for folder in (profile_folder / task for task in tasks):
        yield from comparisons(folder)
        bars = paper.losses(folder, seeds).frame
        if not bars.empty:
            yield _ablation_name(outcomes.task_of(folder), "figure6"), *loss_bars(bars)
    yield from searched_results(profile_folder, tasks)


def loss_bars(bars: pd.DataFrame) -> tuple[Figure, str]:
    """Figure 6 and its alternative text."""
    table = bars.rename(columns={"method": "model", "PSNR (dB)": "PSNR"})
    words = (f"{r.model} {r.weights} {r.PSNR:.2f} dB, SSIM {r.SSIM:.3f}" for r in table.itertuples())
    return paper_figures.loss_bars(table), "PSNR and SSIM by model and loss weights: " + "; ".join(words)


def write_figure(folder: Path, name: str, figure: Figure) -> list[Path]:
    """NAME.png and NAME.svg, without dates in them."""
    for suffix in ("png", "svg"):
        buffer = io.BytesIO()
        options = {"metadata": {"Date": None}}
        if suffix == "png":  # compressed lightly: several times faster, a little larger
            options = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(buffer, format=suffix, dpi=150, **options)
        figure.set_layout_engine("none")  # as laid out once: that takes longer than drawing
        files.write_bytes(folder / f"{name}.{suffix}", buffer.getvalue())
    return [folder / f"{name}.{suffix}" for suffix in ("png", "svg")]


def publish(profile_folder: Path, tasks: Sequence[str], seeds: Sequence[str] = ("0",)) -> Iterator[Path]:
    """Write every table and figure, and name each file as it is written; nothing is trained."""
    for name, table in tables(profile_folder, tasks, seeds).items():
        yield from write_table(profile_folder / "tables", name, table)
    for name, figure, _ in figures(profile_folder, tasks, seeds):
        yield from write_figure(profile_folder / "figures", name, figure)
