"""Pictures of any mode come in right, and go out as they came."""

import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from hbl_lib import modes
from hbl_lib.errors import KitError

SIDES = (17, 31)  # rows, columns


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (*SIDES, 4), dtype=np.uint8)


def save(path, mode, noise):
    channels = {"L": 0, "LA": [0, 3], "RGB": [0, 1, 2], "RGBA": [0, 1, 2, 3], "CMYK": [0, 1, 2, 3]}[mode]
    Image.fromarray(noise[..., channels], mode).save(path)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_eight_bit_modes_come_back_as_they_were(tmp_path, mode, suffix, noise):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    save(source, mode, noise)
    modes.write(target, modes.read(source))
    with Image.open(source) as one, Image.open(target) as other:
        assert other.mode == mode
        assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_come_back_exactly(tmp_path, channels, suffix):
    values = np.random.default_rng(1).integers(0, 65536, (*SIDES, channels), dtype=np.uint16)
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    assert cv2.imwrite(str(source), values)
    picture = modes.read(source)
    assert (picture.bits, picture.grey, picture.alpha is not None) == (16, channels == 1, channels == 4)
    if channels == 3:
        assert np.array_equal(np.round(picture.rgb * 65535).astype(int), values[..., ::-1])  # OpenCV writes BGR
    modes.write(target, replace(picture, profile=b"a profile"))
    assert np.array_equal(cv2.imread(str(target), cv2.IMREAD_UNCHANGED).reshape(values.shape), values)
    assert modes.read(target).profile == b"a profile"


def test_sixteen_bit_grey_with_transparency_is_known_for_what_it_is(tmp_path):
    """Written as RGBA in PNG, which OpenCV can; as it is in TIFF, which OpenCV can't read back and says so."""
    values = np.random.default_rng(2).integers(0, 65536, (*SIDES, 2), dtype=np.uint16)
    body = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", SIDES[1], SIDES[0], 16, 4, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    (tmp_path / "a.png").write_bytes(modes.PNG + b"".join(packed))
    picture = modes.read(tmp_path / "a.png")
    assert picture.grey and picture.bits == 16
    assert np.array_equal(np.round(picture.alpha * 65535), values[..., 1])
    modes.write(tmp_path / "b.png", picture)
    again = modes.read(tmp_path / "b.png")
    assert np.array_equal(again.rgb, picture.rgb) and np.array_equal(again.alpha, picture.alpha)
    modes.write(tmp_path / "b.tif", picture)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), values)
    with pytest.raises(KitError, match=r"b\.tif: .*; save it as 16-bit PNG"):
        modes.read(tmp_path / "b.tif")


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, turn, noise):
    upright = Image.fromarray(noise[..., :3])
    exif = Image.Exif()
    exif[modes.ORIENTATION] = turn
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> how Pillow lays an upright picture down so
    stored = upright.transpose(Image.Transpose(undo[turn])) if turn > 1 else upright
    stored.save(tmp_path / "a.png", exif=exif)
    deep = np.asarray(stored).astype(np.uint16) * 257
    tag = [(modes.ORIENTATION, 3, 1, turn, True)]
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", extratags=tag)
    assert cv2.imwrite(str(tmp_path / "plain.png"), np.ascontiguousarray(deep[..., ::-1]))
    plain, chunk = (tmp_path / "plain.png").read_bytes(), b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    sized = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "deep.png").write_bytes(plain[:33] + sized + plain[33:])
    for name in ("a.png", "deep.tif", "deep.png"):
        assert np.array_equal(modes.read(tmp_path / name).eight_bits(), noise[..., :3]), name


def test_cmyk_palette_and_bilevel_become_what_they_show(tmp_path, noise):
    save(tmp_path / "cmyk.jpg", "CMYK", np.full_like(noise, (0, 255, 255, 0)))
    assert np.abs(modes.read(tmp_path / "cmyk.jpg").rgb - (1, 0, 0)).max() < 0.02
    Image.fromarray(noise[..., :3]).quantize(16).save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as opened:
        assert np.array_equal(
            np.round(modes.read(tmp_path / "palette.png").rgb * 255), np.asarray(opened.convert("RGB"))
        )
    Image.fromarray(noise[..., 0] > 127).save(tmp_path / "bilevel.png")
    picture = modes.read(tmp_path / "bilevel.png")
    assert picture.grey and set(np.unique(picture.rgb)) == {0.0, 1.0}


def test_colour_profile_is_kept(tmp_path, noise):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png", icc_profile=b"profile")
    modes.write(tmp_path / "b.png", modes.read(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as opened:
        assert opened.info["icc_profile"] == b"profile"


def test_what_is_no_single_picture_is_named(tmp_path, noise):
    frames = [Image.fromarray(noise[..., :3]), Image.fromarray(255 - noise[..., :3])]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("hello")
    save(tmp_path / "cut.png", "RGB", noise)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:200])
    Image.fromarray(np.zeros(SIDES, np.float32)).save(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((2, *SIDES), np.uint16), photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "pages.tif").read_bytes()[:12])
    told = {
        "moving.webp": "2 pictures in one file",
        "pages.tif": "2 pictures in one file",
        "cut.tif": "broken",
        "text.png": "not a picture",
        "cut.png": "broken",
    }
    told |= {"float.tif": "mode F", "none.png": "no such picture", ".": "is a folder"}
    for name, words in told.items():
        with pytest.raises(KitError, match=words):
            modes.read(tmp_path / name)


def test_a_camera_jpeg_with_a_preview_in_it_is_one_picture(tmp_path, noise):
    frames = [Image.fromarray(noise[..., :3]), Image.fromarray(noise[:4, :4, :3])]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert modes.read(tmp_path / "a.jpg").rgb.shape == (*SIDES, 3)


def test_a_name_that_can_not_hold_sixteen_bits_is_refused(tmp_path):
    with pytest.raises(KitError, match=r"a\.jpg: can't hold 16 bits"):
        modes.write(tmp_path / "a.jpg", modes.Picture(np.zeros((*SIDES, 3), np.float32), bits=16))
    assert list(tmp_path.iterdir()) == []
