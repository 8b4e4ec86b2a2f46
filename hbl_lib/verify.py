"""Does what is on disk still match what the manifests of a run, or the checksums of a bundle, say?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from . import files, manifest, splits, weights
from .config import located
from .errors import KitError
from .export import BUNDLE, PARTS
from .manifest import ABLATIONS, STAGES, STUDIES


def verify(folder: Path) -> Iterator[tuple[str, int | None, list[str]]]:
    """For each stage of the run in `folder` (or the bundle): its name, how many files were compared, what is wrong.

    Compared are outputs, inputs, the pictures in the lists of 00_data, and the feature trunks that are at hand. Of a
    stage that is not there the number is None; a file that no manifest names is wrong.
    """
    folder = Path(folder)
    if (folder / BUNDLE).is_file():
        recorded = files.read_json(folder / BUNDLE)
        if not isinstance(recorded, dict):
            raise KitError(f"{folder / BUNDLE}: expected checksums by file")
        problems = [f"{name}: has no checksum" for name in PARTS if name not in recorded]
        named = {*recorded, BUNDLE}
        problems += [_unnamed(path) for path in _files(folder) if str(path.relative_to(folder)) not in named]
        yield "bundle", len(recorded), [*problems, *_differences(folder, recorded, False)]
        return
    found = sorted(folder.rglob(manifest.NAME)) if folder.is_dir() else []
    if not found:
        raise KitError(f"{folder}: neither a run (results/PROFILE/TASK) nor a bundle: no manifest in it")
    runs = sorted({place.parent for stage in STAGES for place in folder.rglob(stage) if place.is_dir()})
    for run in runs or [folder]:
        absent = [run / stage for stage in STAGES if runs and not (run / stage).is_dir()]
        yield from ((str(place.relative_to(folder)), None, []) for place in absent)
        strangers = [path for path in _files(run, "*") if runs and path.suffix != ".ipynb"]
        if strangers:
            yield run.name, 0, list(map(_unnamed, strangers))
        members = [place for name in (*ABLATIONS, STUDIES) for place in sorted((run / name).glob("*"))]
        for place in (*(run / stage for stage in STAGES), *members):
            if not place.is_dir() or place / manifest.NAME in found:
                continue
            yield str(place.relative_to(folder)), 0, ["has no manifest: it did not end"]
    for path in found:
        try:
            yield str(path.parent.relative_to(folder)), *_stage(path)
        except KitError as error:  # of its manifest
            yield str(path.parent.relative_to(folder)), 0, [str(error)]


def _files(folder: Path, pattern: str = "**/*") -> list[Path]:
    """Its files, but for hidden ones such as .lock."""
    found = (path for path in sorted(folder.glob(pattern)) if path.is_file() or path.is_symlink())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _unnamed(path: Path) -> str:
    return f"{path}: nothing that was recorded names it"


def _stage(path: Path) -> tuple[int, list[str]]:
    made = manifest.read(path)
    run = path.parent.joinpath(*[".."] * made["stage"].count("/"), "..").resolve()
    recorded, problems = [(path.parent, made["outputs"], False), (run, made["inputs"], False)], []
    data = made["parameters"]["task"].get("data")
    if made["stage"] == "00_data" and data != "embedded":  # embedded pictures are outputs
        try:
            recorded.append((located(str(data)), splits.checksums(path.with_name("splits.json")), True))
        except KitError as error:
            problems.append(str(error))
    unknown = [name for name in manifest.outputs(path.parent) if name not in made["outputs"]]
    problems += [f"{path.parent / name}: its manifest does not name it" for name in unknown]
    problems += [told for where in recorded for told in _differences(*where)]
    for fact in made["facts"].values():
        try:
            trunk = weights.find(str(fact.get("features"))) if isinstance(fact, dict) else None
            if trunk and files.sha256(trunk) != fact.get("sha256"):
                problems.append(f"{trunk}: are not the weights that the run had")
        except KitError as error:
            problems.append(str(error))
    return sum(len(known) for _, known, _ in recorded), problems


def _differences(folder: Path, recorded: Mapping[str, str], links: bool) -> Iterator[str]:
    """In words, what is not as recorded. Nothing outside of the folder is read, but by `links` what links lead to."""
    for name, digest in recorded.items():
        path = folder / name
        try:
            named = not Path(name).is_absolute() and ".." not in Path(name).parts
            inside, there = named and (links or path.resolve().is_relative_to(folder.resolve())), path.is_file()
        except (OSError, ValueError):  # too long, or with a zero byte
            inside, there = True, False
        if not inside:
            yield f"{name}: lies outside of {folder}"
        elif not there:
            yield f"{path}: is missing"
        else:
            try:
                if files.sha256(path) != digest:
                    yield f"{path}: has changed"
            except KitError as error:
                yield str(error)
