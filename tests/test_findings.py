"""The paper's claims about its found losses and networks, held against the published numbers and made-up ones."""

import numpy as np
import pytest
from torch import nn

from hbl_lib import findings
from hbl_lib.errors import KitError
from hbl_lib.genotype import Genotype
from hbl_lib.losses import TERMS, FoundLoss
from hbl_lib.perceptual import VGG19_GROUPS, Trunk


def weights(**given):
    return dict.fromkeys(TERMS, 0.0) | given


def uniform(**places):
    """A genotype of 3-C everywhere but at places such as hnu_1_3="SC" (unit and layer from 0)."""
    units = [["3-C"] * 8 for _ in range(7)]
    for place, name in places.items():
        unit, layer = map(int, place.split("_")[1:])
        units[unit][layer] = name
    return Genotype(("3-C",) * 9, tuple(map(tuple, units)), ("3-C",) * 9)


def test_shares_are_the_softmax_of_six_terms():
    found = findings.shares(weights(l1=np.log(3), vgg=np.log(2), tv=9.0, laplacian=9.0))
    wanted = {"l1": 3 / 9, "l2": 1 / 9, "color": 1 / 9, "ssim": 1 / 9, "vgg": 2 / 9, "lpips": 1 / 9}
    assert found == pytest.approx(wanted)


def test_published_weights_show_figure_7a_but_for_mit():
    table = findings.heat_map_claims(findings.published()[0]).set_index("task")
    assert table["dominant"].to_dict() == {"llie_lol": "l1", "llie_mit": "ssim", "sihr": "vgg", "uie": "ssim"}
    assert (table["agreement"] == "agrees").to_dict() == {
        "llie_lol": True,
        "llie_mit": False,
        "sihr": True,
        "uie": True,
    }
    assert table.loc["llie_lol", "lead"] == pytest.approx(0.23334 - 0.21202, abs=1e-4)


def test_equal_weights_decide_nothing_and_other_tasks_have_no_claim():
    table = findings.heat_map_claims({"llie_lol": weights(), "derain": weights(l2=1)}).set_index("task")
    assert table.loc["llie_lol", "agreement"].startswith("undecided")
    assert table.loc["derain", "agreement"] == "the paper does not show this task"
    assert findings.sentences({"derain": weights(l2=1)}, {})[0].startswith("derain, published weights: l2")


def test_layer_claims_are_an_independent_count():
    genotypes = findings.published()[1]
    counts = {0: 0, 1: 0, 2: 0, 3: 0}
    for lol, sihr, uie in zip(*(sum(genotypes[t].hnu, ()) for t in ("llie_lol", "sihr", "uie")), strict=True):
        counts[(lol in ("1-C", "1-DC")) + (sihr == "SC") + (uie in ("1-C", "1-DC"))] += 1
    table = findings.layer_claims(genotypes)
    assert len(table) == 56 and counts[3] == 0
    assert {held: int((table["held"] == held).sum()) for held in counts} == counts


def test_a_place_that_shows_all_of_figure_7b_is_named():
    genotypes = {"llie_lol": uniform(hnu_1_6="1-DC"), "sihr": uniform(hnu_1_6="SC"), "uie": uniform(hnu_1_6="1-C")}
    assert "1 of 56 places shows all three (HNU 2 R_v 3)" in findings.layer_sentence(genotypes, "made-up")
    with pytest.raises(KitError, match="no genotype of UIE"):
        findings.layer_claims({task: genotypes[task] for task in ("llie_lol", "sihr")})


def test_selected_layers_beside_the_paper():
    measured = {
        "uie": FoundLoss(weights(l1=1), (1, 8, 11, 22), "vgg19"),
        "sihr": FoundLoss({}, (0, 4, 6, 9), "squeeze"),
    }
    table = findings.selected_layers(measured).set_index("task")
    assert table.loc["uie"].tolist() == [8, 5, 8, "vgg19"]
    assert table["public code"].dropna().to_dict() == {"llie_lol": 6, "sihr": 6, "uie": 5}
    agreeing = table.reset_index().assign(paper=table["public code"].tolist())
    assert findings.vgg_sentence(agreeing).endswith("UIE 5 (paper 5); as in Figure 8.")


def test_sentences_tell_what_does_not_fit():
    said = "\n".join(findings.published_sentences())
    assert "MIT, published weights: SSIM has the largest share" in said and "1.275 against 1.486" in said
    assert "but for MIT's Laplacian (0.153)" in said
    assert said.count("none of 56 places shows all three") == 2
    assert "UIE, published genotype: 5 of the 8 layers of HNU 4" in said
    assert "older ten-term list" in said and "SSIM would have a share of 1.000" in said
    assert "SIHR 6 (paper 7), UIE 5 (paper 8)" in said


def test_an_unresolved_search_is_no_evidence():
    said = findings.sentences({"uie": weights(ssim=2)}, {"uie": uniform()}, "measured", {"uie"})
    assert said[0].startswith("UIE (search not resolved: no evidence), measured weights: SSIM")


def test_features_are_the_named_channels():
    layers = [nn.Conv2d(3, 64, 1, bias=False), nn.MaxPool2d(2)]
    nn.init.constant_(layers[0].weight, 0)
    layers[0].weight.data[42, 1] = 2.0  # channel 42 is twice green
    trunk = Trunk("test", layers, VGG19_GROUPS, [0] * 3, [1] * 3)
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 1] = 51
    maps = findings.features(trunk, 1, picture)
    assert maps.shape == (4, 2, 3)
    assert maps[1] == pytest.approx(np.full((2, 3), 0.4)) and not maps[[0, 2, 3]].any()
    with pytest.raises(KitError, match="64 channels"):
        findings.features(trunk, 0, picture, (64,))
    with pytest.raises(KitError, match="no layer 2"):
        findings.features(trunk, 2, picture)
