"""Pictures of any mode, as cameras and tools make them: read to RGB in [0, 1], written back in a mode of their own.

Grey stays grey, transparency and 16 bits are kept, EXIF orientation is applied (the picture is written upright),
palettes and CMYK become RGB. Pillow reads and writes 8 bits; OpenCV 16, of which Pillow keeps only half.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import KitError
from .files import write_atomically
from .images import SUFFIXES, told

ORIENTATION = 0x0112  # EXIF's tag
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
LOSSLESS = {".webp": {"lossless": True}, ".jpg": {"quality": 95, "subsampling": 0}}
LOSSLESS[".jpeg"] = LOSSLESS[".jpg"]


@dataclass(frozen=True)
class Picture:
    """rgb: (H, W, 3) float32 in [0, 1]. alpha: (H, W) in [0, 1], or None. grey, bits (8 or 16): of the file."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    bits: int = 8
    profile: bytes | None = None

    def with_rgb(self, rgb: np.ndarray) -> Picture:
        """The same kind of picture with other contents of the same size."""
        return replace(self, rgb=rgb)


def _array(values: np.ndarray, **kind: object) -> Picture:
    """From (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), uint8 or uint16, RGB order."""
    scaled = values.astype(np.float32) / np.iinfo(values.dtype).max
    scaled = scaled[..., None] if scaled.ndim == 2 else scaled
    channels = scaled.shape[2]
    colors, alpha = (scaled[..., :-1], scaled[..., -1]) if channels in (2, 4) else (scaled, None)
    grey = colors.shape[2] == 1
    rgb = np.repeat(colors, 3, axis=2) if grey else np.ascontiguousarray(colors)
    return Picture(rgb, alpha, grey, 8 * values.dtype.itemsize, **kind)


def _deep(content: bytes) -> np.ndarray | None:
    """16-bit contents as OpenCV decodes them, in RGB order; None for anything else."""
    import cv2

    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        return None
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return values


def _has_sixteen_bits(content: bytes, opened: Image.Image | None) -> bool:
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return content[24:25] == b"\x10"
    return opened is None or "16" in f"{opened.mode}{opened.tile}"


def read(path: Path) -> Picture:
    """Read one picture. Animations, 32-bit and broken files are KitErrors that name the file."""
    with told(path):
        content = Path(path).read_bytes()
        try:
            opened = Image.open(io.BytesIO(content))
        except UnidentifiedImageError:
            opened = None  # Pillow knows no TIFF of three 16-bit channels
        if _has_sixteen_bits(content, opened) and (values := _deep(content)) is not None:
            turn = opened.getexif().get(ORIENTATION, 1) if opened is not None else 1
            return _array(np.ascontiguousarray(UPRIGHT.get(turn, np.asarray)(values)))
        if opened is None:
            raise KitError(f"{path}: not a picture that can be read")
        return _from_pillow(path, opened)


def _from_pillow(path: Path, opened: Image.Image) -> Picture:
    if getattr(opened, "n_frames", 1) > 1:
        raise KitError(f"{path}: {opened.n_frames} pictures in one file (an animation?); save the one you want alone")
    if opened.mode in ("I", "F") or opened.mode.startswith("I;"):
        raise KitError(f"{path}: a picture of mode {opened.mode}; convert it to 8 or 16 bits a channel first")
    profile = opened.info.get("icc_profile") if opened.mode not in ("CMYK", "YCCK", "LAB") else None
    grey = opened.mode in ("1", "L", "LA")
    upright = ImageOps.exif_transpose(opened)
    target = ("LA" if grey else "RGBA") if opened.has_transparency_data else ("L" if grey else "RGB")
    return _array(np.asarray(upright.convert(target)), profile=profile)


def write(path: Path, picture: Picture) -> None:
    """Write atomically in the format of the suffix, in the picture's own mode; values are clipped and rounded."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise KitError(f"{path}: can't be written: name a picture with one of {', '.join(SUFFIXES)}")
    colors = picture.rgb.mean(axis=2, keepdims=True) if picture.grey else picture.rgb
    values = colors if picture.alpha is None else np.concatenate((colors, picture.alpha[..., None]), axis=2)
    most = 2**picture.bits - 1
    values = np.round(np.clip(values, 0, 1) * most).astype(np.uint16 if picture.bits == 16 else np.uint8)
    if picture.bits == 16:
        write_atomically(path, lambda name: Path(name).write_bytes(_encode_deep(values, suffix)))
        return
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[2]]
    image = Image.fromarray(values[..., 0] if mode == "L" else values, mode)
    options = LOSSLESS.get(suffix, {}) | ({"icc_profile": picture.profile} if picture.profile else {})
    write_atomically(path, lambda name: image.save(name, **options))


def _encode_deep(values: np.ndarray, suffix: str) -> bytes:
    import cv2

    if values.shape[2] == 2:
        values = values[..., [0, 0, 0, 1]]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
    return cv2.imencode(suffix, np.ascontiguousarray(values[..., order]))[1].tobytes()
