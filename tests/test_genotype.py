"""Genotypes and the restorers on disk that belong to them."""

import re

import pytest
import torch

from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.network import parameter_count
from hbl_lib.operations import FCM_OPERATIONS, HNU_OPERATIONS
from hbl_lib.restorer import Restorer
from hbl_lib.supernet import Supernet

TASKS = ("llie_lol", "llie_mit", "uie", "sihr", "llie_lol_synchronous")


@pytest.fixture
def uie():
    return Genotype.published("uie").as_dict()


@pytest.mark.parametrize("task", TASKS)
def test_a_published_genotype_survives_a_file(task, tmp_path):
    published = Genotype.published(task)
    published.write(tmp_path / "genotype.yaml")
    assert Genotype.read(tmp_path / "genotype.yaml") == published
    assert sum(published.counts().values()) == 9 + 7 * 8 + 9


def test_an_unknown_task_is_named_with_those_there_are():
    with pytest.raises(KitError, match=r"'llie_lola'.*llie_mit.*Did you mean 'llie_lol'"):
        Genotype.published("llie_lola")


def test_deriving_picks_the_largest_alpha_at_every_place(rng):
    supernet = Supernet()
    picks = []
    with torch.no_grad():
        for mixed in supernet.mixed():
            mixed.alpha.copy_(torch.randn(len(mixed.names), generator=rng))
            picks.append(mixed.names[max(range(len(mixed.names)), key=lambda k: mixed.alpha[k])])
    derived = Genotype.derive(supernet)
    assert [*derived.encoder, *(name for unit in derived.hnu for name in unit), *derived.decoder] == picks


def test_deriving_takes_the_first_of_equals():
    supernet = Supernet()
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.fill_(0.5)
    derived = Genotype.derive(supernet)
    assert set(derived.encoder + derived.decoder) == {FCM_OPERATIONS[0]}
    assert {name for unit in derived.hnu for name in unit} == {HNU_OPERATIONS[0]}


def test_an_unknown_operation_is_named_with_its_place_and_the_nearest(uie):
    uie["hnu"][2][3] = "3-2-RDD"
    with pytest.raises(KitError, match=r"mine.yaml: hnu 2: unknown operation '3-2-RDD'.*Did you mean '3-2-RDC'"):
        Genotype.from_dict(uie, "mine.yaml")


def test_an_operation_that_keeps_channels_is_refused_where_they_change(uie):
    uie["encoder"][0] = "SC"
    with pytest.raises(KitError, match="encoder: layer 1 changes the number of channels, which SC can't"):
        Genotype.from_dict(uie)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("encoder", lambda row: row[:8], "encoder: expected a list of 9 operations"),
        ("decoder", lambda row: "5-C", "decoder: expected a list of 9 operations"),
        ("hnu", lambda units: units[:6], "hnu: expected 7 units"),
        ("hnu", lambda units: [*units[:6], units[6][:7]], "hnu 6: expected a list of 8 operations"),
    ],
)
def test_a_wrong_length_is_refused(uie, part, change, message):
    uie[part] = change(uie[part])
    with pytest.raises(KitError, match=message):
        Genotype.from_dict(uie)


@pytest.mark.parametrize(
    "data", [None, [], {}, {"encoder": [], "hnu": []}, {"encoder": 1, "hnu": 1, "decoder": 1, "x": 1}]
)
def test_wrong_keys_are_refused(data):
    with pytest.raises(KitError, match="exactly the keys encoder, hnu, decoder"):
        Genotype.from_dict(data)


def test_skip_collapse_is_seen_in_unit_4_of_the_published_uie_genotype_alone():
    assert Genotype.published("uie").skip_collapse() == [4]
    assert {task: Genotype.published(task).skip_collapse() for task in TASKS if task != "uie"} == {
        "llie_lol": [],
        "llie_mit": [],
        "sihr": [],
        "llie_lol_synchronous": [],
    }


def test_a_difference_is_told_in_words(uie):
    published = Genotype.published("uie")
    assert published.difference(published) == "no difference"
    uie["hnu"][3][7], uie["decoder"][0] = "3-RC", "1-C"
    other = Genotype.from_dict(uie)
    assert re.fullmatch(r"2 places differ.*hnu 4\.8: SC against 3-RC", published.difference(other))


def test_a_restorer_comes_back_from_disk_bit_for_bit(tmp_path, rng):
    torch.manual_seed(1)
    restorer = Restorer(Genotype.published("uie"))
    restorer.save(tmp_path / "restorer.safetensors")
    loaded = Restorer.load(tmp_path / "restorer.safetensors", Genotype.published("uie"))
    picture = torch.rand(1, 3, 12, 20, generator=rng)
    with torch.no_grad():
        assert torch.equal(loaded(picture), restorer(picture))
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), restorer.state_dict().values(), strict=True)
    )
    assert loaded.genotype == restorer.genotype


def test_weights_of_another_genotype_are_refused_with_the_difference(tmp_path):
    Restorer(Genotype.published("uie")).save(tmp_path / "restorer.safetensors")
    with pytest.raises(KitError, match=r"another genotype \(\d+ places differ.*encoder 2: 1-C against 3-2-DC\)"):
        Restorer.load(tmp_path / "restorer.safetensors", Genotype.published("llie_lol"))


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_torn_file_is_refused_by_name(tmp_path, share):
    path = tmp_path / "restorer.safetensors"
    Restorer(Genotype.published("uie")).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(KitError, match=r"restorer\.safetensors: not a readable checkpoint"):
        Restorer.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(KitError, match=r"nowhere\.safetensors: no such checkpoint"):
        Restorer.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(("name", "plain", "count"), [("1-C", "1-C", 79_968), ("3-C", "3-C", 621_408)])
@pytest.mark.parametrize("residual", ["", "R"])
def test_a_uniform_network_has_one_operation_and_its_plain_form_in_the_fcms(name, plain, count, residual):
    name = name.replace("-", f"-{residual}")
    found = Genotype.uniform(name)
    assert set(found.encoder + found.decoder) == {plain}
    assert {operation for unit in found.hnu for operation in unit} == {name}
    assert parameter_count(Restorer(found)) == count


def test_an_operation_that_the_fcms_have_not_got_is_refused():
    with pytest.raises(KitError, match=r"uniform SC: encoder: layer 1 changes the number of channels, which SC can't"):
        Genotype.uniform("SC")
