"""Text files: never half written, never executed, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbl_lib import files
from hbl_lib.errors import KitError


@pytest.mark.parametrize(
    ("raised", "seen"), [(OSError(28, "No space left"), KitError), (RuntimeError("x"), RuntimeError)]
)
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, raised, seen):
    path = tmp_path / "made" / "kept.txt"
    files.write_text(path, "old")

    def half(name: str) -> None:
        Path(name).write_text("ne")
        raise raised

    with pytest.raises(seen, match="^x$" if seen is RuntimeError else r"kept\.txt: can't be written: No space left"):
        files.write_atomically(path, half)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_under_way_keeps_the_suffix_and_is_not_the_final_one(tmp_path):
    path, seen = tmp_path / "picture.png", []
    path.write_text("old")

    def write(name: str) -> None:
        seen.append((Path(name).suffix, Path(name).parent, path.read_text()))
        Path(name).write_text("new")

    with path.open() as reading:
        files.write_atomically(path, write)
        assert reading.read() == "old"  # who reads meanwhile sees the whole old file
    assert seen == [(".png", tmp_path, "old")]
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("write", [files.write_text, files.write_yaml, files.write_json])
def test_a_place_below_a_file_cannot_be_written(tmp_path, write):
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(KitError, match=r"file/out: can't be written"):
        write(tmp_path / "file" / "out", "x")
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(KitError, match="out: can't be written"):
        files.write_text(tmp_path / "out", "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_read_errors_name_the_file(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Überlicht".encode("latin-1"))
    for path, told in (("none.txt", "no such file"), ("latin.txt", "not UTF-8"), (".", "can't be read")):
        with pytest.raises(KitError, match=told) as caught:
            files.read_text(tmp_path / path)
        assert str(tmp_path / path) in str(caught.value)


def test_yaml_and_json_errors_name_file_and_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(KitError, match=r"bad\.yaml: is not valid YAML: .*line 3"):
        files.read_yaml(tmp_path / "bad.yaml")
    (tmp_path / "bad.json").write_text('{\n "a": 1,\n}')
    with pytest.raises(KitError, match=r"bad\.json: is not valid JSON: .*line (2|3)"):
        files.read_json(tmp_path / "bad.json")


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{}']]",
    ],
)
def test_a_yaml_tag_that_would_build_an_object_is_refused_and_not_run(tmp_path, tagged):
    marker = tmp_path / "ran"
    (tmp_path / "evil.yaml").write_text("a: " + tagged.format(marker))
    with pytest.raises(KitError, match=r"evil\.yaml: is not valid YAML: .*python/object"):
        files.read_yaml(tmp_path / "evil.yaml")
    assert not marker.exists()


def test_plain_data_survives_yaml_and_json_in_order(tmp_path):
    data = {"z": 1, "a": [0.1, -3, None, True], "m": {"é": "ü"}}
    for write, read in ((files.write_yaml, files.read_yaml), (files.write_json, files.read_json)):
        write(tmp_path / "data", data)
        assert read(tmp_path / "data") == data
        assert list(read(tmp_path / "data")) == ["z", "a", "m"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_number_is_not_written_to_json(tmp_path, number):
    files.write_json(tmp_path / "metrics.json", {"psnr": 20.0})
    with pytest.raises(KitError, match=r"metrics\.json: not written"):
        files.write_json(tmp_path / "metrics.json", {"psnr": number})
    assert files.read_json(tmp_path / "metrics.json") == {"psnr": 20.0}


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_yaml_value_that_looks_like_an_impossible_date_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "date.yaml").write_text("x: 2020-13-45\n")
    with pytest.raises(KitError, match=r"date\.yaml"):
        files.read_yaml(tmp_path / "date.yaml")
