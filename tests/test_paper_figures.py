"""The paper's figures, drawn from realistic and from incomplete data."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch, Rectangle

from hbl_lib import findings, paper_figures
from hbl_lib.errors import KitError


def drawn(figure):
    """The figure after it was really drawn (warnings are errors), and all its words."""
    figure.savefig(io.BytesIO(), dpi=40)
    artists = [text.get_text() for axis in figure.axes for text in (*axis.texts, axis.title, axis.xaxis.label)]
    return figure, artists


def versions(count, shape=(40, 60, 3)):
    """Noise of growing strength over a picture that varies in one corner only; the last is the clear picture."""
    clear = np.full(shape, 100, np.uint8)
    clear[-10:, -15:] = np.random.default_rng(0).integers(0, 200, (10, 15, 3))
    found = {f"method {i}": clear + np.uint8(2 * i + 1) for i in range(count - 1)}
    return found | {"clear": clear}


@pytest.mark.parametrize(("count", "shape", "lines"), [(12, (40, 60, 3), [4, 4, 4]), (7, (60, 40, 3), [4, 3])])
def test_comparison_has_three_parts_a_version_and_no_error_of_the_clear_picture(count, shape, lines):
    given = versions(count, shape)
    scores = {"method 0": {"psnr": 21.345, "ssim": 0.8126, "lpips": None}, "method 1": {"psnr": 20.0, "ssim": None}}
    figure, words = drawn(paper_figures.comparison(given, scores, "clear"))
    assert sum(len(axis.images) for axis in figure.axes) == 3 * count - 1
    tops = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title().split("\n")[0] for axis in tops] == list(given)
    assert [sum(axis.get_ylabel() == "picture" for axis in tops), len(tops)] == [len(lines), sum(lines)]
    assert "method 0\n21.34 dB, 0.813" in words and "method 1\n20.00 dB" in words
    limits = {axis.images[0].norm.vmax for axis in figure.axes if axis.images and axis.images[0].get_array().ndim == 2}
    assert limits == {2 * count - 3}  # one scale, up to the worst version's error
    assert all(len(axis.patches) == 1 for axis in tops)  # the window is marked in each


def test_window_and_error_map_are_those_of_the_pixels():
    given = versions(2)
    rows, across = paper_figures.detail(given["clear"])
    assert (rows.stop, across.stop) == (40, 60) and rows.stop - rows.start == 10 and across.stop - across.start == 15
    given["method 0"][0, 0] = (100 - 30, 100 + 60, 100)
    errors = paper_figures.error_maps(given, "clear")
    assert list(errors) == ["method 0"] and errors["method 0"][0, 0] == 30 and errors["method 0"][0, 1] == 1


def test_versions_that_cannot_be_compared_are_named():
    given = versions(3)
    with pytest.raises(KitError, match="no version 'truth'"):
        paper_figures.comparison(given, {}, "truth")
    with pytest.raises(KitError, match="'method 1' is of size"):
        paper_figures.comparison(given | {"method 1": given["clear"][1:]}, {}, "clear")


def bars(figure):
    return [[bar.get_height() for bars in axis.containers for bar in bars] for axis in figure.axes]


def test_loss_bars_are_means_from_zero_with_their_values():
    psnr = {("MBLLEN", "default"): (16, 18), ("U-Net", "searched"): (19, 20), ("Ours", "default"): (20, 22)}
    rows = [(m, w, seed, value, value / 25) for (m, w), values in psnr.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["model", "weights", "seed", "PSNR", "SSIM"])
    figure, words = drawn(paper_figures.loss_bars(table))
    assert sorted(bars(figure)[0]) == [17, 19.5, 21] and {"17.00", "0.840"} <= set(words)
    assert all(axis.get_ylim()[0] == 0 for axis in figure.axes)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["MBLLEN", "U-Net", "Ours"]
    spread = [line for line in figure.axes[0].lines if np.isfinite(line.get_ydata()).any()]
    assert np.nanmax(spread[0].get_ydata()) == pytest.approx(17 + np.sqrt(2))
    single, _ = drawn(paper_figures.loss_bars(table[table["seed"] == 0]))
    assert sorted(bars(single)[0]) == [16, 19, 20]
    assert not any(np.ptp(line.get_ydata()) > 0 for line in single.axes[0].lines if len(line.get_ydata()))


def test_heat_map_boxes_what_leads_and_tells_the_unresolved():
    table = pd.DataFrame({task: findings.shares(w) for task, w in findings.published()[0].items()}).T
    level = table.copy()
    level.loc["sihr", "l2"] = level.loc["sihr"].max() - findings.MARGIN / 2
    figure, words = drawn(paper_figures.loss_heat_map(table, level.drop("llie_mit"), {"uie"}))
    left, right = figure.axes[:2]
    boxes = [[patch.get_xy() for patch in axis.patches if isinstance(patch, Rectangle)] for axis in (left, right)]
    assert boxes == [[(0, 0), (3, 1), (4, 2), (3, 3)], [(0, 0), (1, 2), (4, 2)]]
    assert [label.get_text() for label in right.get_yticklabels()] == ["LOL", "MIT", "SIHR", "UIE"]
    assert "search not resolved" in words and "not searched in this run" in words and "0.36" in words
    assert left.collections[0].get_clim() == right.collections[0].get_clim()
    _, words = drawn(paper_figures.loss_heat_map(table, pd.DataFrame()))
    assert words.count("not searched in this run") == 4


def test_searched_layers_stand_in_order_and_frame_the_claims():
    genotypes = findings.published()[1]
    figure, words = drawn(paper_figures.searched_layers(genotypes, {"uie": genotypes["uie"]}, unit=4))
    start = words.index("SIHR, published") + 1
    assert tuple(words[start : start + 8]) == genotypes["sihr"].hnu[3]
    assert words.count("UIE, measured here") == 1 and "LOL, measured here" not in words
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    framed = [box for box in boxes if to_hex(box.get_edgecolor()) == paper_figures.MARK]
    light = ("1-C", "1-DC")
    wanted = [name in light for t in ("llie_lol", "llie_mit", "uie", "uie") for name in genotypes[t].hnu[3]]
    assert len(boxes) == 40 and len(framed) == sum(wanted) + genotypes["sihr"].hnu[3].count("SC")


def test_feature_maps_share_a_scale_within_a_channel():
    maps = np.random.default_rng(0).random((2, 4, 6, 4))
    picture = np.zeros((12, 8, 3), np.uint8)
    figure, words = drawn(paper_figures.feature_maps(picture, picture, *maps, findings.CHANNELS, "LOL, layer 6"))
    assert figure.get_suptitle() == "LOL, layer 6" and "channel 51" in words
    shown = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(shown) == 10
    assert shown[2].get_clim() == shown[7].get_clim() == (maps[:, 1].min(), maps[:, 1].max())
