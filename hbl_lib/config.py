"""Parameters: profile + task + overrides, merged, checked, typed and frozen. An unknown key names the nearest one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import KitError, nearest
from .files import read_yaml

ROOT = Path(__file__).parent.parent
PARAMS = ROOT / "params"

Positive = Field(gt=0)


class Section(BaseModel):
    """A frozen group of parameters that takes no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


class Schedule(Section):
    """How long a loop runs: either `epochs` over its list of pictures, or a number of `steps`."""

    epochs: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self

    def steps_for(self, pictures: int, batch: int = 1) -> int:
        """Number of steps over a list of `pictures`."""
        return self.steps if self.steps is not None else self.epochs * max(1, pictures // batch)


class DataParams(Section):
    """How pictures are dealt out, and how many versions of the embedded ones there are."""

    variants: int = Field(gt=0, description="degraded versions of each embedded picture")
    validation: float = Field(gt=0, lt=0.5, description="share of the picture groups kept for selection")
    test: float = Field(gt=0, lt=0.5, description="share of the picture groups kept for the final metrics")
    split_seed: int = Field(ge=0, description="orders the groups before they are dealt out")


class ClassifierParams(Schedule):
    """The classifier and its training, by Adam with a cosine to 0."""

    network: Literal["resnet10", "resnet18", "resnet50"]
    crop: int = Field(ge=16)
    batch: int = Field(ge=2, multiple_of=2, description="half of each class")
    rate: float = Positive
    negatives: Literal["matched", "plain"] = Field(description="what stands for degraded")
    label_smoothing: float = Field(ge=0, lt=0.5)


class LowerParams(Schedule):
    """A search's schedule and its lower level: SGD on the weights, cosine to `final_rate`."""

    warmup: int = Field(ge=0, description="first steps, in which only the weights move")
    crop: int = Field(ge=16)
    rate: float = Positive
    final_rate: float = Field(gt=0, description="never 0: the look-ahead needs a step")
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    clip: float = Field(gt=0, description="largest gradient norm of a weight step")

    @model_validator(mode="after")
    def _upper_level_gets_steps(self) -> LowerParams:
        if self.steps is not None and self.warmup >= self.steps:
            raise ValueError(f"warmup={self.warmup} leaves the upper level none of the {self.steps} steps")
        return self


class LossSearchParams(LowerParams):
    """The search of beta, whose own steps are Adam's at `beta_rate`."""

    beta_rate: float = Positive
    hypergradient: Literal["exact", "double_backward", "finite_difference"]


class ArchitectureSearchParams(LowerParams):
    """The search of alpha, whose own steps are Adam's at `alpha_rate`."""

    alpha_rate: float = Positive
    mixing: Literal["kernel", "feature"]
    gradient: Literal["first_order", "unrolled"] = Field(
        description="of alpha; unrolled: through one step of the weights, as in the authors' code"
    )


class LossSpaceParams(Section):
    """Where the paper's loss space and the authors' code differ; the paper's way is named first."""

    vgg_distance: Literal["squared", "absolute"]
    lpips_input: Literal["signed", "unsigned"] = Field(description="unsigned: [0, 1] fed as if [-1, 1]")
    ssim: Literal["plain", "raised"] = Field(
        description="raised: the exponents of its parts are searched too (Table 1)"
    )
    published_layers: Literal["paper", "code"] = Field(description="of VGG group 2 in the published loss")


class NetworkParams(Section):
    """Where the paper's network and the authors' code differ; the paper's way is named first."""

    combine: Literal["division", "subtraction"] = Field(description="of R_u and R_v in a unit")
    split: Literal["paper", "all"] = Field(description="all: all ten operations wherever channels allow")


class RetrainParams(Schedule):
    """What the profile leaves out comes from its recipe, in params/recipes.yaml."""

    recipe: str
    crop: int = Field(ge=16)
    batch: int = Positive
    half_crops: float = Field(
        ge=0, lt=1, description="share of the first steps whose crops have half the side and are four times as many"
    )
    optimizer: Literal["sgd", "adam"]
    rate: float = Positive
    final_rate: float = Field(ge=0)
    momentum: float = Field(ge=0, lt=1, description="of SGD; Adam has its own")
    weight_decay: float = Field(ge=0)
    clip: float = Positive
    average: float = Field(description="share of the last steps whose weights are averaged, 0.2 to 0.5; 0: none")
    validations: int = Field(gt=0, description="checkpoints judged on the validation pictures, in the last fifth")

    @model_validator(mode="after")
    def _average_covers_every_candidate(self) -> RetrainParams:
        if self.average and not 0.2 <= self.average <= 0.5:
            raise ValueError(f"average={self.average} is neither 0 nor from 0.2 to 0.5")
        return self


class AblationParams(Section):
    """How long the members of the ablations train, all of them alike; without steps, as `retrain` does."""

    steps: int | None = Field(None, gt=0)

    def of(self, retrain: RetrainParams) -> RetrainParams:
        """The members' own training."""
        return retrain if self.steps is None else retrain.model_copy(update={"steps": self.steps, "epochs": None})


class StudyParams(Section):
    """How much the studies of the searches train: random search, and the ranks of losses and genotypes."""

    candidates: int = Field(ge=2, description="genotypes of the random search, which share the search's budget")
    losses: int = Field(ge=4, description="weights drawn for the ranks of losses")
    genotypes: int = Field(ge=4, description="drawn for the ranks of the supernet")
    steps: int = Field(gt=0, description="that each of these trains")
    crop: int = Field(ge=16)


class PerceptualParams(Section):
    """Where the features of the perceptual terms may come from."""

    download: bool = Field(description="may fetch missing VGG-19 and AlexNet weights")
    untrained: bool = Field(description="may go on with seeded untrained features where none are found")


class TaskParams(Section):
    """Which data, which degradation, and which published row belongs beside it."""

    name: str
    title: str
    degradation: str = Field("", description="the physical model that degrades the embedded pictures, or a folder's")
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        {}, description="of its parameters, [low, high], where not its own"
    )
    data: str = Field("embedded", description="'embedded', or a folder of pairs")
    unseen: str = Field("", description="a folder of pictures that the data must not show, as of another set's test")
    published_table: str = Field("", description="where the paper's row for this task stands; empty: there is none")
    published_row: str = "Ours"
    published_prefix: str = ""

    @model_validator(mode="after")
    def _degradation_is_known(self) -> TaskParams:
        if self.degradation == "" and self.data != "embedded":
            return self  # unknown, as that of a folder may be
        from .degradations import MODELS  # imports torch, which the lock of a run needs not

        if self.degradation not in MODELS:
            raise ValueError(
                f"no degradation '{self.degradation}'; there are: {', '.join(MODELS)}."
                f"{nearest(self.degradation, MODELS)}"
            )
        try:
            MODELS[self.degradation].ranges(self.ranges)
        except KitError as error:
            raise ValueError(f"ranges: {error}") from None
        return self


class Params(Section):
    """Everything a run depends on."""

    profile: str
    seed: int = Field(ge=0)
    threads: int = Field(gt=0, description="torch threads; recorded, never derived from cores or jobs")
    checkpoint_seconds: float = Field(
        ge=0, description="at least so long between two checkpoints; no result hangs on it"
    )
    search: Literal["here", "published"] = Field("here", description="published: take loss and genotype as published")
    task: TaskParams
    data: DataParams
    perceptual: PerceptualParams
    loss_space: LossSpaceParams
    network: NetworkParams
    rounds: int = Field(gt=0, description="of loss and architecture search, which alternate (Eq. 4)")
    classifier: ClassifierParams
    loss_search: LossSearchParams
    architecture_search: ArchitectureSearchParams
    retrain: RetrainParams
    ablation: AblationParams
    studies: StudyParams


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
            lines.append(
                f"{where}: unknown parameter.{nearest(str(fault['loc'][-1]), [*model.model_fields, 'settings'])}"
            )
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
