"""Files of trained weights: in the folder HBL_WEIGHTS, else in torch's cache, else (where allowed) downloaded.

Each is checked by SHA-256, but for the SqueezeNet trunk, of which there are several conversions.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch

from .config import ROOT, expanded
from .errors import KitError
from .files import sha256

FILES = {
    "vgg19": "vgg19-dcbb9e9d.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1_caffe_features.npz",
}
# Of torchvision's files as several public projects record it (their names hold the first digits); of lpips 0.1.4.
SHA256 = {
    "vgg19-dcbb9e9d.pth": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    "alexnet-owt-7be5be79.pth": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "lpips_alex.pth": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "lpips_squeeze.pth": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
}


def _folder() -> Path | None:
    """The folder HBL_WEIGHTS, counted from the project's where it is relative; None where it is not set."""
    given = os.environ.get("HBL_WEIGHTS")
    if not given:
        return None
    folder = ROOT / expanded(given)
    if not folder.is_dir():
        raise KitError(f"HBL_WEIGHTS names {folder}, which is no folder. Correct or unset it.")
    return folder


def find(name: str, download: bool = False) -> Path | None:
    """The file of the trunk "vgg19", "alex" or "squeeze"; None for other trunks, and where there is none."""
    file = FILES.get(name)
    if file is None:
        return None
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for folder in filter(None, (_folder(), cache)):
        if (folder / file).is_file():
            return _require_sound(folder / file, file)
    return _fetched(name, cache / file) if download else None


def _fetched(name: str, path: Path) -> Path | None:
    """torchvision's weights, downloaded to `path`; None where there is no way to them. The wrong bytes are not kept."""
    from torchvision import models

    address = {"vgg19": models.VGG19_Weights, "alex": models.AlexNet_Weights}[name].IMAGENET1K_V1.url
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(path), hash_prefix=SHA256[path.name], progress=False)
    except OSError:
        return None
    except RuntimeError as error:
        raise KitError(f"{address}: what came is not {path.name}: {error}. Fetch the file by other means.") from None
    return path


def _require_sound(path: Path, known: str) -> Path:
    digest = SHA256.get(known)
    if digest and sha256(path) != digest:
        raise KitError(f"{path}: is damaged or another file: its SHA-256 is not {digest}. Fetch it again.")
    return path


def find_linear(net: str) -> Path:
    """LPIPS v0.1's linear weights for "alex" or "squeeze": lpips_NET.pth, or the file that the lpips package ships."""
    folder, spec = _folder(), importlib.util.find_spec("lpips")
    places = [folder / f"lpips_{net}.pth"] if folder else []
    if spec is not None and spec.origin:
        places.append(Path(spec.origin).parent / f"weights/v0.1/{net}.pth")
    for path in places:
        if path.is_file():
            return _require_sound(path, f"lpips_{net}.pth")
    raise KitError(f"LPIPS's linear weights are missing: install lpips, or put lpips_{net}.pth into HBL_WEIGHTS")


def missing() -> str:
    """Where a file was looked for in vain, and what to do."""
    folder = _folder()
    return (
        f"was not found in HBL_WEIGHTS ({folder or 'not set'}) nor in torch's cache, and could not be downloaded. "
        "Put the file into a folder and set HBL_WEIGHTS to it."
    )
