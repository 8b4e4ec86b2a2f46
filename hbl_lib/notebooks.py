"""Run a notebook by papermill, with a kernel that no other program's port can stop."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from pathlib import Path

import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from .errors import KitError, nearest

START_S = 600  # on a machine with much to do a kernel takes more than papermill's minute to start
NOISE = re.compile(r"(Executing|Ending) Cell |\[shown in the executed notebook\]")  # papermill's, for every cell
LONGEST_SOCKET = 107  # characters of a path, on Linux


def execute(notebook: Path, executed: Path, given: dict[str, str]) -> None:
    """Run `notebook` with parameters, saving it as `executed` cell by cell; what it says is logged as it says it.

    `given`: {parameter: value as text}, a whole number where the parameters cell has one. Environment:
    JUPYTER_PREFER_ENV_PATH=1 makes the kernel `python3` that of this environment.
    Raises KitError: no such notebook or parameter, a value of another type, a cell that failed (with its message).
    """
    try:
        known = papermill.inspect_notebook(str(notebook))
    except FileNotFoundError:
        raise KitError(f"{notebook}: no such notebook") from None
    except (ValueError, KeyError, AttributeError, OSError) as error:  # of nbformat, which checks little
        raise KitError(f"{notebook}: not a notebook that can be read: {str(error)[:200]}") from None
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
    whose = "/".join(filter(None, (given.get("task"), given.get("replica")))).replace("%", "%%")
    logging.basicConfig(level="INFO", format=f"{whose}  %(message)s" if whose else "%(message)s")
    logging.getLogger("papermill").addFilter(lambda record: not NOISE.match(record.getMessage().strip()))
    with tempfile.TemporaryDirectory(dir=_short()) as folder:
        try:
            papermill.execute_notebook(
                notebook,
                executed,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                log_output=True,
                start_timeout=START_S,
                config=_kernel(folder),
            )
        except PapermillExecutionError as error:
            what = error.evalue if error.ename == "KitError" else f"{error.ename}: {error.evalue}"
            raise KitError(f"{what}\n  (cell {error.exec_count} of {executed}, which shows all up to it)") from None
        except DeadKernelError:
            raise KitError(f"{executed}: its kernel died; the machine may be out of memory") from None
        except NoSuchKernel:
            raise KitError(f"{executed}: this environment has no kernel python3; install ipykernel") from None
        except RuntimeError as error:  # nbclient's: the kernel did not start, or did not answer
            raise KitError(f"{executed}: {error}") from None
        except OSError as error:
            raise KitError(f"{executed}: can't be written: {error.strerror or error}") from None


def _short() -> str | None:
    """A place for sockets: the usual one for temporary files, or /tmp where paths there are too long for a socket."""
    long = len(f"{tempfile.gettempdir()}/tmp12345678/kernel-99") > LONGEST_SOCKET
    return "/tmp" if long and os.access("/tmp", os.W_OK) else None


def _kernel(folder: str) -> Config:
    """A kernel that we talk to by sockets in a folder of our own, and that says nothing of its own when stopped.

    Ports are chosen before the kernel takes them, so that of many kernels that start at once two may want the same
    one (https://github.com/jupyter/jupyter_client/issues/487).
    """
    quiet = {"extra_arguments": ["--log-level=CRITICAL"]}
    return Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"}, NotebookClient=quiet)
