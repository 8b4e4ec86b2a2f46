"""The terms by hand (SSIM: test_metrics, LPIPS: test_perceptual), the space, beta, and found losses on disk."""

import math

import pytest
import torch

from hbl_lib import losses, ssim
from hbl_lib.errors import KitError
from hbl_lib.losses import Beta, FoundLoss, LossSpace, published_weights


def grey(*rows):
    """A picture (1, 3, H, W) with the same rows in each channel."""
    return torch.tensor(rows, dtype=torch.float64).expand(1, 3, -1, -1)


def pixel(*rgb):
    return torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)


@pytest.fixture
def pair(rng):
    clear = torch.rand(2, 3, 32, 40, generator=rng)
    return (0.6 * clear + 0.2 * torch.rand(clear.shape, generator=rng)), clear


def test_l1_and_l2_by_hand():
    restored, clear = grey([0.0, 0.5], [1.0, 1.0]), grey([0.2, 0.5], [0.6, 1.0])
    assert losses.l1(restored, clear).item() == pytest.approx((0.2 + 0.4) / 4)
    assert losses.l2(restored, clear).item() == pytest.approx((0.04 + 0.16) / 4)


def test_color_is_a_tenth_of_the_mean_angle_in_degrees():
    assert losses.color(pixel(1, 0, 0), pixel(0, 0.3, 0)).item() == pytest.approx(0.1 * 90)
    assert losses.color(pixel(0.2, 0, 0), pixel(0.7, 0.7, 0)).item() == pytest.approx(0.1 * 45)
    both = torch.cat((pixel(1, 0, 0), pixel(0.2, 0, 0)), 3), torch.cat((pixel(0, 0.3, 0), pixel(0.7, 0.7, 0)), 3)
    assert losses.color(*both).item() == pytest.approx(0.1 * 67.5)


def test_color_of_equal_and_of_black_pixels_has_a_finite_slope():
    for rgb, angle in (((0.3, 0.6, 0.1), math.degrees(math.acos(0.999999))), ((0, 0, 0), 90)):
        restored = pixel(*rgb).requires_grad_()
        value = losses.color(restored, pixel(*rgb))
        assert value.item() == pytest.approx(0.1 * angle)
        assert torch.autograd.grad(value, restored)[0].isfinite().all()


def test_tv_by_hand():
    """Vertical steps 2 and 3, horizontal steps 1 and 2."""
    assert losses.tv(grey([0, 1], [2, 4]), None).item() == pytest.approx(2 * ((4 + 9) / 2 + (1 + 4) / 2))


def test_laplacian_by_hand():
    """Inside: 1 + 2 + 3 + 4 - 4 * 5 = -10 and 5 + 0 + 7 + 6 - 4 * 3 = 6; the corners do not count."""
    picture = grey([9, 1, 0, 9], [2, 5, 3, 7], [9, 4, 6, 9])
    assert losses.laplacian(picture, None).item() == pytest.approx((100 + 36) / 2)


def test_a_found_loss_weighs_what_the_space_values(space, device, pair):
    restored, clear = (p.to(device) for p in pair)
    space = space.to(device)
    weights = dict(zip(losses.TERMS, (0.5, 1.5, 0.2, 0.1, 0.7, 0.3, 2.0, 0.4)))
    found = FoundLoss(weights, (2, 5, 17, 20), "untrained")
    values = dict(zip(space.names, space.values(restored, clear), strict=True))
    assert values["color"] == losses.color(restored, clear) and values["tv"] == losses.tv(restored, clear)
    values["vgg"] = sum(values[f"vgg {index}"] for index in found.layers)
    terms = space.terms(restored, clear, found)
    assert set(terms) == set(losses.TERMS)
    for term, value in terms.items():
        torch.testing.assert_close(value, values[term])
    expected = sum(weights[term] * values[term] for term in losses.TERMS)
    torch.testing.assert_close(space(restored, clear, found), expected)


def test_beta_at_one_layer_a_group_is_that_found_loss(space, pair):
    beta = Beta(space)
    with torch.no_grad():
        beta.weights.copy_(torch.arange(8) / 4)
        for choice, layer in zip(beta.choices, (3, 0, 5, 7)):
            choice[layer] = 100
    found = beta.found()
    assert found.layers == (3, 5, 15, 26)
    assert found.weights == dict(zip(losses.TERMS, [i / 4 for i in range(8)]))
    torch.testing.assert_close(beta.coefficients() @ space.values(*pair), space(*pair, found))


def test_vgg_distances_are_mean_squared_differences_of_features(space, pair):
    (a,), (b,) = (space.trunk.features(picture, [7]) for picture in pair)
    (distance,) = space.perceptual(*pair, [7], lpips=False)
    assert distance.item() == pytest.approx(((a - b) ** 2).mean().item(), rel=1e-5)


def test_lpips_is_the_same_whether_or_not_it_shares_the_trunk_run(space, pair):
    shared = space.values(*pair)[space.names.index("lpips")]
    torch.testing.assert_close(shared, space.lpips(*pair).mean())
    assert shared > 0.01


def test_the_public_code_s_ways_are_absolute_vgg_distances_and_lpips_of_lighter_pictures(space, pair):
    """lpips maps [-1, 1]: what is fed [0, 1] sees each picture halfway to white."""
    code = LossSpace(space.trunk, space.lpips, "absolute", "unsigned")
    a, b = (space.trunk.features(x, [7])[0] for x in pair)
    (distance,) = code.perceptual(*pair, [7], lpips=False)
    torch.testing.assert_close(distance, (a - b).abs().mean())
    term = code.values(*pair)[code.names.index("lpips")]
    torch.testing.assert_close(term, space.lpips((pair[0] + 1) / 2, (pair[1] + 1) / 2).mean())
    assert not torch.isclose(term, space.lpips(*pair).mean())


def test_ssim_raised_to_ones_is_ssim_and_its_slopes_are_those_of_a_difference(rng):
    a, b = torch.rand(2, 1, 3, 30, 26, generator=rng, dtype=torch.float64)
    b = 0.8 * a + 0.2 * b  # alike enough that no part is clamped
    ones = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(losses.ssim_raised(a, b, ones)[0], losses.ssim(a, b))
    at = torch.tensor([0.7, 1.3, 0.9], dtype=torch.float64)
    slopes = losses.ssim_raised(a, b, at)[1]
    for k, slope in enumerate(slopes):
        step = torch.zeros(3, dtype=torch.float64).index_fill(0, torch.tensor(k), 1e-5)
        low, high = (losses.ssim_raised(a, b, at + sign * step)[0] for sign in (-1, 1))
        assert slope.item() == pytest.approx((high - low).item() / 2e-5, rel=1e-6)


def test_exponents_that_were_found_are_trained_with_and_survive_a_file(space, pair, tmp_path):
    weights = dict.fromkeys(losses.TERMS, 0.0) | {"ssim": 2.0}
    found = FoundLoss(weights, (0, 5, 10, 19), space.trunk.name, (0.5, 2.0, 1.0))
    raised = losses.ssim_raised(*pair, torch.tensor([0.5, 2.0, 1.0]))[0]
    torch.testing.assert_close(space(*pair, found), 2 * raised)
    found.write(tmp_path / "loss.yaml")
    assert FoundLoss.read(tmp_path / "loss.yaml") == found
    text = (tmp_path / "loss.yaml").read_text()
    (tmp_path / "loss.yaml").write_text(text.replace("0.5", "-0.5"))
    with pytest.raises(KitError, match="ssim_exponents: expected 3 finite numbers of at least 0"):
        FoundLoss.read(tmp_path / "loss.yaml")


def test_a_term_of_weight_zero_is_not_computed(space):
    """On 4x4 pixels SSIM and the deeper VGG layers would raise."""
    small = torch.rand(2, 1, 3, 4, 4)
    weights = {**dict.fromkeys(losses.TERMS, 0.0), "l1": 2.0}
    found = FoundLoss(weights, (0, 5, 10, 19), "untrained")
    assert set(space.terms(*small, found)) == {"l1"}
    assert space(*small, found) == 2 * losses.l1(*small)


def test_a_loss_over_other_features_or_layers_is_refused(space, pair):
    ones = dict.fromkeys(losses.TERMS, 1.0)
    with pytest.raises(KitError, match=r"'vgg19'.*'untrained'"):
        space(*pair, FoundLoss(ones, (0, 5, 10, 19), "vgg19"))
    for layers in ((0, 5, 10), (0, 4, 10, 19), (5, 0, 10, 19)):
        with pytest.raises(KitError, match="one layer of each group"):
            space(*pair, FoundLoss(ones, layers, "untrained"))


def test_a_found_loss_survives_a_file_and_the_published_ones_are_as_printed(space, tmp_path):
    published = FoundLoss.published("llie_lol", space.trunk)
    assert published.weights["l1"] == 1.376733 and published.weights["tv"] == 0 and published.layers == (1, 6, 11, 22)
    published.write(tmp_path / "loss.yaml")
    assert FoundLoss.read(tmp_path / "loss.yaml") == published
    assert FoundLoss.published("llie_mit", space.trunk).layers == published.layers  # none of its own are published
    assert published_weights("llie_mit")["ssim"] == 1.485702 and published_weights("derain") is None
    with pytest.raises(KitError, match="no published loss for task 'derain'"):
        FoundLoss.published("derain", space.trunk)


def test_published_layers_keep_their_place_in_a_trunk_of_another_layout(space):
    space.trunk.groups = ((0, 1), (3, 4), (6, 7), (9, 10, 11, 12))
    assert FoundLoss.published("uie", space.trunk).layers == (0, 4, 7, 10)  # VGG-19's 1, 8, 15, 22


def test_the_layer_of_group_2_is_the_paper_s_unless_the_code_s_is_asked_for(space):
    layers = {
        task: FoundLoss.published(task, space.trunk).layers[1] for task in ("llie_lol", "llie_mit", "sihr", "uie")
    }
    assert layers == {"llie_lol": 6, "llie_mit": 6, "sihr": 7, "uie": 8}
    assert [FoundLoss.published(task, space.trunk, "code").layers[1] for task in ("sihr", "uie")] == [6, 5]


def test_ms_ssim_on_one_scale_is_ssim_and_on_three_their_product(rng):
    a, b = torch.rand(2, 1, 3, 44, 44, generator=rng, dtype=torch.float64)
    b = 0.7 * a + 0.3 * b
    small = (a[..., :20, :20], b[..., :20, :20])
    torch.testing.assert_close(ssim.ms_ssim_index(*small), ssim.ssim_index(*small))
    assert ssim.ms_ssim_index(a, a).item() == pytest.approx(1)
    structure = ssim._ssim_maps(a, b, 11, 1.5)[1].mean()
    halves = [x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)) for x in (a, b)]
    exponents = [0.0448, 0.2856, 0.3001]
    quarters = [x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)) for x in halves]
    middle = ssim._ssim_maps(*halves, 11, 1.5)[1].mean()
    parts = (structure, middle, ssim.ssim_index(*quarters))
    expected = math.prod(p.item() ** (e / sum(exponents)) for p, e in zip(parts, exponents, strict=True))
    assert ssim.ms_ssim_index(a, b).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("color: 1.0", "colour: 1.0", "unknown term 'colour'. Did you mean 'color'"),
        ("tv: 1.0", "tv: -0.1", "tv must be a finite number of at least 0, not -0.1"),
        ("tv: 1.0", "tv: .nan", "tv must be a finite number of at least 0, not nan"),
        ("tv: 1.0", "tv: .inf", "tv must be a finite number of at least 0, not inf"),
        ("trunk:", "features:", "exactly the keys weights, trunk, layers"),
        ("[0, 5, 10, 19]", "all", "layers: expected one layer index for each group"),
    ],
)
def test_a_wrong_entry_in_loss_yaml_is_named(space, tmp_path, old, new, message):
    path = tmp_path / "loss.yaml"
    FoundLoss.equal(space.trunk).write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(KitError, match=f"loss.yaml: .*{message}"):
        FoundLoss.read(path)


def test_a_term_that_a_loss_yaml_does_not_name_weighs_nothing(space, tmp_path):
    """So a file that was written before a term was added to the space can still be read."""
    path = tmp_path / "loss.yaml"
    FoundLoss.equal(space.trunk).write(path)
    path.write_text(path.read_text().replace("tv: 1.0, ", ""))
    weights = FoundLoss.read(path).weights
    assert weights == dict.fromkeys(losses.TERMS, 1.0) | {"tv": 0.0} and list(weights) == list(losses.TERMS)


def test_a_loss_of_nothing_but_zeros_is_refused(space):
    nothing = FoundLoss(dict.fromkeys(losses.TERMS, 0.0), (0, 5, 10, 19), "untrained")
    picture = torch.rand(1, 3, 32, 32)
    with pytest.raises(KitError, match="all weights of the loss are 0"):
        space(picture, picture, nothing)
