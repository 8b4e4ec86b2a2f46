"""Retraining keeps the weights that it says it keeps."""

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from hbl_lib import images, runs, training
from hbl_lib.data import Crops, Pictures
from hbl_lib.genotype import Genotype
from hbl_lib.losses import FoundLoss
from hbl_lib.pairs import Pair
from hbl_lib.restorer import Restorer


@pytest.mark.parametrize(("average", "steps_averaged"), [(0.0, 1), (0.5, 2)])
def test_the_kept_weights_are_those_of_the_last_step_or_the_mean_of_the_last_steps(
    tmp_path, space, average, steps_averaged
):
    run = runs.open_run(
        profile="smoke", results=str(tmp_path), device="cpu", overrides=f"retrain.steps=4,retrain.average={average}"
    )
    after = []

    def keep(optimizer, *_):
        after.append([parameter.detach().clone() for parameter in optimizer.param_groups[0]["params"]])

    for name, top in (("low.png", 40), ("high.png", 255)):
        images.write(tmp_path / name, torch.randint(top, (64, 64, 3), dtype=torch.uint8).numpy())
    pictures = Pictures(tmp_path, [Pair("low.png", "high.png", "one")])
    hook = register_optimizer_step_post_hook(keep)
    try:
        with run.stage("04_retrain") as stage:
            restorer = Restorer(Genotype.published("llie_lol"))
            crops = Crops(pictures, 64, 0, "retrain")
            found = FoundLoss.equal(space.trunk)
            training.RestorerTraining(run.params.retrain, restorer, space, found, crops, pictures).run(stage)
    finally:
        hook.remove()
    assert len(after) == 4
    for kept, *steps in zip(restorer.parameters(), *after[-steps_averaged:], strict=True):
        torch.testing.assert_close(kept.detach(), torch.stack(steps).mean(0))
        assert steps_averaged == 1 or not torch.equal(kept, steps[-1])
