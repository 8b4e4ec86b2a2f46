"""README's table of kinds of pictures: what happens with each when it is restored, and when it is trained on."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from hbl_lib import images, inference, modes, soundness
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.restorer import Restorer

README = (Path(__file__).parent.parent / "README.md").read_text()
WIDTH, HEIGHT = 24, 16
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)


def saved(path: Path, picture: Image.Image, **options) -> Path:
    picture.save(path, **options)
    return path


def of_mode(mode: str, suffix: str = "png"):
    channels = {"L": 0, "LA": [0, 3], "RGB": [0, 1, 2], "RGBA": [0, 1, 2, 3], "CMYK": [0, 1, 2, 3]}[mode]
    return lambda folder: saved(folder / f"a.{suffix}", Image.fromarray(NOISE[..., channels], mode))


def opaque(folder: Path) -> Path:
    return saved(folder / "a.png", Image.fromarray(NOISE[..., :3]).convert("RGBA"))


def palette(folder: Path, **options) -> Path:
    return saved(folder / "a.png", Image.fromarray(NOISE[..., :3]).quantize(16), **options)


def one_bit(folder: Path) -> Path:
    return saved(folder / "a.png", Image.fromarray(NOISE[..., 0]).convert("1"))


def deep(folder: Path) -> Path:
    cv2.imwrite(str(folder / "a.png"), NOISE[..., :3].astype(np.uint16) * 257)
    return folder / "a.png"


def deep_transparent(folder: Path) -> Path:
    """A chunk tRNS behind the header: 16-bit red, green and blue that count as transparent."""
    made = deep(folder)
    saved, chunk = made.read_bytes(), b"tRNS" + bytes(6)
    sized = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    made.write_bytes(saved[:33] + sized + saved[33:])
    return made


def deep_tiff(folder: Path, **options) -> Path:
    tifffile.imwrite(folder / "a.tif", NOISE[..., :3].astype(np.uint16) * 257, photometric="rgb", **options)
    return folder / "a.tif"


def planes_apart(folder: Path, **options) -> Path:
    planes = NOISE[..., :3].astype(np.uint16).transpose(2, 0, 1) * 257
    tifffile.imwrite(folder / "a.tif", planes, photometric="rgb", planarconfig="separate", **options)
    return folder / "a.tif"


def ppm(folder: Path) -> Path:
    head = f"P6 {WIDTH} {HEIGHT} 65535\n".encode()
    (folder / "a.png").write_bytes(head + (NOISE[..., :3].astype(">u2") * 257).tobytes())
    return folder / "a.png"


def white_is_zero(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", NOISE[..., 0].astype(np.uint16) * 257, photometric="miniswhite")
    return folder / "a.tif"


def whole_numbers(folder: Path) -> Path:
    return saved(folder / "a.tif", Image.fromarray(NOISE[..., 0].astype(np.int32)))


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.png")
    return folder / "a.png"


def turned(folder: Path) -> Path:
    exif = Image.Exif()
    exif[modes.ORIENTATION] = 6
    return saved(folder / "a.jpg", Image.fromarray(NOISE[..., :3]), exif=exif)


def animated(folder: Path) -> Path:
    frames = [Image.fromarray(np.roll(NOISE[..., :3], n)) for n in range(3)]
    return saved(folder / "a.webp", frames[0], save_all=True, append_images=frames[1:])


def pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.stack([NOISE[..., :3]] * 2), photometric="rgb")
    return folder / "a.tif"


def floats(value: float):
    def make(folder: Path) -> Path:
        values = np.full((HEIGHT, WIDTH), 0.5, np.float32)
        values[3, 4] = value
        return saved(folder / "a.tif", Image.fromarray(values))

    return make


def truncated(folder: Path) -> Path:
    path = of_mode("RGB")(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def content(what: bytes):
    def make(folder: Path) -> Path:
        (folder / "a.png").write_bytes(what)
        return folder / "a.png"

    return make


def huge(folder: Path) -> Path:
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return content(modes.PNG + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))(folder)


def tiny(folder: Path) -> Path:
    return saved(folder / "a.png", Image.fromarray(NOISE[:1, :1, :3]))


def called(name: str):
    return lambda folder: of_mode("RGB")(folder).rename(folder / name)


def link(folder: Path) -> Path:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / "a.png").symlink_to(of_mode("RGB")(elsewhere))
    return folder / "a.png"


def dangling(folder: Path) -> Path:
    (folder / "a.png").symlink_to(folder / "nowhere.png")
    return folder / "a.png"


def loop(folder: Path) -> Path:
    (folder / "a.png").symlink_to(folder / "a.png")
    return folder / "a.png"


def unreadable(folder: Path) -> Path:
    """Its first byte can't be read, not even by root."""
    (folder / "a.png").symlink_to("/proc/self/mem")
    return folder / "a.png"


def a_folder(folder: Path) -> Path:
    (folder / "a.png").mkdir()
    return folder / "a.png"


KINDS = {
    "RGB, 8 bits": of_mode("RGB"),
    "grey": of_mode("L"),
    "black and white, 1 bit": one_bit,
    "palette": palette,
    "palette with a transparent colour": lambda folder: palette(folder, transparency=0),
    "RGBA, all opaque": opaque,
    "RGBA, transparent places": of_mode("RGBA"),
    "grey with transparency": of_mode("LA"),
    "CMYK": of_mode("CMYK", "jpg"),
    "16 bits a channel": deep,
    "16 bits with one transparent colour": deep_transparent,
    "16-bit TIFF whose planes lie apart": planes_apart,
    "16-bit TIFF whose 0 is white": white_is_zero,
    "16-bit BigTIFF": lambda folder: deep_tiff(folder, bigtiff=True),
    "16-bit BigTIFF whose planes lie apart": lambda folder: planes_apart(folder, bigtiff=True),
    "32-bit whole numbers": whole_numbers,
    "32-bit float": floats(0.5),
    "32-bit float with NaN": floats(float("nan")),
    "32-bit float with infinite values": floats(float("inf")),
    "turned by EXIF": turned,
    "animation": animated,
    "TIFF of several pages": pages,
    "PPM under another format's name": ppm,
    "truncated": truncated,
    "empty file": content(b""),
    "text under a picture's name": content(b"<svg onload='alert(1)'/>"),
    "huge size in the header (100000x100000)": huge,
    "1x1": tiny,
    "name with blanks, quotes or markup": called("""a 'b' "c" <img src=x onerror=alert(1)>.png"""),
    "name beyond ASCII": called("夜 – ночь.png"),
    "name with a line break or control character": called("a\nb\x1b[2J.png"),
    "link to a file elsewhere": link,
    "link to nothing": dangling,
    "link to itself": loop,
    "file that can't be read": unreadable,
    "folder with a picture's name": a_folder,
    "pipe or device with a picture's name": pipe,
}


@pytest.fixture(scope="module")
def restorer():
    return Restorer(Genotype.uniform("1-C")).deploy()


def restored(restorer: Restorer, path: Path, out: Path) -> str:
    """What `restore` made of a picture, in the table's words; of the one beside it, a restored one in any case."""
    sound = saved(path.parent.parent / "sound.png", Image.fromarray(NOISE[..., :3]))
    try:
        made, beside = inference.restore_files(restorer, [path, sound], out)
    except KitError as error:
        assert str(error).startswith("1 of 2 pictures were not restored") and path.name in str(error)
        assert [found.name for found in out.iterdir()] == ["sound.png"]
        return "refused"
    assert beside == out / "sound.png" and made == out / path.name and not made.is_symlink()
    one, other = modes.read(path), modes.read(made)
    assert one.rgb.shape == other.rgb.shape and (one.bits, one.grey) == (other.bits, other.grey)
    assert (one.alpha is None) == (other.alpha is None)
    with Image.open(path) as before, Image.open(made) as after:
        if before.size != after.size:
            return "restored, upright"
        same = before.mode == after.mode or one.bits == 16
        return "restored, same mode" if same else f"restored as {'grey' if other.grey else after.mode}"


def trained_on(path: Path, folder: Path) -> str:
    """What `data check` and the stages make of a picture as the degraded one of a pair, in the table's words."""
    for side in ("low", "high"):
        (folder / side).mkdir(parents=True)
    if path.is_dir() or path.is_fifo():
        (os.mkfifo if path.is_fifo() else os.mkdir)(folder / "low" / path.name)
    else:
        shutil.copy(path, folder / "low", follow_symlinks=False)
    size = (WIDTH, HEIGHT)
    if path.suffix == ".jpg":
        with Image.open(path) as opened:
            size = size[::-1] if opened.getexif().get(modes.ORIENTATION) == 6 else size
    Image.new("RGB", size, (200, 100, 50)).save(folder / "high" / f"{path.stem}.png")
    found = soundness.check(folder)
    if found.problems:
        assert all("low/" in problem or "high/" in problem for problem in found.problems)
        with pytest.raises(KitError, match="nothing was used"):
            soundness.require_sound(found)
        return "refused"
    picture = found.pairs[0].read(folder)[0]
    assert picture.shape == (*size[::-1], 3) and found.pairs[0].size(folder) == size[::-1]
    with Image.open(folder / "low" / path.name) as before:
        if before.size != size:
            return "taken, upright"
        return "taken" if before.mode == "RGB" else "taken as RGB"


def rows() -> dict[str, tuple[str, str]]:
    """README's table."""
    table = README.split("| a picture that is |")[1].split("\n\n")[0].splitlines()[2:]
    return {cells[0]: tuple(cells[1:]) for cells in ([c.strip() for c in row.strip("| ").split("|")] for row in table)}


def test_the_table_has_every_kind():
    assert list(rows()) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*Palette images with Transparency")
def test_what_the_table_says_of_a_kind_is_what_happens(tmp_path, restorer, kind):
    (tmp_path / "given").mkdir()
    path = KINDS[kind](tmp_path / "given")
    found = (restored(restorer, path, tmp_path / "out"), trained_on(path, tmp_path / "pairs"))
    assert found == rows()[kind]


def test_restoring_onto_a_link_replaces_the_link_and_not_what_it_points_to(tmp_path, restorer):
    source, out = of_mode("RGB")(tmp_path), tmp_path / "out"
    out.mkdir()
    (tmp_path / "victim.png").write_bytes(b"mine")
    (out / "a.png").symlink_to(tmp_path / "victim.png")
    inference.restore_files(restorer, [source], out, overwrite=True)
    assert (tmp_path / "victim.png").read_bytes() == b"mine"
    assert not (out / "a.png").is_symlink() and images.size(out / "a.png") == (HEIGHT, WIDTH)
