"""HTML that notebooks and the report show: tables without row numbers, empty cells for what was not measured."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

DIGITS = {
    "published PSNR (dB)": 2,
    "difference (dB, other pictures)": 2,
    "published effect (dB)": 2,
    "GMAC at 400x600": 2,
    "seconds": 0,
    "time (ratio)": 2,
}  # PSNR: 2

# Cells of words with a measured number; a float is one wherever its column is not of published ones.
MEASURED = ("HBL", "degraded", "colour matrix", "restored", "effect (dB)", "effect (SSIM)", "rho")
MEASURED += ("parameters", "steps", "kit", "reference side", "ratio", "measured")
LONG = 60  # letters of a cell that wants room


class Html:
    """HTML that a notebook shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text

    def __repr__(self) -> str:  # what papermill's log shows
        return "[shown in the executed notebook]"


def shown(column: str, value: Any, digits: int = 4) -> str:
    """A cell as readers see it: rounded as its column asks, else to `digits`; empty where there is nothing."""
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.{DIGITS.get(column, 2 if column.startswith('PSNR') else digits)}f}"
    return f"{value:,}" if isinstance(value, Integral) and not isinstance(value, bool) else str(value)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A data frame of what `shown` makes of each cell."""
    return pd.DataFrame({column: [shown(column, value) for value in frame[column]] for column in frame})


def _link(address: str, text: str, title: str = "") -> str:
    text = html.escape(text)
    if ":" in address:  # no path of a run: a scheme, such as javascript
        return text
    named = f' title="{html.escape(title)}"' if title else ""
    return f'<a href="{html.escape(address)}"{named}>{text}</a>'


def linked(addresses: Sequence[str], text: str, base: str = "") -> str:
    """Text that leads to the first of the addresses, which count from `base`; its title names them all."""
    return _link(str(PurePosixPath(base, addresses[0])), text, " ".join(addresses))


def table_text(
    table: pd.DataFrame, links: str | None = None, base: str = "", listed: bool = True, digits: int = 4
) -> str:
    """A data frame as an HTML table; column `links` holds addresses relative to `base`, separated by spaces.

    The measured numbers of a row (`MEASURED`) link to the first of them; where not `listed`, that column is not shown.
    A cell that is `Html` stands as it is. `digits` are those of numbers whose column does not say.
    """

    def cell(column: str, value: Any, addresses: list[str]) -> str:
        if isinstance(value, Html):
            return f'<td class="long">{value.text}</td>'
        text = shown(column, value, digits)
        if column == links:
            return f"<td>{' '.join(_link(str(PurePosixPath(base, word)), word) for word in addresses)}</td>"
        measured = column in MEASURED or (isinstance(value, float) and not column.startswith("published"))
        if measured and addresses and text:
            return f'<td class="number">{linked(addresses, text, base)}</td>'
        kind = ' class="number"' if isinstance(value, Real) else ' class="long"' if len(text) > LONG else ""
        return f"<td{kind}>{html.escape(text)}</td>"

    known = links is not None and links in table
    addresses = [str(text).split() for text in table[links].fillna("")] if known else [[]] * len(table)
    table = table if listed or not known else table.drop(columns=links)
    head = "".join(f'<th scope="col">{html.escape(str(column))}</th>' for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(cell(c, v, of) for c, v in zip(table.columns, row, strict=True)) + "</tr>"
        for row, of in zip(table.itertuples(index=False), addresses, strict=True)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def table(frame: pd.DataFrame, index: str = "") -> Html:
    """A data frame for a notebook; its index becomes a first column of that name, or is left out."""
    return Html(table_text(frame.rename_axis(index).reset_index() if index else frame))


def listing(sentences: Iterable[str]) -> Html:
    """Sentences as a list."""
    return Html(f"<ul>{''.join(f'<li>{html.escape(sentence)}</li>' for sentence in sentences)}</ul>")


def facts(named: Mapping[str, Any]) -> Html:
    """Names and what belongs to them, one row each."""
    return table(pd.DataFrame({"what": list(named), "value": [_plain(value) for value in named.values()]}))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_plain(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
