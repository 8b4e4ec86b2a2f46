"""Tables over several seeds, with and without a published row."""

import pytest

from hbl_lib import config, tables


def run(seed, psnr):
    scores = {"psnr": psnr, "ssim": 0.5, "lpips": None}
    rows = {"degraded": {**scores, "psnr": 8.0}, "color_matrix": {**scores, "psnr": 15.0}, "restored": scores}
    return {"profile": "quick", "images": 8, "data": "embedded pictures", "seed": seed, **rows}


def test_one_seed_stands_as_measured_beside_the_published_row():
    table = tables.results(config.load("quick", "llie_lol").task, [run(3, 17.0)]).set_index("method")
    row = table.loc["HBL, searched here"]
    assert (row["PSNR (dB)"], row["from published (dB)"]) == (17.0, pytest.approx(17.0 - 24.164))
    assert row["source"] == "profile quick, 8 test pictures, embedded pictures, seed 3"
    assert table.loc["HBL, as published", "PSNR (dB)"] == 24.164
    assert not any("sd" in column for column in table)


def test_several_seeds_are_mean_and_standard_deviation():
    runs = [run(seed, psnr) for seed, psnr in enumerate((16.0, 17.0, 18.0))]
    row = tables.results(config.load("quick", "sihr").task, runs).set_index("method").loc["HBL, searched here"]
    assert (row["PSNR (dB)"], row["PSNR sd (dB)"], row["SSIM sd"]) == (17.0, 1.0, 0.0)
    assert row["source"].endswith("mean of seeds 0, 1, 2")
    assert "+2.00 dB from the colour matrix" in tables.verdict(runs)


def test_a_task_that_the_paper_has_not_got_has_no_published_row():
    table = tables.results(config.load("quick", "derain").task, [run(0, 17.0)])
    assert len(table) == 3 and table["from published (dB)"].isna().all()
