"""What moves in the synthetic world, by construction; and films of it by a moving camera."""

import math

import numpy as np
import torch
from small_world import Memory
from torch import Tensor

from pretexto.datasets.synthetic.render import _edge
from pretexto.datasets.synthetic.scene import HEAD


def figure(memory: Memory, i: int, frame: int, side: int) -> Tensor:
    """Where the figure stands in a frame: 1, elsewhere 0, and at its edge, as the camera shakes by
    a pixel, -1: int64 [side, side]."""
    fact = memory.source.truth(i)
    x, y, angle, radius = (fact[name][frame] for name in ("x", "y", "angle", "radius"))
    line = (np.arange(side) + 0.5) / side
    dx, dy = (line[None] - x) / radius, (line[:, None] - y) / radius
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    beyond = np.minimum(_edge(fact["shape"], u, v), np.hypot(u, v + HEAD) - 0.42) * radius * side
    inside = torch.from_numpy((beyond < 0).astype(np.int64))
    inside[torch.from_numpy(np.abs(beyond) < 2.5)] = -1
    return inside
