"""Figures of what stages recorded; some come with their alternative text, the others get it from `show`.

Colours are seaborn's "colorblind" palette; lines differ in dash pattern too.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .effects import DOES_NOT, OPEN, REPLICATES
from .losses import TERMS
from .markup import Html
from .network import FCM_LAYERS, UNIT_LAYERS, UNITS
from .search import CLEAR_BELOW, MOVED, SATURATED

# One colour an operation, in every drawing: kinds share a hue, larger kernels are darker.
COLORS = {
    "SC": "#e0e0e0",
    "1-C": "#9ecae1",
    "3-C": "#4292c6",
    "5-C": "#08519c",
    "3-2-DC": "#006d5b",
    "1-RC": "#fdd0a2",
    "3-RC": "#fd8d3c",
    "3-2-RDC": "#a63603",
    "1-DC": "#dadaeb",
    "3-DC": "#807dba",
}
VERDICTS = {
    REPLICATES: ("#0173b2", "s"),
    DOES_NOT: ("#d55e00", "X"),
    OPEN: ("#949494", "o"),
}
DARK = ("3-C", "5-C", "3-2-DC", "3-2-RDC", "3-DC")  # operations whose colour needs white letters

WIDE = 6.0  # inches: a wider figure is scrolled on a phone, which would make its words too small to read


def show(figure: Figure, alt: str, photographs: bool = False) -> Html:
    """The figure as an inline picture with alternative text, which notebook exporters keep.

    `photographs`: as JPEG, a tenth of the bytes.
    """
    kind, options = "png", {"metadata": {"Software": None}}
    if photographs:
        kind, options = "jpeg", {"pil_kwargs": {"quality": 88}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=110, bbox_inches="tight", **options)
    data = base64.b64encode(buffer.getvalue()).decode()
    shown = f'<img alt="{html.escape(alt, quote=True)}" src="data:image/{kind};base64,{data}">'
    return Html(f'<div class="wide">{shown}</div>' if figure.get_figwidth() > WIDE else shown)


def panels(count: int, width: float = 4.2, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """A figure with `count` plots side by side, each of that size in inches."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook", font_scale=0.85):
        figure = Figure(figsize=(width * count, height), layout="constrained")
        return figure, list(np.atleast_1d(figure.subplots(1, count)))


def pictures(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], labels: Sequence[str] = ()) -> Figure:
    """Rows of (H, W, 3) uint8 pictures side by side under column titles."""
    shape = rows[0][0].shape
    figure = Figure(figsize=(2.6 * len(titles), 2.6 * len(rows) * shape[0] / shape[1] + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            axes[i, j].imshow(picture)
            axes[i, j].set_xticks([])
            axes[i, j].set_yticks([])
            if i == 0:
                axes[i, j].set_title(titles[j], fontsize=10)
        if labels:
            axes[i, 0].set_ylabel(labels[i], fontsize=9)
    return figure


def confusion(table: dict[str, list[list[int]]], classes: Sequence[str]) -> Figure:
    """Confusion tables of the classifier, one a kind of degraded picture."""
    figure, axes = panels(len(table), 3.4, 2.9)
    for axis, (kind, counts) in zip(axes, table.items(), strict=True):
        sns.heatmap(np.array(counts), annot=True, fmt="d", cmap="Blues", cbar=False, ax=axis, square=True)
        axis.set(title=kind, xlabel="predicted", ylabel="true")
        axis.set_xticklabels(classes)
        axis.set_yticklabels(classes, va="center")
    return figure


def _over_steps(history: list[dict[str, Any]], key: str) -> np.ndarray:
    """A value of each record; nan where the step was not taken."""
    return np.array([record[key] for record in history], dtype=float)


def loss_trajectory(history: list[dict[str, Any]], warmup: int) -> Figure:
    """All weights, their sum, the upper-level loss, and the size of the hypergradient, over the steps."""
    weights = pd.DataFrame([record["weights"] for record in history])
    figure, axes = panels(4, 4.0, 3.4)
    sns.lineplot(weights, ax=axes[0], palette=sns.color_palette("colorblind", len(TERMS)), linewidth=1.8)
    axes[0].set(title="weights", ylabel="weight")
    axes[0].legend(fontsize=7, ncols=2)
    axes[1].plot(weights.sum(1), color="#0072b2")
    axes[1].set(title="sum of the weights")
    axes[2].semilogy(_over_steps(history, "upper_loss"), color="#d55e00")
    axes[2].axhline(CLEAR_BELOW, color="gray", linestyle="--")
    axes[2].axhline(SATURATED, color="gray", linestyle=":")
    axes[2].set(title="upper-level loss (dashed: clear; dotted: saturated)")
    axes[3].semilogy(np.maximum(_over_steps(history, "hypergradient"), 1e-12), color="#009e73")
    axes[3].set(title="size of the hypergradient")
    for axis in axes:
        axis.set_xlabel("step")
        if warmup:
            axis.axvspan(-0.5, warmup - 0.5, color="gray", alpha=0.15, linewidth=0)
    return figure


def layer_choices(choices: Sequence[Sequence[float]], layers: Sequence[int], groups: Sequence[Sequence[int]]) -> Figure:
    """The softmax over each group of trunk layers, the selected one in colour."""
    figure, axes = panels(len(groups), 2.8, 2.4)
    for number, (axis, shares, group, chosen) in enumerate(zip(axes, choices, groups, layers, strict=True), 1):
        colors = ["#d55e00" if index == chosen else "#b0b0b0" for index in group]
        axis.bar([str(index) for index in group], shares, color=colors)
        axis.set(title=f"group {number}", xlabel="layer", ylabel="share" if number == 1 else "")
    return figure


def operation_shares(history: list[dict[str, Any]]) -> Figure:
    """Mean softmax(alpha) of every operation over the steps: HNUs and FCMs, and both losses."""
    figure, axes = panels(3, 4.6, 3.4)
    for axis, part in ((axes[0], "hnu"), (axes[1], "fcm")):
        for name in history[0][part]:
            dash = {"SC": ":", "1": "-", "3": "--", "5": "-"}["SC" if name == "SC" else name[0]]
            color = "black" if name == "SC" else COLORS[name]
            axis.plot(
                [record[part][name] for record in history], label=name, color=color, linestyle=dash, linewidth=1.8
            )
        axis.set(title=f"mean share, {part.upper()} layers", xlabel="step", ylabel="softmax(alpha)")
        axis.legend(fontsize=7, ncols=2)
    for key, style in (("upper_loss", "-"), ("lower_loss", "--")):
        axes[2].semilogy(_over_steps(history, key), style, label=key.replace("_", " "), linewidth=1.2)
    axes[2].set(title="image-quality loss", xlabel="step")
    axes[2].legend(fontsize=8)
    return figure


def alpha_moves(moved: Sequence[float]) -> Figure:
    """The largest change in each row of alpha: 9 encoder layers, 7 units of 8, 9 decoder layers."""
    figure, (axis,) = panels(1, 11, 2.4)
    parts = ["encoder"] * FCM_LAYERS + ["HNU"] * UNITS * UNIT_LAYERS + ["decoder"] * FCM_LAYERS
    colors = {"encoder": "#56b4e9", "HNU": "#0072b2", "decoder": "#009e73"}
    axis.bar(range(len(moved)), moved, color=[colors[part] for part in parts])
    axis.axhline(MOVED, color="gray", linestyle=":")
    edges = [0, *(FCM_LAYERS + UNIT_LAYERS * unit for unit in range(UNITS + 1))]
    axis.set_xticks(edges, ["encoder", *(f"HNU {unit}" for unit in range(1, UNITS + 1)), "decoder"], ha="left")
    axis.set(title=f"movement of each row of alpha (dotted: {MOVED})", ylabel="largest change")
    return figure


def training_curve(history: list[dict[str, Any]]) -> Figure:
    """Training loss (smoothed and raw) and validation PSNR over the steps."""
    figure, axes = panels(2, 5, 3.2)
    losses = pd.Series(_over_steps(history, "loss"))
    axes[0].semilogy(losses, color="#b0b0b0", linewidth=0.7)
    axes[0].semilogy(losses.rolling(25, min_periods=1).mean(), color="#0072b2", linewidth=1.8)
    axes[0].set(title="training loss", xlabel="step")
    looks = {i + 1: r["validation_psnr"] for i, r in enumerate(history) if "validation_psnr" in r}
    axes[1].plot(list(looks), list(looks.values()), "o-", color="#d55e00")
    axes[1].set(title="PSNR on validation pictures, protocol 'rgb'", xlabel="step", ylabel="dB")
    return figure


def training_curves(histories: dict[str, list[dict[str, Any]]]) -> Figure:
    """Smoothed training losses over the steps, a line each; under losses of their own they don't compare."""
    figure, (axis,) = panels(1, 8, 3.6)
    frame = pd.DataFrame({name: pd.Series(_over_steps(history, "loss")) for name, history in histories.items()})
    sns.lineplot(
        frame.rolling(25, min_periods=1).mean(), ax=axis, palette=sns.color_palette("colorblind", len(frame.T))
    )
    axis.set(xlabel="step", title="training loss", yscale="log")
    axis.legend(fontsize=8, ncols=2)
    return figure


def ranks(
    settings: Sequence[Mapping[str, Any]], of: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]
) -> tuple[Figure, str]:
    """The settings of a study, a plot for each "SIGNAL against QUALITY" of `of`, and the alternative text."""
    figure, axes = panels(len(of), 4.2, 3.4)
    said = []
    for axis, (pair, found) in zip(axes, of.items(), strict=True):
        signal, measure = pair.split(" against ")
        for setting in settings:
            named = not setting["name"].startswith("drawn")
            axis.plot(setting[signal], setting[measure], "D" if named else "o", color="#d55e00" if named else "#0173b2")
            if named:
                at = (setting[signal], setting[measure])
                axis.annotate(setting["name"], at, (6, 4), textcoords="offset points", fontsize=8)
        interval = "" if found["low"] is None else f" ({found['low']:+.2f} to {found['high']:+.2f})"
        words = "does not vary" if found["rho"] is None else f"rho {found['rho']:+.2f}{interval}"
        axis.set(xlabel=labels[signal], ylabel=labels[measure], title=words)
        said.append(f"{labels[signal]} against {labels[measure]}: {words}")
    alt = f"{len(settings)} settings, each a point. Rank agreement, 1 where both prefer the same: {'; '.join(said)}"
    return figure, alt


def signals(histories: Mapping[str, list[dict[str, Any]]]) -> Figure:
    """The upper-level loss of loss searches over the steps, smoothed, a line each; dotted: called clear below it."""
    figure, (axis,) = panels(1, 8, 3.6)
    frame = pd.DataFrame({name: pd.Series(_over_steps(history, "upper_loss")) for name, history in histories.items()})
    sns.lineplot(
        frame.rolling(10, min_periods=1).mean(), ax=axis, palette=sns.color_palette("colorblind", len(frame.T))
    )
    axis.axhline(CLEAR_BELOW, color="gray", linestyle=":")
    axis.set(
        xlabel="step", title="upper-level loss, mean of 10 steps (called clear below the dotted line)", yscale="log"
    )
    axis.legend(fontsize=8)
    return figure


def effects(frame: pd.DataFrame) -> tuple[Figure, str]:
    """The measured effects of `claims.of_task` with their intervals, PSNR and SSIM, and the alternative text."""
    rows = frame.dropna(subset=["effect (dB)"]).iloc[::-1]
    figure, axes = panels(2, 4.6, 0.9 + 0.3 * len(rows))
    for axis, name in zip(axes, ("effect (dB)", "effect (SSIM)"), strict=True):
        for place, (_, row) in enumerate(rows.iterrows()):
            color, marker = VERDICTS.get(row["verdict"], ("#949494", "o"))
            reach = [[row[name] - row[f"{name} from"]], [row[f"{name} to"] - row[name]]]
            axis.errorbar(row[name], place, xerr=reach, fmt=marker, color=color, capsize=3)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(xlabel=name, yticks=range(len(rows)), yticklabels=[])
    axes[0].set_yticklabels([f"{row['task']}: over {row['against']}" for _, row in rows.iterrows()])
    for verdict, (color, marker) in VERDICTS.items():
        axes[1].plot([], [], marker, color=color, label=verdict)
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize="small")
    said = (f"over {r['against']} {r['effect (dB)']:+.2f} dB, {r['verdict']}" for _, r in rows.iloc[::-1].iterrows())
    return figure, "Mean effects with 95 % intervals, in PSNR and SSIM: " + "; ".join(said)


SCALING = {
    "seconds of an iteration": ("scaling_size_seconds_", "side of the crop"),
    "MB of an iteration": ("scaling_size_memory_mb_", "side of the crop"),
    "seconds of a supernet": ("scaling_operations_seconds_", "number of candidates"),
    "MB of a supernet": ("scaling_operations_memory_mb_", "number of candidates"),
}


def scaling(entries: list[dict[str, Any]]) -> Figure:
    """Time and memory against the crop's side, and against the number of candidates, both sides."""
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    for axis, (title, (prefix, label)) in zip(figure.subplots(2, 2).flat, SCALING.items(), strict=True):
        points = sorted((e for e in entries if e["name"].startswith(prefix)), key=lambda e: e["x"])
        for side, color, style in (("reference", "#d55e00", "o--"), ("ours", "#0072b2", "s-")):
            named = "kit" if side == "ours" else side
            axis.plot([e["x"] for e in points], [e[side] for e in points], style, color=color, label=named)
        axis.set(title=title, xlabel=label, ylim=(0, None))
        axis.grid(color="#dddddd")
        axis.legend()
    return figure
