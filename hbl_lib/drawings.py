"""Drawings of the network: the whole genotype, one Hadamard-inspired unit, and the feature modules around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from .figures import COLORS, DARK
from .genotype import Genotype

QUIET, LINE = "#f0f0f0", "#333333"


def box(
    axis: Any, x: float, y: float, text: str, width: float = 0.8, color: str | None = None, size: float = 9, **edge: Any
) -> None:
    """A box around (x, y) with a text; without a colour it is an operation's, and takes the operation's own."""
    line = {"ec": "#555555", "lw": 0.6} | edge
    fill = color or COLORS[text]
    axis.add_patch(FancyBboxPatch((x - width / 2, y - 0.33), width, 0.66, boxstyle="round,pad=0.03", fc=fill, **line))
    ink = "white" if color is None and text in DARK else "black"
    axis.text(x, y, text, ha="center", va="center_baseline", fontsize=size, color=ink)


def _quiet(axis: Any, x: float, y: float, text: str, width: float) -> None:
    """A box of what is not searched."""
    box(axis, x, y, text, width, QUIET, 7.5)


def _sign(axis: Any, x: float, y: float, text: str) -> None:
    axis.add_patch(Circle((x, y), 0.22, fc="white", ec=LINE, lw=1))
    axis.text(x, y - 0.01, text, ha="center", va="center", fontsize=11)


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    style = f"arc3,rad={bend}"
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, lw=1, color=LINE, connectionstyle=style)
    )


def _frame(width: float, height: float, x: tuple[float, float], y: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=x, ylim=y, aspect="equal")
    axis.set_axis_off()
    return figure, axis


def unit(names: Sequence[str], number: int, combine: str = "division") -> tuple[Figure, str]:
    """One HNU, its eight operations (four of R_u, then four of R_v), and the alternative text."""
    figure, axis = _frame(11.5, 3.4, (-0.6, 13.1), (-0.9, 3.2))
    axis.text(-0.3, 1.1, "F", fontsize=13, ha="center", va="center", style="italic")
    sides = ((2.2, "u", names[:4], "clear features"), (0.0, "v", names[4:], "factor of the degradation"))
    for y, name, row, estimate in sides:
        axis.text(0.7, y + 0.55, f"$R_{name}$: {estimate}", fontsize=10)
        _arrow(axis, (-0.15, 1.2 if y else 1.0), (0.55, y))
        for place, operation in enumerate(row):
            x = 1.1 + 2.1 * place
            box(axis, x, y, operation)
            _quiet(axis, x + 1.0, y, "norm" if place == 3 else "norm, ReLU", 0.85)
            if place < 3:
                _arrow(axis, (x + 1.45, y), (x + 1.68, y))
        _arrow(axis, (8.85, y), (9.16, y))
        _sign(axis, 9.4, y, "+")
        _arrow(axis, (9.4, 1.1), (9.4, y - 0.22 if y else y + 0.22))
        _quiet(axis, 10.2, y, "ReLU", 0.6)
        _arrow(axis, (9.63, y), (9.88, y))
    axis.plot((-0.12, 9.4), (1.1, 1.1), color=LINE, linewidth=1)
    _quiet(axis, 11.4, 0.0, "sigmoid", 0.9)
    _arrow(axis, (10.52, 0.0), (10.93, 0.0))
    _arrow(axis, (10.52, 2.2), (12.0, 1.3))
    _arrow(axis, (11.87, 0.1), (12.02, 0.95))
    sign, how = ("÷", "divided by") if combine == "division" else ("−", "less")
    _sign(axis, 12.15, 1.1, sign)
    _arrow(axis, (12.37, 1.1), (12.95, 1.1))
    axis.set_title(f"HNU {number}: 32 channels at a quarter of the size", fontsize=11)
    branches = (f"R_{name} is {', '.join(row)}" for name, row in (("u", names[:4]), ("v", names[4:])))
    told = f"HNU {number}: {'; '.join(branches)}; each operation is normalised and rectified, the last with F added; "
    return figure, f"{told}the unit gives R_u {how} the sigmoid of R_v"


def _skip(axis: Any, x: float, y: float, size: str) -> None:
    """What the decoder adds before it enlarges."""
    axis.text(x, y - 0.7, f"+ encoder's\n{size}", fontsize=8, ha="center", va="center", color="#444444")


def feature_modules(found: Genotype) -> tuple[Figure, str]:
    """Encoder and decoder with the operation of each layer, their sizes and channels, and the alternative text."""
    figure, axis = _frame(11.5, 4.6, (-0.9, 11.4), (-1.0, 4.0))
    full, half = ("full size, 16 channels", 4), ("half size, 32 channels", 4)
    rows = (
        ("encoder", 2.6, found.encoder, (("head", 1), full, half), ("2x2, stride 2",) * 2),
        ("decoder", 0.2, found.decoder, (half, full, ("tail", 1)), ("2x2 transposed",) * 2),
    )
    for name, y, names, groups, scalings in rows:
        axis.text(-0.8, y + 0.95, name, fontsize=11, fontweight="bold")
        x, layer, resized = -0.35, 0, list(scalings)
        if name == "decoder":
            _quiet(axis, x + 0.12, y, resized.pop(), 1.25)
            _skip(axis, x + 0.12, y, "quarter")
            x += 1.3
        for title, count in groups:
            axis.text(x + (count - 1) * 0.5, y + 0.45, title, fontsize=8, ha="center", color="#444444")
            for place in range(count):
                box(axis, x + place, y, names[layer])
                layer += 1
            for start in (0, 2) if count == 4 else ():
                _arrow(axis, (x + start - 0.3, y - 0.34), (x + start + 1.3, y - 0.34), 0.35)
                axis.text(x + start + 0.5, y - 0.85, "+", fontsize=11, ha="center")
            x += count
            if resized and count == 4:
                if name == "decoder":
                    _skip(axis, x + 0.15, y, "half")
                _quiet(axis, x + 0.15, y, resized.pop(), 1.25)
                x += 1.3
    told = "; ".join(f"{name}: {', '.join(names)}" for name, _, names, *_ in rows)
    return figure, (
        f"Operations of the feature modules. {told}. Pairs of layers add what they were given; before each transposed "
        "convolution the decoder adds the encoder's features of that size."
    )


def genotype(found: Genotype) -> Figure:
    """The network with the operation at every searched place: encoder, seven HNUs (R_u over R_v), decoder."""
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    axis = figure.subplots()
    columns = [("encoder", [found.encoder]), *[(f"HNU {i}", [u[:4], u[4:]]) for i, u in enumerate(found.hnu, 1)]]
    columns.append(("decoder", [found.decoder]))
    for x, (title, branches) in enumerate(columns):
        tall = len(branches) == 1
        axis.text(x + 0.44, 9.35, title, ha="center", fontsize=10, fontweight="bold")
        for branch, names in enumerate(branches):
            top = 8.85 - branch * 4.7
            if not tall:
                axis.text(x + 0.44, top - 0.02, ("$R_u$", "$R_v$")[branch], ha="center", va="top", fontsize=9)
            for i, name in enumerate(names):
                y = top - 0.45 - (i + (0 if tall else 0.42)) * 0.97
                box(axis, x + 0.44, y - 0.03, name, 0.76, size=8)
    axis.set(xlim=(0, len(columns)), ylim=(-0.9, 9.9))
    axis.set_axis_off()
    return figure
