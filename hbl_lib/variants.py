"""Variants (params/variants.yaml): differences between paper and code (ledger), and of recipes, that can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from . import files
from .config import PARAMS, checked, names
from .errors import KitError, nearest
from .parameters import Section

FOLDER = "variants"  # of a task's results
GROUPS = ("ledger", "recipe")
PATH = PARAMS / "variants.yaml"


class Variant(Section):
    """What paper and code have, what the variant does, and by which parameters."""

    group: Literal["ledger", "recipe"] = "ledger"
    item: str
    paper: str
    code: str
    here: str
    set: str = ""
    times: dict[str, float] = Field({}, description="sections whose steps or epochs are multiplied")
    against: str = ""
    agree: list[str] = Field([], description="tasks on which paper and code do not differ: not run for them")


def known() -> dict[str, Variant]:
    """All variants by name, in the file's order."""
    data = files.read_yaml(PATH)
    if not isinstance(data, dict):
        raise KitError(f"{PATH}: expected variants by name")
    found = {str(name): checked(Variant, facts, f"{PATH}: {name}") for name, facts in data.items()}
    for name, variant in found.items():
        if variant.against and variant.against not in found:
            raise KitError(f"{PATH}: {name}: against: no variant '{variant.against}'.{nearest(variant.against, found)}")
    return found


def chosen(text: str, task: str) -> list[str]:
    """The names in VARIANTS, a group's or "all" for many, with those that they are compared with.

    Those on which paper and code agree for the task are left out.

    >>> chosen("vgg_layers", "uie")
    ['published', 'vgg_layers']
    """
    every, wanted = known(), set()
    words = ["all", *GROUPS, *every]
    for name in text.split():
        if name not in words:
            raise KitError(f"VARIANTS: no variant '{name}'; there are: {', '.join(words)}.{nearest(name, words)}")
        wanted |= {other for other, variant in every.items() if name in ("all", other, variant.group)}
    wanted = {name for name in wanted if task not in every[name].agree}
    while needed := {every[name].against for name in wanted if every[name].against} - wanted:
        wanted |= needed
    return [name for name in every if name in wanted]


def overrides(name: str, profile: str) -> str:
    """What the variant changes in a profile, as in OVERRIDES."""
    variant, settings = known()[name], [] if not known()[name].set else [known()[name].set]
    if profile not in names("profiles"):
        raise KitError(f"no profile '{profile}'; there are: {', '.join(names('profiles'))}")
    data = files.read_yaml(PARAMS / f"profiles/{profile}.yaml")
    for section, factor in variant.times.items():
        key = "steps" if "steps" in data[section] else "epochs"
        settings.append(f"{section}.{key}={max(1, round(factor * data[section][key]))}")
    return ",".join(settings)


def replica(name: str, seed_folder: str = "") -> str:
    """The subfolder of a task that a variant writes to; `seed_folder`: of a further seed, such as seed_1."""
    return "/".join(filter(None, (FOLDER, name, seed_folder)))


def folder_of(folder: Path, name: str) -> Path:
    """Where the variant of a run in `folder`, a task's or a further seed's, is; the run's own for no name.

    >>> folder_of(Path("quick/uie/seed_1"), "rounds").as_posix()
    'quick/uie/variants/rounds/seed_1'
    """
    if not name:
        return folder
    seed = folder.name if folder.name.startswith("seed_") else ""
    return (folder.parent if seed else folder) / replica(name, seed)
