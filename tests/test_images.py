"""Pictures on disk: 8-bit RGB comes in and goes out; everything else is refused by name."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from hbl_lib import images
from hbl_lib.errors import KitError


def smooth(height: int = 24, width: int = 40) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack((rows * 5, columns * 4, 200 - rows - columns), axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_every_suffix_is_written_and_read(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    images.write(path, smooth())
    back = images.read(path)
    assert (back.dtype, back.shape, images.size(path)) == (np.uint8, (24, 40, 3), (24, 40))
    lossy = suffix in (".jpg", ".jpeg", ".webp")
    assert np.abs(back.astype(int) - smooth()).mean() <= (4 if lossy else 0)
    assert list(tmp_path.iterdir()) == [path]


def test_grey_and_palette_pictures_become_rgb(tmp_path):
    grey = smooth()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(images.read(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))
    palette = Image.fromarray(smooth()).quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(images.read(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("LA", "png"), ("1", "png"), ("I;16", "png"), ("I;16", "tif"), ("CMYK", "jpg"), ("F", "tif")],
)
def test_other_modes_are_refused_by_name(tmp_path, mode, suffix):
    kind = {"RGBA": "with transparent places", "I;16": "of 16 bits a channel"}.get(mode, f"of mode {mode}")
    Image.new(mode, (8, 6), (40, 50, 60, 70) if mode in ("RGBA", "CMYK") else (40, 70) if mode == "LA" else 1).save(
        tmp_path / f"odd.{suffix}"
    )
    with pytest.raises(KitError, match=rf"odd\.{suffix}: a picture {kind}; convert it to 8-bit RGB"):
        images.read(tmp_path / f"odd.{suffix}")


def _write_16_bit_rgb(path, value: int) -> None:
    """A 2x2 PNG of 16 bits a channel, which Pillow itself can't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = 2 * (b"\0" + 6 * struct.pack(">H", value))
    parts = (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def test_a_16_bit_rgb_picture_is_refused(tmp_path):
    _write_16_bit_rgb(tmp_path / "deep.png", 0x12FF)
    with pytest.raises(KitError, match=r"deep\.png"):
        images.read(tmp_path / "deep.png")


@pytest.mark.filterwarnings("ignore:.*EXIF")  # Pillow's own, about a torn TIFF
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
def test_a_truncated_picture_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}")
    whole, torn = (tmp_path / f"whole.{suffix}").read_bytes(), tmp_path / f"torn.{suffix}"
    for share in (0.0, 0.01, 0.3, 0.7):
        torn.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(KitError, match=rf"torn\.{suffix}"):
            images.read(torn)


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(KitError, match=r"none\.png: no such picture"):
        images.read(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("I am text")
    for reading in (images.read, images.size):
        with pytest.raises(KitError, match=r"text\.png: not a picture"):
            reading(tmp_path / "text.png")


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match=r"out\.png: can't be written"):
        images.write(tmp_path / "file" / "out.png", smooth())


def test_a_tensor_is_the_picture_divided_by_255():
    tensor = images.to_tensor(smooth())
    assert (tensor.shape, tensor.dtype) == ((1, 3, 24, 40), torch.float32)
    assert tensor[0, 1, 3, 39] == torch.tensor(39 * 4 / 255)
    assert torch.equal(images.to_tensor(np.full((2, 2, 3), 255, np.uint8)), torch.ones(1, 3, 2, 2))


def test_turned_and_mirrored_views_become_tensors():
    for view in (np.flip(smooth(), axis=1), np.rot90(smooth())):
        assert np.array_equal(images.to_picture(images.to_tensor(view)), view)


def test_every_8_bit_value_survives_the_way_to_a_tensor_and_back():
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(images.to_picture(images.to_tensor(values)), values)
    assert np.array_equal(images.to_picture(images.to_tensor(values)[0]), values)


def test_a_tensor_is_clipped_and_rounded_to_the_nearest_value():
    values = torch.tensor([-0.2, 100.4 / 255, 100.6 / 255, 1.7])
    tensor = values.expand(3, 1, 4).clone().requires_grad_()
    assert images.to_picture(tensor)[0, :, 0].tolist() == [0, 100, 101, 255]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_in_a_header_is_that_of_the_upright_picture(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (24, 16), (90, 60, 30)).save(path, exif=exif)
    upright = (24, 16) if orientation in (6, 8) else (16, 24)
    assert images.size(path) == images.read(path).shape[:2] == upright
