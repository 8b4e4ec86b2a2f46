"""The ledger: every difference between paper and code is a variant that can be run, and is told with its effect."""

import pytest
from test_claims import SEEDS, folder, per_image  # noqa: F401 (folder is a fixture)
from test_paper import evaluated, write_manifest

from hbl_lib import config, effects, files, ledger, losses, outcomes, settings, variants
from hbl_lib.errors import KitError


@pytest.mark.parametrize("profile", config.names("profiles"))
@pytest.mark.parametrize("name", variants.known())
def test_a_variant_differs_from_every_profile_in_what_it_says_and_nowhere_else(profile, name):
    plain, of = config.load(profile, "uie").model_dump(), variants.overrides(name, profile)
    changed = config.load(profile, "uie", overrides=of).model_dump()
    apart = {section for section in plain if plain[section] != changed[section]}
    named = {setting.split("=")[0].split(".")[0] for setting in of.split(",")}
    own = {"classifier_resnet50": "classifier", "recipe_paper": "retrain", "recipe_no_average": "retrain"}
    own["no_warmup"] = "loss_search"
    assert apart == named - ({own.get(name)} if profile == "paper" else set())  # what the paper's profile has anyway


def test_a_variant_brings_along_what_it_is_compared_with():
    assert variants.chosen("vgg_layers", "uie") == ["published", "vgg_layers"]
    assert variants.chosen("", "uie") == [] and variants.chosen("all", "uie") == list(variants.known())
    assert variants.chosen("recipe_fifth", "uie") == ["published", "recipe_paper", "recipe_fifth"]
    groups = {group: set(variants.chosen(group, "uie")) for group in variants.GROUPS}
    assert groups["ledger"] | groups["recipe"] == set(variants.known())
    assert groups["ledger"] & groups["recipe"] == {"published"}
    with pytest.raises(KitError, match=r"no variant 'round'; there are: all, .*Did you mean 'rounds'"):
        variants.chosen("round", "uie")


def test_where_paper_and_code_agree_there_is_nothing_to_run(tmp_path):
    known = losses.published()
    of_code = {task: known["vgg19_layers"][known["layers_of"].get(task, task)][1] for task in known["weights"]}
    alike = [task for task, layer in of_code.items() if known["figure8_layers"][task] == layer]
    assert sorted(variants.known()["vgg_layers"].agree) == sorted(alike) == ["llie_lol", "llie_mit"]
    left = set(variants.known()) - set(variants.chosen("all", "llie_lol"))
    assert left == {name for name, variant in variants.known().items() if "llie_lol" in variant.agree}
    plain = dict.fromkeys(settings.Given._fields, "")
    given = plain | {"profile": "smoke", "seeds": "0", "device": "cpu", "jobs": "1", "variants": "vgg_layers"}
    given |= {"results": str(tmp_path)}
    assert list(settings.check(settings.Given(**given | {"tasks": "llie_lol uie"})))
    with pytest.raises(KitError, match=r"VARIANTS: vgg_layers: paper and code agree for llie_lol, so it would"):
        list(settings.check(settings.Given(**given | {"tasks": "llie_lol"})))


def test_a_wrong_entry_of_the_file_is_named(monkeypatch, tmp_path):
    path = tmp_path / "variants.yaml"
    monkeypatch.setattr(variants, "PATH", path)
    path.write_text("mine: {item: a, paper: b, code: c, here: d, sets: network.combine=division}\n")
    with pytest.raises(KitError, match=r"variants.yaml: mine: sets"):
        variants.known()
    path.write_text("mine: {item: a, paper: b, code: c, here: d, against: other}\n")
    with pytest.raises(KitError, match=r"mine: against: no variant 'other'"):
        variants.known()


def run_variant(folder, name, below, split=0, ssim=None):  # noqa: F811
    """Three seeds of a variant whose restored pictures are `below` the main run's, and of another SSIM if given."""
    for seed, replica in enumerate(outcomes.replicas(variants.folder_of(folder, name), SEEDS)):
        evaluated(replica, "llie_lol", seed)
        images = per_image(below)
        for image in images if split else ():
            image["clear_file"] = f"other/{image['clear_file']}"
        for image in images if ssim else ():
            image["restored"]["ssim"] = ssim
        known = files.read_json(replica / "05_evaluate/metrics.json") | {"per_image": images}
        files.write_json(replica / "05_evaluate/metrics.json", known)
        for stage in ("05_evaluate", *ledger.CHAIN):
            write_manifest(replica / stage, seconds=2.0)


@pytest.fixture
def told(folder):  # noqa: F811
    """The ledger of a main run and variants: worse, better than published, worse by PSNR alone, of another split."""
    for replica in outcomes.replicas(folder, SEEDS):
        for stage in ledger.CHAIN:
            written = replica / stage / "metrics.json"
            if not written.is_file():
                files.write_json(written, {})
            write_manifest(replica / stage, outputs={"metrics.json": files.sha256(written)}, seconds=1.0)
    run_variant(folder, "subtraction", 0.5)
    run_variant(folder, "published", 0.5)
    run_variant(folder, "vgg_layers", 0.2)
    run_variant(folder, "no_warmup", 0.5, ssim=0.9)
    run_variant(folder, "split_1", 1.0, split=1)
    return ledger.table(folder, SEEDS).frame.set_index("variant")


def test_each_effect_is_paired_with_what_the_variant_is_compared_with(told):
    assert told.loc["subtraction", "effect (dB)"] == pytest.approx(-0.5)
    assert told.loc["subtraction", "says"] == "worse" and told.loc["subtraction", "time (ratio)"] == 2.0
    assert told.loc["vgg_layers", "against"] == "published"
    assert told.loc["vgg_layers", "effect (dB)"] == pytest.approx(0.3) and told.loc["vgg_layers", "says"] == "better"
    assert told.loc["vgg_layers", "time (ratio)"] == 1.0
    assert told.loc["subtraction", "file"].split()[1].endswith("variants/subtraction/seed_1/05_evaluate/metrics.json")


def test_another_split_is_compared_by_what_it_gains_and_what_did_not_run_says_so(told):
    assert told.loc["split_1", "says"].endswith("of the gain over the degraded: +11.00 dB against +12.00 dB")
    assert told.loc["split_1", "effect (dB)"] == pytest.approx(-1.0) and told.isna().loc["split_1", "p"]
    assert told.loc["split_1", "effect (dB) from"] < -1 < told.loc["split_1", "effect (dB) to"]
    assert told.loc["rounds", "says"] == "not run: VARIANTS=rounds runs it"
    assert "standard deviation over 3 seeds: 0.00 dB" in told.loc["SEEDS", "says"]


def test_where_psnr_and_ssim_differ_both_are_told(told):
    assert told.loc["no_warmup", "says"] == "PSNR worse, SSIM better"
    assert told.loc["no_warmup", "effect (dB) to"] < 0 < told.loc["no_warmup", "effect (SSIM) from"]


def test_a_variant_without_its_other_side_is_not_compared(folder):  # noqa: F811
    run_variant(folder, "vgg_layers", 0.2)
    row = ledger.table(folder, SEEDS).frame.set_index("variant").loc["vgg_layers"]
    assert row["says"] == "not compared: VARIANTS=published runs the other side" and "effect (dB)" not in row


def test_recipes_stand_in_a_table_of_their_own_with_the_time_of_retraining_alone(folder):  # noqa: F811
    for name, below in (("published", 0.5), ("recipe_paper", 2.5)):
        run_variant(folder, name, below)
        for replica in outcomes.replicas(variants.folder_of(folder, name), SEEDS):
            write_manifest(replica / "04_retrain", seconds=2.0 if name == "published" else 8.0)
    table = ledger.table(folder, SEEDS, "recipe").frame.set_index("variant")
    assert set(table.index) == {n for n, variant in variants.known().items() if variant.group == "recipe"}
    assert table.loc["recipe_paper", "effect (dB)"] == pytest.approx(-2.0)
    assert table.loc["recipe_paper", "time (ratio)"] == 4.0
    assert table.loc["recipe_sgd", "says"] == "not run: VARIANTS=recipe_sgd runs it"


def test_one_seed_says_nothing_but_how_to_run_more(folder):  # noqa: F811
    run_variant(folder, "subtraction", 0.5)
    for stage in ledger.CHAIN:
        write_manifest(folder / stage, seconds=1.0)
    table = ledger.table(folder, SEEDS[:1])
    row = table.frame.set_index("variant").loc["subtraction"]
    assert row["says"] == effects.OPEN
    assert "R_u - sigmoid(R_v)" in ledger.show(table).text


def test_where_nothing_ran_the_differences_are_shown_once(folder):  # noqa: F811
    idle = ledger.table(folder, SEEDS[:1])
    assert ledger.with_runs([idle, idle]) == [idle] and "not run" in ledger.show(idle).text
    run_variant(folder, "subtraction", 0.5)
    for stage in ledger.CHAIN:
        write_manifest(folder / stage, seconds=1.0)
    ran = ledger.table(folder, SEEDS[:1])
    assert ledger.with_runs([idle, ran, idle]) == [ran]
