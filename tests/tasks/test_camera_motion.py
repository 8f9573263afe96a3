"""What a camera moves is taken off the flow, and what moves by itself is kept."""

import torch
from torch import Tensor

from pretexto.modalities.rng import generator
from pretexto.tasks.parts.camera_motion import without_camera

SIDE = 64


def seen_by_a_camera(seed: int) -> Tensor:
    """[2, H, W], what a plane shows to a camera that moves and turns at random."""
    rng = generator(seed, 0, 0)
    pan, tilt, *turn = (4 * torch.rand(8, generator=rng) - 2).tolist()
    line = torch.linspace(-1, 1, SIDE)
    y, x = line[:, None], line[None]
    a, b, c, d, e, f = turn
    across = pan + a * x + b * y + e * x * x + f * x * y
    down = tilt + c * x + d * y + e * x * y + f * y * y
    return torch.stack([across, down])


def body() -> Tensor:
    """A fifth of the picture that moves 5 pixels to the right."""
    moves = torch.zeros(2, SIDE, SIDE)
    moves[0, 8:36, 20:52] = 5.0
    return moves


def test_a_plane_is_taken_off_and_a_body_on_it_is_kept():
    cameras = torch.stack([seen_by_a_camera(seed) for seed in range(16)])
    noise = 0.05 * torch.randn(cameras.shape, generator=generator(1, 0, 0))
    left = without_camera(cameras + body() + noise, "plane")
    error = (left - body()).square().mean((1, 2, 3)).sqrt()
    # Of 40 cameras at most 0.051, which is the noise; with one round of fitting 0.59 in the mean.
    assert float(error.max()) < 0.06


def test_a_pan_is_taken_off_and_a_body_is_kept():
    pan = torch.tensor([3.0, -2.0])[:, None, None]
    torch.testing.assert_close(without_camera((body() + pan)[None], "median")[0], body())
