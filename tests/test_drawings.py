"""Drawings name the operations that they draw."""

import pytest

from hbl_lib import drawings
from hbl_lib.genotype import Genotype


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("combine", ["division", "subtraction"])
def test_a_unit_is_drawn_with_its_eight_operations_and_how_its_branches_meet(combine):
    row = Genotype.published("llie_lol").hnu[1]
    figure, alt = drawings.unit(row, 2, combine)
    shown = words(figure)
    assert [text for text in shown if text in row] == list(row)
    assert "sigmoid" in shown and ("÷" in shown, "−" in shown) == (combine == "division", combine == "subtraction")
    assert "HNU 2" in alt and ", ".join(row[:4]) in alt


def test_the_feature_modules_are_drawn_layer_by_layer():
    found = Genotype.published("uie")
    figure, alt = drawings.feature_modules(found)
    shown = words(figure)
    assert [text for text in shown if text in (*found.encoder, *found.decoder)] == [*found.encoder, *found.decoder]
    assert ", ".join(found.decoder) in alt


def test_the_whole_network_is_drawn_with_every_operation():
    found = Genotype.published("sihr")
    shown = words(drawings.genotype(found))
    assert sum(text in found.counts() for text in shown) == 74
