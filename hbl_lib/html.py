"""HTML that notebooks and the report show: tables without row numbers, empty cells for what was not measured."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd

DIGITS = {"PSNR (dB)": 2, "PSNR sd (dB)": 2, "from published (dB)": 2, "seconds": 0}


class Html:
    """HTML that a notebook shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def table_text(table: pd.DataFrame, links: str | None = None) -> str:
    """A data frame as an HTML table; column `links` holds relative addresses."""

    def cell(column: str, value: Any) -> str:
        if value is None or (isinstance(value, float) and pd.isna(value)):
            return "<td></td>"
        if isinstance(value, float):
            return f'<td class="number">{value:.{DIGITS.get(column, 4)}f}</td>'
        text = html.escape(str(value))
        return f'<td><a href="{text}">{text}</a></td>' if column == links else f"<td>{text}</td>"

    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(cell(c, v) for c, v in zip(table.columns, row, strict=True)) + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def table(frame: pd.DataFrame, index: str = "") -> Html:
    """A data frame for a notebook; its index becomes a first column of that name, or is left out."""
    return Html(table_text(frame.rename_axis(index).reset_index() if index else frame))


def facts(named: Mapping[str, Any]) -> Html:
    """Names and what belongs to them, one row each."""
    return table(pd.DataFrame({"": list(named), " ": [_plain(value) for value in named.values()]}))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_plain(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
