"""The report's page: one HTML file that stands alone, its parts as HTML, and notebooks as parts of it.

Style, script and frame are in `assets`. Nothing is loaded from elsewhere, and a policy within the page forbids it. Text
and formulas are shown in the reader's own fonts; what these lack, in one within the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ASSETS = Path(__file__).parent / "assets"
SHOWN_WIDTH = 720  # of a picture in a slider, at most
ITALICS = range(0x1D434, 0x1D71C)  # mathematical italic letters, Latin and Greek
CODE = """{% extends 'basic/index.html.j2' %}
{% block input_group %}<details class="code"><summary>code: {{ cell.metadata.says }}</summary>
{{ super() }}</details>{% endblock %}"""


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own, and what the contents list under it: {id: title}."""

    id: str
    title: str
    body: str
    below: Mapping[str, str]


def _mathml(markdown: str) -> str:
    """Markdown with its formulas as MathML, which browsers show without a network."""
    from latex2mathml.converter import convert

    def block(match: re.Match[str]) -> str:
        return f'<span class="wide">{convert(match.group(1).strip(), display="block")}</span>'

    def inline(match: re.Match[str]) -> str:
        return convert(match.group(1), display="inline")

    return re.sub(r"\$([^$\n]+)\$", inline, re.sub(r"\$\$(.+?)\$\$", block, markdown, flags=re.DOTALL))


def _says(cell: Any) -> str:
    """What a fold of code is called: the first of its lines that imports nothing, shortened; or parameters."""
    if any("parameters" in tag for tag in cell.metadata.get("tags", [])):
        return "parameters"
    lines = [line.strip() for line in cell.source.splitlines()]
    told = [
        line for line in lines if line and not re.match(r"(from|import|runs.check_environment)\b|[#@]|[)\w]+,?$", line)
    ]
    return html.escape(textwrap.shorten(told[0], 72, placeholder=" ...") if told else "imports")


def notebook(path: Path) -> tuple[str, str]:
    """The title of an executed notebook as text, and all below it as HTML.

    Code is folded away; headings are two levels down and without ids of their own.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    read, title = nbformat.read(path, as_version=4), path.stem
    if first := re.match(r"# (.+)\n*", read.cells[0].source):
        title, read.cells[0].source = first.group(1), read.cells[0].source[first.end() :]
    for cell in read.cells:
        cell.metadata["says"] = _says(cell)
        if cell.cell_type == "markdown":
            cell.source = _mathml(re.sub(r"^(#+) ", r"##\1 ", cell.source, flags=re.MULTILINE))
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True)
    exporter.raw_template = CODE
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    body, _ = exporter.from_notebook_node(read)
    return title, re.sub(r'<(h\d|div) id="[^"]*"', r"<\1", body)


def _picture(picture: np.ndarray) -> str:
    """(H, W, 3) uint8 as the address of a JPEG within the page, not wider than shown."""
    shown = Image.fromarray(picture)
    shown.thumbnail((SHOWN_WIDTH, SHOWN_WIDTH))
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def slider(caption: str, degraded: np.ndarray, restored: np.ndarray, clear: np.ndarray) -> str:
    """Three pictures of one size over each other, with two edges that move by mouse, finger and keys."""
    caption = html.escape(caption, quote=True)
    versions = {"degraded": degraded, "restored": restored, "clear": clear}
    shown = "".join(
        f'<img class="{name}" alt="{caption}: {name}" src="{_picture(picture)}">' for name, picture in versions.items()
    )
    edges = "".join(
        f'<label>{name} from <input type="range" min="0" max="100" value="{at}" '
        f'aria-label="{caption}: where the {name} picture begins"></label>'
        for name, at in (("restored", 33), ("clear", 67))
    )
    return (
        f'<figure class="slider"><div class="pictures">{shown}</div>{edges}'
        f"<figcaption>{caption}: degraded | restored | clear</figcaption></figure>"
    )


def _font(text: str) -> str:
    """The address of a font within the page, STIX as matplotlib has it, cut down to the characters of HTML `text`.

    Formulas show single letters as mathematical italics, so these are in it.
    """
    import matplotlib
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    font = TTFont(Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf")
    smaller = Subsetter(Options(layout_features=[], hinting=False, drop_tables=["FFTM"]))
    smaller.populate(unicodes={*map(ord, html.unescape(text)), *ITALICS})
    smaller.subset(font)
    font.flavor, buffer = "woff", io.BytesIO()
    font.save(buffer)
    return f"data:font/woff;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def whole(profile: str, sections: Sequence[Section]) -> str:
    """The page: contents, and the sections one after the other."""
    from jinja2 import Template
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=s).get_style_defs("body .highlight") for s in ("bw", "github-dark"))
    style = (ASSETS / "page.css").read_text()
    style += f"{light}@media (prefers-color-scheme: dark) {{{dark}}}"
    script = (ASSETS / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    contents = [
        {"id": s.id, "title": s.title, "below": [{"id": i, "title": t} for i, t in s.below.items()]} for s in sections
    ]
    template = Template((ASSETS / "page.html.j2").read_text(), keep_trailing_newline=True, autoescape=True)
    body = "\n".join(f'<section id="{s.id}"><h2>{html.escape(s.title)}</h2>{s.body}</section>' for s in sections)
    style = f'@font-face {{ font-family: enclosed; src: url("{_font(body)}"); }}\n{style}'
    policy = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    policy += f"script-src 'sha256-{digest}'"
    return template.render(profile=profile, contents=contents, body=body, style=style, script=script, policy=policy)
