"""The clear-or-degraded classifier, its samples and its loss."""

import pytest
import torch
from torch import nn

from hbl_lib.classifier import CLASSES, CLEAR, Classifier, match_mean, samples, upper_loss
from hbl_lib.errors import KitError


@pytest.fixture
def pairs(rng):
    clear = 0.1 + 0.7 * torch.rand(60, 3, 6, 8, generator=rng)
    return 0.2 * clear, clear


@pytest.mark.parametrize("negatives", ["plain", "matched"])
def test_samples_are_balanced_and_stay_in_range(negatives, pairs, rng):
    pictures, labels = samples(*pairs, negatives, rng)
    assert pictures.shape == (120, 3, 6, 8)
    assert labels.tolist() == [0] * 60 + [1] * 60
    assert CLASSES[CLEAR] == "clear" and CLEAR == 1
    assert pictures.min() >= 0 and pictures.max() <= 1


def test_plain_samples_are_the_pairs_as_they_are(pairs, rng):
    assert torch.equal(samples(*pairs, "plain", rng)[0], torch.cat(pairs))


def test_brightness_tells_plain_samples_apart_but_not_matched_ones(pairs, rng):
    def separated(negatives):
        degraded, clear = samples(*pairs, negatives, rng)[0].mean((1, 2, 3)).split(60)
        return (degraded < clear.min()).float().mean().item()

    assert separated("plain") == 1
    assert 0.2 < separated("matched") < 0.5  # the third that stays as it is


def test_samples_depend_on_the_generator_alone(pairs):
    a, b, c = (samples(*pairs, "matched", torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_matching_brings_each_mean_to_the_clear_one(rng):
    clear = 0.1 + 0.4 * torch.rand(3, 3, 6, 8, generator=rng)
    degraded = torch.tensor([0.05, 0.3, 1.5]).view(3, 1, 1, 1) * clear.flip(-1)
    torch.testing.assert_close(match_mean(degraded, clear), clear.flip(-1))
    assert match_mean(torch.zeros_like(clear), clear).isfinite().all()
    bright = match_mean(
        torch.tensor([0.01, 0.01, 0.5]).view(1, 3, 1, 1), torch.tensor([0.9, 0.9, 0.9]).view(1, 3, 1, 1)
    )
    assert bright.max() == 1


@pytest.mark.parametrize("network", ["resnet10", "resnet18", "resnet50"])
def test_a_classifier_comes_back_from_disk_frozen_and_the_same(network, tmp_path, rng):
    torch.manual_seed(0)
    classifier = Classifier(network)
    pictures = torch.rand(2, 3, 32, 32, generator=rng)
    classifier(pictures)  # moves the running statistics away from their start
    classifier.save(tmp_path / "classifier.safetensors")
    loaded = Classifier.load(tmp_path / "classifier.safetensors")
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    with torch.no_grad():
        logits = loaded(pictures)
        assert torch.equal(logits, classifier.eval()(pictures))
    assert logits.shape == (2, 2)


def test_a_file_that_is_no_classifier_and_an_unknown_network_are_refused(tmp_path):
    (tmp_path / "classifier.safetensors").write_bytes(b"rubbish")
    with pytest.raises(KitError, match=r"classifier\.safetensors: not a readable checkpoint"):
        Classifier.load(tmp_path / "classifier.safetensors")
    with pytest.raises(KitError, match="'resnet34' is not one of resnet10, resnet18, resnet50"):
        Classifier("resnet34")


def test_the_upper_loss_is_the_cross_entropy_against_clear(rng):
    torch.manual_seed(0)
    classifier = Classifier("resnet10").eval()
    restored = torch.rand(3, 3, 32, 32, generator=rng)
    with torch.no_grad():
        logits = classifier(restored)
        expected = torch.log1p(torch.exp(logits[:, 0] - logits[:, 1])).mean()
        torch.testing.assert_close(upper_loss(classifier, restored), expected)


@pytest.mark.parametrize("network", ["resnet10", "resnet50"])
def test_folding_batch_normalisations_changes_no_logit(network, rng):
    torch.manual_seed(0)
    classifier = Classifier(network).double().train()
    for _ in range(2):
        classifier(torch.rand(4, 3, 64, 64, generator=rng, dtype=torch.float64))  # statistics of its own
    classifier.eval()
    folded, pictures = classifier.folded(), torch.rand(2, 3, 64, 64, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(folded(pictures), classifier(pictures))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    assert any(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())
