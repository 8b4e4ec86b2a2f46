"""Run a notebook by papermill, with a kernel that no other program's port can stop."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from .errors import KitError, nearest, printable

START_S = 600  # on a machine with much to do a kernel takes more than papermill's minute to start
LONGEST_SOCKET = 100  # characters of a path; Linux takes 107


def execute(notebook: Path, executed: Path, given: dict[str, str]) -> None:
    """Run `notebook` with parameters, saving it as `executed` cell by cell; what it says is logged as it says it.

    `given`: {parameter: value as text}, a whole number where the parameters cell has one. Environment:
    JUPYTER_PREFER_ENV_PATH=1 makes the kernel `python3` that of this environment.
    Raises KitError: no such notebook or parameter, a value of another type, a cell that failed (with its message).
    """
    if not notebook.is_file():
        raise KitError(f"{notebook}: no such notebook")
    known = papermill.inspect_notebook(str(notebook))
    parameters: dict[str, str | int] = {}
    for name, value in given.items():
        if name not in known:
            raise KitError(
                f"{notebook} has no parameter '{name}'; there are: {', '.join(known)}.{nearest(name, known)}"
            )
        whole = known[name]["inferred_type_name"] == "int"
        if whole and not value.isdecimal():
            raise KitError(f"{notebook}: {name} '{value}': expected a whole number of at least 0")
        parameters[name] = int(value) if whole else value
    executed.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level="INFO", format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(
                notebook,
                executed,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                log_output=True,
                start_timeout=START_S,
                config=_private_sockets(folder),
            )
        except PapermillExecutionError as error:
            what = error.evalue if error.ename == "KitError" else f"{error.ename}: {error.evalue}"
            raise KitError(f"{what}\n  (cell {error.exec_count} of {executed}, which shows all up to it)") from None
        except DeadKernelError:
            raise KitError(f"{executed}: its kernel died; the machine may be out of memory") from None
        except RuntimeError as error:  # nbclient's: the kernel did not start, or did not answer
            raise KitError(f"{executed}: {printable(str(error))}") from None


def _private_sockets(folder: str) -> Config:
    """Talk to the kernel by sockets in a folder of our own.

    Ports are chosen before the kernel takes them, so that of many kernels that start at once two may want the same
    one (https://github.com/jupyter/jupyter_client/issues/487). A path too long for a socket leaves the ports.
    """
    address = f"{folder}/kernel"
    return Config(KernelManager={"transport": "ipc", "ip": address}) if len(address) < LONGEST_SOCKET else Config()
