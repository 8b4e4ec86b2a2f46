"""What the method is compared with: one fitted colour matrix, and the classical methods, which learn nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import dark_channel, fusion, lime, tone


@dataclass(frozen=True)
class Method:
    """A classical method. made_for: "low light", "haze", "underwater" or "any"; parameters in words.

    restore: (H, W, 3) uint8 RGB of any size -> the same; equal inputs give equal outputs on any number of threads.
    """

    label: str
    made_for: str
    citation: str
    parameters: str
    restore: Callable[[np.ndarray], np.ndarray]

    def suits(self, degradation: str) -> bool:
        """Whether it is made for a degradation of `degradations.MODELS`."""
        return self.made_for in ("any", degradation.replace("_", " "))


CLASSICAL: dict[str, Method] = {
    "gamma": Method("Gamma", "any", "textbook", "exponent 1/2.2", tone.gamma),
    "clahe": Method(
        "CLAHE",
        "any",
        "Zuiderveld, Graphics Gems IV, 1994",
        "OpenCV's; on L of Lab; clip limit 2; 8x8 tiles",
        tone.clahe,
    ),
    "lime": Method(
        "LIME",
        "low light",
        "Guo, Li and Ling, IEEE TIP 26(2), 2017",
        "sped-up solver, strategy III; alpha 0.15; gamma 0.8; Gaussian sigma 3, 15x15; without the paper's denoising; "
        "above 0.3 megapixels the map is made from a reduced picture",
        lime.lime,
    ),
    "dcp": Method(
        "DCP",
        "haze",
        "He, Sun and Tang, IEEE TPAMI 33(12), 2011",
        "patch 15; omega 0.95; t at least 0.1; A the brightest pixel of the top 0.1 % of the dark channel; "
        "guided filter of radius 60, epsilon 0.001, in place of soft matting",
        dark_channel.dcp,
    ),
    "udcp": Method(
        "UDCP",
        "underwater",
        "Drews et al., IEEE Computer Graphics and Applications 36(2), 2016",
        "dark channel of green and blue; patch 15; omega 1; t from 0.2 to 0.9; A and guided filter as for DCP",
        dark_channel.udcp,
    ),
    "fusion": Method(
        "Fusion",
        "underwater",
        "Ancuti et al., CVPR 2012",
        "grey-world white balance, and CLAHE of it; Laplacian contrast, local contrast, saliency and exposedness "
        "(sigma 0.25) summed; 5 levels",
        fusion.fusion,
    ),
}
