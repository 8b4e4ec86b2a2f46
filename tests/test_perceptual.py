"""Feature trunks, which weights they take, and LPIPS against the lpips package."""

import hashlib
import io
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from skimage import data
from torchvision import models

from hbl_lib import perceptual, weights
from hbl_lib.errors import KitError

WEIGHTS = Path(__file__).parents[1].parent / "shared/weights"


@pytest.fixture
def trunk(no_weights):
    return perceptual.feature_trunk()


def crop(top, left):
    picture = data.astronaut()[top : top + 80, left : left + 96]
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255


def test_features_are_those_of_the_full_stack_and_nothing_deeper_is_computed(trunk, rng):
    x = torch.rand(1, 3, 32, 32, generator=rng)
    expected, y = [], (x - trunk.mean) / trunk.std
    for layer in trunk.layers:
        y = layer(y)
        expected.append(y)
    computed = []
    for index, layer in enumerate(trunk.layers):
        layer.register_forward_hook(lambda *_, index=index: computed.append(index))
    found = trunk.features(x, (0, 5, 11))
    assert computed == list(range(12))
    for features, index in zip(found, (0, 5, 11), strict=True):
        assert torch.equal(features, expected[index])


def test_a_relu_leaves_the_features_before_it_alone(trunk, rng):
    before, after = trunk.features(torch.rand(1, 3, 16, 16, generator=rng), (2, 3))
    assert before.min() < 0
    assert torch.equal(after, before.clamp(min=0))


def test_a_picture_too_small_for_the_trunk_is_refused(trunk):
    with pytest.raises(KitError, match="too small for layer 18 of trunk untrained"):
        trunk.features(torch.rand(1, 3, 4, 4), (26,))


def test_an_untrained_trunk_depends_on_its_seed_alone(no_weights):
    torch.manual_seed(1)
    first = perceptual.feature_trunk(seed=3)
    torch.manual_seed(2)
    again, other = perceptual.feature_trunk(seed=3), perceptual.feature_trunk(seed=4)
    assert first.name == "untrained" and first.checksum is None
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert torch.equal(first.layers[25].weight, again.layers[25].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_a_trunk_is_frozen_but_lets_gradients_through(trunk, rng):
    x = torch.rand(1, 3, 16, 16, generator=rng).requires_grad_()
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    (gradient,) = torch.autograd.grad(trunk.features(x, (8,))[0].sum(), x)
    assert gradient.abs().sum() > 0


def test_without_any_weights_the_file_and_the_folder_variable_are_named(no_weights, monkeypatch, tmp_path):
    with pytest.raises(KitError, match=r"vgg19-dcbb9e9d\.pth .*HBL_WEIGHTS \(not set\)"):
        perceptual.feature_trunk(download=False, untrained=False)
    monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
    with pytest.raises(KitError, match=rf"vgg19-dcbb9e9d\.pth .*HBL_WEIGHTS \({tmp_path}\)"):
        perceptual.feature_trunk(download=False, untrained=False)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"<html>not found</html>"])
def test_a_rubbish_weight_file_is_named(weight_file, content):
    path = weight_file("vgg19", content)
    with pytest.raises(KitError, match=f"{path}: not the torchvision weight file"):
        perceptual.feature_trunk()


def content(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_a_weight_file_of_another_network_is_named(weight_file):
    path = weight_file("vgg19", content({"features.0.weight": torch.zeros(64, 3, 11, 11)}))
    with pytest.raises(KitError, match=f"{path}: not the torchvision weight file"):
        perceptual.feature_trunk()


def test_a_weight_file_that_is_not_what_its_name_says_is_refused(no_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
    (tmp_path / weights.FILES["vgg19"]).write_bytes(b"something else")
    with pytest.raises(KitError, match="its SHA-256 is not dcbb9e9dad56"):
        perceptual.feature_trunk()


@pytest.mark.parametrize("name", ["vgg19", "alex"])
def test_a_download_of_other_bytes_is_refused_and_not_kept(name, no_weights, monkeypatch, tmp_path):
    """By a real download, of a file whose name is right."""
    address = tmp_path / weights.FILES[name]
    address.write_bytes(b"something else")
    given = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=address.as_uri()))
    monkeypatch.setattr(models, {"vgg19": "VGG19_Weights", "alex": "AlexNet_Weights"}[name], given)
    with pytest.raises(KitError, match=f"what came is not {address.name}"):
        weights.find(name, download=True)
    assert weights.find(name) is None
    monkeypatch.setitem(weights.SHA256, address.name, hashlib.sha256(b"something else").hexdigest())
    assert weights.find(name, download=True).read_bytes() == b"something else"


@pytest.mark.parametrize("name", ["vgg19", "alex"])
def test_the_digests_of_torchvisions_files_begin_as_their_names_say(name):
    digits = weights.FILES[name].removesuffix(".pth").rpartition("-")[2]
    assert weights.SHA256[weights.FILES[name]].startswith(digits)


def test_lpips_weights_are_checked_wherever_they_lie(no_weights, monkeypatch, tmp_path):
    for net in ("alex", "squeeze"):
        assert weights.find_linear(net).parent.name == "v0.1"  # the package's, which pass
    (tmp_path / "lpips_alex.pth").write_bytes(b"something else")
    monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
    with pytest.raises(KitError, match=r"lpips_alex\.pth: is damaged or another file"):
        weights.find_linear("alex")


def test_a_rubbish_squeezenet_file_is_named(no_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("HBL_WEIGHTS", str(tmp_path))
    (tmp_path / "squeezenet1_1_caffe_features.npz").write_bytes(b"rubbish")
    with pytest.raises(KitError, match=r"squeezenet1_1_caffe_features\.npz: not the SqueezeNet 1\.1 trunk"):
        perceptual.feature_trunk()


def test_vgg_weights_in_the_folder_are_used(weight_file):
    layers = perceptual.vgg19()
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    weight_file("vgg19", content(state))
    trunk = perceptual.feature_trunk(untrained=False)
    assert trunk.name == "vgg19" and len(trunk.checksum) == 64
    assert torch.equal(trunk.layers[25].weight, layers[25].weight)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no trained SqueezeNet trunk at {WEIGHTS}")
def test_the_squeezenet_trunk_stands_in_and_tells_noise_from_equality(no_weights, monkeypatch, rng):
    monkeypatch.setenv("HBL_WEIGHTS", str(WEIGHTS))
    trunk = perceptual.feature_trunk(untrained=False)
    assert trunk.name == "squeeze"
    distance = perceptual.lpips_term(trunk)
    assert distance.name == "squeeze"
    clear = crop(100, 180)
    noise = torch.randn(clear.shape, generator=rng)
    equal, little, much = (distance((clear + s * noise).clamp(0, 1), clear).item() for s in (0, 0.02, 0.2))
    assert equal < 1e-9 < little < 0.1 < much < 1.5


def test_lpips_equals_the_lpips_package():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")  # lpips passes `pretrained`
        import lpips

        torch.manual_seed(0)
        package = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    layers = perceptual.alexnet()
    for i in range(1, 6):
        for index, layer in getattr(package.net, f"slice{i}").named_children():
            layers[int(index)].load_state_dict(layer.state_dict())
    ours = perceptual.alexnet_lpips("random", layers, [linear.model[1].weight.detach() for linear in package.lins])
    a, b = torch.cat((crop(0, 0), crop(100, 180))), torch.cat((crop(60, 60), crop(100, 182)))
    with torch.no_grad():
        expected = package(2 * a - 1, 2 * b - 1).flatten()
        torch.testing.assert_close(ours(a, b), expected, rtol=1e-5, atol=1e-7)
    assert expected.min() > 1e-4


def test_lpips_of_a_picture_whose_features_are_all_zero_is_finite_with_a_finite_slope(trunk, rng):
    even = trunk.mean.expand(1, 3, 16, 16).clone().requires_grad_()
    assert all(features.abs().max() == 0 for features in trunk.features(even, (3, 8)))
    distance = perceptual.lpips_term(trunk)(even, torch.rand(1, 3, 16, 16, generator=rng))
    assert distance.isfinite() and torch.autograd.grad(distance.sum(), even)[0].isfinite().all()


def test_lpips_never_stands_on_a_trunk_that_its_name_hides(no_weights):
    trunk = perceptual.untrained_trunk()
    trunk.name = "vgg19"  # as if VGG-19 had been found, and AlexNet not
    assert perceptual.lpips_term(trunk).name == "untrained"
    with pytest.raises(KitError, match="alexnet-owt-7be5be79"):
        perceptual.lpips_term(trunk, untrained=False)


def test_a_failure_that_is_not_about_size_is_not_called_one():
    with pytest.raises(RuntimeError) as raised:
        perceptual.untrained_trunk().features(torch.rand(1, 3, 32, 32, dtype=torch.float64), (3,))
    assert not isinstance(raised.value, KitError)


@pytest.fixture
def counted(trunk, monkeypatch):
    """The trunk, and the list of pictures that ran through it."""
    stream, shown = trunk.stream, []

    def counting(x, wanted):
        shown.append(x)
        return stream(x, wanted)

    monkeypatch.setattr(trunk, "stream", counting)
    return trunk, shown


def test_features_of_a_clear_picture_are_computed_once_and_for_no_gradient(counted, rng):
    trunk, shown = counted
    clear_features, wanted = perceptual.ClearFeatures(trunk), [0, 1, 2, 3]
    clear = torch.rand(1, 3, 16, 16, generator=rng).requires_grad_()
    first = clear_features.of(clear, wanted)
    again = clear_features.of(clear.detach().clone(), wanted)
    assert len(shown) == 1 and (clear_features.computed, clear_features.found) == (1, 1)
    for index, features in zip(wanted, trunk.features(clear, wanted), strict=True):
        torch.testing.assert_close(first[index], features)
        assert torch.equal(first[index], again[index])
        assert not first[index].requires_grad
    clear_features.of(clear, [0])
    clear_features.of(clear * 0.5, wanted)
    assert (clear_features.computed, clear_features.found) == (3, 1)


def test_kept_features_make_room_for_the_newest(trunk, rng):
    pictures = torch.rand(3, 1, 3, 16, 16, generator=rng)
    one = sum(f.nbytes for f in trunk.features(pictures[0], [0]))
    clear_features = perceptual.ClearFeatures(trunk, room=2 * one)
    for picture in (0, 1, 0, 2, 0, 1):  # 2 makes 1 go, the one not seen for longest
        clear_features.of(pictures[picture], [0])
    assert (clear_features.computed, clear_features.found) == (4, 2)
