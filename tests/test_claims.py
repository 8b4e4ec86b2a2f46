"""Verdicts on the paper's claims: each from metrics files of known effects, and each with a way back to them."""

import shutil

import pytest
from test_paper import evaluated, write_manifest

from hbl_lib import ablations, claims, dominance, effects, files, manifest, outcomes, tables
from hbl_lib.errors import KitError
from hbl_lib.losses import TERMS

SEEDS = ("0", "1", "2")
SCENES = 10
# By how much a member is below ours, and whether it wavers from seed to seed.
MEMBERS = {
    "07_architecture_ablation/ours": (0.0, False),
    "07_architecture_ablation/3-C": (1.0, False),
    "07_architecture_ablation/1-C": (-0.8, False),
    "06_loss_ablation/ours_default": (0.0, True),
}


def score(psnr):
    return {"psnr": psnr, "ssim": psnr / 30, "lpips": None}


def per_image(below=0.0, noise=0):
    """Two versions of each scene: `below` 20 dB, and up or down by 0.4 dB at most in an order drawn from `noise`."""
    wiggle = [0.2 * ((7 * scene + 3 * noise) % 5 - 2) for scene in range(SCENES)]
    return [
        {
            "clear_file": f"clear/{scene}.png",
            "group": str(scene),
            "restored": score(20.0 - below + wiggle[scene]),
            "degraded": score(8.0),
            "color_matrix": score(15.0),
            "compared": dict.fromkeys(("gamma", "clahe", "lime", "dcp", "udcp", "fusion"), score(12.0)),
        }
        for scene in range(SCENES)
        for _version in range(2)
    ]


@pytest.fixture
def folder(tmp_path):
    """Three seeds of a run with three members of known effects: ours 1 dB over 3-C, .8 under 1-C, level with equal."""
    folder = tmp_path / "llie_lol"
    for seed, replica in enumerate(outcomes.replicas(folder, SEEDS)):
        evaluated(replica, "llie_lol", seed)
        ours = files.read_json(replica / "05_evaluate/metrics.json") | {"per_image": per_image()}
        files.write_json(replica / "05_evaluate/metrics.json", ours)
        write_manifest(replica / "05_evaluate")
        for name, (below, wavers) in MEMBERS.items():
            ablation, _, member = name.partition("/")
            judged = ours | {"per_image": per_image(below, seed if wavers else 0)}
            files.write_json(replica / name / "metrics.json", judged)
            facts = {"member": ablations.member(ablation, member, "llie_lol").model_dump()}
            write_manifest(replica / name, facts=facts)
        loss(replica, {"l1": 1.5 + seed / 10})
    return folder


def loss(replica, weights, search="here", trunk="vgg19"):
    """A found loss, and what its search says of itself."""
    stage = replica / "02_loss_search"
    files.write_yaml(
        stage / "loss.yaml", {"weights": dict.fromkeys(TERMS, 1.0) | weights, "trunk": trunk, "layers": [0, 5, 10, 19]}
    )
    moved = {term: weight - 1 for term, weight in (dict.fromkeys(TERMS, 1.0) | weights).items()}
    files.write_json(stage / "metrics.json", {"search": search, "trunk": trunk, "resolved": True, "moved": moved})
    write_manifest(stage, outputs={n: files.sha256(stage / n) for n in ("loss.yaml", "metrics.json")})


def rows(folder, seeds=SEEDS):
    return claims.of_task(folder, seeds).set_index("against")


def test_a_clear_gain_replicates_a_clear_loss_does_not_and_noise_is_open(folder):
    found = rows(folder)
    assert found.loc["3-C", "verdict"] == effects.REPLICATES
    assert found.loc["3-C", "effect (dB)"] == pytest.approx(1.0)
    assert found.loc["3-C", "published effect (dB)"] == pytest.approx(24.164 - 21.9472)
    assert found.loc["1-C", "verdict"] == effects.DOES_NOT
    assert found.loc["HBL, equal weights", "verdict"] == effects.OPEN
    assert found.loc["LIME", "verdict"] == effects.REPLICATES


def test_one_seed_or_few_scenes_resolve_nothing_and_say_what_is_missing(folder):
    found = rows(folder, SEEDS[:1])
    assert set(found["verdict"]) == {effects.OPEN, effects.NOT_TESTABLE}
    assert found.loc["3-C", "why"] == "1 seed, 3 are needed"


def test_every_measured_row_can_be_followed_to_its_files(folder):
    row = rows(folder).loc["3-C"]
    stages = ("07_architecture_ablation/ours", "07_architecture_ablation/3-C")
    of_seeds = ("", "seed_1/", "seed_2/")
    assert row["file"].split() == [f"llie_lol/{seed}{stage}/metrics.json" for stage in stages for seed in of_seeds]
    means = [
        sum(i["restored"]["psnr"] for i in manifest.metrics(folder.parent / file.rsplit("/", 1)[0])["per_image"]) / 20
        for file in row["file"].split()
    ]
    assert row["effect (dB)"] == pytest.approx((sum(means[:3]) - sum(means[3:])) / 3)


def test_what_was_not_run_or_has_no_weights_is_not_testable(folder):
    found = rows(folder)
    for name in ("Supernet", "Ours_a", "U-Net, equal weights", "RetinexNet, DeepUPE, KinD, EnGAN, DRBN, FIDE, RUAS"):
        assert found.loc[name, "verdict"] == effects.NOT_TESTABLE and found.loc[name, "why"]
        assert found.loc[name].isna()["effect (dB)"]


def test_sides_that_were_judged_on_different_pictures_are_refused(folder):
    path = folder / "07_architecture_ablation/3-C/metrics.json"
    other = files.read_json(path)
    other["per_image"][0]["clear_file"] = "clear/another.png"
    files.write_json(path, other)
    facts = {"member": ablations.member("07_architecture_ablation", "3-C", "llie_lol").model_dump()}
    write_manifest(path.parent, facts=facts)
    with pytest.raises(KitError, match="different test pictures"):
        rows(folder)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([{"l1": 2.0}] * 3, effects.REPLICATES),
        ([{"ssim": 2.0}] * 3, effects.DOES_NOT),
        ([{"l1": 2.0}, {"l1": 2.0}, {"ssim": 2.0}], effects.OPEN),
    ],
)
def test_a_dominant_loss_must_lead_in_every_seed(folder, weights, expected):
    for replica, of_seed in zip(outcomes.replicas(folder, SEEDS), weights, strict=True):
        loss(replica, of_seed)
    assert rows(folder).loc["claimed l1", "verdict"] == expected


def test_a_vgg_weight_over_other_features_says_nothing_of_the_paper_s(tmp_path):
    folder = tmp_path / "sihr"
    evaluated(folder, "sihr")
    known = files.read_json(folder / "05_evaluate/metrics.json") | {"per_image": per_image()}
    files.write_json(folder / "05_evaluate/metrics.json", known)
    write_manifest(folder / "05_evaluate", "sihr")
    loss(folder, {"vgg": 2.0}, trunk="untrained")
    row = rows(folder, SEEDS[:1]).loc["claimed VGG"]
    assert row["verdict"] == effects.NOT_TESTABLE and "untrained" in row["why"]


@pytest.mark.parametrize(
    ("low_light", "water", "seeds", "expected"),
    [
        (["l1", "color", "l1"], ["ssim"] * 3, SEEDS, effects.REPLICATES),
        (["color"] * 3, ["color"] * 3, SEEDS, effects.DOES_NOT),
        (["l1", "ssim", "l1"], ["ssim"] * 3, SEEDS, effects.OPEN),
        (["l1"] * 3, ["ssim"] * 3, SEEDS[:2], effects.OPEN),
    ],
)
def test_dominant_losses_differ_where_no_leading_term_is_common(tmp_path, low_light, water, seeds, expected):
    for task, leading in (("llie_lol", low_light), ("uie", water), ("llie_mit", low_light)):
        for seed, replica in enumerate(outcomes.replicas(tmp_path / task, seeds)):
            evaluated(replica, task, seed)
            loss(replica, {leading[seed]: 2.0})
    table = dominance.between_tasks([(tmp_path / task, seeds) for task in ("llie_lol", "uie", "llie_mit")])
    assert list(table["task"]) == ["LOL and UIE", "UIE and MIT"]  # of LOL and MIT the paper claims the same term
    assert set(table["verdict"]) == {expected}
    assert all((tmp_path / path).is_file() for path in table.loc[0, "file"].split())


def test_over_other_features_a_claimed_vgg_term_is_not_testable_between_tasks_either(tmp_path):
    for task, trunk in (("llie_lol", "vgg19"), ("sihr", "untrained")):
        for seed, replica in enumerate(outcomes.replicas(tmp_path / task, SEEDS)):
            evaluated(replica, task, seed)
            loss(replica, {"l1" if task == "llie_lol" else "vgg": 2.0}, trunk=trunk)
    table = dominance.between_tasks([(tmp_path / task, SEEDS) for task in ("llie_lol", "sihr")])
    assert list(table["verdict"]) == [effects.NOT_TESTABLE]


def test_the_tally_counts_what_the_paper_compares_and_each_method_as_one(folder):
    """3-C and l1 replicate, 1-C does not, equal weights are open; 7 did not run, 7 methods' weights are not here."""
    counted = claims.of_task(folder, SEEDS)
    assert claims.tally([counted]) == "2 replicate, 1 do not, 1 are not resolved, 14 can't be tested here"
    assert claims.tally([counted, counted]).startswith("4 replicate, 2 do not, 2 are")


def test_the_readers_table_has_effects_with_their_intervals(folder):
    table = claims.table(folder.parent, ["llie_lol"], SEEDS)
    shown = tables.shown_columns(table).set_index("against")
    assert shown.loc["3-C", "effect (dB)"].startswith("+1.00\u00a0(+")
    assert "seeds 0, 1, 2" in table.caption
    assert table.notes[-1].endswith('make reproduce PROFILE=quick TASKS="llie_lol" SEEDS="0 1 2" ABLATIONS=1')
    told = claims.summary(table.frame).set_index(["claim", "verdict"])["against"].loc[claims.UNIFORM]
    assert told[effects.REPLICATES].startswith("3\u2011C +1.00") and told[effects.DOES_NOT].startswith("1\u2011C -")
    assert "published\u00a0+2.22" in told[effects.REPLICATES] and "Supernet" in told[effects.NOT_TESTABLE]


def test_the_command_of_the_verdicts_names_what_the_runs_had(folder):
    for replica in outcomes.replicas(folder, SEEDS):
        loss(replica, {}, trunk="squeeze")
    assert outcomes.command(folder.parent, ["llie_lol"], SEEDS).startswith("HBL_WEIGHTS=FOLDER make reproduce PROFILE=")
    for stage in manifest.ABLATIONS:
        shutil.rmtree(folder / stage)
    assert "ABLATIONS" not in outcomes.command(folder.parent, ["llie_lol"], SEEDS)
