"""File lists: whole groups, every pair once, fixed by the seed alone, stored with checksums."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hbl_lib import files, images, pairs, splits
from hbl_lib.errors import KitError
from hbl_lib.pairs import Pair


def make(groups: int, variants: int = 1) -> list[Pair]:
    return [Pair(f"low/{g}_{v}.png", f"high/{g}.png", f"g{g}") for g in range(groups) for v in range(variants)]


def groups_of(dealt: dict[str, list[Pair]]) -> dict[str, set[str]]:
    return {name: {pair.group for pair in part} for name, part in dealt.items()}


@pytest.mark.parametrize("count", [4, 5, 8, 97])
def test_every_pair_is_dealt_once_and_no_group_is_split(count):
    dealt = splits.deal(make(count, variants=3), 0.12, 0.25, seed=0)
    assert list(dealt) == list(splits.LISTS)
    assert all(dealt.values())
    assert sorted((pair for part in dealt.values() for pair in part), key=repr) == sorted(make(count, 3), key=repr)
    assert sum(len(part) for part in groups_of(dealt).values()) == count


def test_the_shares_are_those_asked_for_and_the_rest_is_halved():
    sizes = {name: len(part) for name, part in splits.deal(make(100), 0.1, 0.25, seed=0).items()}
    assert sizes == {"train": 33, "search": 32, "validation": 10, "test": 25}


def test_one_seed_gives_one_deal_and_another_seed_another():
    deals = [groups_of(splits.deal(make(20), 0.12, 0.25, seed)) for seed in (0, 0, 1)]
    assert deals[0] == deals[1] != deals[2]


def test_the_deal_is_the_same_on_every_machine():
    expected = {"train": "145", "search": "06", "validation": "2", "test": "37"}
    dealt = groups_of(splits.deal(make(8), 0.12, 0.25, seed=0))
    assert dealt == {name: {f"g{digit}" for digit in digits} for name, digits in expected.items()}


def test_the_order_of_the_listing_does_not_matter():
    forth, back = (splits.deal(order, 0.12, 0.25, 0) for order in (make(20, 2), make(20, 2)[::-1]))
    assert {name: set(part) for name, part in forth.items()} == {name: set(part) for name, part in back.items()}


def test_further_variants_of_a_picture_join_its_list_and_move_no_other():
    few, many = (splits.deal(make(12, variants), 0.12, 0.25, 0) for variants in (1, 5))
    assert groups_of(few) == groups_of(many)
    assert all(set(few[name]) <= set(many[name]) and len(many[name]) == 5 * len(few[name]) for name in splits.LISTS)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_groups_are_refused_however_many_variants_they_have(count):
    with pytest.raises(KitError, match=rf"{count} picture\(s\) are too few"):
        splits.deal(make(count, variants=10), 0.12, 0.25, 0)


def test_shares_that_leave_nothing_to_search_on_are_refused():
    with pytest.raises(KitError, match=r"with 5 pictures, validation=0\.49 and test=0\.49 leave none"):
        splits.deal(make(5), 0.49, 0.49, 0)


def test_stored_lists_come_back_with_the_checksums_of_both_files(tmp_path):
    for shade, name in enumerate(f"{side}/{n}.png" for side in ("low", "high") for n in range(6)):
        images.write(tmp_path / "data" / name, np.full((4, 4, 3), shade, np.uint8))
    dealt = splits.deal(pairs.listing(tmp_path / "data").pairs, 0.12, 0.25, 0)
    path = tmp_path / "out" / "splits.json"
    splits.write(path, tmp_path / "data", dealt, "folder data")
    assert splits.read(path) == dealt
    stored = files.read_json(path)
    assert stored["source"] == "folder data"
    entries = [entry for part in stored["lists"].values() for entry in part]
    assert len(entries) == 6
    for entry in entries:
        for side in ("degraded", "clear"):
            content = (tmp_path / "data" / entry[side]).read_bytes()
            assert stored["sha256"][entry[side]] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", ["[]", "{}", '{"lists": {"train": []}}', '{"lists": {"train": [{"clear": "x"}]}}'])
def test_a_file_that_is_no_list_of_splits_is_named(tmp_path, content):
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(KitError, match=r"splits\.json: not a list of splits\. 00_data writes it"):
        splits.read(tmp_path / "splits.json")
