"""Media that spell their time, or hold nothing but one shortcut, and a probe that looks for it."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from sklearn.ensemble import RandomForestClassifier
from task_kit import augmented
from torch import Tensor

from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.task import Batch, Task

SECONDS = 10.0
Reader = Callable[[Plan], Sample]


def medium(
    seconds: float = SECONDS, motion: tuple[float, ...] = (), fps: float = 25.0
) -> MediaInfo:
    return MediaInfo(
        "x.mp4", "video", duration=seconds, fps=fps, frames=round(seconds * fps), height=8, width=8,
        motion=motion,
    )  # fmt: skip


def clock(plan: Plan) -> Sample:
    """Every pixel is the time: 0 at the start, 250 at the end."""
    times = torch.tensor(plan.times, dtype=torch.float64)
    level = (times / SECONDS * 250).round().to(torch.uint8)
    side = plan.short_side or 8
    return Sample(level[:, None, None, None].expand(-1, 3, side, side), times)


def seen(inputs: Tensor) -> Tensor:
    """The time that each moment's first frame spells under that clock, in levels: [B, N]."""
    return (inputs[:, :, :, 0].mean((2, 3, 4)) * 255).round()


def still(plan: Plan) -> Sample:
    """A pattern that never changes."""
    return _sample(plan, lambda t, y, x: torch.stack([_waves(y, x)] * 3))


def panned(plan: Plan) -> Sample:
    """A pattern that the camera passes slowly, by 1 % of the picture in a second."""
    return _sample(plan, lambda t, y, x: torch.stack([_spot(y - 0.01 * t, x - 0.01 * t)] * 3))


def fading(plan: Plan) -> Sample:
    """A pattern that gains colour, and keeps its mean colour."""

    def colourful(t: float, y: Tensor, x: Tensor) -> Tensor:
        wave = 0.05 + 0.035 * t
        pattern = torch.sin(4 * math.pi * x) * torch.sin(4 * math.pi * y)
        return 0.5 + wave * torch.stack([pattern, 0 * pattern, -pattern])

    return _sample(plan, colourful)


def noisy(plan: Plan, amount: Callable[[float], float] = lambda t: 0.2 + 0.2 * t) -> Sample:
    """Grey under fine noise, of up to 2.2 levels, that changes with time."""

    def grain(t: float, y: Tensor, x: Tensor) -> Tensor:
        rng = generator(1, 0, round(1e4 * t))
        noise = torch.randn(1, *x.shape, generator=rng).expand(3, -1, -1)
        return 0.5 + amount(t) * noise / 255

    return _sample(plan, grain)


def patterns(plan: Plan, number: Callable[[float], int]) -> Sample:
    """A picture of its own for every number that a time has."""

    def paint(t: float, y: Tensor, x: Tensor) -> Tensor:
        rng = generator(2, 0, int(number(t)))
        coarse = torch.rand(1, 3, 6, 6, generator=rng)
        return torch.nn.functional.interpolate(coarse, y.shape, mode="bilinear")[0]

    return _sample(plan, paint)


def barred(plan: Plan) -> Sample:
    """A still, bright picture between bars that are black at first and slightly grey at last."""
    sample = still(plan)
    assert sample.frames is not None
    frames = sample.frames.clone()
    height = frames.shape[-2]
    for frame, t in zip(frames, plan.times, strict=True):
        for bar in (frame[:, : height // 6], frame[:, -(height // 6) :]):
            bar.fill_(round(2 * t))
    return Sample(frames, sample.times)


def _waves(y: Tensor, x: Tensor) -> Tensor:
    return 0.5 + 0.2 * torch.sin(7 * x + 1) * torch.sin(5 * y)


def _spot(y: Tensor, x: Tensor) -> Tensor:
    return 0.2 + 0.6 * torch.exp(-((x - 0.5).square() + (y - 0.5).square()) / 0.02)


def _sample(plan: Plan, paint: Callable[[float, Tensor, Tensor], Tensor]) -> Sample:
    side = plan.short_side or 8
    y, x = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    frames = torch.stack([paint(t, y, x) for t in plan.times])
    times = torch.tensor(plan.times, dtype=torch.float64)
    return Sample((frames * 255).round().clamp(0, 255).to(torch.uint8), times)


def drawn(
    task: Task, count: int, reader: Reader = clock, info: MediaInfo | None = None, seed: int = 0
) -> tuple[list[Plan], dict[str, Tensor]]:
    """Plans and the augmented batch of `count` draws from one medium."""
    plans: list[Plan] = []
    made: list[Batch] = []
    for i in range(count):
        rng = generator(seed, 0, i)
        plans.append(task.plan(info or medium(), rng))
        sample = replace(reader(plans[-1]), note=plans[-1].note)
        made.append(task.example(sample, rng))
    return plans, augmented(task, made)


def probed(
    task: Task,
    guard: str,
    reader: Reader,
    count: int,
    info: MediaInfo | None = None,
    seed: int = 0,
) -> float:
    """How well a forest answers held-out questions from a guard's cue alone."""
    _, data = drawn(task, count, reader, info, seed)
    chosen = next(g for g in task.guards if g.name == guard)
    asked = data["weight"] > 0
    cue, answer = chosen.probe(data)[asked].numpy(), data["target"][asked].numpy()
    half = len(answer) // 2
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
    return forest.fit(cue[:half], answer[:half]).score(cue[half:], answer[half:])
