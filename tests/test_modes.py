"""Pictures of any mode come in right, and go out as they came."""

import cv2
import numpy as np
import pytest
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
    modes.write(target, picture)
    assert np.array_equal(cv2.imread(str(target), cv2.IMREAD_UNCHANGED).reshape(values.shape), values)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, turn, noise):
    upright = Image.fromarray(noise[..., :3])
    exif = Image.Exif()
    exif[modes.ORIENTATION] = turn
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> how Pillow lays an upright picture down so
    stored = upright.transpose(Image.Transpose(undo[turn])) if turn > 1 else upright
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.round(modes.read(tmp_path / "a.png").rgb * 255), noise[..., :3])
    deep = np.asarray(stored)[..., ::-1].astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / "deep.png"), np.ascontiguousarray(deep))
    if turn > 1:
        assert np.array_equal(np.round(modes.UPRIGHT[turn](deep[..., ::-1]) / 257), noise[..., :3])


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
    told = {"moving.webp": "2 pictures in one file", "text.png": "not a picture", "cut.png": "broken"}
    for name, words in (told | {"float.tif": "mode F", "none.png": "no such picture", ".": "is a folder"}).items():
        with pytest.raises(KitError, match=words):
            modes.read(tmp_path / name)
