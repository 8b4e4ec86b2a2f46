"""Pictures of any mode, as cameras and tools make them: read to RGB in [0, 1], written back in a mode of their own.

Grey stays grey, transparency, 16 bits and colour profiles are kept, EXIF orientation is applied (the picture is
written upright), palettes and CMYK become RGB. Pillow reads and writes 8 bits. Of 16 it keeps only half, so there
OpenCV reads, and writes PNG (grey with transparency as RGBA, for want of a mode); tifffile writes TIFF.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import images
from .errors import KitError
from .files import write_atomically

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
PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # + is BigTIFF
DEEP = (".png", ".tif", ".tiff")  # what can hold 16 bits
OPTIONS = {".webp": {"lossless": True}, ".jpg": {"quality": 95, "subsampling": 0}}
OPTIONS[".jpeg"] = OPTIONS[".jpg"]


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

    def eight_bits(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: clipped, rounded, without transparency."""
        return np.round(np.clip(self.rgb, 0, 1) * 255).astype(np.uint8)


def _array(values: np.ndarray, profile: bytes | None) -> Picture:
    """From (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), uint8 or uint16, RGB order."""
    scaled = values.astype(np.float32)
    scaled /= np.iinfo(values.dtype).max  # in place, as below: pictures may be large
    scaled = scaled[..., None] if scaled.ndim == 2 else scaled
    channels = scaled.shape[2]
    colors, alpha = (scaled[..., :-1], scaled[..., -1].copy()) if channels in (2, 4) else (scaled, None)
    grey = colors.shape[2] == 1
    rgb = np.repeat(colors, 3, axis=2) if grey else np.ascontiguousarray(colors)
    return Picture(rgb, alpha, grey, 8 * values.dtype.itemsize, profile)


def read(path: Path) -> Picture:
    """Read one picture. Animations, 32-bit and broken files are KitErrors that name the file."""
    with images.told(path):
        content = Path(path).read_bytes()
        if content.startswith(TIFF):
            return _tiff(path, content)
        with Image.open(io.BytesIO(content), formats=images.FORMATS) as opened:
            _require_single(path, getattr(opened, "n_frames", 1) if opened.format != "MPO" else 1)
            if content.startswith(PNG) and content[24:25] == b"\x10":
                return _deep_png(path, content, opened)
            return _from_pillow(path, opened)


def _require_single(path: Path, pictures: int) -> None:
    if pictures > 1:
        raise KitError(f"{path}: {pictures} pictures in one file (an animation?); save the one you want alone")


def _decode_deep(path: Path, content: bytes, channels: int) -> np.ndarray:
    """16-bit contents of (H, W, channels) as OpenCV decodes them, in RGB order."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its own words name no file
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    advice = "; save it as 16-bit PNG" if content.startswith(TIFF) else ""
    if values is None or values.dtype != np.uint16:
        raise KitError(f"{path}: the picture is broken, or of a kind that OpenCV can't read{advice}")
    found = 1 if values.ndim == 2 else values.shape[2]
    if found >= 3:
        values = cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if found == 4 else cv2.COLOR_BGR2RGB)
    if (channels, found) == (2, 4):
        values = values[..., [0, 3]]
    elif channels != found:
        raise KitError(f"{path}: OpenCV reads {found} channels where it has {channels}{advice}")
    return values


def _deep_png(path: Path, content: bytes, opened: Image.Image) -> Picture:
    if "transparency" in opened.info:
        raise KitError(f"{path}: 16 bits with one transparent colour; save it with an alpha channel")
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[content[25]]  # by PNG's colour type
    values = _decode_deep(path, content, channels)
    upright = UPRIGHT.get(opened.getexif().get(ORIENTATION, 1), np.asarray)
    return _array(np.ascontiguousarray(upright(values)), opened.info.get("icc_profile"))


def _tiff(path: Path, content: bytes) -> Picture:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as opened:
            pages, page = len(opened.pages), opened.pages[0]
            deep, channels, profile = page.dtype == np.uint16, page.samplesperpixel, page.iccprofile
            photometric = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
            plain = page.photometric in photometric and (page.planarconfig == 1 or channels == 1)
            if page.imagewidth * page.imagelength > 2 * Image.MAX_IMAGE_PIXELS:  # as Pillow has it for the others
                raise KitError(f"{path}: {page.imagewidth}x{page.imagelength} is too large to be read")
    except (tifffile.TiffFileError, IndexError, struct.error) as error:
        raise KitError(f"{path}: the picture is broken: {error}. Replace or remove it.") from None
    _require_single(path, pages)
    if deep and not plain:
        raise KitError(f"{path}: 16 bits, and not grey or RGB in one plane with 0 for black; save it as 16-bit PNG")
    if deep:  # OpenCV turns it upright
        return _array(_decode_deep(path, content, channels), profile)
    with Image.open(io.BytesIO(content)) as image:
        return _from_pillow(path, image)


def _from_pillow(path: Path, opened: Image.Image) -> Picture:
    if opened.mode in ("I", "F") or opened.mode.startswith("I;"):
        raise KitError(f"{path}: a picture of mode {opened.mode}; convert it to 8 or 16 bits a channel first")
    profile = opened.info.get("icc_profile") if opened.mode not in ("CMYK", "YCCK", "LAB") else None
    grey = opened.mode in ("1", "L", "LA")
    upright = ImageOps.exif_transpose(opened)
    target = ("LA" if grey else "RGBA") if opened.has_transparency_data else ("L" if grey else "RGB")
    return _array(np.asarray(upright.convert(target)), profile)


def write(path: Path, picture: Picture) -> None:
    """Write atomically in the format of the suffix, in the picture's own mode; values are clipped and rounded."""
    path = Path(path)
    images.require_suffix(path)
    suffix = path.suffix.lower()
    colors = picture.rgb.mean(axis=2, keepdims=True) if picture.grey else picture.rgb
    values = colors if picture.alpha is None else np.concatenate((colors, picture.alpha[..., None]), axis=2)
    values = np.clip(values, 0, 1)
    values *= 2**picture.bits - 1
    np.round(values, out=values)
    if picture.bits == 16:
        if suffix not in DEEP:
            raise KitError(f"{path}: can't hold 16 bits; name a picture with one of {', '.join(DEEP)}")
        encode = _encode_png if suffix == ".png" else _encode_tiff
        content = encode(values.astype(np.uint16), picture.profile)
        write_atomically(path, lambda name: Path(name).write_bytes(content))
        return
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[2]]
    image = Image.fromarray(values.astype(np.uint8).squeeze(2) if mode == "L" else values.astype(np.uint8), mode)
    options = OPTIONS.get(suffix, {}) | ({"icc_profile": picture.profile} if picture.profile else {})
    write_atomically(path, lambda name: image.save(name, **options))


def _encode_png(values: np.ndarray, profile: bytes | None) -> bytes:
    import cv2

    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
    content = cv2.imencode(".png", np.ascontiguousarray(values[..., order]))[1].tobytes()
    if profile is None:
        return content
    chunk = b"iCCP" + b"profile\0\0" + zlib.compress(profile)
    header = len(PNG) + 25  # the chunk IHDR is first, of 13 bytes and 12 around them
    sized = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:header] + sized + content[header:]


def _encode_tiff(values: np.ndarray, profile: bytes | None) -> bytes:
    import tifffile

    target = io.BytesIO()
    channels = values.shape[2]
    options = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    photometric = "rgb" if channels > 2 else "minisblack"
    values = values.squeeze(2) if channels == 1 else values
    tifffile.imwrite(target, values, photometric=photometric, compression="zlib", iccprofile=profile, **options)
    return target.getvalue()
