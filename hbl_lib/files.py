"""YAML, JSON and text files: read with clear errors, written atomically (a temporary name, then renamed)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from .errors import KitError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, write: Callable[[str], None], before: Path | None = None) -> None:
    """Call `write` with a temporary name beside `path`, flush it to disk, and rename it to `path`.

    `before`: the name under which what `path` held until then is kept.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise KitError(f"{path}: can't be written: {error.strerror}. Choose another results folder.") from None
    try:
        write(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        if before and path.exists():
            os.replace(path, before)
        os.replace(temporary, path)
    except OSError as error:
        hint = " Free some space and start again." if error.errno in FULL else ""
        raise KitError(
            f"{path}: can't be written: {error.strerror or error}. What was there before is untouched.{hint}"
        ) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    write_atomically(path, lambda name: Path(name).write_text(text, encoding="utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes."""
    write_atomically(path, lambda name: Path(name).write_bytes(data))


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn a file that is missing or can't be read into a KitError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise KitError(f"{path}: no such file") from None
    except OSError as error:
        raise KitError(f"{path}: can't be read: {error.strerror}") from None


def read_text(path: Path) -> str:
    """Read UTF-8 text; a missing, unreadable or undecodable file is a KitError that names it."""
    try:
        with told(path):
            return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise KitError(f"{path}: is not UTF-8 text") from None


def write_yaml(path: Path, data: Any) -> None:
    """Write plain data; key order is kept, short lists stay on one line."""
    write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True))


def read_yaml(path: Path) -> Any:
    """Read plain data; a YAML error names file and line. Tags that would build objects are refused."""
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise KitError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None


def write_json(path: Path, data: Any) -> None:
    """Write JSON; a non-finite number is an error, not an invalid file."""
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise KitError(f"{path}: not written, since a number in it is not finite: {error}") from None
    write_text(path, text + "\n")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def read_json(path: Path) -> Any:
    """Read JSON; an error names file and line."""
    try:
        return json.loads(read_text(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise KitError(f"{path}: is not valid JSON: {error}") from None


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by name."""
    return {path.name: sha256(path) for path in sorted(Path(folder).iterdir()) if path.is_file()}


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with told(path), open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
