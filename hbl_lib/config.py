"""Parameters: profile + task + overrides, merged, checked, typed and frozen. An unknown key names the nearest one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from .errors import KitError, nearest
from .files import read_yaml
from .parameters import Params, Section

ROOT = Path(__file__).parent.parent
PARAMS = ROOT / "params"

Kind = TypeVar("Kind", bound=Section)


def checked(kind: type[Kind], facts: Any, where: str) -> Kind:
    """An entry of a file as its type; a KitError says where it stands, and every fault of it."""
    try:
        return kind.model_validate(facts)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, f['loc']))} {f['msg'].removeprefix('Value error, ')}" for f in error.errors()]
        raise KitError(f"{where}: {'; '.join(faults)}") from None
    except KitError as error:
        raise KitError(f"{where}: {error}") from None


def expanded(text: str) -> Path:
    """A path as a person writes it, ~ for the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise KitError(f"{text}: there is no such home folder") from None


def located(text: str) -> Path:
    """The file or folder that `text` names: where the caller stands, else counted from the project's folder."""
    given = expanded(text)
    return given if given.is_absolute() or given.exists() else ROOT / given


def names(kind: str) -> list[str]:
    """The profiles or tasks there are; kind is "profiles" or "tasks"."""
    return sorted(path.stem for path in (PARAMS / kind).glob("*.yaml"))


def _read(kind: str, name: str) -> dict[str, Any]:
    if name not in names(kind):
        raise KitError(f"no {kind[:-1]} '{name}'; there are: {', '.join(names(kind))}.{nearest(name, names(kind))}")
    data = read_yaml(PARAMS / kind / f"{name}.yaml")
    if not isinstance(data, dict):
        raise KitError(f"{PARAMS / kind / name}.yaml: expected keys and values")
    return data


def _assign(section: dict[str, Any], key: str, value: Any) -> None:
    """Set a parameter; steps take the place of epochs, and the other way round."""
    section[key] = value
    section.pop({"steps": "epochs", "epochs": "steps"}.get(key), None)


def _settle(data: dict[str, Any], settings: Any, profile: str, source: str) -> None:
    """Put a task's own settings for `profile`, {profile: {section: {key: value}}}, into nested `data`."""
    shape = "expected {profile: {section: {key: value}}}, such as {quick: {retrain: {steps: 900}}}"
    if not isinstance(settings, dict) or not all(isinstance(sections, dict) for sections in settings.values()):
        raise KitError(f"{source}: settings: {shape}")
    for name, sections in settings.items():
        if name not in names("profiles"):
            raise KitError(f"{source}: settings: no profile '{name}'.{nearest(str(name), names('profiles'))} {shape}")
        for section, values in sections.items():
            where = f"{source}: settings: {name}: {section}"
            if not isinstance(values, dict) or section == "task" or not isinstance(data.get(section), dict):
                raise KitError(f"{where} is no section of parameters;{nearest(str(section), data)} {shape}")
            fields = Params.model_fields[section].annotation.model_fields
            for key, value in values.items():
                if key not in fields:
                    raise KitError(f"{where}: no parameter '{key}'.{nearest(str(key), fields)}")
                if name == profile:
                    _assign(data[section], key, value)


def _override(data: dict[str, Any], assignment: str) -> None:
    """Apply "section.key=value" (YAML value) to nested `data`."""
    key, equals, text = assignment.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise KitError(f"override {assignment!r}: write section.key=value, for example retrain.steps=100")
    if key.strip() in ("profile", "seed", "task.data"):
        raise KitError(f"override {assignment!r}: {key} has a setting of its own")
    for section in sections:
        if not isinstance(data.get(section), dict):
            known = [name for name, value in data.items() if isinstance(value, dict)]
            raise KitError(f"override {assignment!r}: no section '{section}'.{nearest(section, known)}")
        data = data[section]
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise KitError(f"override {assignment!r}: {text!r} is not a YAML value") from None
    with contextlib.suppress(TypeError, ValueError):
        value = float(value) if isinstance(value, str) else value  # YAML 1.1 reads 1e-3 as text
    _assign(data, last, value)


def _explain(error: ValidationError, source: str) -> str:
    """Every wrong key of a validation error, in words."""
    lines = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"]) or "parameters"
        if fault["type"] == "extra_forbidden":
            model: Any = Params
            for part in fault["loc"][:-1]:
                model = model.model_fields[part].annotation
            name = str(fault["loc"][-1])
            sections = [
                s for s, field in Params.model_fields.items() if name in getattr(field.annotation, "model_fields", ())
            ]
            alone = sections and len(fault["loc"]) == 1
            hint = f" Name its section: {', '.join(f'{s}.{name}' for s in sections)}." if alone else ""
            lines.append(f"{where}: unknown parameter.{hint or nearest(name, [*model.model_fields, 'settings'])}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: is missing")
        else:
            found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r:.60}"
            lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}{found}")
    return f"{source}: " + "; ".join(lines)


def _recipe(name: Any) -> dict[str, Any]:
    """The settings of a recipe in params/recipes.yaml."""
    known = read_yaml(PARAMS / "recipes.yaml")
    if name not in known:
        raise KitError(
            f"retrain.recipe: no recipe '{name}' in params/recipes.yaml; there are: {', '.join(known)}."
            f"{nearest(str(name), known)}"
        )
    return known[name]


def load(profile: str, task: str, seed: int = 0, data: str = "", overrides: str = "") -> Params:
    """Merge params/profiles/PROFILE.yaml, params/tasks/TASK.yaml and the overrides, and check the whole.

    What these leave open of `retrain` is as its recipe has it.

    `data`: a folder of pairs in place of the task's own data. `overrides`: "section.key=value", separated by commas.
    A task file may hold settings of its own: `settings: {PROFILE: {section: {key: value}}}`.

    >>> load("quick", "uie", overrides="retrain.steps=9,search=published").retrain.steps
    9
    """
    chosen = {"name": task, **_read("tasks", task)}
    settings = chosen.pop("settings", {})
    merged: dict[str, Any] = {"profile": profile, "seed": seed, **_read("profiles", profile), "task": chosen}
    if data:
        chosen["data"] = data
    _settle(merged, settings, profile, f"params/tasks/{task}.yaml")
    for assignment in filter(None, (part.strip() for part in overrides.split(","))):
        _override(merged, assignment)
    if isinstance(merged["retrain"], dict):  # else the check below says so
        merged["retrain"] = _recipe(merged["retrain"].get("recipe")) | merged["retrain"]
    try:
        return Params.model_validate(merged)
    except ValidationError as error:
        raise KitError(_explain(error, f"profile '{profile}', task '{task}'")) from None
