"""Pictures that show the same are found by pixels and by a perceptual hash, and become one scene."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage import data

from hbl_lib import files, images, overlap, runs, soundness, splits, stages
from hbl_lib.__main__ import main
from hbl_lib.overlap import EQUAL, Look

SHARED = Path(os.environ.get("HBL_DATA", Path(__file__).parents[2] / "shared" / "data"))
real = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real pictures at {SHARED} (HBL_DATA)")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photograph(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)())


def as_jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def trimmed(picture: Image.Image) -> Image.Image:
    return picture.crop((1, 1, picture.width - 1, picture.height - 1))


# Pictures of Rain100's test set and of BSD68 that are one photograph, looked at by eye.
SHARED_SCENES = {("18", "034"), ("22", "037"), ("40", "042"), ("45", "044")}
SHARED_SCENES |= {("59", "047"), ("77", "051"), ("90", "054")}

COPIES = {
    "half": lambda p: p.resize((p.width // 2, p.height // 2)),
    "jpeg": as_jpeg,
    "grey": lambda p: p.convert("L").convert("RGB"),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "trimmed": trimmed,
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_alike_and_another_photograph_is_not(copy):
    originals = [Look.of(np.asarray(photograph(name))) for name in PHOTOGRAPHS]
    copies = [Look.of(np.asarray(COPIES[copy](photograph(name)))) for name in PHOTOGRAPHS]
    assert {(i, *found) for i, found, _ in overlap.alike(originals, copies)} == {(i, i) for i in range(len(originals))}


def test_equal_pixels_are_equal_in_any_format_and_flat_pictures_are_alike_only_then(tmp_path):
    picture = np.asarray(photograph("coffee"))
    for name in ("a.png", "b.bmp"):
        images.write(tmp_path / name, picture)
    one, other = (Look.of(images.read(tmp_path / name)) for name in ("a.png", "b.bmp"))
    flat = [Look.of(np.full((20, 20, 3), level, np.uint8)) for level in (90, 91, 90)]
    assert [(i, *found, *bits) for i, found, bits in overlap.alike([one], [other])] == [(0, 0, EQUAL)]
    assert [(i, *found, *bits) for i, found, bits in overlap.alike(flat[:1], flat)] == [(0, 0, 2, EQUAL, EQUAL)]


def folder_of_pairs(root: Path, pictures: dict[str, Image.Image]) -> Path:
    for name, picture in pictures.items():
        clear = np.asarray(picture.convert("RGB").resize((96, 80)))
        images.write(root / "high" / f"{name}.png", clear)
        images.write(root / "low" / f"{name}.png", clear // 4)
    return root


def test_pairs_of_one_scene_never_fall_into_two_lists(tmp_path, capsys):
    pictures = {name: photograph(name) for name in ("astronaut", "chelsea", "coffee", "rocket")}
    pictures |= {"again": as_jpeg(pictures["coffee"]), "dim": ImageEnhance.Brightness(pictures["coffee"]).enhance(0.8)}
    root = folder_of_pairs(tmp_path, pictures)
    found = soundness.check(root)
    groups = {Path(pair.clear).stem: pair.group for pair in found.pairs}
    assert found.problems == [] and groups["coffee"] == groups["again"] == groups["dim"] == "again"
    assert len(set(groups.values())) == 4 and len(found.twins) == 2
    for seed in range(20):
        dealt = splits.deal(found.pairs, 0.2, 0.2, seed)
        assert sum("again" in {pair.group for pair in part} for part in dealt.values()) == 1
    assert main(["data", "check", str(root)]) == 0
    assert re.search(r"alike: high/again.png and high/(coffee|dim).png: \d .*; one scene", capsys.readouterr().out)


def test_many_pictures_of_one_scene_are_told_in_as_many_lines(tmp_path):
    coffee = photograph("coffee").resize((96, 80))
    copies = {str(k): ImageEnhance.Brightness(coffee).enhance(1 + k / 100) for k in range(30)}
    found = soundness.check(folder_of_pairs(tmp_path, copies))
    assert len({pair.group for pair in found.pairs}) == 1 and len(found.twins) == 29
    assert len(overlap.between(tmp_path / "high", tmp_path / "low")) == 30  # each with its nearest


def test_scenes_that_a_person_has_named_are_joined_for_equal_pixels_only(tmp_path):
    coffee = photograph("coffee")
    root = folder_of_pairs(tmp_path, {"a": coffee, "b": as_jpeg(coffee), "c": coffee, "d": photograph("rocket")})
    files.write_json(root / "groups.json", {"a": "morning", "b": "noon", "c": "night"})
    found = soundness.check(root)
    assert [pair.group for pair in found.pairs] == ["morning", "noon", "morning", "d"]
    assert sum("two scenes, as groups.json says" in told for told in found.twins) == 2


def test_scenes_kept_apart_are_joined_where_both_are_like_a_third_that_nobody_named(tmp_path):
    coffee = photograph("coffee")
    root = folder_of_pairs(tmp_path, {"a": coffee, "b": as_jpeg(coffee), "c": as_jpeg(as_jpeg(coffee))})
    files.write_json(root / "groups.json", {"a": "morning", "b": "noon"})
    found = soundness.check(root)
    assert len({pair.group for pair in found.pairs}) == 1
    assert not any("two scenes" in told for told in found.twins)


def test_one_degraded_picture_of_two_scenes_makes_them_one(tmp_path):
    root = folder_of_pairs(tmp_path, {"a": photograph("coffee"), "b": photograph("rocket")})
    (root / "low/b.png").write_bytes((root / "low/a.png").read_bytes())
    found = soundness.check(root)
    assert [pair.group for pair in found.pairs] == ["a", "a"]
    assert found.twins == ["low/a.png and low/b.png: equal pixels; one scene"]


@real
@pytest.mark.parametrize("rain", ["rain100h", "rain100l"])
def test_the_scenes_that_rain100_and_bsd68_share_are_found(rain, capsys):
    assert main(["data", "overlap", str(SHARED / rain), str(SHARED / "bsd68")]) == 1
    found = re.findall(r"norain/(\d+)\.webp and \S+/test(\d+)\.png: (\d+) of 64 bits", capsys.readouterr().out)
    assert {(scene, test) for scene, test, _ in found} == SHARED_SCENES
    assert all(int(bits) <= 2 for *_, bits in found)


@real
def test_training_pictures_of_one_set_are_found_in_the_test_pictures_of_another(tmp_path, capsys):
    """As LOL-v1's training pictures are in LOL-v2 real's test set; here a third of the real LOL pairs, as JPEG."""
    train, test = tmp_path / "our485", tmp_path / "Test"
    names = sorted(path.name for path in (SHARED / "lol/high").iterdir())[:24]
    for number, name in enumerate(names):
        for side, other in (("low", "Low"), ("high", "Normal")):
            with Image.open(SHARED / "lol" / side / name) as opened:
                picture = opened.convert("RGB")
            (train / side).mkdir(parents=True, exist_ok=True)
            (test / other).mkdir(parents=True, exist_ok=True)
            if number < 16:
                picture.save(train / side / f"{number}.png")
            if number >= 8:
                picture.save(test / other / f"{other.lower()}{number:05}.jpg", quality=90)
    assert main(["data", "overlap", str(train), str(test)]) == 1
    said = capsys.readouterr().out
    assert all(f"high/{number}.png and {test}/Normal/normal{number:05}.jpg" in said for number in range(8, 16))
    assert main(["data", "overlap", str(train), str(SHARED / "bsd68")]) == 0
    words = ["check", "--profile", "smoke", "--data", str(train), "--overrides", f"task.unseen={test}"]
    assert main(words) == 1
    assert "shows what must stay unseen (task.unseen); remove these pictures:" in capsys.readouterr().err


def test_test_pictures_of_lol_v2_among_the_training_pictures_of_lol_v1_are_found_where_both_lie(tmp_path, capsys):
    sets = tmp_path / "some/sets"  # so deep that no other test's pictures lie near
    v1, v2 = sets / "LOLdataset/our485", sets / "LOL-v2/Real_captured/Test"
    names = ("astronaut", "chelsea", "coffee", "rocket", "camera", "moon")
    folder_of_pairs(v1, {name: photograph(name) for name in names})
    shown = {"normal00001": as_jpeg(photograph("coffee")), "normal00002": photograph("coins")}
    for name, picture in shown.items():
        images.write(v2 / "Normal" / f"{name}.png", np.asarray(picture.convert("RGB").resize((96, 80))))
        images.write(v2 / "Low" / f"{name.replace('normal', 'low')}.png", np.full((80, 96, 3), 9, np.uint8))
    told = r"high/coffee.png and ../../LOL-v2/Real_captured/Test/Normal/normal00001.png: \d of 64 bits .* differ"
    assert main(["data", "check", str(v1)]) == 0
    assert re.search(f"in another set's test: {told}", capsys.readouterr().out)
    run = runs.open_run(profile="smoke", data=str(v1), results=str(tmp_path / "results"), device="cpu")
    stages.data(run)
    held_out = files.read_json(run.output("00_data", "metrics.json"))["held_out"]
    assert len(held_out) == 1 and re.fullmatch(told, held_out[0]), held_out
    (v2 / "Normal/normal00001.png").write_bytes(b"torn")
    assert [line[:12] for line in soundness.check(v1).held_out] == ["not compared"]
    assert soundness.check(v2).held_out == [], "a test set is not compared with itself"


def test_the_embedded_pictures_share_nothing_between_their_scenes(finished_run):
    listed = soundness.check(finished_run / "smoke/llie_lol/00_data/pictures")
    assert listed.twins == []
