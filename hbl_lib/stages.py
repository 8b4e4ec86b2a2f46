"""The stages of the chain. Each reads files of the stages before it and writes its own; nothing passes in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from . import classifier as classifiers
from . import (
    embedded,
    evaluation,
    files,
    given_methods,
    images,
    inference,
    inputs,
    metrics,
    overlap,
    perceptual,
    search,
    soundness,
    splits,
    training,
)
from .baselines import CLASSICAL, color_matrix
from .config import located
from .data import Pictures
from .genotype import Genotype
from .losses import FoundLoss, LossSpace
from .network import macs, parameter_count
from .restorer import Restorer
from .runs import Run, Stage
from .seeding import seed_everything
from .supernet import Supernet

CONFUSION_BATCHES = 16


def finish(stage: Stage, history: list[dict[str, Any]]) -> None:
    """Store the records of a finished loop."""
    files.write_json(stage.output("history.json"), history)
    stage.ended()


def data(run: Run) -> None:
    """00: the embedded pictures degraded, or a folder of pairs checked; then the stored file lists."""
    with run.stage("00_data") as stage:
        params = run.params
        if params.task.data == "embedded":
            task, values = params.task, params.data
            drawn = embedded.write_pairs(
                stage.output("pictures"), task.degradation, values.variants, values.split_seed, task.ranges
            )
            files.write_json(stage.output(embedded.DRAWN), drawn)
        else:
            stage.output(embedded.DRAWN).unlink(missing_ok=True)
        listed = soundness.check(run.data_root)
        found = soundness.require_sound(listed)
        if params.task.unseen:
            overlap.require_unseen(run.data_root, located(params.task.unseen))
        dealt = splits.deal(found, params.data.validation, params.data.test, params.data.split_seed)
        source = "embedded" if params.task.data == "embedded" else "folder"
        splits.write(stage.output("splits.json"), run.data_root, dealt, source)
        lists = {name: len(part) for name, part in dealt.items()}
        alike = {"joined": listed.twins, "held_out": listed.held_out}
        stage.write_metrics(len(found), {"source": source, "lists": lists, **alike})


def classifier(run: Run) -> None:
    """01: the clear-or-degraded classifier, and its confusion on pictures it has not seen.

    It learns from the train and search lists. The search list then feeds the upper level of the loss search, as
    restored pictures, which the classifier has not seen; few pictures make it worth having all of them.
    """
    params = run.params.classifier
    with run.stage("01_classifier") as stage:
        shown = inputs.crops(stage, "classifier", params.crop, ("train", "search"), params.batch // 2)
        validation = inputs.crops(stage, "classifier", params.crop, ("validation",), params.batch // 2)
        trained, history = training.ClassifierTraining(params, shown, run.device).run(stage)
        trained.save(stage.output("classifier.safetensors"))
        tables = {
            kind: classifiers.confusion(trained, validation, kind, CONFUSION_BATCHES) for kind in ("plain", "matched")
        }
        accuracy = {kind: (t[0][0] + t[1][1]) / sum(map(sum, t)) for kind, t in tables.items()}
        facts = {"network": params.network, "parameters": parameter_count(trained), "negatives": params.negatives}
        facts |= {"classes": list(classifiers.CLASSES), "confusion": tables, "accuracy": accuracy}
        stage.write_metrics(len(validation.pictures), facts)
        finish(stage, history)


def loss_search(run: Run) -> None:
    """02: loss.yaml."""
    params = run.params.loss_search
    with run.stage("02_loss_search") as stage:
        trained = inputs.trained_classifier(stage)
        train, held_out = inputs.both_levels(stage, "loss_search", params.crop)
        space = inputs.recorded_space(stage)
        if run.params.search == "published":
            layers_of = run.params.loss_space.published_layers
            found, history, summary = FoundLoss.published(run.params.task.name, space.trunk, layers_of), [], {}
        else:
            found, history = search.LossSearch(params, inputs.supernet(run), space, trained, train, held_out).run(stage)
            summary = search.loss_summary(history, params.warmup)
            stage.facts["clear_features"] = perceptual.reuse(space.clear_features)
        found.write(stage.output("loss.yaml"))
        facts = {"search": run.params.search, "trunk": found.trunk, "lpips_term": space.lpips.name}
        stage.write_metrics(len(train.pictures), facts | summary)
        finish(stage, history)


def _next_round(stage: Stage, number: int, alphas: list[Tensor], space: LossSpace) -> tuple[FoundLoss, Supernet]:
    """Round `number` of Eq. 4: the loss for the architecture `alphas`, then the architecture for that loss."""
    params, run = stage.run.params, stage.run

    def drawn(name: str) -> Supernet:
        seed_everything(params.seed, stage.name, name, number)
        network = inputs.supernet(run, params.architecture_search.mixing)
        for alpha, value in zip(network.alphas(), alphas, strict=True):
            alpha.data.copy_(value)
        return network

    shown = inputs.both_levels(stage, f"loss_search {number}", params.loss_search.crop)
    trained = inputs.trained_classifier(stage)
    searching = search.LossSearch(params.loss_search, drawn("loss"), space, trained, *shown)
    found, history = searching.run(stage.part(f"loss_{number}"))
    files.write_json(stage.output(f"loss_{number}/history.json"), history)
    network = drawn("architecture")
    shown = inputs.both_levels(stage, f"architecture_search {number}", params.architecture_search.crop)
    searching = search.ArchitectureSearch(params.architecture_search, network, space, found, *shown)
    _, history = searching.run(stage.part(f"architecture_{number}"))
    files.write_json(stage.output(f"architecture_{number}/history.json"), history)
    for loop in ("loss", "architecture"):
        stage.part(f"{loop}_{number}").ended()
    return found, network


def architecture_search(run: Run) -> None:
    """03: genotype.yaml; of several rounds, which alternate with the loss search, also the last loss.yaml."""
    params = run.params.architecture_search
    with run.stage("03_architecture_search") as stage:
        for left in ("loss.yaml", "supernet.safetensors"):  # of a run before, with other parameters
            stage.output(left).unlink(missing_ok=True)
        found = FoundLoss.read(stage.need("02_loss_search", "loss.yaml"))
        train, held_out = inputs.both_levels(stage, "architecture_search", params.crop)
        if run.params.search == "published":
            genotype, history, summary = Genotype.published(run.params.task.name), [], {}
        else:
            space = inputs.recorded_space(stage)
            network = inputs.supernet(run, params.mixing)
            genotype, history = search.ArchitectureSearch(params, network, space, found, train, held_out).run(stage)
            summary = search.architecture_summary(history)
            for number in range(2, run.params.rounds + 1):
                found, network = _next_round(stage, number, [a.detach() for a in network.alphas()], space)
                genotype = Genotype.derive(network)
                found.write(stage.output("loss.yaml"))
            network.save(stage.output("supernet.safetensors"))
            stage.facts["clear_features"] = perceptual.reuse(space.clear_features)
        genotype.write(stage.output("genotype.yaml"))
        facts = {"search": run.params.search, "parameters": parameter_count(Restorer(genotype))}
        facts |= {"operations": genotype.counts(), "skip_collapse": genotype.skip_collapse()}
        stage.write_metrics(len(train.pictures), facts | summary)
        finish(stage, history)


def retrain(run: Run) -> None:
    """04: restorer.safetensors, the found network trained from scratch with the found loss."""
    params = run.params.retrain
    with run.stage("04_retrain") as stage:
        genotype = inputs.found_genotype(stage)
        found = inputs.found_loss(stage)
        shown = inputs.retraining_crops(stage, params)
        restorer = Restorer(genotype, run.params.network.combine).to(run.device)
        validation = inputs.pictures(stage, "validation")
        space = inputs.recorded_space(stage)
        best, history = training.RestorerTraining(params, restorer, space, found, shown, validation).run(stage)
        stage.facts["clear_features"] = perceptual.reuse(space.clear_features)
        restorer.save(stage.output("restorer.safetensors"))
        facts = {"steps": len(history), "crop": params.crop, "parameters": parameter_count(restorer)}
        stage.write_metrics(len(shown.pictures), facts | {"validation_psnr": best.psnr, "best_step": best.step + 1})
        finish(stage, history)


def evaluate(run: Run, methods: str = "") -> None:
    """05: metrics on whole test pictures: degraded, colour matrix, classical methods, the restorer.

    `methods`: "name=folder ...", restored pictures made elsewhere, which are scored like the others.
    """
    with run.stage("05_evaluate") as stage:
        genotype = inputs.found_genotype(stage)
        restorer = Restorer.load(stage.need("04_retrain", "restorer.safetensors"), genotype).to(run.device)
        retrained = files.read_json(stage.need("04_retrain", "metrics.json"))
        deployed = restorer.deploy()
        test = inputs.pictures(stage, "test")
        folders = given_methods.parse(methods)
        given_methods.refuse_own(folders, run.folder)
        elsewhere = given_methods.read(folders, test)
        stage.facts["methods"] = {name: files.checksums(folder) for name, folder in folders.items()}
        matrix = color_matrix.fit(inputs.pictures(stage, "train", "search"))
        compared = methods_compared(deployed, matrix, elsewhere)
        judged = evaluation.judge(stage, test, compared)
        facts = {
            "search": files.read_json(stage.need("03_architecture_search", "metrics.json"))["search"],
            "steps": retrained["steps"],
            "parameters": retrained["parameters"],
            "macs": macs(restorer),
            "given": list(elsewhere),
            **evaluation.summary(test, judged, compared),
            "protocols": evaluation.protocols(stage, test, judged),
            "color_matrix_values": matrix.tolist(),
            "crop_against_whole": _crop_against_whole(stage, deployed, test, judged, retrained["crop"]),
        }
        stage.write_metrics(len(test), facts)


def methods_compared(
    deployed: nn.Module, matrix: np.ndarray, elsewhere: Mapping[str, evaluation.Method]
) -> dict[str, evaluation.Method]:
    """The rows of Tables 2 to 4 that are measured on the test pictures, in their order."""
    return {
        "degraded": lambda _, degraded: degraded,
        "color_matrix": lambda _, degraded: color_matrix.apply(matrix, degraded),
        **{name: lambda _, degraded, of=method.restore: of(degraded) for name, method in CLASSICAL.items()},
        **elsewhere,
        "restored": lambda _, degraded: inference.restore(deployed, degraded),
    }


def _crop_against_whole(
    stage: Stage, restorer: nn.Module, test: Pictures, judged: list[dict[str, Any]], side: int
) -> dict[str, float]:
    """Mean PSNR on the central crop, restored as a crop, and as part of the whole picture, where it is valid.

    The network's normalisation sees the whole of its input: how much does a crop's differ from a whole picture's?
    """
    scores = []
    for index, image in enumerate(judged):
        degraded, clear = test.pictures(index)
        top, left = ((n - min(n, side)) // 2 for n in degraded.shape[:2])
        window = (slice(top, top + side), slice(left, left + side))
        valid = test.valid(index)
        counts = valid[window] if valid is not None and valid[window].any() else None
        whole = images.read(stage.output(image["restored"]["file"]))
        both = (inference.restore(restorer, degraded[window]), whole[window])
        scores.append([metrics.psnr(restored, clear[window], counts) for restored in both])
    alone, part = np.mean(scores, axis=0)
    return {"side": side, "restored_as_crop_psnr": float(alone), "restored_as_whole_psnr": float(part)}


BY_NAME: dict[str, Callable[[Run], None]] = {
    "00_data": data,
    "01_classifier": classifier,
    "02_loss_search": loss_search,
    "03_architecture_search": architecture_search,
    "04_retrain": retrain,
    "05_evaluate": evaluate,
}
