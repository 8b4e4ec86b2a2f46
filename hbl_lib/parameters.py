"""The parameters of a run as types: every section, its keys, and what they may be. `config` fills them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .errors import KitError, nearest

Positive = Field(gt=0)


class Section(BaseModel):
    """A frozen group of parameters that takes no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
    final_rate: float = Field(gt=0, description="never 0: a look-ahead needs a step")
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    weight_decay_in: Literal["weight_step", "look_ahead"] = Field(
        description="look_ahead: only in the upper level's unrolled step of the weights, as in the authors' code"
    )
    look_ahead_momentum: bool = Field(
        description="whether the unrolled step has the weights' momentum too, as in the authors' code"
    )
    clip: float = Field(gt=0, description="largest gradient norm of a weight step")

    @model_validator(mode="after")
    def _upper_level_gets_steps(self) -> LowerParams:
        if self.steps is not None and self.warmup >= self.steps:
            raise ValueError(f"warmup={self.warmup} leaves the upper level none of the {self.steps} steps")
        return self

    def decay_of(self, step: Literal["weight_step", "look_ahead"]) -> float:
        """The weight decay within one of the two kinds of step."""
        return self.weight_decay if self.weight_decay_in == step else 0.0


class LossSearchParams(LowerParams):
    """The search of beta, whose own steps are Adam's at `beta_rate`."""

    beta_rate: float = Positive
    beta_decay: float = Field(ge=0, description="Adam's weight decay; the authors' code has 1e-4, the paper tells none")
    hypergradient: Literal["exact", "double_backward", "finite_difference"]


class ArchitectureSearchParams(LowerParams):
    """The search of alpha, whose own steps are Adam's at `alpha_rate`."""

    alpha_rate: float = Positive
    alpha_decay: float = Field(ge=0, description="as beta_decay")
    mixing: Literal["kernel", "feature"]
    gradient: Literal["first_order", "unrolled"] = Field(
        description="of alpha; unrolled: through one gradient step of the weights"
    )

    @model_validator(mode="after")
    def _there_is_a_look_ahead(self) -> ArchitectureSearchParams:
        if self.gradient == "first_order":
            needs = "needs gradient=unrolled: first_order looks no step ahead"
            if self.decay_of("look_ahead"):
                raise ValueError(f"weight_decay_in=look_ahead {needs}")
            if self.look_ahead_momentum:
                raise ValueError(f"look_ahead_momentum {needs}")
        return self


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
    losses: int = Field(ge=4, description="ranked: the found loss, equal weights, and drawn ones")
    genotypes: int = Field(ge=4, description="ranked: the found one, and drawn ones")
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
