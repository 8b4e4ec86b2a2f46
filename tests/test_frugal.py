"""The frugal forms give values, gradients and second derivatives of the plain ones, and keep less."""

import pytest
import torch
from torch.autograd import forward_ad, graph

from hbl_lib import frugal
from hbl_lib.supernet import Supernet


def branch_inputs(rng, size=1):
    shapes = [(2, 4, 6, 5), (4, 4, size, size), (4, 4, size, size)]
    return [torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_() for shape in shapes]


def difference_inputs(rng):
    x, reference = torch.randn(2, 2, 3, 6, 5, generator=rng, dtype=torch.float64)
    return x.requires_grad_(), reference


@pytest.mark.parametrize("size", [1, 3])
def test_a_hidden_branch_equals_its_plain_form(size, rng):
    inputs = branch_inputs(rng, size)
    found, expected = frugal.hidden_branch(*inputs), frugal.plain_branch(*inputs)
    assert torch.equal(found, expected)
    slope = torch.randn(found.shape, generator=rng, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad(y, inputs, slope) for y in (found, expected)), strict=True):
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradcheck(frugal.hidden_branch, inputs)
    assert torch.autograd.gradgradcheck(frugal.hidden_branch, inputs)


@pytest.mark.parametrize("rectified", [False, True])
def test_a_mean_squared_difference_equals_its_plain_form(rectified, rng):
    x, reference = difference_inputs(rng)
    found, expected = (f(x, reference, rectified) for f in (frugal.mean_squared_difference, frugal.plain_difference))
    assert torch.equal(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y, x) for y in (found, expected)))
    wanted = torch.relu(reference) if rectified else reference
    torch.testing.assert_close(found, ((x - wanted) ** 2).sum() / x.numel())
    assert torch.autograd.gradgradcheck(lambda x: frugal.mean_squared_difference(x, reference, rectified), x)


def test_only_what_is_asked_for_gets_a_gradient(rng):
    x, hidden, outer = branch_inputs(rng)
    frugal.hidden_branch(x, hidden.detach(), outer).sum().backward()
    assert x.grad is not None and outer.grad is not None and hidden.grad is None


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own use of it
def test_forward_mode_goes_through_both(rng):
    inputs, (x, reference) = branch_inputs(rng, 3), difference_inputs(rng)
    with torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(x.detach(), torch.ones_like(x))
        along = forward_ad.unpack_dual(frugal.mean_squared_difference(dual, reference)).tangent
        torch.testing.assert_close(along, 2 * (x - reference).mean())
        duals = [forward_ad.make_dual(i.detach(), torch.ones_like(i)) for i in inputs]
        tangents = [forward_ad.unpack_dual(f(*duals)).tangent for f in (frugal.hidden_branch, frugal.plain_branch)]
    torch.testing.assert_close(*tangents)


def test_a_frugal_supernet_gives_the_same_gradients_and_keeps_less(rng):
    torch.manual_seed(0)
    plain, lean = Supernet(), Supernet(frugal=True)
    lean.load_state_dict(plain.state_dict())
    degraded, clear = torch.rand(2, 1, 3, 128, 128, generator=rng)
    gradients, kept = [], []
    for supernet in (plain, lean):
        supernet.double()
        sizes = {}

        def pack(t, sizes=sizes):
            sizes[t.data_ptr()] = t.nbytes
            return t

        with graph.saved_tensors_hooks(pack, lambda t: t):
            loss = (supernet(degraded.double()) - clear).square().mean()
        kept.append(sum(sizes.values()))
        gradients.append(torch.autograd.grad(loss, list(supernet.parameters())))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)
    assert kept[1] < 0.85 * kept[0]
