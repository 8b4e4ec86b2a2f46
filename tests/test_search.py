"""The searches' variants: alpha's gradient through a step of the weights, where decay acts, rounds that alternate."""

import shutil

import pytest
import torch
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector

from benchmarks.cases import PixelSpace
from hbl_lib import bilevel, config, files, losses, runs, search, stages, variants
from hbl_lib.classifier import Classifier, upper_loss
from hbl_lib.errors import KitError
from hbl_lib.losses import TERMS, Beta, FoundLoss, LossSpace
from hbl_lib.restorer import Restorer
from hbl_lib.search import ArchitectureSearch, LossSearch
from hbl_lib.supernet import Supernet, weights_of


class Given:
    """One pair of crops, at every step."""

    pictures = (None,)

    def __init__(self, rng):
        self.pair = torch.rand(2, 1, 3, 16, 16, generator=rng, dtype=torch.float64)

    def at(self, _index):
        return tuple(self.pair)


def test_the_unrolled_gradient_of_alpha_is_that_of_the_loss_one_step_ahead(space, rng):
    """Against a central difference, in float64, of alpha -> L_Q(alpha, w - xi grad_w L_Q(w, alpha))."""
    torch.manual_seed(0)
    supernet, space = Supernet().double(), space.double()
    found = FoundLoss(dict.fromkeys(TERMS, 0.0) | {"l2": 1.0}, (0, 5, 10, 19), space.trunk.name)
    params = config.load("smoke", "llie_lol").architecture_search.model_copy(
        update={"gradient": "unrolled", "rate": 0.05, "final_rate": 0.05}
    )
    search = ArchitectureSearch(params, supernet, space, found, Given(rng), Given(rng))
    gradients = torch.autograd.grad(search._unrolled(0), search.alphas)
    along = [torch.randn(alpha.shape, generator=rng, dtype=torch.float64) for alpha in search.alphas]
    expected, size = 0.0, 1e-8  # so near that no ReLU turns
    for sign in (1, -1):
        for alpha, step in zip(search.alphas, along, strict=True):
            alpha.data += sign * size * step
        expected += sign * search._unrolled(0).item() / (2 * size)
        for alpha, step in zip(search.alphas, along, strict=True):
            alpha.data -= sign * size * step
    total = sum((g * step).sum().item() for g, step in zip(gradients, along, strict=True))
    assert total == pytest.approx(expected, rel=1e-5)
    first = torch.autograd.grad(search._loss(search.held_out, 0), search.alphas)
    assert sum((g * step).sum().item() for g, step in zip(first, along, strict=True)) != pytest.approx(total, rel=1e-2)


@pytest.mark.parametrize("searched", ["loss", "architecture"])
def test_decay_and_momentum_act_in_the_step_that_is_named_and_in_no_other(rng, searched):
    """In the second step: what the upper level sees against w - xi (grad L + decay w + momentum buffer) written out."""
    space, (train, held_out) = PixelSpace().double(), (Given(rng), Given(rng))
    classifier = Classifier("resnet10").double().eval().requires_grad_(False)
    known = getattr(config.load("smoke", "llie_lol"), f"{searched}_search")
    changed = {"warmup": 0, "final_rate": known.rate, "weight_decay": 0.5}
    if searched == "architecture":
        changed |= {"gradient": "unrolled", "alpha_rate": 1e-12}  # so small that the weights' gradient stays

    def steps(decay=0.0, momentum=0.0, **further):
        """The upper level's loss, that at w' written out, and the weights after the first step."""
        torch.manual_seed(0)
        params, supernet = known.model_copy(update=changed | further), Supernet().double()
        weights, of_both = weights_of(supernet), (train, held_out)
        if searched == "loss":
            search = LossSearch(params, supernet, space, classifier, *of_both)
            search.beta.double()
        else:
            search = ArchitectureSearch(params, supernet, space, FoundLoss.equal(space.trunk), *of_both)
        search.step(0)
        after = parameters_to_vector(weights.values()).detach()
        values = space.values(supernet(train.pair[0]), train.pair[1])
        lower = search.beta.coefficients() @ values if searched == "loss" else values.sum()
        ahead = {}
        for (name, w), g in zip(weights.items(), torch.autograd.grad(lower, list(weights.values())), strict=True):
            ahead[name] = w - params.rate * (g + decay * w + momentum * search.lower.state[w]["momentum_buffer"])
        seen = functional_call(supernet, ahead, (held_out.pair[0],))
        expected = upper_loss(classifier, seen) if searched == "loss" else space.values(seen, held_out.pair[1]).sum()
        assert search.step(1)["upper_loss"] == pytest.approx(expected.item(), rel=1e-9)
        return expected.item(), after

    plain, with_decay = steps()
    none, without = steps(weight_decay=0.0)
    decayed, after = steps(decay=0.5, weight_decay_in="look_ahead")
    pushed, _ = steps(momentum=known.momentum, weight_decay=0.0, look_ahead_momentum=True)
    assert (after - without).norm() < 1e-6 * (with_decay - without).norm()
    assert len({round(loss, 9) for loss in (plain, none, decayed, pushed)}) == 4


@pytest.mark.parametrize(("key", "searched"), [("beta_decay", "loss"), ("alpha_decay", "architecture")])
def test_where_the_gradient_vanishes_the_upper_level_s_weight_decay_pulls_down_at_full_rate(key, searched):
    """Gradients of 1e-9 that ask for more; Adam's first step has the size of the rate, whatever its gradient."""
    known = config.load("smoke", "llie_lol", overrides=variants.overrides("upper_weight_decay", "smoke"))
    decay = getattr(getattr(known, f"{searched}_search"), key)
    assert getattr(getattr(config.load("paper", "llie_lol"), f"{searched}_search"), key) == 0 < decay
    for of, expected in ((0.0, 1.1), (decay, 0.9)):
        weights = torch.nn.Parameter(torch.ones(8))
        weights.grad = torch.full((8,), -1e-9)
        search._upper_optimizer([weights], 0.1, of).step()
        assert weights.tolist() == pytest.approx([expected] * 8, rel=1e-3)


def test_where_both_are_searched_at_once_alpha_has_its_own_rate_and_decay(rng):
    """As above: gradients of 1e-9 that ask for more, and a decay that outweighs them."""
    known, train = config.load("smoke", "llie_lol"), Given(rng)
    classifier, supernet = Classifier("resnet10").double().eval(), Supernet().double()
    for decay, expected in ((0.0, 1.1), (1e-4, 0.9)):
        alphas_by = known.architecture_search.model_copy(update={"alpha_rate": 0.1, "alpha_decay": decay})
        both = LossSearch(known.loss_search, supernet, PixelSpace().double(), classifier, train, train, alphas_by)
        for alpha in both.alphas:
            alpha.data, alpha.grad = torch.ones_like(alpha), torch.full_like(alpha, -1e-9)
        both.upper.step()
        reached = torch.cat([alpha.detach().flatten() for alpha in both.alphas])
        torch.testing.assert_close(reached, torch.full_like(reached, expected), rtol=1e-3, atol=0)


def test_what_only_a_look_ahead_has_is_refused_where_there_is_none():
    of = "architecture_search.weight_decay_in=look_ahead"
    for wrong in (of, "architecture_search.look_ahead_momentum=true"):
        key = wrong.split(".")[1].removesuffix("=true")
        with pytest.raises(KitError, match=f"architecture_search: {key} needs gradient=unrolled"):
            config.load("smoke", "llie_lol", overrides=wrong)
    none = f"{of},architecture_search.weight_decay=0.0"
    assert config.load("smoke", "llie_lol", overrides=none).architecture_search.weight_decay_in == "look_ahead"


@pytest.mark.parametrize("method", ["exact", "double_backward"])
def test_the_hypergradient_of_the_exponents_is_that_of_the_look_ahead(space, rng, method):
    """Against a central difference, in float64, of exponents -> L_C(w - xi grad_w L_Q(w; exponents))."""
    torch.manual_seed(0)
    space = LossSpace(space.trunk, space.lpips, ssim="raised").double()
    beta, network = Beta(space).double(), torch.nn.Conv2d(3, 3, 3, padding=1).double()
    degraded, clear = torch.rand(2, 1, 3, 24, 24, generator=rng, dtype=torch.float64)
    clear = 0.7 * degraded + 0.3 * clear
    with torch.no_grad():
        network.weight.copy_(0.1 * network.weight + torch.eye(3)[..., None, None] * torch.eye(3)[1][:, None] * 0.5)
        beta.exponents.copy_(torch.tensor([0.8, 1.2, 0.9]))
        beta.weights.copy_(torch.rand(8, generator=rng))
    weights, rate = dict(network.named_parameters()), 0.01
    values = bilevel.at_weights(network, lambda restored: space.values(restored, clear), degraded)
    upper = bilevel.at_weights(network, lambda restored: (restored - clear).square().mean(), degraded)
    coefficients = beta.coefficients()
    coefficients.backward(bilevel.METHODS[method](values, coefficients, upper, weights, rate).coefficients)

    def ahead(exponents):
        restored = network(degraded)
        raised = losses.ssim_raised(restored, clear, exponents)[0]
        rest = (coefficients.detach()[:-3] * space.values(restored, clear)[:-3]).sum()
        plain = losses.ssim_raised(restored, clear, beta.exponents.detach())[0]
        lower = rest + beta.weights[3].detach() * (raised - plain)
        slopes = torch.autograd.grad(lower, list(weights.values()))
        return upper({name: w - rate * g for (name, w), g in zip(weights.items(), slopes, strict=True)}).item()

    for k in range(3):
        step = torch.zeros(3, dtype=torch.float64).index_fill(0, torch.tensor(k), 1e-4)
        at = beta.exponents.detach()
        difference = (ahead(at + step) - ahead(at - step)) / 2e-4
        assert beta.exponents.grad[k].item() == pytest.approx(difference, rel=1e-4)


@pytest.fixture
def searched(finished_run, tmp_path):
    """A copy of a finished smoke run, and a run there with further parameters."""
    shutil.copytree(finished_run, tmp_path / "results")

    def again(overrides):
        return runs.open_run(profile="smoke", results=str(tmp_path / "results"), device="cpu", overrides=overrides)

    return again


def test_a_second_round_searches_loss_and_architecture_again_and_retraining_takes_them(searched):
    run = searched("rounds=2")
    first = FoundLoss.read(run.folder / "02_loss_search/loss.yaml")
    stages.architecture_search(run)
    last = FoundLoss.read(run.folder / "03_architecture_search/loss.yaml")
    assert last.weights != first.weights
    for loop in ("loss_2", "architecture_2"):
        assert len(files.read_json(run.folder / f"03_architecture_search/{loop}/history.json")) > 0
    stages.retrain(run)
    read = files.read_json(run.folder / "04_retrain/manifest.json")["inputs"]
    assert "03_architecture_search/loss.yaml" in read and "02_loss_search/loss.yaml" not in read
    stages.architecture_search(searched(""))
    assert not (run.folder / "03_architecture_search/loss.yaml").exists()


@pytest.mark.parametrize("overrides", ["network.combine=subtraction", "network.split=all"])
def test_a_restorer_of_another_network_is_kept_as_it_is(searched, overrides):
    run = searched(overrides)
    stages.architecture_search(run)
    stages.retrain(run)
    stages.evaluate(run)
    loaded = Restorer.load(run.folder)
    assert loaded.combine == run.params.network.combine


def test_the_summary_says_how_often_the_classifier_was_satisfied_and_how_much_signal_was_left():
    """Ten warm-up steps that do not count, then twenty: clear in half of the first four and all of the last four."""
    losses = [9.0] * 10 + [0.7, 0.6, 0.7, 0.6] + [0.6] * 12 + [5e-4] * 4
    sizes = [0.0] * 10 + [1.0] * 16 + [1e-4] * 4
    weights = dict.fromkeys(TERMS, 1.0) | {"l1": 1.25}
    history = [{"upper_loss": a, "hypergradient": b, "weights": weights} for a, b in zip(losses, sizes, strict=True)]
    found = search.loss_summary(history, 10)
    assert (found["judged_clear_first"], found["judged_clear_last"]) == (0.5, 1.0)
    assert (found["saturated_share"], found["faint_share"], found["upper_steps"]) == (0.2, 0.2, 20)
    assert found["clear_from"] == 11
    assert found["resolved"] and found["moved"]["l1"] == 0.25


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([0.7] * 8 + [0.6] * 12, 18),
        ([0.7] * 8 + [0.6] + [0.7] + [0.6] * 10, 18),  # 11 of the 12 from there on
        ([0.7] * 8 + [None] + [0.6] * 11, 19),  # None: a step that was not taken
        ([0.6] * 20, 10),
        ([0.7, 0.6] * 10, None),
        ([0.7] * 18 + [0.6] * 2, None),  # less than a fifth is left
    ],
)
def test_the_step_from_which_on_the_classifier_stays_satisfied(losses, step):
    weights = dict.fromkeys(TERMS, 1.0)
    history = [{"upper_loss": of, "hypergradient": 1.0, "weights": weights} for of in [9.0] * 10 + losses]
    history = [record | ({} if record["upper_loss"] else {"skipped": "loss is nan"}) for record in history]
    assert search.loss_summary(history, 10)["clear_from"] == step
