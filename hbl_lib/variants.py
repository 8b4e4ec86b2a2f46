"""The ledger's variants (params/variants.yaml): named differences between paper and public code that can be run."""

from __future__ import annotations

from pydantic import Field

from . import files
from .config import PARAMS, Section, checked, names
from .errors import KitError, nearest

FOLDER = "variants"  # of a task's results
PATH = PARAMS / "variants.yaml"


class Variant(Section):
    """What paper and code have, what the variant does, and by which parameters."""

    item: str
    paper: str
    code: str
    here: str
    set: str = ""
    times: dict[str, int] = Field({}, description="sections whose steps or epochs are multiplied")
    against: str = ""


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


def chosen(text: str) -> list[str]:
    """The names in VARIANTS, "all" for all of them, with those that they are compared with."""
    every, wanted = known(), text.split()
    for name in wanted:
        if name != "all" and name not in every:
            raise KitError(f"VARIANTS: no variant '{name}'; there are: all, {', '.join(every)}.{nearest(name, every)}")
    wanted = list(every) if "all" in wanted else wanted
    needed = {every[name].against for name in wanted}
    return [name for name in every if name in wanted or name in needed]


def overrides(name: str, profile: str) -> str:
    """What the variant changes in a profile, as in OVERRIDES."""
    variant, settings = known()[name], [] if not known()[name].set else [known()[name].set]
    if profile not in names("profiles"):
        raise KitError(f"no profile '{profile}'; there are: {', '.join(names('profiles'))}")
    data = files.read_yaml(PARAMS / f"profiles/{profile}.yaml")
    for section, factor in variant.times.items():
        key = "steps" if "steps" in data[section] else "epochs"
        settings.append(f"{section}.{key}={factor * data[section][key]}")
    return ",".join(settings)


def replica(name: str, seed_folder: str = "") -> str:
    """The subfolder of a task that a variant writes to; `seed_folder`: of a further seed, such as seed_1."""
    return "/".join(filter(None, (FOLDER, name, seed_folder)))
