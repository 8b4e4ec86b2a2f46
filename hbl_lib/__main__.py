"""Command line: python -m hbl_lib COMMAND. With -h: the commands and their options."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import config, files, lock, manifest, overlap, soundness
from .errors import KitError, nearest, printable
from .progress import say

if TYPE_CHECKING:
    from . import runs
    from .restorer import Restorer


def _open(arguments: argparse.Namespace, task: str) -> runs.Run:
    from . import runs  # torch, torchvision and the searches load only where they are needed

    a = arguments
    return runs.open_run(a.profile, task, a.seed, a.data, a.device, a.results, a.overrides, a.replica)


def _stage(arguments: argparse.Namespace) -> int:
    from . import ablations, stages, studies

    members = {name: list(ablations.members(name, arguments.task)) for name in manifest.ABLATIONS}
    members[manifest.STUDIES] = list(studies.BY_NAME)
    name, known = arguments.name, [*manifest.STAGES, *members]
    if name not in known and (config.ROOT / f"notebooks/{name}.ipynb").is_file():
        raise KitError(f"{name} computes no stage of its own, it shows what others left: run it by papermill")
    if name not in known:
        raise KitError(f"no stage '{name}'; there are: {', '.join(known)}.{nearest(name, known)}")
    if name in members and not arguments.member:
        raise KitError(f"{name} needs --member: {', '.join(members[name])}")
    if arguments.member and name not in members:
        raise KitError(f"--member is for {', '.join(members)}, not for {name}")
    if arguments.methods and name != "05_evaluate":
        raise KitError(f"--methods is for 05_evaluate, not for {name}")
    run = _open(arguments, arguments.task)
    say(f"{name}: {run.describe()}")
    if name in manifest.ABLATIONS:
        folder = ablations.run_member(run, name, arguments.member)
    elif name == manifest.STUDIES:
        folder = studies.run_study(run, arguments.member)
    else:
        folder = run.folder / name
        stages.BY_NAME[name](run, **({"methods": arguments.methods} if arguments.methods else {}))
    say(f"{name}: wrote {folder}")
    return 0


def _notebook(arguments: argparse.Namespace) -> int:
    from . import notebooks

    for word in arguments.parameters:
        if "=" not in word:
            raise KitError(f"'{word}': expected parameter=value")
    given = dict(word.split("=", 1) for word in arguments.parameters)
    notebooks.execute(arguments.notebook, arguments.executed, given)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from . import settings

    given = settings.Given(*(getattr(arguments, name) for name in settings.Given._fields))
    for words in settings.check(given):
        say(words)
    return 0


def _jobs(arguments: argparse.Namespace) -> int:
    from . import runs, settings

    params = config.load(arguments.profile, "llie_lol", overrides=arguments.overrides)
    on_gpu = runs.choose_device(arguments.device).type != "cpu"
    say(str(settings.jobs(arguments.jobs, params.threads, on_gpu)))
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from . import plan

    a = arguments
    if a.pairs is not None and a.pairs < 1:
        raise KitError(f"--pairs {a.pairs}: expected a whole number of at least 1")
    say("measuring a few steps of each stage; this takes some minutes")
    say(plan.table(plan.plan(a.profile, a.task, a.data, a.device, a.overrides, a.pairs, say)))
    say(plan.NOTE)
    return 0


def _alone(arguments: argparse.Namespace) -> int:
    return lock.alone(config.ROOT / config.expanded(str(arguments.folder)), arguments.command)


def _restorer(arguments: argparse.Namespace) -> Restorer:
    from . import runs
    from .restorer import Restorer

    device, run = runs.choose_device(arguments.device), arguments.run
    if run and not run.exists():
        raise KitError(f"{run}: no such folder of a run or bundle; make reproduce makes runs (results/PROFILE/TASK)")
    with contextlib.suppress(KitError):  # a hint, for which nothing need be as it was written
        known = manifest.metrics(run / "05_evaluate") if run else {}
        if known.get("profile") in ("smoke", "quick"):
            say(f"this restorer was trained on {known['data']} for {known['steps']} steps: expect little on others")
    return Restorer.load(arguments.run or arguments.checkpoint).to(device).eval()


def _restore(arguments: argparse.Namespace) -> int:
    from . import inference

    for path in inference.restore_files(
        _restorer(arguments).deploy(), arguments.images, arguments.out, arguments.overwrite
    ):
        say(str(path))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from . import metrics, perceptual

    metrics.protocol_of(arguments.protocol)
    if arguments.json and arguments.json.exists():
        raise KitError(f"{arguments.json}: is there already. Choose another name for --json.")
    if arguments.json and not arguments.json.parent.is_dir():
        raise KitError(f"{arguments.json.parent}: no such folder; --json writes into one that is there")
    lpips = perceptual.lpips_metric()
    scores = metrics.score_folders(arguments.restored, arguments.clear, lpips, arguments.protocol)
    for row in [*scores["per_image"], {"picture": f"mean of {scores['images']}", **scores["mean"]}]:
        lpips = "not measured" if row["lpips"] is None else f"{row['lpips']:.4f}"
        say(f"{row['picture']:40} {row['psnr']:7.2f} dB  SSIM {row['ssim']:.4f}  LPIPS {lpips}")
    say(scores["protocol"])
    if scores["not_restored"]:
        say(f"{len(scores['not_restored'])} pictures of {arguments.clear} have no restored one")
    if arguments.json:
        for row in (*scores["per_image"], scores["mean"]):
            row["psnr"] = row["psnr"] if math.isfinite(row["psnr"]) else None  # of equal pictures; JSON has no infinity
        files.write_json(arguments.json, scores)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from . import export

    say(str(export.bundle(arguments.run, arguments.out, not arguments.no_onnx)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from . import verify

    wrong, absent = 0, False
    for stage, count, problems in verify.verify(arguments.run):
        compared = f"{count} files compared, {len(problems) or 'nothing'} wrong"
        say(f"{stage}: {'is not there' if count is None else compared}")
        for problem in problems:
            say(f"  {problem}")
        wrong, absent = wrong + len(problems), absent or count is None
    what = "what is there" if absent else "all"
    say(f"{wrong} problem(s)" if wrong else f"{what} is as it was recorded")
    return 1 if wrong else 0


def _tables(arguments: argparse.Namespace) -> int:
    from . import publish

    folder = config.ROOT / config.expanded(arguments.results) / arguments.profile
    tasks = arguments.tasks.split()
    ran = [task for task in tasks if (folder / task / "05_evaluate/metrics.json").is_file()]
    for task in (task for task in tasks if task not in ran):
        say(f"{task}: has not run in {folder}; left out")
    if not ran:
        raise KitError(f"{folder}: none of {', '.join(tasks)} has run there. make reproduce runs them.")
    for path in publish.publish(folder, ran, arguments.seeds.split()):
        say(str(path.relative_to(folder.parent.parent)))
    return 0


def _data_check(arguments: argparse.Namespace) -> int:
    found = soundness.check(arguments.folder)
    say(found.describe())
    for size, count in soundness.sizes(found):
        say(f"  {count} of {size}")
    for twins in found.twins:
        say(f"  alike: {twins}")
    for shown in found.held_out:
        say(f"  in another set's test: {shown}")
    for problem in found.problems:
        say(f"  wrong: {problem}")
    say(f"{len(found.problems)} problem(s)" if found.problems else "nothing wrong")
    return 1 if found.problems else 0


def _data_overlap(arguments: argparse.Namespace) -> int:
    found = overlap.between(arguments.folder, arguments.other)
    for twins in found:
        say(twins)
    one, other = arguments.folder, arguments.other
    say(
        f"{len(found)} picture(s) of {one} show what {other} shows, each told with the nearest one there"
        if found
        else f"no picture of {one} shows what one of {other} does"
    )
    return 1 if found else 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m hbl_lib", description="HBL: the stages of the chain, and its data.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--profile", default="quick", help="how much compute: smoke, quick, real, paper (default: quick)"
    )
    options.add_argument("--data", default="", help="a folder of pairs in place of the task's data")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    options.add_argument("--overrides", default="", help="section.key=value, separated by commas")
    writing = argparse.ArgumentParser(add_help=False, parents=[options])
    writing.add_argument("--results", default="results", help="results folder (default: results)")
    stage = commands.add_parser("stage", parents=[writing], help="run one stage without Jupyter")
    stage.add_argument("name", help=", ".join((*manifest.STAGES, *manifest.ABLATIONS, manifest.STUDIES)))
    stage.add_argument("--task", default="llie_lol", help="which task (default: llie_lol)")
    stage.add_argument("--seed", type=int, default=0, help="of initial weights, crops and samples (default: 0)")
    stage.add_argument("--replica", default="", help="a run beside the task's first: the subfolder it writes to")
    stage.add_argument("--member", default="", help="of an ablation or the studies: which one to run")
    stage.add_argument("--methods", default="", help="for 05_evaluate: 'name=folder ...', restored pictures to score")
    stage.set_defaults(act=_stage)
    notebook = commands.add_parser("notebook", help="run a notebook by papermill")
    notebook.add_argument("notebook", type=Path)
    notebook.add_argument("executed", type=Path, help="where to write it with what its cells gave")
    notebook.add_argument("parameters", nargs="*", help="parameter=value ...")
    notebook.set_defaults(act=_notebook)
    restore = commands.add_parser("restore", help="restore pictures of any size and mode")
    weights = restore.add_mutually_exclusive_group(required=True)
    weights.add_argument("--run", type=Path, help="folder of a run (results/PROFILE/TASK) or of a bundle")
    weights.add_argument("--checkpoint", type=Path, help="restorer.safetensors")
    restore.add_argument("--out", type=Path, required=True, help="folder for the restored pictures")
    restore.add_argument("--overwrite", action="store_true", help="replace pictures that are there")
    restore.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    restore.add_argument("images", type=Path, nargs="+")
    restore.set_defaults(act=_restore)
    evaluate = commands.add_parser("evaluate", help="score one folder of pictures against another")
    evaluate.add_argument("restored", type=Path)
    evaluate.add_argument("clear", type=Path)
    words = "rgb (default), y, uniform, zero_padded, ground_truth_mean: written out under the scores"
    evaluate.add_argument("--protocol", default="rgb", help=words)
    evaluate.add_argument("--json", type=Path, help="write the scores to this file too")
    evaluate.set_defaults(act=_evaluate)
    export = commands.add_parser("export", help="write a run's restorer as one folder, with ONNX")
    export.add_argument("--run", type=Path, required=True, help="folder of a run (results/PROFILE/TASK)")
    export.add_argument("--out", type=Path, required=True, help="the folder to make")
    export.add_argument("--no-onnx", action="store_true", help="leave the ONNX file out")
    export.set_defaults(act=_export)
    verify = commands.add_parser("verify", help="compare the files of a run or bundle with its recorded checksums")
    verify.add_argument("run", type=Path, help="folder of a run (results/PROFILE/TASK) or of a bundle")
    verify.set_defaults(act=_verify)
    check = commands.add_parser("check", parents=[writing], help="check parameters and data before a run")
    check.add_argument("--tasks", default="llie_lol", help="tasks, separated by spaces (default: llie_lol)")
    check.add_argument("--seeds", default="0", help="seeds, separated by spaces (default: 0)")
    check.add_argument("--methods", default="", help="'name=folder ...', restored pictures to score")
    check.add_argument("--ablations", default="", help="1: check params/ablations.yaml too")
    check.add_argument("--studies", default="", help="1: check that the searches can be studied")
    check.add_argument("--variants", default="", help="of the ledger (params/variants.yaml): names, or all")
    check.add_argument("--jobs", default="auto", help="notebooks side by side (default: auto)")
    check.set_defaults(act=_check)
    jobs = commands.add_parser("jobs", parents=[options], help="say how many notebooks run side by side")
    jobs.add_argument("jobs", help="a number, or auto: as many as the cores have room for")
    jobs.set_defaults(act=_jobs)
    plan = commands.add_parser("plan", parents=[options], help="measure what a profile will cost on this machine")
    plan.add_argument("--task", default="llie_lol", help="which task (default: llie_lol)")
    plan.add_argument("--pairs", type=int, help="count as if the data were so many pairs")
    plan.set_defaults(act=_plan)
    alone = commands.add_parser("alone", help="run a command while no other one may, by a lock on a folder")
    alone.add_argument("folder", type=Path)
    alone.add_argument("command", nargs=argparse.REMAINDER)
    alone.set_defaults(act=_alone)
    tables = commands.add_parser("tables", help="write the paper's tables and figures from what runs left")
    tables.add_argument("--profile", default="quick", help="smoke, quick, real or paper (default: quick)")
    tables.add_argument("--tasks", default="llie_lol", help="tasks, separated by spaces (default: llie_lol)")
    tables.add_argument("--seeds", default="0", help="seeds, separated by spaces (default: 0)")
    tables.add_argument("--results", default="results", help="results folder (default: results)")
    tables.set_defaults(act=_tables)
    look = commands.add_parser("data", help="look at a folder of pairs").add_subparsers(required=True, metavar="WHAT")
    check = look.add_parser("check", help="say what a folder holds and what is wrong with it")
    check.add_argument("folder", type=Path)
    check.set_defaults(act=_data_check)
    overlap = look.add_parser("overlap", help="find the pictures of a folder that another one shows too")
    overlap.add_argument("folder", type=Path)
    overlap.add_argument("other", type=Path)
    overlap.set_defaults(act=_data_overlap)
    return top


def main(words: list[str] | None = None) -> int:
    """Run a command; a KitError becomes one message and exit status 1."""
    arguments = parser().parse_args(words)
    try:
        return arguments.act(arguments)
    except KeyboardInterrupt:
        resumed = arguments.act in (_stage, _notebook)
        sys.stderr.write(f"stopped{'; the next start goes on from what was saved' if resumed else ''}\n")
        return 130
    except KitError as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.stderr.write(f"error: {printable(what)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
