"""The benchmarks compare like with like, and the committed figures are whole."""

import re

import pytest
import torch
from test_supernet import alone

from benchmarks import __main__ as bench
from benchmarks import cases, changes, measure, published, restorers
from hbl_lib import bilevel, config, deploy, images, perceptual, speed
from hbl_lib.classifier import Classifier, upper_loss
from hbl_lib.losses import FoundLoss, LossSpace
from hbl_lib.network import parameter_count
from hbl_lib.operations import Convolution, Dense
from hbl_lib.search import ArchitectureSearch, LossSearch
from hbl_lib.supernet import Supernet


def test_the_published_supernet_is_as_large_as_the_kit_s():
    assert parameter_count(published.supernet()) == 4_367_040


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_the_published_scheme_estimates_the_gradient_that_the_kit_computes(rng):
    torch.manual_seed(0)
    network, classifier = published.supernet(), Classifier("resnet10").eval().requires_grad_(False)
    clear, unseen = torch.rand(2, 1, 3, 32, 32, generator=rng)
    scheme = published.LossSearch(network, published.pixel_values, 6, classifier, 0.01)
    before = [w.detach().clone() for w in scheme.weights]
    found = scheme.hypergradient(0.3 * clear, clear, 0.3 * unseen)
    for w, b in zip(scheme.weights, before, strict=True):
        torch.testing.assert_close(w.detach(), b, rtol=1e-4, atol=1e-6)

    weights = {name: p for name, p in network.named_parameters() if not name.endswith(".alpha")}
    values = bilevel.at_weights(network, lambda y: published.pixel_values(y, clear), 0.3 * clear)
    upper = bilevel.at_weights(network, lambda y: upper_loss(classifier, y), 0.3 * unseen)
    exact = bilevel.exact(values, torch.ones(6), upper, weights, 0.01).coefficients
    assert (found - exact).norm() < 0.3 * exact.norm()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_the_published_scheme_and_the_kit_s_finite_difference_are_one(rng):
    torch.manual_seed(0)
    network, classifier = published.supernet().double(), Classifier("resnet10").double().eval().requires_grad_(False)
    clear, unseen = torch.rand(2, 1, 3, 32, 32, generator=rng).double()
    scheme = published.LossSearch(network, published.pixel_values, 6, classifier, 0.01)
    scheme.beta = torch.ones(6, dtype=torch.float64, requires_grad=True)
    found = scheme.hypergradient(0.3 * clear, clear, 0.3 * unseen)
    weights = {name: p for name, p in network.named_parameters() if not name.endswith(".alpha")}
    values = bilevel.at_weights(network, lambda y: published.pixel_values(y, clear), 0.3 * clear)
    upper = bilevel.at_weights(network, lambda y: upper_loss(classifier, y), 0.3 * unseen)
    kit = bilevel.finite_difference(values, torch.ones(6, dtype=torch.float64), upper, weights, 0.01).coefficients
    assert (found - kit).norm() < 1e-6 * kit.norm()


def test_the_frozen_and_the_pruned_reference_ask_for_no_gradient_of_what_rests():
    asks = {
        side: {p.requires_grad for name, p in cases.reference_supernet(side).named_parameters() if "alpha" in name}
        for side in ("reference", "frozen")
    }
    assert asks == {"reference": {True}, "frozen": {False}}
    pair = tuple(torch.rand(2, 1, 3, 16, 16, device=measure.device()))
    for side, idle in (("reference", False), ("pruned", True)):
        space = cases.PixelSpace()
        scheme = cases.reference_architecture_search(side, space, FoundLoss.equal(space.trunk))
        scheme.step(pair, pair)  # ends with the weights' own step
        assert {alpha.grad is None for alpha in scheme.alphas} == {idle}


class Given:
    """Pairs drawn from a seed and the step."""

    pictures = range(1000)

    def __init__(self, seed):
        self.seed = seed

    def at(self, index):
        clear = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(100 * self.seed + index)).double()
        return 0.3 * clear, clear


@pytest.fixture
def alike():
    """The kit's supernet and the published one with the same weights and alphas, and the weights of each as one."""
    torch.manual_seed(0)
    ours, theirs = Supernet().double(), published.supernet().double()
    features = [module for module in theirs.modules() if isinstance(module, published.MixedFeatures)]
    named = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name in named:  # all outside the mixed operations, and alpha
                parameter.copy_(named[name])
        for mixed, plain in zip(ours.mixed(), features, strict=True):
            plain.alpha.copy_(mixed.alpha)
            for name, candidate in zip(mixed.names, plain.candidates, strict=True):
                candidate.load_state_dict(alone(mixed, name).state_dict())

    def weights():
        mine = [p for mixed in ours.mixed() for name in mixed.names for p in alone(mixed, name).parameters()]
        published_ones = [p for mixed in features for p in mixed.candidates.parameters()]
        return [torch.cat([p.detach().flatten() for p in of]) for of in (mine, published_ones)]

    return ours, theirs, weights


def moved(before, after):
    return [b - a for a, b in zip(before, after, strict=True)]


def test_both_sides_take_the_same_step_of_the_loss_search(alike):
    """But for its finite difference, and a weight step after that of beta, not beside it."""
    ours, theirs, weights = alike
    before, classifier = weights(), Classifier("resnet10").double().eval().requires_grad_(False)
    search = LossSearch(cases.search_params(), ours, cases.PixelSpace().double(), classifier, Given(1), Given(2))
    search.beta.double()
    scheme = published.LossSearch(theirs, published.pixel_values, 6, classifier, cases.RATE)
    scheme.beta = torch.ones(6, dtype=torch.float64, requires_grad=True)
    scheme.upper = torch.optim.Adam([scheme.beta], lr=search.params.beta_rate, betas=(0.5, 0.999))
    assert torch.equal(before[0], before[1])
    search.step(0)
    scheme.step(*Given(1).at(0), Given(2).at(0)[0])
    beta = search.beta.weights.detach()
    torch.testing.assert_close(beta, scheme.beta.detach(), rtol=0, atol=1e-6)
    assert (beta - 1).abs().max() > 0.5 * search.params.beta_rate
    mine, published_one = moved(before, weights())
    assert (mine - published_one).norm() < 1e-3 * published_one.norm() and published_one.norm() > 1e-4


@pytest.mark.parametrize("prunes", [False, True])
def test_both_sides_take_the_same_step_of_the_architecture_search(alike, prunes):
    ours, theirs, weights = alike
    before, space = weights(), cases.PixelSpace().double()
    params = config.load("paper", "llie_lol").architecture_search.model_copy(update={"epochs": None, "steps": 1000})
    search = ArchitectureSearch(params, ours, space, FoundLoss.equal(space.trunk), Given(1), Given(2))
    beta = torch.ones(6, dtype=torch.float64)
    scheme = published.ArchitectureSearch(theirs, published.pixel_values, beta, params.rate, prunes)
    start = torch.cat([alpha.detach() for alpha in search.alphas])
    search.step(0)
    scheme.step(Given(1).at(0), Given(2).at(0))
    alphas = [torch.cat([alpha.detach() for alpha in of]) for of in (search.alphas, scheme.alphas)]
    assert (alphas[0] - alphas[1]).abs().max() < 0.05 * params.alpha_rate  # Adam's eps is another
    assert (alphas[0] - start).abs().max() > 0.5 * params.alpha_rate
    mine, published_one = moved(before, weights())
    assert (mine - published_one).norm() < 1e-3 * published_one.norm() and published_one.norm() > 1e-4


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_an_iteration_is_the_same_with_one_change_taken_back(monkeypatch):
    """But for the finite difference, which is not exact."""
    monkeypatch.setattr(
        cases, "whole_space", lambda: LossSpace(trunk := perceptual.untrained_trunk(), perceptual.lpips_term(trunk))
    )
    moves, betas, passes, computed, searches = {}, {}, {}, {}, {}
    for name, step in changes.loss_search(32, True).items():
        (search,) = step.step.args
        searches[name] = search
        seen = []
        search.network.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        before = torch.cat([w.detach().flatten() for w in search.weights.values()])
        step()
        between, once = search.beta.weights.detach().clone(), len(seen)
        step()  # the first one of Adam has the same size whatever the gradient's
        moves[name] = torch.cat([w.detach().flatten() for w in search.weights.values()]) - before
        betas[name], passes[name] = search.beta.weights.detach() - between, len(seen) - once
        computed[name] = sum(kept.computed for kept in search.space.clear_features)
    for name in moves.keys() - {"finite difference"}:
        assert (betas[name] - betas["ours"]).norm() < 0.02 * betas["ours"].norm(), name
        assert (moves[name] - moves["ours"]).norm() < 2e-3 * moves["ours"].norm(), name
    mixings = {name: {mixed.mixing for mixed in found.network.mixed()} for name, found in searches.items()}
    assert mixings["feature mixing"] == {"feature"} and mixings["ours"] == {"kernel"}
    assert searches["ours"].network.alike and not searches["kernels layer by layer"].network.alike
    assert searches["classifier not folded"].classifier is not searches["ours"].classifier
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in searches["classifier not folded"].classifier.modules())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in searches["ours"].classifier.modules())
    assert passes["weight step by itself"] == passes["ours"] + 1
    assert computed["ours"] > 0 and computed["clear features anew"] == 0  # it keeps none, so counts none


def test_retraining_is_the_same_with_the_whole_trunk_and_computes_all_of_it():
    sides = changes.retraining(64)
    loops = {"ours": sides["ours"].step.__self__, "whole trunk": sides["whole trunk"].args[0].step.__self__}
    weights, computed = {}, {}
    for name, loop in loops.items():
        seen = computed.setdefault(name, [])
        loop.space.trunk.layers[-1].register_forward_hook(lambda *_, seen=seen: seen.append(1))
        sides[name]()
        weights[name] = torch.cat([p.detach().flatten() for p in loop.restorer.parameters()])
    torch.testing.assert_close(weights["ours"], weights["whole trunk"], rtol=0, atol=1e-6)
    assert computed["whole trunk"] and not computed["ours"]


def test_the_classifier_s_step_is_the_same_with_pictures_decoded_anew(monkeypatch):
    read, losses = [], {}
    monkeypatch.setattr(images, "read", lambda path, of=images.read: read.append(path) or of(path))
    for name, step in changes.classifier_training().items():
        read.clear()
        losses[name] = step.step(0)["loss"]
        assert bool(read) == (name == "decoded anew")
    assert losses["decoded anew"] == losses["ours"]


@pytest.mark.parametrize("freed", [0, 200])
def test_a_peak_counts_memory_that_was_freed_before(freed):
    source = """
import sys, torch
from benchmarks import measure
torch.ones(1)
left = [torch.ones(250_000) for _ in range(int(sys.argv[1]))]  # of 1 MB each, below what malloc maps by itself
del left
print(measure.peak(lambda: [torch.ones(250_000) for _ in range(50)]))
"""
    assert float(measure.script(source, str(freed))) == pytest.approx(50, abs=5)


@pytest.mark.parametrize(
    ("case", "side"),
    [
        *((cases.loss_search, side) for side in (*cases.SIDES, "frozen")),
        *((cases.architecture_search, side) for side in (*cases.SIDES, "pruned")),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_both_sides_of_an_iteration_run_and_move_the_network(side, case, monkeypatch):
    made = []
    for owner, name in ((cases, "Supernet"), (published, "supernet")):
        maker = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, of=maker, **k: made.append(of(*a, **k)) or made[-1])
    step = case(side, 32, False)
    before = [p.detach().clone() for p in made[0].parameters()]
    step()
    assert any(not torch.equal(p, b) for p, b in zip(made[0].parameters(), before, strict=True))


def test_the_convolutions_that_are_timed_alone_are_all_of_the_network_s():
    picture = torch.rand(1, 3, *bench.PICTURE, device=measure.device())
    found = restorers.Convolutions(restorers.lol_restorer(), picture)
    macs = 0
    for (name, x, weight, *_), count in found.counts.items():
        pixels = x[2] * x[3] / (4 if name == "conv2d" and weight[-1] == 2 else 1)
        macs += count * pixels * weight[0] * weight[1] * weight[2] * weight[3]
    assert macs == pytest.approx(21.757e9, rel=1e-3)  # as torch's counter has it
    assert len(found.sides()) == 2 * len(found.counts)


@torch.no_grad()
def test_the_folded_network_computes_the_same_with_one_part_taken_back():
    steps = restorers.without_one_fold(torch.rand(1, 3, 64, 96, device=measure.device()))
    restored = {name: step() for name, step in steps.items()}
    for name, y in restored.items():
        torch.testing.assert_close(y, restored["ours"], rtol=1e-4, atol=1e-4, msg=name)

    def count(name, kind, holds=lambda layer: True):
        return sum(isinstance(m, kind) and holds(m) for m in steps[name].func.modules())

    assert (count("ours", Convolution), count("ours", Dense)) == (0, 0)
    assert (count("identities beside", Convolution), count("identities beside", Dense)) == (10, 0)  # as published
    assert (count("dense inputs apart", Convolution), count("dense inputs apart", Dense)) == (0, 10)
    joined = [count(name, deploy.Folded, lambda layer: layer.groups == 2) for name in ("ours", "branches in turn")]
    assert joined == [1, 0]


def test_sides_are_measured_in_turn():
    calls = []
    took = measure.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warmup=1)
    assert calls == ["a", "b"] * 3 and set(took) == {"a", "b"}


def test_a_step_is_measured_in_a_process_of_its_own():
    found = measure.fresh("loss_search", "ours", 32)
    assert 1 < found["memory_mb"] < 1000 and found["seconds"] > 0


def test_a_target_is_of_the_ratio_or_of_the_value():
    assert bench.entry("restorer_vs_plain", 0.6, 1.0, "s")["met"] is True
    assert bench.entry("restorer_vs_plain", 0.8, 1.0, "s")["met"] is False
    assert bench.entry("restore_12mp_memory_mb", 1900, 4000, "MB", True)["met"] is True
    assert bench.entry("loader_share_quick", 0.06, None, "of a step", True)["met"] is False
    assert bench.entry("restorer_vs_unet", 3.0, 1.0, "s")["met"] is None
    assert bench.entry("folded_output_difference_uie", 2e-5, 1e-4, "of the range", True)["met"] is False
    assert [bench.entry("plan_04", said, 100.0, "s", within=0.15)["met"] for said in (84, 86, 114, 116)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_committed_figures_hold_every_entry_with_its_machine_and_ratio(tmp_path):
    entries, path = speed.measured(tmp_path)
    assert path == speed.REFERENCE
    by_name = {entry["name"]: entry for entry in entries}
    wanted = {*bench.TARGETS, "restorer_vs_mbllen", "restorer_vs_unet"} - {"loader_share", "folded_output_difference"}
    wanted |= {f"folded_output_difference_{task}" for task in ("llie_lol", "llie_mit", "sihr", "uie")}
    of_loss = ("time", "time_perceptual", "memory", "memory_perceptual", "memory_400")
    wanted |= {f"loss_search_iteration_{of}_alpha_frozen" for of in of_loss}
    wanted |= {f"architecture_search_iteration_time{terms}_pruned" for terms in ("", "_perceptual")}
    wanted |= {"hypergradient_error_at_64", "restorer_vs_not_folded"}
    wanted |= {f"plan_{stage}_{steps}_steps" for stage, steps in bench.SLICES.items()}
    groups = (changes.SEARCH, changes.RESTORER, changes.ARCHITECTURE, changes.RETRAINING, changes.CLASSIFIER)
    told = {change for group in groups for change in group.values()} | {changes.CORES, changes.STRIPS}
    assert told == {changes.Change(e["change"], e["predicted"], e["why"]) for e in entries if "change" in e}
    assert wanted | {f"loader_share_{profile}" for profile in config.names("profiles")} <= set(by_name)
    for entry in entries:
        again = {key: entry[key] for key in ("within",) if key in entry}
        once = bench.entry(entry["name"], entry["ours"], entry["reference"], entry["unit"], entry["of_value"], **again)
        assert (entry["target"], entry["met"]) == (once["target"], once["met"]), entry["name"]
        assert entry["machine"] and entry["unit"]
        if entry["reference"]:
            assert entry["ratio"] == pytest.approx(entry["ours"] / entry["reference"])
    assert {e["x"] for e in entries if e["name"].startswith("scaling_size_seconds")} >= {128, 256, 512}


def test_the_tables_in_the_benchmarks_readme_are_those_of_the_committed_figures(tmp_path):
    entries, _ = speed.measured(tmp_path)
    told = (measure.ROOT / "benchmarks/README.md").read_text()
    for table in (speed.table(entries), speed.gains(entries)):
        assert table.to_markdown(index=False, disable_numparse=True) in told


def test_readme_s_words_on_speed_are_those_of_the_committed_figures(tmp_path):
    ratios = {entry["name"]: entry["ratio"] for entry in speed.measured(tmp_path)[0] if entry["ratio"]}
    told = " ".join((measure.ROOT / "README.md").read_text().split("### How fast")[1].split())
    planned = told.split("it said")[1].split(": `")[0]
    told = told.split("`make reproduce")[0]
    of_loss = [
        ratios[f"loss_search_iteration_{kind}{terms}{against}"]
        for terms in ("", "_perceptual")
        for against in ("", "_alpha_frozen")
        for kind in ("time", "memory")
    ]
    of_architecture = [
        ratios[f"architecture_search_iteration_time{terms}{against}"]
        for terms in ("", "_perceptual")
        for against in ("", "_pruned")
    ]
    wanted = [*of_loss, *of_architecture, ratios["restorer_vs_plain"]]
    assert re.findall(r"(?<!\d)\.\d\d", told) == [f"{value:.2f}"[1:] for value in wanted]
    against = [
        re.search(words, told)[1]
        for words in (r"folded, takes ([\d.]+) times", r"MBLLEN takes ([\d.]+) times", r"U-Net ([\d.]+) times")
    ]
    of = [ratios["restorer_vs_convolutions"], 1 / ratios["restorer_vs_mbllen"], 1 / ratios["restorer_vs_unet"]]
    assert against == [f"{value:.1f}" for value in of]
    slices = {entry["name"]: entry for entry in speed.measured(tmp_path)[0] if entry["name"].startswith("plan_")}
    said = [[of["ours"], int(name.split("_")[-2]), of["reference"]] for name, of in slices.items()]
    assert re.findall(r"\d+", planned) == [f"{value:.0f}" for row in said for value in row]
