"""What the tables say in words."""

from hbl_lib import tables
from hbl_lib.baselines import CLASSICAL


def run(seed, psnr):
    scores = {"psnr": psnr, "ssim": 0.5, "lpips": None}
    compared = {name: {**scores, "psnr": 12.0} for name in CLASSICAL}
    rows = {
        "compared": compared,
        "degraded": {**scores, "psnr": 8.0},
        "color_matrix": {**scores, "psnr": 15.0},
        "restored": scores,
    }
    return {"profile": "quick", "images": 8, "data": "embedded pictures", "seed": seed, **rows}


def test_the_verdict_names_the_best_method_that_learns_nothing():
    one = run(0, 17.0)
    one["compared"]["dcp"]["psnr"] = 18.5
    assert "-1.50 dB from DCP, the best method that learns nothing" in tables.gains([one])


def test_the_verdict_is_over_the_mean_of_the_seeds():
    assert "+2.00 dB from the colour matrix" in tables.gains([run(seed, 16.0 + seed) for seed in range(3)])


def test_a_source_names_profile_pictures_and_seeds():
    assert tables.source([run(3, 17.0)]) == "profile quick, 8 test pictures, embedded pictures, seed 3"
    assert tables.source([run(0, 1.0), run(2, 1.0)]).endswith("mean of seeds 0, 2")
