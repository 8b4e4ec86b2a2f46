"""The members of the ablations: Figure 6 (losses) and Table 5 (architectures), each a stage of its own.

A member is a network, a loss and, for HBL's network, an architecture; it is trained like every other member and judged
on the same test pictures. Where the main run trains as the members do, its restorer is the member "ours".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator
from torch import nn

from . import evaluation, files, inference, inputs, manifest, perceptual, random_search, search, training
from .baselines.mbllen import MBLLEN, MBLLENSpace
from .baselines.unet import UNet
from .config import PARAMS, checked
from .errors import KitError, nearest
from .genotype import Genotype
from .losses import FoundLoss, Space, published_weights
from .manifest import ABLATIONS
from .network import macs, parameter_count
from .parameters import Section
from .restorer import Restorer
from .runs import Run, Stage
from .seeding import seed_everything

CALIBRATION_CROPS = 8


class Member(Section):
    """What is trained, and under which loss; params/ablations.yaml explains the words."""

    label: str
    network: Literal["hbl", "supernet", "unet", "mbllen"]
    loss: Literal["found", "default", "searched", "published"]
    architecture: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Member:
        if (self.network == "hbl") != bool(self.architecture):
            raise ValueError("an architecture goes with the network hbl, and hbl with one")
        if self.network == "hbl" and (self.loss == "searched") != (self.architecture == "synchronous"):
            raise ValueError("the loss of hbl is searched where the architecture is synchronous, and only there")
        if self.network == "mbllen" and self.loss not in ("default", "searched"):
            raise ValueError("mbllen has a loss space of its own: its loss is default or searched")
        if self.architecture not in ("", "found", "published", "synchronous", "random"):
            Genotype.uniform(self.architecture)
        return self


LOSSES, ARCHITECTURES = ABLATIONS
BASELINES: dict[str, Callable[[], nn.Module]] = {"mbllen": MBLLEN, "unet": UNet}


def members(ablation: str, task: str) -> dict[str, Member]:
    """The members of an ablation, by name; without the published ones for a task of which nothing is published."""
    if ablation not in ABLATIONS:
        raise KitError(f"no ablation '{ablation}'; there are: {', '.join(ABLATIONS)}.{nearest(ablation, ABLATIONS)}")
    path = PARAMS / "ablations.yaml"
    known = files.read_yaml(path)
    if not isinstance(known, dict) or not isinstance(known.get(ablation), dict):
        raise KitError(f"{path}: {ablation}: expected its members by name")
    found = {name: checked(Member, facts, f"{path}: {ablation}: {name}") for name, facts in known[ablation].items()}
    published = published_weights(task) is not None
    return {name: chosen for name, chosen in found.items() if published or chosen.loss != "published"}


def member(ablation: str, name: str, task: str) -> Member:
    """The member of that name; a wrong one names the nearest."""
    known = members(ablation, task)
    if name not in known:
        raise KitError(
            f"{ablation} has no member '{name}' for {task}; there are: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name]


def finished(folder: Path, name: str) -> bool:
    """Whether the member `name`, such as 07_architecture_ablation/3-C, of the run in `folder` is what it would be now.

    That is, judged; as params/ablations.yaml has it; on what the stages before it hold; and with the parameters and
    feature trunks of the main run's 04_retrain, where that has run.
    """
    ablation, _, last = name.partition("/")
    if not (folder / name / manifest.NAME).is_file():
        return False
    recorded = manifest.read(folder / name / manifest.NAME)
    chosen = members(ablation, recorded["parameters"]["task"]["name"]).get(last)
    if chosen is None or recorded["facts"].get("member") != chosen.model_dump():
        return False
    main = folder / "04_retrain" / manifest.NAME
    if main.is_file():
        other = manifest.read(main)
        trunks = all(recorded["facts"].get(term) == other["facts"].get(term) for term in ("vgg_term", "lpips_term"))
        if not trunks or recorded["parameters"] != other["parameters"]:
            return False
    return manifest.inputs_unchanged(folder, recorded)


def run_members(run: Run, ablation: str, names: Sequence[str]) -> None:
    """Run those of the members `names` that have not finished with these parameters, one after the other."""
    for name in names:
        done = finished(run.folder, f"{ablation}/{name}")
        path = run.folder / ablation / name / manifest.NAME
        if not done or manifest.read(path)["parameters"] != run.params.model_dump():
            run_member(run, ablation, name)


def run_member(run: Run, ablation: str, name: str) -> Path:
    """Search (where the member does), train, and judge one member; returns its folder."""
    chosen = member(ablation, name, run.params.task.name)
    with run.stage(f"{ablation}/{name}") as stage:
        stage.facts["member"] = chosen.model_dump()
        space = _space(stage, chosen)
        if name == "ours" and run.params.ablation.of(run.params.retrain) == run.params.retrain:
            network, facts = _main_run(stage)
        else:
            network, facts = _trained(stage, chosen, space)
        test = inputs.pictures(stage, "test")
        deployed = network.deploy() if isinstance(network, Restorer) else network
        methods = {"restored": lambda _, degraded: inference.restore(deployed, degraded)}
        judged = evaluation.judge(stage, test, methods)
        facts |= {"label": chosen.label, "network": chosen.network, "loss": chosen.loss}
        facts |= {"architecture": chosen.architecture, "parameters": parameter_count(network)}
        facts["macs"] = macs(network)
        stage.write_metrics(len(test), facts | evaluation.summary(test, judged, methods))
        for loop in ("search", "train"):
            stage.part(loop).ended()
    return run.folder / ablation / name


def _main_run(stage: Stage) -> tuple[nn.Module, dict[str, Any]]:
    """The main run's restorer, whose training is the members' own."""
    restorer = Restorer.load(stage.need("04_retrain", "restorer.safetensors"))
    trained = files.read_json(stage.need("04_retrain", "metrics.json"))
    kept = ("steps", "crop", "validation_psnr", "best_step")
    return restorer.to(stage.run.device), {key: trained[key] for key in kept}


def _trained(stage: Stage, chosen: Member, space: Space) -> tuple[nn.Module, dict[str, Any]]:
    found, genotype, facts = _loss_and_architecture(stage, chosen, space)
    params = stage.run.params.ablation.of(stage.run.params.retrain)
    crops = inputs.retraining_crops(stage, params)
    network = _network(stage, chosen, genotype)
    if isinstance(space, MBLLENSpace):
        facts["divided_by"] = dict(zip(space.weighed, space.scales.tolist(), strict=True))
    else:
        found.write(stage.output("loss.yaml"))
    part = stage.part("train")
    validation = inputs.pictures(stage, "validation")
    best, history = training.RestorerTraining(params, network, space, found, crops, validation).run(part)
    files.write_json(stage.output("train/history.json"), history)
    stage.facts["clear_features"] = perceptual.reuse(space.clear_features)
    facts |= {"steps": len(history), "crop": params.crop, "weights": found.weights}
    return network, facts | {"validation_psnr": best.psnr, "best_step": best.step + 1}


def _network(stage: Stage, chosen: Member, genotype: Genotype | None) -> nn.Module:
    """Freshly drawn, from the seed and the member's name alone, so that a resumed member draws the same."""
    seed_everything(stage.run.params.seed, stage.name, "network")
    run = stage.run
    if genotype:
        network = Restorer(genotype, run.params.network.combine)
    else:
        network = inputs.supernet(run) if chosen.network == "supernet" else BASELINES[chosen.network]()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.endswith(".alpha"))  # the supernet's mixture stays as drawn: nearly equal
    return network.to(run.device)


def _space(stage: Stage, chosen: Member) -> Space:
    """The space of the member's loss; MBLLEN's is divided by its values under the network as drawn."""
    space = inputs.recorded_space(stage)
    if chosen.network != "mbllen":
        return space
    own = MBLLENSpace(space.trunk).to(stage.run.device)
    crops = inputs.crops(stage, "loss_search", stage.run.params.loss_search.crop, ("train",))
    pairs = ([x.to(stage.run.device) for x in crops.at(step)] for step in range(CALIBRATION_CROPS))
    own.calibrate(_network(stage, chosen, None), pairs)
    return own


def _loss_and_architecture(
    stage: Stage, chosen: Member, space: Space
) -> tuple[FoundLoss, Genotype | None, dict[str, Any]]:
    """What the member trains with; searched first where it says so."""
    task, facts, genotype = stage.run.params.task.name, {}, None
    if chosen.loss == "searched":
        found, searched, facts = _searched(stage, chosen, space)
        if chosen.architecture == "synchronous":
            genotype = Genotype.derive(searched)
            genotype.write(stage.output("genotype.yaml"))
    elif chosen.loss == "default":
        found = space.authors() if chosen.network == "mbllen" else FoundLoss.equal(space.trunk)
    elif chosen.loss == "published":
        found = FoundLoss.published(task, space.trunk, stage.run.params.loss_space.published_layers)
    else:
        found = inputs.found_loss(stage)
    if chosen.architecture == "random":
        genotype, tried = random_search.search(stage, space, found)
        facts["search"] = tried
        genotype.write(stage.output("genotype.yaml"))
    elif chosen.architecture == "found":
        genotype = inputs.found_genotype(stage)
    elif chosen.architecture == "published":
        genotype = Genotype.published(task)
    elif chosen.network == "hbl" and genotype is None:
        genotype = Genotype.uniform(chosen.architecture)
    return found, genotype, facts


def _searched(stage: Stage, chosen: Member, space: Space) -> tuple[FoundLoss, nn.Module, dict[str, Any]]:
    """A loss searched for the member's network; synchronous: the supernet's alphas along with it."""
    run, params = stage.run, stage.run.params.loss_search
    classifier = inputs.trained_classifier(stage)
    train, held_out = inputs.both_levels(stage, "loss_search", params.crop)
    together = chosen.architecture == "synchronous"
    network = inputs.supernet(run) if together else _network(stage, chosen, None)
    part, alphas_by = stage.part("search"), run.params.architecture_search if together else None
    found, history = search.LossSearch(params, network, space, classifier, train, held_out, alphas_by).run(part)
    files.write_json(stage.output("search/history.json"), history)
    return found, network, {"search": search.loss_summary(history, params.warmup)}
