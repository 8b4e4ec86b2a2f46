"""MBLLEN (Lv et al., BMVC 2018) and the space of its own loss, in which HBL searches for Figure 6.

From the authors' public code (Keras, Lvfeifan/MBLLEN): ten feature layers, an enhancement module on each, and a fusion
of the ten pictures by one 1x1 convolution; 450,171 weights, drawn as Keras does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import KitError
from ..losses import FoundLoss
from ..perceptual import ClearFeatures, Trunk
from ..ssim import ms_ssim_index, ssim_index

BRANCHES, CHANNELS = 10, 32
REACH = 12  # pixels that an enhancement module's three unpadded 5x5 convolutions take from a side
TERMS = ("mae", "ssim", "ms_ssim", "vgg", "region_low", "region_high")
# The authors' setting (public code), on the terms below: 3 - sum over channels of SSIM is 3 (1 - SSIM).
AUTHORS = {"mae": 1.0, "ssim": 3.0, "ms_ssim": 0.0, "vgg": 1 / 3, "region_low": 4.0, "region_high": 1.0}
DARKEST = 0.4  # share of the pixels that count as the low region
GREY = (0.299, 0.587, 0.114)


def _enhancement() -> nn.Sequential:
    """32 channels -> a picture: 3x3 to 8, three unpadded 5x5 and three transposed 5x5 that give the border back."""
    layers: list[nn.Module] = [nn.Conv2d(CHANNELS, 8, 3, padding=1)]
    layers += [nn.Conv2d(n, m, 5) for n, m in ((8, 8), (8, 16), (16, 32))]
    layers += [nn.ConvTranspose2d(n, m, 5) for n, m in ((32, 16), (16, 8), (8, 3))]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))


class MBLLEN(nn.Module):
    """Degraded (N, 3, H, W) in [0, 1], RGB -> restored, same shape, at least 0. H and W from 13 on."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *[CHANNELS] * BRANCHES)
        self.features = nn.ModuleList(nn.Conv2d(n, CHANNELS, 3, padding=1) for n in widths[:-1])
        self.enhancements = nn.ModuleList(_enhancement() for _ in range(BRANCHES))
        self.fusion = nn.Conv2d(3 * BRANCHES, 3, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, degraded: Tensor) -> Tensor:
        if min(degraded.shape[-2:]) <= REACH:
            raise KitError(
                f"MBLLEN needs pictures of at least {REACH + 1}x{REACH + 1}, not {tuple(degraded.shape[-2:])}"
            )
        x, pictures = degraded, []
        for layer, enhancement in zip(self.features, self.enhancements, strict=True):
            x = F.relu(layer(x))
            pictures.append(enhancement(x))
        return F.relu(self.fusion(torch.cat(pictures, 1)))


def regions(restored: Tensor, clear: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute error in the darkest 40 % of the restored picture's pixels, and in the others; each a mean over all."""
    weights = torch.tensor(GREY, device=restored.device, dtype=restored.dtype).view(1, 3, 1, 1)
    grey = (restored.detach() * weights).sum(1, keepdim=True)
    limit = grey.flatten(1).quantile(DARKEST, dim=1).view(-1, 1, 1, 1)
    error, low = (restored - clear).abs(), grey <= limit
    return (error * low).mean(), (error * ~low).mean()


class MBLLENSpace(nn.Module):
    """L = sum_i w_i l_i / n_i with n_i the term's value at initialisation; terms as named in `TERMS`.

    mae; 1 - SSIM; 1 - MS-SSIM; mean absolute difference of VGG-19's third group after its last ReLU; the two regions.
    """

    weighed = TERMS
    groups: tuple[tuple[int, ...], ...] = ()

    def __init__(self, trunk: Trunk):
        super().__init__()
        self.trunk, self.clear_features = trunk, (ClearFeatures(trunk),)
        self.register_buffer("scales", torch.ones(len(TERMS)))

    def raw(self, restored: Tensor, clear: Tensor) -> Tensor:
        """The terms before they are divided, (6,)."""
        layer = [self.trunk.groups[2][-1]]
        reference = self.clear_features[0].of(clear, layer)[layer[0]]
        (features,) = self.trunk.features(restored, layer)
        similar = (1 - ssim_index(restored, clear), 1 - ms_ssim_index(restored, clear))
        distances = ((restored - clear).abs().mean(), *similar, (features - reference).abs().mean())
        return torch.stack([*distances, *regions(restored, clear)])

    @torch.no_grad()
    def calibrate(self, network: nn.Module, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set n_i: the mean of each term over `pairs` of degraded and clear under the network as it is."""
        values = [self.raw(network(degraded), clear) for degraded, clear in pairs]
        self.scales.copy_(torch.stack(values).mean(0).clamp(min=1e-6))

    def values(self, restored: Tensor, clear: Tensor) -> Tensor:
        """All terms, each divided by its value under the network as drawn, (6,)."""
        return self.raw(restored, clear) / self.scales

    def coefficients(self, weights: Tensor, _shares: Sequence[Tensor]) -> Tensor:
        """The weights themselves: no layers are selected here."""
        return weights

    def authors(self) -> FoundLoss:
        """The authors' own setting, as weights on the divided terms."""
        weights = {term: AUTHORS[term] * scale for term, scale in zip(TERMS, self.scales.tolist(), strict=True)}
        return FoundLoss(weights, (), self.trunk.name)

    def forward(self, restored: Tensor, clear: Tensor, found: FoundLoss) -> Tensor:
        """The loss under found weights."""
        weights = torch.tensor([found.weights[term] for term in TERMS], device=restored.device, dtype=restored.dtype)
        return weights @ self.values(restored, clear)
