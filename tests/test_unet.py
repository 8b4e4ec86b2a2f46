"""U-Net: its size, and that it takes and gives pictures of any size."""

import pytest
import torch

from hbl_lib.baselines.unet import UNet
from hbl_lib.network import parameter_count


def test_its_parameters_are_those_of_the_published_widths():
    assert parameter_count(UNet()) == 7_760_163


@pytest.mark.parametrize("size", [(1, 1), (5, 16), (17, 33)])
def test_a_picture_of_any_size_keeps_its_size(size, rng):
    picture = torch.rand(1, 3, *size, generator=rng)
    with torch.no_grad():
        restored = UNet()(picture)
    assert restored.shape == picture.shape and restored.isfinite().all()


def test_what_is_padded_is_cropped_again(rng):
    """Reflected by hand to the multiple of 16, the picture gives the same where it was."""
    network, picture = UNet().eval(), torch.rand(1, 3, 16, 21, generator=rng)
    padded = torch.cat((picture, picture[..., 9:20].flip(-1)), -1)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), network(padded)[..., :21])
