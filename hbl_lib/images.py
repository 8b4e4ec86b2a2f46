"""8-bit RGB pictures on disk, which is what the stages work on; `modes` has those of any other kind."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import KitError
from .files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

LYING = (5, 6, 7, 8)  # EXIF's orientations that swap rows and columns
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")  # of others, such as PPM, Pillow may drop bits unsaid
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a picture into a KitError that names the file."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise KitError(f"{path}: a pipe or device, not a file")  # it may never end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of a size that is an error when doubled
            warnings.filterwarnings("ignore", "Corrupt EXIF", UserWarning)  # of BigTIFF, before Pillow gives up on it
            yield
    except FileNotFoundError:
        raise KitError(f"{path}: no such picture") from None
    except IsADirectoryError:
        raise KitError(f"{path}: is a folder; name the pictures in it") from None
    except PermissionError:
        raise KitError(f"{path}: can't be read: permission denied") from None
    except UnidentifiedImageError:
        raise KitError(f"{path}: not a picture that can be read") from None
    except MemoryError:
        raise KitError(f"{path}: the picture does not fit into the memory") from None
    except KitError:
        raise
    except Exception as error:  # decoders raise every kind
        raise KitError(f"{path}: the picture is broken: {str(error).rstrip('.')}. Replace or remove it.") from None


def read(path: Path) -> np.ndarray:
    """Read an 8-bit picture as (H, W, 3) uint8 in RGB, upright by EXIF: RGB, grey, palette, or opaque RGBA.

    Other modes, 16 bits, transparency, animations and broken files are KitErrors that name the file.
    """
    with told(path), open(path, "rb") as file, Image.open(file, formats=FORMATS) as opened:
        deep = ";16" in f"{opened.mode}{opened.tile}" or 16 in getattr(opened, "tag_v2", {}).get(
            ExifTags.Base.BitsPerSample, ()
        )
        if opened.mode not in ("RGB", "L", "P", "RGBA") or deep:
            kind = "16 bits a channel" if deep else f"mode {opened.mode}"
            raise KitError(f"{path}: a picture of {kind}; convert it to 8-bit RGB first")
        if opened.has_transparency_data and opened.convert("RGBA").getextrema()[3][0] < 255:
            raise KitError(f"{path}: a picture with transparent places; convert it to 8-bit RGB first")
        if (frames := getattr(opened, "n_frames", 1)) > 1 and opened.format != "MPO":  # cameras put previews there
            raise KitError(f"{path}: {frames} pictures in one file (an animation?); save the one you want alone")
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def size(path: Path) -> tuple[int, int]:
    """(height, width) from the header alone, of the upright picture."""
    with told(path), open(path, "rb") as file, Image.open(file, formats=FORMATS) as opened:
        lying = opened.format != "TIFF" and opened.getexif().get(ExifTags.Base.Orientation) in LYING  # TIFF is turned
        return (opened.width, opened.height) if lying else (opened.height, opened.width)


def require_suffix(path: Path) -> None:
    """Refuse a name that says no format that can be written."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise KitError(f"{path}: can't be written: name a picture with one of {', '.join(SUFFIXES)}")


def write(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB, atomically, in the format of the suffix."""
    require_suffix(path)
    options = {"compress_level": 1} if Path(path).suffix.lower() == ".png" else {}  # much faster, a little larger
    write_atomically(path, lambda name: Image.fromarray(picture).save(name, **options))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(H, W, 3) or (N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1]; N is 1 for a single picture."""
    import torch  # takes half a gigabyte, which `data check` has no use for

    pictures = pictures[None] if pictures.ndim == 3 else pictures
    # by numpy: in a thread that only cuts crops, torch's arithmetic would start a pool of threads of its own
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32, order="C") / np.float32(255))


def to_picture(tensor: Tensor) -> np.ndarray:
    """(1, 3, H, W) or (3, H, W) float -> (H, W, 3) uint8: clipped to [0, 1], rounded to 8 bits."""
    if tensor.ndim == 4:
        tensor = tensor[0]
    return tensor.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
