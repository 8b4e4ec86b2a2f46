"""Checkpoints: nested dicts and lists of tensors and plain values in one safetensors file. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import nn

from .errors import KitError
from .files import write_atomically

_TENSOR, _TREE, _DIGEST = "$tensor", "$tree", "sha256"


def _split(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain copy of `tree` in which each tensor is a reference by number; the tensors are gathered in `tensors`."""
    if isinstance(tree, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(tree, dict):  # as pairs: JSON would turn an optimiser's integer keys into strings
        return {"$dict": [[key, _split(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return [_split(value, tensors) for value in tree]
    return tree


def _join(plain: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(plain, dict) and _TENSOR in plain:
        return tensors[plain[_TENSOR]]
    if isinstance(plain, dict):
        return {key: _join(value, tensors) for key, value in plain["$dict"]}
    if isinstance(plain, list):
        return [_join(value, tensors) for value in plain]
    return plain


def save(path: Path, tree: dict[str, Any], before: Path | None = None) -> None:
    """Write `tree` atomically: tensors as such, the rest as JSON in a tensor of bytes.

    `before`: the name under which the file that `path` held until then is kept.
    """
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_split(tree, tensors)).encode()
    tensors[_TREE] = torch.frombuffer(bytearray(text), dtype=torch.uint8)  # a header would have a length limit
    content = to_bytes(tensors, {_DIGEST: _digest(tensors)})
    write_atomically(path, lambda name: Path(name).write_bytes(content), before)


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes: a damaged file is noticed, not only a torn one."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_weights(module: nn.Module, weights: Any, where: str) -> None:
    """Put stored weights into a module; those that don't fit, or are not finite, are a KitError."""
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise KitError(f"{where}: {str(error)[:200]}") from None
    if not all(tensor.isfinite().all() for tensor in module.state_dict().values()):
        raise KitError(f"{where}: they are not all finite")


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, on the CPU; a missing, torn or foreign file is a KitError that names it."""
    path = Path(path)
    if not path.is_file():
        raise KitError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
            stored = (opened.metadata() or {}).get(_DIGEST)
        if stored != _digest(tensors):
            raise ValueError("its checksum is not that of its content")
        tree = _join(json.loads(tensors.pop(_TREE).numpy().tobytes()), tensors)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise KitError(
            f"{path}: not a readable checkpoint of this kit ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    if not isinstance(tree, dict):
        raise KitError(f"{path}: not a readable checkpoint of this kit (no dictionary inside)")
    return tree
