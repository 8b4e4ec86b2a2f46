"""Mixed operations and the supernet: sizes, and kernel mixing against feature mixing."""

import pytest
import torch
from torch.nn import functional as F

from hbl_lib import operations
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.network import parameter_count
from hbl_lib.operations import FCM_OPERATIONS, HNU_OPERATIONS, Convolution, Dense, Skip
from hbl_lib.restorer import Restorer
from hbl_lib.supernet import MixedOperation, Supernet

SIZES = {"SC": 0, "1-C": 1, "3-C": 3, "5-C": 5, "3-2-DC": 3, "1-RC": 1, "3-RC": 3, "3-2-RDC": 3, "1-DC": 1, "3-DC": 3}


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def alone(mixed, name):
    """operations.make(name) with the weights that `name` has in the banks of `mixed`."""

    def cut(bank, names):
        start = sum(SIZES[n] ** 2 for n in names[: names.index(name)])
        return getattr(mixed, bank)[..., start : start + SIZES[name] ** 2].unflatten(2, (SIZES[name], SIZES[name]))

    dense = [n for n in mixed.names if n.endswith("-DC") and "2" not in n]
    channels_out, channels_in = mixed.linear.shape[:2]
    module = operations.make(name, channels_in, channels_out).to(mixed.linear)
    if name in dense:
        second = torch.cat((cut("linear", mixed.names), cut("outer", dense)), 1)
        module.load_state_dict({"first": cut("hidden", dense), "second": second})
    elif name != "SC":
        module.load_state_dict({"weight": cut("linear", mixed.names)})
    return module


def test_the_supernet_has_4367040_parameters_576_of_them_alpha():
    supernet = Supernet()
    assert parameter_count(supernet) == 4_367_040
    assert sum(alpha.numel() for alpha in supernet.alphas()) == 576
    assert sum(weight.numel() for weight in supernet.weights()) == 4_366_464


def test_shares_are_probabilities_for_each_searched_place():
    shares = Supernet().shares()
    assert {part: tuple(s.shape) for part, s in shares.items()} == {
        "encoder": (9, 4),
        "hnu": (7, 8, 9),
        "decoder": (9, 4),
    }
    for part in shares.values():
        torch.testing.assert_close(part.sum(-1), torch.ones(part.shape[:-1]))


@pytest.mark.parametrize("mixing", ["kernel", "feature"])
@pytest.mark.parametrize(
    ("names", "name", "channels"),
    [(HNU_OPERATIONS, name, (8, 8)) for name in HNU_OPERATIONS]
    + [(FCM_OPERATIONS, name, (3, 6)) for name in FCM_OPERATIONS],
)
def test_a_dominant_alpha_leaves_that_operation_alone(names, name, channels, mixing, rng):
    mixed = MixedOperation(names, *channels, mixing).double()
    with torch.no_grad():
        mixed.alpha.fill_(0)[names.index(name)] = 60
    x = torch.randn(2, channels[0], 7, 9, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(mixed(x), alone(mixed, name)(x), rtol=1e-9, atol=1e-12)


def test_shares_weigh_the_candidates(rng):
    mixed = MixedOperation(HNU_OPERATIONS, 4, 4).double()
    with torch.no_grad():
        mixed.alpha.copy_(torch.randn(9, generator=rng))
    x = torch.randn(1, 4, 6, 6, generator=rng, dtype=torch.float64)
    weighted = [torch.exp(a) * alone(mixed, name)(x) for name, a in zip(HNU_OPERATIONS, mixed.alpha)]
    torch.testing.assert_close(mixed(x), sum(weighted) / mixed.alpha.exp().sum(), rtol=1e-9, atol=1e-12)


class Sides:
    """ReLU that notes which inputs are positive, then keeps to that.

    An input within rounding of zero may fall on either side, and one that does moves the whole gradient by some 1e-4,
    in either form. With the sides of float64 kept, what remains is rounding.
    """

    def __init__(self):
        self.noted, self.position = [], None

    def __call__(self, x):
        if self.position is None:
            self.noted.append(x > 0)
            return x * self.noted[-1]
        self.position += 1
        return x * self.noted[self.position - 1]


def output_and_gradients(supernet, degraded, clear):
    restored = supernet(degraded.to(supernet.alphas()[0].dtype))
    loss = (restored - clear).square().mean()
    return restored.detach().double(), [g.double() for g in torch.autograd.grad(loss, list(supernet.parameters()))]


def both_forms(seed, monkeypatch):
    """Restored pictures and gradients {form: ...} of one draw, in float64 and in float32."""
    torch.manual_seed(seed)
    forms = {"kernel": Supernet("kernel"), "feature": Supernet("feature")}
    with torch.no_grad():
        for alpha in forms["kernel"].alphas():
            alpha.copy_(torch.randn(alpha.shape))
    forms["feature"].load_state_dict(forms["kernel"].state_dict())
    degraded, clear = torch.rand(2, 1, 3, 48, 48)
    double, single = {}, {}
    for form, supernet in forms.items():
        sides = Sides()
        monkeypatch.setattr(F, "relu", sides)
        double[form] = output_and_gradients(supernet.double(), degraded, clear)
        sides.position = 0
        single[form] = output_and_gradients(supernet.float(), degraded, clear)
    return double, single


def test_kernel_mixing_equals_feature_mixing(monkeypatch):
    ratios = []
    for seed in range(3):
        double, single = both_forms(seed, monkeypatch)
        assert relative(double["kernel"][0], double["feature"][0]) < 1e-9
        for found, expected in zip(double["kernel"][1], double["feature"][1], strict=True):
            assert relative(found, expected) < 1e-9

        whole = {form: (y, torch.cat([g.flatten() for g in gradients])) for form, (y, gradients) in single.items()}
        truth = double["feature"][0], torch.cat([g.flatten() for g in double["feature"][1]])
        for kernel, feature in zip(whole["kernel"], whole["feature"], strict=True):
            assert relative(kernel, feature) < 1e-4
        ratios.append([relative(k, t) / relative(f, t) for k, f, t in zip(whole["kernel"], whole["feature"], truth)])
    assert (torch.tensor(ratios).median(0).values < 3).all()


def test_a_chosen_genotype_is_the_network_of_the_weights_it_has_in_the_supernet(rng):
    torch.manual_seed(0)
    supernet, genotype = Supernet().double(), Genotype.published("uie")
    restorer = Restorer(genotype).double()
    places = [module for module in restorer.modules() if isinstance(module, (Skip, Convolution, Dense))]
    for mixed, name, place in zip(supernet.mixed(), genotype.places(), places, strict=True):
        place.load_state_dict(alone(mixed, name).state_dict())
    rest = {name: p for name, p in supernet.state_dict().items() if name in dict(restorer.named_parameters())}
    restorer.load_state_dict(rest, strict=False)
    picture = torch.rand(1, 3, 24, 20, generator=rng, dtype=torch.float64)
    supernet.choose(genotype.places())
    assert Genotype.derive(supernet) == genotype
    torch.testing.assert_close(supernet(picture), restorer(picture), rtol=0, atol=1e-10)


def test_a_supernet_is_read_as_it_was_written_and_another_file_is_refused(tmp_path, rng):
    torch.manual_seed(0)
    supernet, picture = Supernet(split="all", combine="subtraction"), torch.rand(1, 3, 16, 16, generator=rng)
    supernet.save(tmp_path / "supernet.safetensors")
    read = Supernet.load(tmp_path / "supernet.safetensors")
    assert torch.equal(read(picture), supernet(picture))
    Restorer(Genotype.published("uie")).save(tmp_path / "restorer.safetensors")
    with pytest.raises(KitError, match=r"restorer.safetensors: not a supernet's checkpoint"):
        Supernet.load(tmp_path / "restorer.safetensors")
