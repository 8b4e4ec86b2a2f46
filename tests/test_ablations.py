"""Members of the ablations: resumed with the same bytes, trained under what they name, refused by name."""

import shutil

import pytest

from hbl_lib import ablations, config, files, manifest, runs, stages
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.losses import FoundLoss

LOSSES, ARCHITECTURES = manifest.ABLATIONS
SEARCH = "03_architecture_search"


def smoke(results, **options):
    return runs.open_run(profile="smoke", results=str(results), device="cpu", **options)


@pytest.fixture
def results(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


def read(results, member):
    return files.read_json(smoke(results).folder / member / "metrics.json")


@pytest.fixture(scope="module")
def undisturbed(finished_run, tmp_path_factory):
    """What the member of the synchronous search leaves, by file."""
    results = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(finished_run, results, dirs_exist_ok=True)
    folder = ablations.run_member(smoke(results), ARCHITECTURES, "synchronous")
    names = ("metrics.json", "loss.yaml", "genotype.yaml", "search/history.json", "train/history.json")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("cut_after", [2, 5])  # in the search of three steps, in the training of two
def test_a_member_cut_off_and_started_again_gives_the_same_bytes(undisturbed, results, cut_off, cut_after):
    member = f"{ARCHITECTURES}/synchronous"
    folder = smoke(results).folder / member
    cut_off(lambda: ablations.run_member(smoke(results), ARCHITECTURES, "synchronous"), cut_after)
    assert not ablations.finished(smoke(results).folder, member)
    ablations.run_member(smoke(results), ARCHITECTURES, "synchronous")
    assert {name: (folder / name).read_bytes() for name in undisturbed} == undisturbed
    assert not list(folder.rglob("checkpoint_before.safetensors"))
    loop = "search" if cut_after == 2 else "train"
    assert files.read_json(folder / "manifest.json")["resumes"][f"{member}/{loop}"] == [2]
    assert len(files.read_json(folder / "search/history.json")) == smoke(results).params.loss_search.steps
    assert Genotype.read(folder / "genotype.yaml") != Genotype.read(smoke(results).output(SEARCH, "genotype.yaml"))


def test_members_train_alike_and_under_what_they_name(results):
    run = smoke(results, overrides="ablation.steps=1")
    found = FoundLoss.read(run.output("02_loss_search", "loss.yaml"))
    ablations.run_members(run, ARCHITECTURES, ["1-C", "ours", "published"])
    one, ours, published = (read(results, f"{ARCHITECTURES}/{name}") for name in ("1-C", "ours", "published"))
    assert one["weights"] == ours["weights"] == found.weights
    assert published["weights"]["l1"] == 1.376733 and published["parameters"] == 527_840
    assert one["parameters"] == 79_968
    assert [m["steps"] for m in (one, ours, published)] == [1, 1, 1]
    assert one["per_image"][0]["clear_file"] == ours["per_image"][0]["clear_file"]


def test_ours_is_the_main_run_where_members_train_no_less(results):
    steps = smoke(results).params.retrain.steps
    ablations.run_member(smoke(results, overrides=f"ablation.steps={steps}"), ARCHITECTURES, "ours")
    main, ours = read(results, "05_evaluate"), read(results, f"{ARCHITECTURES}/ours")
    assert ours["restored"] == main["restored"]
    assert not (smoke(results).folder / ARCHITECTURES / "ours/train").exists()


def test_a_finished_member_is_kept_and_one_on_other_inputs_is_not(results):
    run, member = smoke(results), f"{ARCHITECTURES}/1-C"
    ablations.run_members(run, ARCHITECTURES, ["1-C"])
    manifest = run.folder / member / "manifest.json"
    before = manifest.stat().st_mtime_ns
    ablations.run_members(run, ARCHITECTURES, ["1-C"])
    assert manifest.stat().st_mtime_ns == before
    stages.loss_search(smoke(results, overrides="loss_search.beta_rate=0.4"))
    assert not ablations.finished(run.folder, member)


@pytest.mark.parametrize("change", ["parameters", "definition"])
def test_a_member_of_another_making_than_the_main_run_is_not_finished(results, tmp_path, monkeypatch, change):
    run, member = smoke(results), f"{LOSSES}/unet_default"
    ablations.run_member(run, LOSSES, "unet_default")
    assert ablations.finished(run.folder, member)
    if change == "definition":
        text = (config.PARAMS / "ablations.yaml").read_text().replace("unet, loss: default", "unet, loss: found")
        (tmp_path / "params/ablations.yaml").parent.mkdir()
        (tmp_path / "params/ablations.yaml").write_text(text)
        monkeypatch.setattr(ablations, "PARAMS", tmp_path / "params")
    else:
        stages.retrain(smoke(results, overrides="retrain.rate=0.003"))
    assert not ablations.finished(run.folder, member)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{label: x, network: hbl, loss: found}", "an architecture goes with the network hbl"),
        ("{label: x, network: hbl, loss: searched, architecture: 3-C}", "where the architecture is synchronous"),
        ("{label: x, network: mbllen, loss: found}", "its loss is default or searched"),
        ("{label: x, network: hbl, loss: found, architecture: 7-C}", "unknown operation '7-C'"),
        ("{label: x, network: unett, loss: found}", "network"),
        ("3", "07_architecture_ablation: mine"),
    ],
)
def test_a_member_that_can_not_be_is_told(tmp_path, monkeypatch, line, told):
    (tmp_path / "ablations.yaml").write_text(f"07_architecture_ablation:\n  mine: {line}\n")
    monkeypatch.setattr(ablations, "PARAMS", tmp_path)
    with pytest.raises(KitError, match=told):
        ablations.members(ARCHITECTURES, "llie_lol")


def test_a_wrong_member_names_the_nearest():
    with pytest.raises(KitError, match=r"has no member '3-RCC' for llie_lol.*Did you mean '3-RC'"):
        ablations.member(ARCHITECTURES, "3-RCC", "llie_lol")
    with pytest.raises(KitError, match=r"has no member 'published' for derain"):
        ablations.member(ARCHITECTURES, "published", "derain")
    with pytest.raises(KitError, match=r"no ablation '07_architecture'"):
        ablations.members("07_architecture", "llie_lol")


def test_the_members_are_those_of_the_paper_and_a_random_search():
    assert len(ablations.members(LOSSES, "llie_lol")) == 5
    labels = [member.label for member in ablations.members(ARCHITECTURES, "llie_lol").values()]
    assert labels == ["Supernet", "1-C", "3-C", "1-RC", "3-RC", "Ours_a", "Ours", "Random search", "HBL, as published"]
    trained = {name: config.load(name, "llie_lol") for name in ("quick", "paper")}
    assert trained["quick"].ablation.of(trained["quick"].retrain).steps == 200
    assert trained["paper"].ablation.of(trained["paper"].retrain) == trained["paper"].retrain
