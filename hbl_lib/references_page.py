"""The report's part on the reference runs: their scores, and folded what each says of claims, variants and searches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from . import claims, figures, ledger, manifest, outcomes, references, search_quality, tables, variants
from .markup import table_text
from .references import Reference
from .search import SATURATED
from .studies import BY_NAME


class Part(NamedTuple):
    """What a reference run says of one thing, folded: the page's section on the same, the run's name, and HTML."""

    kind: str
    name: str
    title: str
    body: str

    @property
    def id(self) -> str:
        """Its place on the page."""
        return f"{self.kind}-of-{self.name.replace('/', '-')}"


def details(reference: Reference, base: str = "") -> list[Part]:
    """Tables of all that a reference has beside its scores, with commands: claims, ledger, recipes, ranks.

    `base`: where results/reference is, as seen from the page.
    """
    folder, seeds = reference
    base = f"{base}/{folder.parent.name}"
    found: list[Part] = []

    def add(kind: str, title: str, body: str, of: Sequence[str] = seeds) -> None:
        command = escape(outcomes.command(folder.parent, [folder.name], of))
        told = f"<p>The same comes from <code>{command}</code></p>"
        found.append(Part(kind, "/".join(folder.parts[-2:]), title, told + body))

    if any((folder / name).is_dir() for name in (outcomes.ARCHITECTURES, outcomes.LOSSES)) or len(seeds) > 1:
        table = claims.table(folder.parent, [folder.name], seeds)
        drawn = figures.show(*figures.effects(table.frame))
        add("claims", "Which claims hold", claims.show(table, base).text + drawn.text)
    for group in variants.GROUPS if (folder / variants.FOLDER).is_dir() else ():
        table = ledger.table(folder, seeds, group)
        if "key" in table.frame:  # of something that ran
            add(group, ledger.TITLES[group], ledger.show(ledger.without_idle(table), base).text)
    ranked = search_quality.table(folder.parent, [folder.name], seeds)
    if len(ranked.frame):
        shown = table_text(tables.shown_columns(ranked), "file", base, listed=False)
        studied = [name for name in BY_NAME if (folder / manifest.STUDIES / name / manifest.NAME).is_file()]
        drawn = [figures.show(*search_quality.plot(folder, name)).text for name in studied]
        add("search", ranked.caption, "".join([shown, *drawn]), list(dict.fromkeys(ranked.frame["seed"])))
    return found


def parts(profile_folder: Path) -> list[Part]:
    """What the runs committed with the kit say of claims, variants and searches."""
    base = os.path.relpath(references.FOLDER, profile_folder)
    return [part for reference in references.references() for part in details(reference, base)]


def elsewhere(of: Sequence[Part], kind: str) -> str:
    """Where on the page reference runs have a table of that kind."""
    links = [f'<a href="#{part.id}">{escape(part.name)}</a>' for part in of if part.kind == kind]
    return f"<p>Of reference runs on real pictures: {', '.join(links)}.</p>" if links else ""


def section(profile_folder: Path, of: Sequence[Part]) -> str:
    """The runs committed with the kit: their scores, and their parts."""
    base = os.path.relpath(references.FOLDER.parent, profile_folder)
    scores = references.overview().drop(columns="folder")
    told = [
        "<p>Committed with the kit under results/reference, with metrics and manifests; the name begins with the "
        "profile. Of the real pictures only small parts are at hand, so no number compares with a published one. Means "
        f"over seeds and test pictures.</p>{table_text(scores, 'file', base, listed=False)}",
        "<h3>How long the classifier had something to say</h3><p>Of the steps of a loss search in which its weights "
        "move, the share in which the classifier called the restored picture clear (L_C below ln 2), the share with "
        f"L_C below {SATURATED} (saturated); by seed the step, counted from the search's first, from which on it stays "
        "clear in nine tenths; then the weights found, which began at 1. Means over seeds; empty where it was not "
        "recorded.</p>"
        f"{table_text(references.signals(), 'file', base, listed=False, digits=2)}",
    ]
    folded = (
        f'<details id="{part.id}"><summary>{escape(f"{part.name}: {part.title}")}</summary>{part.body}</details>'
        for part in of
    )
    return "".join([*told, *folded])
