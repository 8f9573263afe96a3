"""The first of two painters: a small U-Net that fills a hole roughly (Ronneberger et al. 2015)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 3


class RoughPainter(nn.Module):
    """A picture with a hole to one without: three levels down and up, each with its own kind.

    Args:
        width: channels of the first level, doubled from level to level.
    """

    def __init__(self, width: int):
        super().__init__()
        widths = [width << k for k in range(LEVELS)]
        self.down = nn.ModuleList(
            [_layer(a, b, 2) for a, b in zip([4, *widths[:-1]], widths, strict=True)]
        )
        above = [4, *widths[:-1]]
        self.up = nn.ModuleList(
            [_layer(w + a, max(w // 2, 4), 1) for w, a in zip(widths, above, strict=True)]
        )
        self.across = nn.ModuleList(
            [nn.Conv2d(max(w // 2, 4), a, 1) for w, a in zip(widths[1:], widths[:-1], strict=True)]
        )
        self.last = nn.Conv2d(max(width // 2, 4), 3, 3, padding=1)

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """float [B, 3, S, S] with the mean colour in holes [B, S, S] to [B, 3, S, S] in [0, 1]."""
        maps = [torch.cat([x, hole[:, None].to(x)], 1)]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        made = maps.pop()
        for k in reversed(range(LEVELS)):
            skip = maps[k]
            larger = F.interpolate(made, skip.shape[-2:], mode="nearest")
            made = self.up[k](torch.cat([larger, skip], 1))
            if k:
                made = self.across[k - 1](made)
        return self.last(made).sigmoid()


def _layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))
