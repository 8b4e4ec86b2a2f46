"""The folded network and the network in strips give what the plain network gives."""

import pytest
import torch
from skimage import data

from hbl_lib import images, inference, strips
from hbl_lib.genotype import Genotype
from hbl_lib.restorer import Restorer

GENOTYPES = {
    **{task: Genotype.published(task) for task in ("llie_lol", "llie_mit", "sihr", "uie")},
    **{name: Genotype.uniform(name) for name in ("1-C", "3-RC")},
}
# Identities, residual and dense candidates in the FCMs too, as the split "all" has them.
EVERYWHERE = ("SC", "3-RC", "1-DC", "SC", "3-2-RDC", "3-DC", "SC", "1-RC")
GENOTYPES["all"] = Genotype(("5-C", *EVERYWHERE), (("5-C", *EVERYWHERE[1:]),) * 7, (*EVERYWHERE, "3-C"))


def restorer(name, seed=0, combine="division"):
    torch.manual_seed(seed)
    return Restorer(GENOTYPES[name], combine)


@pytest.mark.parametrize("name", GENOTYPES)
@pytest.mark.parametrize(("count", "size"), [(1, (1, 1)), (1, (3, 4)), (1, (5, 7)), (2, (17, 31)), (1, (48, 64))])
def test_the_folded_network_is_the_network(name, count, size, rng):
    plain = restorer(name).double()
    pictures = torch.rand(count, 3, *size, generator=rng, dtype=torch.float64)
    before = pictures.clone()
    with torch.no_grad():
        torch.testing.assert_close(plain.deploy()(pictures), plain(pictures), rtol=0, atol=1e-11)
    assert torch.equal(pictures, before)


def test_units_that_subtract_are_folded_as_they_are(rng):
    plain, picture = restorer("uie", combine="subtraction").double(), torch.rand(1, 3, 24, 20, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain.deploy()(picture), plain(picture), rtol=0, atol=1e-11)
        assert (plain(picture) - restorer("uie").double()(picture)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["llie_lol", "llie_mit", "sihr", "uie"])
def test_on_a_photograph_single_precision_differs_by_1e_5_or_by_its_own_error(name, device):
    """These networks are untrained: all have an error of their own in float32, against float64, above 1e-5."""
    picture = images.to_tensor(data.chelsea()[60:220, 100:300])
    plain = restorer(name).to(device)
    with torch.no_grad():
        single, folded = plain(picture.to(device)).cpu(), plain.deploy()(picture.to(device)).cpu()
        own = (single - plain.double().cpu()(picture.double())).abs().max().item()
    assert (folded - single).abs().max() < max(1e-5, own / 2)


def test_folding_leaves_the_network_as_it_was_and_asks_for_no_gradients(rng):
    plain = restorer("llie_lol")
    before = [p.detach().clone() for p in plain.parameters()]
    picture = torch.rand(1, 3, 16, 16, generator=rng)
    assert not plain.deploy()(picture).requires_grad
    assert all(torch.equal(p, b) and p.requires_grad for p, b in zip(plain.parameters(), before, strict=True))


@pytest.mark.parametrize("name", ["llie_lol", "uie"])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(
    ("size", "lines"), [((150, 42), 32), ((97, 33), 4), ((64, 50), 64), ((42, 150), 32), ((33, 97), 4)]
)
def test_strips_of_any_width_give_the_whole_picture(name, folded, size, lines, rng):
    network = restorer(name).double()
    network = network.deploy() if folded else network
    picture = torch.rand(1, 3, *size, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(strips.restore(network, picture, lines), network(picture), rtol=0, atol=1e-11)


def test_strips_of_the_widest_kernels_see_far_enough(rng):
    """All layers 5-C, or, in the units, those that look furthest: nothing in the margin is cut too short."""
    fcm = ("5-C",) * 9
    torch.manual_seed(0)
    network = Restorer(Genotype(fcm, (("3-2-DC",) * 8,) * 7, fcm)).double()
    picture = torch.rand(1, 3, 120, 16, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(strips.restore(network, picture, 8), network(picture), rtol=0, atol=1e-11)


def test_a_large_picture_in_single_precision_is_that_of_the_whole_to_1e_4(rng):
    network, picture = restorer("llie_lol").deploy(), torch.rand(1, 3, 1200, 1800, generator=rng)
    assert strips.is_large(picture)
    with torch.no_grad():
        torch.testing.assert_close(strips.restore(network, picture), network(picture), rtol=0, atol=1e-4)


def test_strips_go_across_the_longer_side(monkeypatch):
    """Else those of a panorama would be mostly margin."""
    cut, original = [], strips.strips
    monkeypatch.setattr(strips, "strips", lambda *a: cut.append(a) or original(*a))
    network = restorer("llie_lol").deploy()
    for height, width in ((400, 100), (100, 400)):
        strips.restore(network, torch.rand(1, 3, height, width))
    assert [(length, axis) for length, _, axis in cut] == [(400, -2), (400, -1)]


def test_a_large_picture_goes_through_in_strips_without_being_told(monkeypatch):
    network, picture = restorer("llie_lol").deploy(), data.chelsea()
    whole = inference.restore(network, picture)
    cut, original = [], strips.restore
    monkeypatch.setattr(strips, "WHOLE", 2**15)
    monkeypatch.setattr(strips, "PIXELS", 2**14)
    monkeypatch.setattr(strips, "restore", lambda *a: cut.append(a) or original(*a))
    found = inference.restore(network, picture)
    assert cut and abs(found.astype(int) - whole).max() <= 1
