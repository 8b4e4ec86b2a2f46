"""The skeleton: sizes, independence of the pictures in a batch, and the Hadamard unit."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.network import HNU, macs, normalise, pad_to_multiple, parameter_count
from hbl_lib.restorer import Restorer


@pytest.fixture
def restorer():
    torch.manual_seed(0)
    return Restorer(Genotype.published("llie_lol"))


@pytest.mark.parametrize(
    ("task", "count"), [("llie_lol", 527_840), ("llie_mit", 454_112), ("uie", 431_968), ("sihr", 520_672)]
)
def test_the_published_networks_have_the_measured_sizes(task, count):
    assert parameter_count(Restorer(Genotype.published(task))) == count


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (17, 31), (48, 64)])
def test_any_picture_size_is_kept_and_gives_finite_values(restorer, device, size, rng):
    with torch.no_grad():
        restored = restorer.to(device)(torch.rand(1, 3, *size, generator=rng).to(device))
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


@pytest.mark.parametrize("size", [(3, 3), (16, 20)])
def test_a_batch_gives_what_its_pictures_give_alone(restorer, size, rng):
    pictures = torch.rand(2, 3, *size, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        together = restorer.double()(pictures)
        singly = torch.cat([restorer(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, singly, rtol=1e-9, atol=1e-11)


def test_training_and_evaluation_mode_give_the_same(restorer, rng):
    picture = torch.rand(1, 3, 16, 16, generator=rng)
    with torch.no_grad():
        assert torch.equal(restorer.train()(picture), restorer.eval()(picture))


def test_a_padded_picture_is_restored_as_its_reflection_would_be(restorer, rng):
    picture = torch.rand(1, 3, 10, 13, generator=rng)
    by_hand = torch.cat((picture, picture[..., 8:9, :], picture[..., 7:8, :]), 2)
    by_hand = torch.cat((by_hand, by_hand[..., 11:12], by_hand[..., 10:11], by_hand[..., 9:10]), 3)
    with torch.no_grad():
        torch.testing.assert_close(restorer(picture), restorer(by_hand)[..., :10, :13])


def test_sides_too_short_to_reflect_are_repeated():
    picture = torch.tensor([[1.0, 2.0]])[None, None]
    assert pad_to_multiple(picture).tolist() == [[[[1, 2, 1, 1]] * 4]]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8)])
def test_pictures_that_are_not_rgb_batches_are_refused(restorer, shape):
    with pytest.raises(KitError, match=r"takes \(N, 3, H, W\)"):
        restorer(torch.zeros(shape))


def test_normalising_one_picture_equals_instance_norm(rng):
    x = 3 + 2 * torch.randn(1, 5, 6, 7, generator=rng)
    torch.testing.assert_close(normalise(x), F.instance_norm(x))
    torch.testing.assert_close(normalise(x).mean((2, 3)), torch.zeros(1, 5), rtol=0, atol=1e-6)
    assert torch.equal(normalise(x[..., :1, :1]), torch.zeros(1, 5, 1, 1))


def test_the_hadamard_unit_by_hand():
    """Identity at all places, a channel of two pixels (-1, 1), whose mean is 0 and deviation 1.

    Layers 1 to 3 give (0, 1), as normalising and ReLU do; layer 4 normalises that to (-1, 1), adds x and takes ReLU:
    (0, 2) = R_u = R_v. So the unit gives 0 / sigmoid(0) and 2 / sigmoid(2).
    """
    unit = HNU(lambda *_: nn.Identity(), 0)
    y = unit(torch.tensor([-1.0, 1.0]).expand(1, 32, 1, 2))
    torch.testing.assert_close(y, torch.tensor([0, 2 * (1 + math.exp(-2))]).expand(1, 32, 1, 2), rtol=0, atol=1e-3)


def test_the_two_branches_of_the_unit_have_layers_of_their_own():
    """R_v of zeros: ReLU(0 + x) = x where x is positive, so the unit divides R_u by sigmoid(x)."""

    class Zero(nn.Module):
        def forward(self, x):
            return 0 * x

    unit = HNU(lambda _part, _unit, layer, *_: Zero() if layer >= 4 else nn.Identity(), 0)
    y = unit(torch.tensor([1.0, 3.0]).expand(1, 32, 1, 2))
    expected = torch.tensor([0.0, 4 / (1 / (1 + math.exp(-3)))])  # R_u: (-1, 1) + x
    torch.testing.assert_close(y, expected.expand(1, 32, 1, 2), rtol=0, atol=1e-3)


def test_macs_of_the_published_network_are_those_counted_by_hand():
    assert macs(Restorer(Genotype.published("llie_lol"))) == {"size": [400, 600], "count": 21_757_440_000}


def test_macs_of_one_convolution_are_its_closed_form():
    assert macs(nn.Conv2d(3, 5, 3, padding=1))["count"] == 400 * 600 * 5 * 3 * 9
