"""A run: parameters, folder and device; the stages in it, each with a lock, checked inputs and a manifest."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from . import config, files, manifest
from .config import ROOT
from .errors import KitError, nearest, out_of_memory
from .lock import ALONE, locked
from .parameters import Params
from .seeding import seed_everything

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "imagehash",
    "opencv-contrib-python-headless",
    "safetensors",
    "lpips",
    "pydantic",
)
CHECKPOINT, CHECKPOINT_BEFORE, CHECKPOINT_ASIDE = manifest.CHECKPOINTS
TORN = r"(?s)\..+\.[a-z0-9_]{8}(\.[a-z0-9]+)?"  # a temporary file of `files.write_atomically`
REPLICA = r"([A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z][A-Za-z0-9_.-]*)*)?"


def choose_device(name: str) -> torch.device:
    """ "auto" (CUDA where there is one), "cpu" or "cuda"; cuda without CUDA is an error, never a silent CPU run."""
    if name not in ("auto", "cpu", "cuda"):
        raise KitError(f"device '{name}' is not one of auto, cpu, cuda.{nearest(name, ('auto', 'cpu', 'cuda'))}")
    if name == "cuda" and not torch.cuda.is_available():
        raise KitError("device: cuda was asked for, but this torch finds no CUDA device. Use device auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device) -> str:
    """The device's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


@dataclass
class Stage:
    """One stage at work: where it writes, and which inputs it has read.

    Outputs are written to `output(name)`. From the first one on, what an earlier run left is no longer finished, so
    its manifest goes; a stage that is refused before that leaves everything as it was.
    """

    run: Run
    name: str
    folder: Path
    inputs: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # what else belongs into the manifest
    resumes: dict[str, list[int]] = field(default_factory=dict)  # loop -> the steps that it went on from
    earlier: list[tuple[str, float]] = field(default_factory=list)  # start and seconds of the runs that were cut off
    start: datetime = field(default_factory=lambda: datetime.now(UTC))

    def need(self, stage: str, file: str) -> Path:
        """The path of another stage's output; a missing one, or one of another run, says which notebook makes it."""
        path = self.run.output(stage, file)
        self.run.require_current(stage)
        self.inputs[f"{stage}/{file}"] = files.sha256(path)
        return path

    def output(self, name: str) -> Path:
        """Where to write an output."""
        (self.folder / manifest.NAME).unlink(missing_ok=True)
        return self.folder / name

    def write_metrics(self, count: int, facts: dict[str, Any]) -> None:
        """Write metrics.json: what the stage is, on how many pictures it stands, and the facts."""
        params = self.run.params
        data = params.task.data  # no path, since metrics files hold none
        head = {
            "profile": params.profile,
            "task": params.task.name,
            "stage": self.name,
            "seed": params.seed,
            "data": "embedded pictures" if data == "embedded" else f"folder {Path(data).name}",
            "images": count,
        }
        files.write_json(self.output("metrics.json"), head | facts)

    def part(self, name: str) -> Stage:
        """A loop within the stage, with a checkpoint of its own; its facts and inputs are the stage's."""
        return replace(self, name=f"{self.name}/{name}", folder=self.folder / name)

    def fingerprint(self) -> str:
        """What a checkpoint must agree with to be resumed: parameters, device, inputs read so far, code, versions."""
        code = [files.sha256(path) for path in sorted(Path(__file__).parent.rglob("*.py"))]
        params = self.run.params.model_dump(exclude={"checkpoint_seconds"})
        facts = (params, str(self.run.device), sorted(self.inputs.items()), self.facts, code, versions())
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def resume(self, before: list[int], step: int, started: str, seconds: float) -> None:
        """Note that this loop goes on from `step`, as it did from the steps `before`, and what runs it goes on with."""
        self.resumes[self.name] = [*before, step]
        self.earlier.append((started, seconds))

    @property
    def first_start(self) -> str:
        """When the first of the runs began that this one goes on with; its own start where there are none."""
        return min([started for started, _ in self.earlier] + [self.start.isoformat(timespec="seconds")])

    @property
    def seconds(self) -> float:
        """At work so far, with the runs that this one goes on with, up to their last checkpoint."""
        own = (datetime.now(UTC) - self.start).total_seconds()
        return round(own + max((seconds for _, seconds in self.earlier), default=0.0), 1)

    @property
    def checkpoint(self) -> Path:
        """Where a loop saves its state."""
        return self.folder / CHECKPOINT

    @property
    def checkpoint_before(self) -> Path:
        """The checkpoint before the last, for the case that the last can't be read."""
        return self.folder / CHECKPOINT_BEFORE

    def set_aside(self) -> None:
        """Keep a checkpoint that can't be read under another name: it may be the disk that failed for a moment."""
        if self.checkpoint.exists():
            self.checkpoint.replace(self.folder / CHECKPOINT_ASIDE)

    def ended(self) -> None:
        """Keep the last checkpoint of a loop that has ended: where what follows fails, it need not run again."""
        self.checkpoint_before.unlink(missing_ok=True)
        (self.folder / CHECKPOINT_ASIDE).unlink(missing_ok=True)


@dataclass(frozen=True)
class Run:
    """Parameters, the folder results/PROFILE/TASK, and a device."""

    params: Params
    folder: Path
    device: torch.device

    @property
    def data_root(self) -> Path:
        """The folder of pairs: the embedded pictures as 00_data wrote them, or the folder the parameters name."""
        if self.params.task.data == "embedded":
            return self.folder / "00_data" / "pictures"
        return config.located(self.params.task.data)

    def describe(self) -> str:
        """In words: profile, task, seed, and the device chosen."""
        device = f"{self.device} ({describe_device(self.device)})"
        return f"profile {self.params.profile}, task {self.params.task.name}, seed {self.params.seed}, on {device}"

    def output(self, stage: str, file: str) -> Path:
        """The path of a stage's output, which must exist, and be as the stage wrote it."""
        path = self.folder / stage / file
        if not path.is_file():
            words = f"stage {stage} --profile {self.params.profile} --task {self.params.task.name}"
            raise KitError(
                f"{path}: is missing. notebooks/{stage}.ipynb makes it (.venv/bin/python -m hbl_lib {words})."
            )
        if file != manifest.NAME:
            manifest.require_as_written(self.output(stage, manifest.NAME).parent, file)
        return path

    def require_current(self, stage: str) -> None:
        """Refuse what a stage left unfinished, made with another seed or other data, or from inputs since replaced.

        So no picture that is in the test list now can have been in the training list of an earlier stage.
        """
        recorded = manifest.read(self.output(stage, manifest.NAME))
        made, mine = recorded["parameters"], self.params
        stale = ""
        if made["seed"] != mine.seed:
            stale = f"with seed {made['seed']}, and this run has seed {mine.seed}"
        else:
            for key in ("data", "degradation", "ranges"):
                theirs, ours = made["task"].get(key), getattr(mine.task, key)
                if not stale and theirs != ours:
                    stale = f"with the {key} '{theirs}', and this run has '{ours}'"
        for name, digest in recorded["inputs"].items():
            if not stale and files.sha256(self.output(*name.split("/", 1))) != digest:
                stale = f"from an earlier {name}"
        if stale:
            raise KitError(
                f"{self.folder / stage}: was made {stale}. Run notebooks/{stage}.ipynb again, or take another "
                "results folder."
            )

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Lock the stage's folder, seed, and write its manifest at the end.

        A second run on it is refused, and any while make works on the results.
        """
        folder = self.folder / name
        with self._beside_others(), locked(folder), _told(f"{name}, on {self.device}"):
            for torn in folder.rglob(".*"):  # of a run killed while it wrote
                if re.fullmatch(TORN, torn.name):
                    torn.unlink()
            torch.set_num_threads(self.params.threads)
            seed_everything(self.params.seed, name)
            stage = Stage(self, name, folder)
            yield stage
            files.write_json(folder / manifest.NAME, self._manifest(stage))

    def _beside_others(self) -> AbstractContextManager[object]:
        """A share of the lock on results/PROFILE, which make holds for itself, so that neither runs into the other."""
        shared = next((place for place in self.folder.parents if place.name == self.params.profile), self.folder)
        return nullcontext() if os.environ.get(ALONE) == str(shared.resolve()) else locked(shared, shared=True)

    def _manifest(self, stage: Stage) -> dict[str, Any]:
        return {
            "stage": stage.name,
            "parameters": self.params.model_dump(),
            "device": str(self.device),
            "hardware": describe_device(self.device),
            "threads": self.params.threads,
            "versions": {"python": platform.python_version(), **versions()},
            "inputs": stage.inputs,
            "outputs": {name: files.sha256(stage.folder / name) for name in manifest.outputs(stage.folder)},
            "facts": stage.facts,
            "started": stage.first_start,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": stage.seconds,
            "resumes": stage.resumes,
        }


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn lack of memory, and files that can't be read, written or removed, into a KitError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise KitError(f"{where}: out of memory. Free memory, or take smaller pictures.") from None
    except OSError as error:
        raise KitError(f"{where}: {error.filename or 'a file'}: {error.strerror or error}") from None


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on; absent ones are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def open_run(
    profile: str = "quick",
    task: str = "llie_lol",
    seed: int = 0,
    data: str = "",
    device: str = "auto",
    results: str = "results",
    overrides: str = "",
    replica: str = "",
) -> Run:
    """Load and check the parameters and say where the run lives. Nothing is written yet.

    A relative `results` counts from the project's folder, wherever the caller stands. `replica`: a name for a run
    beside the task's first, such as seed_1; it lives in a subfolder of that name.
    """
    params = config.load(profile, task, seed, data, overrides)
    if not re.fullmatch(REPLICA, replica):
        raise KitError(
            f"replica '{replica}': use names of letters, digits, '_', '-' and '.', each beginning with a letter"
        )
    return Run(params, ROOT / config.expanded(results) / profile / task / replica, choose_device(device))


def check_environment() -> None:
    """Stop where a notebook's kernel is not the environment that started it (make exports HBL_PREFIX)."""
    expected = os.environ.get("HBL_PREFIX")
    if expected and Path(expected).resolve() != Path(sys.prefix).resolve():
        raise KitError(
            f"this notebook's kernel runs in {sys.prefix}, but the run was started from {expected}. "
            "Start papermill with -k python3 and JUPYTER_PREFER_ENV_PATH=1."
        )
