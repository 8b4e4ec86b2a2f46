"""The hypergradient: three estimators, on a quadratic by hand and on the real supernet and loss space."""

import pytest
import torch
from torch.func import functional_call

from hbl_lib import bilevel
from hbl_lib.classifier import Classifier, upper_loss
from hbl_lib.errors import KitError
from hbl_lib.losses import TERMS, Beta
from hbl_lib.supernet import Supernet

METHODS = sorted(bilevel.METHODS)
RATE = 5e-4
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


class Quadratic:
    """l_i(w) = (w - a_i)' A_i (w - a_i) / 2 below, |w - b|^2 / 2 above."""

    def __init__(self, rng, terms=3, size=5):
        root, self.a = torch.randn(terms, size, size, generator=rng), torch.randn(terms, size, generator=rng)
        self.A = root @ root.mT
        self.w, self.b = torch.randn(2, size, generator=rng)
        self.c = torch.rand(terms, generator=rng)
        self.weights = {"w": self.w.clone().requires_grad_()}

    def values(self, weights):
        apart = weights["w"] - self.a
        return torch.einsum("ij,ijk,ik->i", apart, self.A, apart) / 2

    def upper(self, weights):
        return (weights["w"] - self.b).square().sum() / 2

    def by_hand(self, rate, shift):
        """Gradients of the l_i; w' = w - rate (sum_i c_i A_i (w - a_i) + shift); -rate <A_i (w - a_i), w' - b>."""
        slopes = torch.einsum("ijk,ik->ij", self.A, self.w - self.a)
        ahead = self.w - rate * (self.c @ slopes + shift)
        return slopes, ahead, -rate * slopes @ (ahead - self.b)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("rate", "shifted"), [(1e-3, 0), (0.3, 0), (0.3, 1)])
def test_each_estimator_equals_the_closed_form_on_a_quadratic(name, rate, shifted, rng):
    problem, shift = Quadratic(rng), torch.randn(5, generator=rng) * shifted
    slopes, ahead, expected = problem.by_hand(rate, shift)
    given = [shift] if shifted else None
    found = bilevel.METHODS[name](problem.values, problem.c, problem.upper, problem.weights, rate, given)
    assert relative(found.coefficients, expected) < (0.05 if name == "finite_difference" else 1e-4)
    torch.testing.assert_close(found.lower[0], problem.c @ slopes)
    torch.testing.assert_close(found.values, problem.values({"w": problem.w}))
    assert found.upper_loss == pytest.approx(problem.upper({"w": ahead}).item(), rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_an_estimator_changes_neither_weights_nor_their_gradients(name, rng):
    problem = Quadratic(rng)
    bilevel.METHODS[name](problem.values, problem.c.requires_grad_(), problem.upper, problem.weights, 0.1)
    assert torch.equal(problem.weights["w"], problem.w)
    assert problem.weights["w"].grad is None and problem.c.grad is None


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rate", [0, -1e-3, float("nan")])
def test_a_rate_that_is_not_positive_is_refused_with_the_reason(name, rate, rng):
    problem = Quadratic(rng)
    with pytest.raises(KitError, match=r"xi .*must be above 0.*does not contain beta"):
        bilevel.METHODS[name](problem.values, problem.c, problem.upper, problem.weights, rate)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def setup(request, space, rng):
    """The loss search's own set-up on 32x32 pixels, with beta away from its start."""
    torch.manual_seed(0)
    supernet, classifier = Supernet(), Classifier("resnet10").eval().requires_grad_(False)
    for alpha in supernet.alphas():
        alpha.requires_grad_(False)
    clear, held_out = torch.rand(2, 1, 3, 32, 32, generator=rng).to(request.param)
    beta = Beta(space).to(request.param)
    with torch.no_grad():
        for parameter in beta.parameters():
            parameter += torch.rand(parameter.shape, generator=rng)
    for module in (supernet, classifier, space):
        module.to(request.param)
    degraded = 0.3 * clear
    weights = {name: p for name, p in supernet.named_parameters() if p.requires_grad}
    values = bilevel.at_weights(supernet, lambda restored: space.values(restored, clear), degraded)
    upper = bilevel.at_weights(supernet, lambda restored: upper_loss(classifier, restored), 0.3 * held_out)

    def unrolled():
        """d L_C(w') / d beta by differentiating the step, written out for itself; and the step's gradient."""
        terms = space.values(functional_call(supernet, weights, (degraded,)), clear)
        lower = torch.autograd.grad(beta.coefficients() @ terms, list(weights.values()), create_graph=True)
        ahead = {name: w - RATE * g for (name, w), g in zip(weights.items(), lower, strict=True)}
        restored = functional_call(supernet, ahead, (0.3 * held_out,))
        loss = (classifier(restored).logsumexp(1) - classifier(restored)[:, 1]).mean()
        return torch.autograd.grad(loss, list(beta.parameters())), lower, loss

    return space, beta, (values, upper, weights), unrolled


def test_on_the_real_supernet_exact_equals_double_backward_and_the_written_out_unroll(setup):
    space, beta, (values, upper, weights), unrolled = setup
    tolerance = TOLERANCE[beta.weights.dtype]
    coefficients = beta.coefficients()
    exact = bilevel.exact(values, coefficients, upper, weights, RATE)
    double = bilevel.double_backward(values, coefficients, upper, weights, RATE)
    assert relative(exact.coefficients, double.coefficients) < tolerance
    for found, expected in zip(exact.coefficients, double.coefficients, strict=True):
        assert found.item() == pytest.approx(expected.item(), rel=max(1e-3, tolerance))

    hyper, lower, loss = unrolled()
    coefficients.backward(exact.coefficients)
    for parameter, expected in zip(beta.parameters(), hyper, strict=True):
        assert relative(parameter.grad, expected) < tolerance
    assert exact.upper_loss == pytest.approx(loss.item(), rel=1e-5)
    for estimate in (exact, double):
        flat = [torch.cat([g.flatten() for g in gradient]) for gradient in (estimate.lower, lower)]
        assert relative(*flat) < 1e-5
    assert dict(zip(space.names, exact.coefficients.tolist())).keys() == set(space.names)
    assert all(exact.coefficients != 0) and len(exact.coefficients) == len(space.names) == 31
    assert all(beta.weights.grad != 0) and len(beta.weights.grad) == len(TERMS)


def test_beta_starts_as_equal_weights_and_its_gradient_reaches_weights_and_choices(space):
    beta = Beta(space)
    coefficients = beta.coefficients()
    expected = torch.tensor([1.0] * 7 + [1 / 4] * 8 + [1 / 8] * 16)
    torch.testing.assert_close(coefficients.detach(), expected)
    slope = torch.arange(31.0)
    coefficients.backward(slope)
    by_term = dict(zip(TERMS, beta.weights.grad.tolist(), strict=True))
    assert [by_term[name] for name in space.names[:7]] == [0, 1, 2, 3, 4, 5, 6]
    assert by_term["vgg"] == pytest.approx((expected * slope)[7:].sum().item())
    for choice, part in zip(beta.choices, slope[7:].split([4, 4, 8, 8]), strict=True):
        torch.testing.assert_close(choice.grad, (part - part.mean()) / len(part))  # softmax's slope at equal shares


def test_projection_keeps_weights_at_or_above_zero(space):
    beta = Beta(space)
    with torch.no_grad():
        beta.weights[:3] = torch.tensor([-0.5, 0, 0.3])
    beta.project()
    assert beta.weights.tolist() == pytest.approx([0, 0, 0.3, 1, 1, 1, 1, 1])
