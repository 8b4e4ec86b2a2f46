"""The paper's figures 3 to 8, drawn from plain data: each function returns a matplotlib figure and reads no files.

Colours are seaborn's "colorblind" palette and the perceptually uniform maps cividis and viridis.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from . import drawings
from .errors import KitError
from .findings import CLAIMED_OPERATIONS, NAMES, TERMS_SHOWN, at_top
from .genotype import Genotype
from .network import UNIT_LAYERS

WIDTH = 9.0  # inches: at 110 dots an inch as wide as the report's page
MARK = "#d55e00"
TERM_LABELS = TERMS_SHOWN | {"l1": r"$\ell_1$", "l2": r"$\ell_2$"}


def _frame(axis: Any, label: str = "") -> None:
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.set_ylabel(label, fontsize=10)


def detail(picture: np.ndarray, share: float = 0.25) -> tuple[slice, slice]:
    """Rows and columns of the window, `share` of each side long, in which the (H, W, 3) picture varies most."""
    grey = picture.mean(2)
    sides = [max(1, round(length * share)) for length in grey.shape]
    starts = [np.linspace(0, length - side, 13).astype(int) for length, side in zip(grey.shape, sides, strict=True)]
    windows = [(slice(t, t + sides[0]), slice(x, x + sides[1])) for t in starts[0] for x in starts[1]]
    return max(windows, key=lambda window: grey[window].std())


def error_maps(versions: Mapping[str, np.ndarray], clear: str) -> dict[str, np.ndarray]:
    """(H, W) mean absolute difference to the clear picture over R, G and B, 0 to 255, of every other version."""
    reference = versions[clear].astype(float)
    return {name: np.abs(p - reference).mean(2) for name, p in versions.items() if name != clear}


def error_scale(maps: Mapping[str, np.ndarray]) -> PowerNorm:
    """One colour scale: square root, so that the degraded picture's errors don't hide those of good methods.

    It ends where 1 % of the pixels of the worst version lie above.
    """
    return PowerNorm(0.5, vmin=0, vmax=max([1.0, *(np.percentile(errors, 99) for errors in maps.values())]))


def _title(name: str, scores: Mapping[str, float | None]) -> str:
    forms = {"psnr": "{:.2f} dB", "ssim": "{:.3f}"}
    parts = [form.format(scores[key]) for key, form in forms.items() if scores.get(key) is not None]
    return f"{name}\n{', '.join(parts)}"


def _check(versions: Mapping[str, np.ndarray], clear: str) -> None:
    if clear not in versions:
        raise KitError(f"there is no version '{clear}' to compare with; there are: {', '.join(versions)}")
    for name, picture in versions.items():
        if picture.shape != versions[clear].shape:
            raise KitError(f"version '{name}' is of size {picture.shape}, '{clear}' of {versions[clear].shape}")


def comparison(
    versions: dict[str, np.ndarray], scores: dict[str, dict[str, float | None]], clear: str, columns: int = 5
) -> Figure:
    """Figures 3 to 5: one test picture in all its versions (H, W, 3) uint8, in even lines of at most `columns`.

    Under each version, with PSNR and SSIM where scored, stand the detail at the marked window and the error map. The
    window is where the clear picture varies most; one colour scale holds for all error maps.
    """
    _check(versions, clear)
    errors, names = error_maps(versions, clear), list(versions)
    window, norm = detail(versions[clear]), error_scale(errors)
    lines = -(-len(names) // columns)
    columns = -(-len(names) // lines)
    ratio = versions[clear].shape[0] / versions[clear].shape[1]
    side = max(1.4, min(WIDTH / columns, 2.2 / ratio))  # upright pictures would make the figure endless
    height = 3 * ratio * side + 0.6
    figure = Figure(figsize=(max(4.5, columns * side), lines * height + 1.1), layout="constrained")
    *parts, foot = figure.subfigures(lines + 1, 1, height_ratios=[height] * lines + [1.1])
    for line, part in enumerate(parts):
        axes = part.subplots(3, columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for column, name in enumerate(names[line * columns : (line + 1) * columns]):
            _draw_version(axes[:, column], versions[name], window, errors.get(name), norm, label=column == 0)
            axes[0, column].set_title(_title(name, scores.get(name, {})), fontsize=10)
    _error_bar(foot, norm)
    return figure


def _draw_version(
    axes: Any, picture: np.ndarray, window: Any, errors: np.ndarray | None, norm: PowerNorm, label: bool
) -> None:
    rows, across = window
    corner, size = (across.start - 0.5, rows.start - 0.5), (across.stop - across.start, rows.stop - rows.start)
    axes[0].imshow(picture)
    mark = Rectangle(corner, *size, fill=False, edgecolor=MARK, linewidth=1.5)
    mark.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
    axes[0].add_patch(mark)
    axes[1].imshow(picture[window])
    if errors is not None:  # the clear picture has none
        axes[2].imshow(errors, cmap="viridis", norm=norm)
    for axis, part in zip(axes, ("picture", "detail", "error"), strict=True):
        if axis.images:
            _frame(axis, part if label else "")


def _error_bar(foot: Any, norm: PowerNorm) -> None:
    ticks = sorted({round(norm.vmax * step**2) for step in (0, 0.25, 0.5, 0.75)} | {int(norm.vmax)})
    options = {"orientation": "horizontal", "ticks": ticks, "extend": "max"}
    bar = foot.colorbar(ScalarMappable(norm, "viridis"), cax=foot.add_axes((0.15, 0.7, 0.7, 0.17)), **options)
    error = "mean absolute error over R, G, B, of 255 (square-root scale)"
    bar.set_label(f"{error}\nPSNR and SSIM by the protocol 'rgb'", fontsize=10)
    bar.minorticks_off()


def loss_bars(table: pd.DataFrame) -> Figure:
    """Figure 6: PSNR and SSIM of three models under default and searched loss weights, means and sd over seeds.

    Columns of `table`: model, weights (default, searched), seed, PSNR, SSIM. Bars start at 0 and carry their value.
    """
    order = [name for name in ("MBLLEN", "U-Net", "Ours") if name in set(table["model"])]
    order += sorted(set(table["model"]) - set(order))
    palette = dict(zip(("default", "searched"), sns.color_palette("colorblind", 2), strict=True))
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
        axes = figure.subplots(1, 2)
    for axis, metric, unit in ((axes[0], "PSNR", " (dB)"), (axes[1], "SSIM", "")):
        options = {"order": order, "hue_order": list(palette), "errorbar": "sd", "palette": palette, "saturation": 1}
        sns.barplot(
            table,
            x="model",
            y=metric,
            hue="weights",
            ax=axis,
            capsize=0.12,
            err_kws={"color": "black", "linewidth": 1.5},
            **options,
        )
        for bars in axis.containers:
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
            form = "%.2f" if metric == "PSNR" else "%.3f"
            axis.bar_label(bars, fmt=form, label_type="center", fontsize=10, bbox=box)
        axis.set(title=f"{metric}{unit}, protocol 'rgb'", xlabel="", ylabel="", ylim=(0, None))
        axis.tick_params(axis="x", labelsize=11)
        axis.get_legend().remove()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="loss weights", loc="outside lower center", ncols=2)
    return figure


def loss_heat_map(published: pd.DataFrame, measured: pd.DataFrame, unresolved: Collection[str] = ()) -> Figure:
    """Figure 7a: the softmax of six loss weights, a row a task, as published and as measured; one colour scale.

    Rows are tasks, columns terms. The largest of each row is boxed, and with it those less than the margin below.
    A search that is not resolved is told, not drawn.
    """
    tasks = [*published.index, *(task for task in measured.index if task not in published.index)]
    measured = measured.drop(index=list(unresolved))
    top = max(frame.max().max() for frame in (published, measured) if not frame.empty)
    figure = Figure(figsize=(WIDTH, 1.9 + 0.5 * len(tasks)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=False)
    for axis, frame, title in ((axes[0], published, "published"), (axes[1], measured, "measured here")):
        cells = frame.reindex(index=tasks, columns=list(TERMS_SHOWN)).astype(float)
        options = {"vmin": 0, "vmax": top, "cmap": "cividis", "linewidths": 1, "annot_kws": {"fontsize": 10}}
        sns.heatmap(cells, annot=True, fmt=".2f", cbar=False, ax=axis, **options)
        _box_leading(axis, cells, unresolved)
        axis.set_yticklabels([NAMES.get(task, task) for task in tasks], rotation=0, fontsize=11)
        axis.set_xticklabels(TERM_LABELS.values(), rotation=0, fontsize=10)
        axis.set(xlabel="", ylabel="", title=title)
    bar = figure.colorbar(axes[0].collections[0], ax=axes, location="bottom", shrink=0.5, aspect=40)
    bar.set_label("softmax share of the loss weight (TV and Laplacian left out)", fontsize=10)
    return figure


def _box_leading(axis: Any, cells: pd.DataFrame, unresolved: Collection[str]) -> None:
    for row, (task, values) in enumerate(cells.iterrows()):
        if values.isna().all():
            words = "search not resolved" if task in unresolved else "not searched in this run"
            axis.text(len(values) / 2, row + 0.5, words, ha="center", va="center", fontsize=10)
            continue
        for term in at_top(values.to_dict()):
            corner = cells.columns.get_loc(term), row
            axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=MARK, linewidth=3, clip_on=False))


def searched_layers(published: dict[str, Genotype], measured: dict[str, Genotype], unit: int) -> Figure:
    """Figure 7b: the eight operations of HNU `unit` (from 1) of each task, published over measured.

    A thick frame: what the paper reads from its Figure 7b (1-C or 1-DC for low light and underwater, SC for haze).
    """
    tasks = [*published, *(task for task in measured if task not in published)]
    sources = (("published", published), ("measured here", measured))
    rows = [(task, label, known[task]) for task in tasks for label, known in sources if task in known]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.46 * len(rows)), layout="constrained")
    axis = figure.subplots()
    place = 0.0
    for number, (task, label, found) in enumerate(rows):
        place += 0.0 if number == 0 else 1.0 if rows[number - 1][0] == task else 1.35  # a gap between tasks
        axis.text(-0.1, place, f"{NAMES.get(task, task)}, {label}", ha="right", va="center", fontsize=11)
        for layer, name in enumerate(found.hnu[unit - 1]):
            x = layer + (0.3 if layer >= UNIT_LAYERS // 2 else 0)
            edge = {"ec": MARK, "lw": 2.5} if name in CLAIMED_OPERATIONS.get(task, ()) else {}
            drawings.box(axis, x + 0.45, place, name, size=10, **edge)
    for layer in range(UNIT_LAYERS):
        branch, index = divmod(layer, UNIT_LAYERS // 2)
        axis.text(layer + 0.45 + 0.3 * branch, -0.75, f"$R_{'uv'[branch]}$ {index + 1}", ha="center", fontsize=11)
    axis.set(xlim=(-2.6, UNIT_LAYERS + 0.3), ylim=(place + 1.1, -1.1), title=f"HNU {unit}")
    note = "thick frame: as the paper reads its Figure 7b (LLIE and UIE 1-C or 1-DC, SIHR SC)"
    axis.text(-2.6, place + 0.9, note, fontsize=10)
    axis.set_axis_off()
    return figure


def feature_maps(
    inputs: np.ndarray,
    restored: np.ndarray,
    maps_input: np.ndarray,
    maps_restored: np.ndarray,
    channels: Sequence[int],
    title: str,
) -> Figure:
    """Figure 8, one task: the input and its feature maps (len(channels), h, w) above the restored picture and its own.

    Each channel has one colour scale for both rows.
    """
    ratio = inputs.shape[0] / inputs.shape[1]
    height = WIDTH / (len(channels) + 1) * ratio
    figure = Figure(figsize=(WIDTH, 2 * height + 1.0), layout="constrained")
    axes = figure.subplots(3, len(channels) + 1, height_ratios=[height, height, 0.12])
    rows = (("input", inputs, maps_input), ("restored", restored, maps_restored))
    for line, (name, picture, maps) in zip(axes, rows, strict=False):
        line[0].imshow(picture)
        for axis, values, *both in zip(line[1:], maps, maps_input, maps_restored, strict=True):
            axis.imshow(values, cmap="viridis", vmin=np.min(both), vmax=np.max(both))
        for axis in line:
            _frame(axis, name if axis is line[0] else "")
    axes[2, 0].set_axis_off()
    for channel, column in zip(channels, axes.T[1:], strict=True):
        column[0].set_title(f"channel {channel}", fontsize=11)
        figure.colorbar(column[0].images[0], cax=column[2], orientation="horizontal", ticks=MaxNLocator(3), format="%g")
    figure.suptitle(title, fontsize=12)
    return figure
