"""Films in memory whose optical flow is given, not computed: what tasks on motion are tested by."""

import math
from collections.abc import Callable
from typing import Any

import torch
from task_kit import collate
from torch import Tensor, nn

from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.task import Batch, Task

SIDE, SECONDS = 32, 8.0
Make = Callable[[int, Plan], Sample]


def film(**changes: Any) -> MediaInfo:
    fields = {
        "path": "x.mp4", "kind": "video", "duration": SECONDS, "fps": 25.0, "frames": 200,
        "height": SIDE, "width": SIDE,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def drawn(
    task: Task, make: Make, count: int = 8, seed: int = 0, about: MediaInfo | None = None
) -> Batch:
    """Examples of `count` films as a loader makes them."""
    examples = []
    for i in range(count):
        rng = generator(seed, 0, i)
        sample = make(i, task.plan(about or film(), rng))
        examples.append({**task.example(sample, rng), "index": torch.tensor(i)})
    return collate(examples)


class Says(nn.Module):
    """A network that answers as it is told."""

    def __init__(self, answer: Callable[..., Any]):
        super().__init__()
        self.answer = answer

    def forward(self, *seen: Any) -> Any:
        return self.answer(*seen)


class Films:
    """`count` films, as `small_world.train` takes them."""

    def __init__(self, make: Make, count: int, first: int = 0):
        self.infos, self.labels = [film()] * count, [0] * count
        self.make, self.first = make, first

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        return self.make(self.first + i, plan)


def sample_of(frames: Tensor, flow: Tensor, plan: Plan) -> Sample:
    """Frames float [T, 3, H, W] in [0, 1] and flow [P, 2, H, W] as a reader gives them."""
    times = torch.tensor(plan.times, dtype=torch.float64)
    return Sample((255 * frames.clamp(0, 1)).round().byte(), times, flow=flow.float())


def places(side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Rows and columns as shares of the side, [side, side] each."""
    line = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(line, line, indexing="ij")
    return y, x


def side_of(plan: Plan) -> int:
    return plan.short_side or SIDE


# Films whose frames and flow both spell which film and which second it is.


def spelled(i: int, plan: Plan) -> Sample:
    """Red tells the film and green the second; so do flow's two components, by their length.

    Left and right run against each other, and above and below: a mirror changes none of it, and no
    camera moves so.
    """
    side = side_of(plan)
    y, x = places(side)
    frames = torch.zeros(len(plan.times), 3, side, side)
    frames[:, 0] = (25 * i + 20) / 255
    frames[:, 1] = torch.tensor(plan.times).view(-1, 1, 1) / 10
    across, down = (torch.where(axis < 0.5, 1.0, -1.0) for axis in (x, y))
    fields = [torch.stack([across * (1 + i / 2), down * (1 + a / 2)]) for a, _ in plan.flow]
    return sample_of(frames, torch.stack(fields), plan)


def frames_spell(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Film, and second of the first frame, of each clip [N, 3, T, H, W] in [0, 1]."""
    red, green = clips[:, 0].mean((1, 2, 3)), clips[:, 1, 0].mean((1, 2))
    return ((255 * red - 20) / 25).round(), 10 * green


def flow_spells(fields: Tensor) -> tuple[Tensor, Tensor]:
    """Film, and second of the first field, of flow [N, 2, T, H, W] in pixels as it was read."""
    lengths = fields[:, :, 0].abs().mean((2, 3))
    return (2 * (lengths[:, 0] - 1)).round(), 2 * (lengths[:, 1] - 1)


# A film whose pixels spell how they move.

BLOCKS, LONGEST = 4, 3.0


def signposted(i: int, plan: Plan) -> Sample:
    """Blocks of a colour each: red is how far right they go, green how far down, ± 3 pixels.

    Blue grows to the right: who sees it fall knows that the picture is mirrored.
    """
    side = side_of(plan)
    rng = generator(3, 0, i)
    coarse = 2 * torch.rand(2, BLOCKS, BLOCKS, generator=rng) - 1
    moving = torch.rand(1, BLOCKS, BLOCKS, generator=rng) < 0.6
    large = (coarse * moving).repeat_interleave(side // BLOCKS, 1)
    unit = large.repeat_interleave(side // BLOCKS, 2)
    frame = torch.cat([0.5 + unit / 2, places(side)[1][None]])
    many = (len(plan.times), 1, 1, 1)
    return sample_of(
        frame.repeat(many), (LONGEST * unit)[None].repeat(len(plan.flow), 1, 1, 1), plan
    )


def signs(pictures: Tensor) -> Tensor:
    """What [B, 3, H, W] of a signposted film say of how they move, in pixels: [B, 2, H, W]."""
    half = pictures.shape[-1] // 2
    blue = pictures[:, 2]
    mirrored = blue[..., :half].mean((1, 2)) > blue[..., half:].mean((1, 2))
    sign = torch.where(mirrored, -1.0, 1.0).view(-1, 1, 1)
    vector = 2 * LONGEST * (pictures[:, :2] - 0.5)
    return torch.stack([vector[:, 0] * sign, vector[:, 1]], 1)


def class_of(x: float, y: float, unit: float, directions: int, speeds: int) -> int:
    """Walker's class of a vector, step by step; `unit` is the root mean square of all."""
    length = math.hypot(x, y) / unit
    if length < 0.5:
        return 0
    speed = 0
    while speed < speeds - 1 and length >= 0.5 * 2 ** (speed + 1):
        speed += 1
    part = math.floor(math.degrees(math.atan2(y, x)) / (360 / directions) + 0.5) % directions
    return 1 + part * speeds + speed
