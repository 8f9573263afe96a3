"""The synthetic world held in memory, and a bare training loop, for tests of learning."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from task_kit import collate
from torch import Tensor

from pretexto.datasets.synthetic.source import Synthetic
from pretexto.modalities.flow import optical_flow
from pretexto.modalities.image import resize
from pretexto.modalities.media import AudioSpan, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.task import Task


class Memory:
    """Every clip of one split, decoded once; plans are then answered without a file.

    Args:
        split: "train" or "test".
        scenes: number of training scenes; half as many are unseen.
        options: of Synthetic.
    """

    def __init__(self, split: str, scenes: int, **options: Any):
        source = Synthetic(split, train_scenes=scenes, test_scenes=scenes // 2, **options)
        self.source = source
        self.infos = [source.info(i) for i in range(len(source))]
        self.labels = [source.label(i) for i in range(len(source))]
        self._clips = [source.read(i, _everything(info)) for i, info in enumerate(self.infos)]
        self._small: dict[tuple[int, int], Tensor] = {}
        self._flows: dict[tuple[int, ...], Tensor] = {}

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        return replace(self._read(i, plan), note=plan.note)

    def _read(self, i: int, plan: Plan) -> Sample:
        clip = self._clips[i]
        shown = self.frames_at(i, plan.times)
        frames = self._resized(i, plan.short_side)[shown] if plan.short_side else clip.frames[shown]
        if plan.flow:
            return Sample(frames, clip.times[shown], flow=self._flow(i, plan))
        if not plan.audio:
            return Sample(frames, clip.times[shown])
        first = round(plan.audio[0].start * clip.audio_rate)
        audio = clip.audio[:, first : first + plan.audio[0].samples]
        return Sample(frames, clip.times[shown], audio, clip.audio_rate)

    def frames_at(self, i: int, times: Sequence[float]) -> Tensor:
        """Numbers of the frames of clip i that are shown at these seconds."""
        starts = self._clips[i].times
        wanted = torch.tensor(times, dtype=torch.float64)
        shown = torch.searchsorted(starts, wanted + 1e-6, right=True).sub(1)
        return shown.clamp(0, len(starts) - 1)

    def _flow(self, i: int, plan: Plan) -> Tensor:
        assert plan.short_side is not None
        frames = self._resized(i, plan.short_side)
        pairs = [tuple(self.frames_at(i, pair).tolist()) for pair in plan.flow]
        missing = [pair for pair in pairs if (i, plan.short_side, *pair) not in self._flows]
        for pair in missing:
            first, second = frames[pair[0], None], frames[pair[1], None]
            self._flows[i, plan.short_side, *pair] = optical_flow(first, second)[0]
        return torch.stack([self._flows[i, plan.short_side, *pair] for pair in pairs])

    def _resized(self, i: int, side: int) -> Tensor:
        if (i, side) not in self._small:
            self._small[i, side] = resize(self._clips[i].frames, side)
        return self._small[i, side]


def _everything(info: MediaInfo) -> Plan:
    times = tuple((k + 0.5) / info.fps for k in range(info.frames))
    return Plan(times=times, audio=AudioSpan(0.0, info.audio_duration, info.audio_rate))


@functools.cache
def world(split: str, scenes: int, **options: Any) -> Memory:
    return Memory(split, scenes, **options)


def as_it_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch


def one_moment(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only the moment in the middle, in every place of [B, N, 3, T, H, W]."""
    x = batch["inputs"]
    middle = x.shape[1] // 2
    return {**batch, "inputs": x[:, middle : middle + 1].expand_as(x)}


def batch_of(
    task: Task, memory: Memory, members: list[int], seed: int, epoch: int
) -> dict[str, Tensor]:
    made = []
    for i in members:
        rng = generator(seed, epoch, i)
        sample = memory.read(i, task.plan(memory.infos[i], rng))
        extra = {"index": torch.tensor(i), "label": torch.tensor(memory.labels[i])}
        made.append({**task.example(sample, rng), **extra})
    return task.augment(collate(made))


def train(
    task: Task,
    memory: Memory,
    *,
    steps: int,
    seed: int,
    size: int = 32,
    lr: float = 4e-3,
    change: Callable = as_it_is,
) -> None:
    """AdamW with a one-cycle learning rate, every epoch in a new order.

    `change` is done to each batch before the task sees it.
    """
    optimizer = torch.optim.AdamW(task.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    rng, order = torch.Generator().manual_seed(seed), []
    for k in range(steps):
        if len(order) < size:
            order = torch.randperm(len(memory), generator=rng).tolist()
        members, order = order[:size], order[size:]
        step = task(change(batch_of(task, memory, members, seed, k)))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def held_out(
    task: Task,
    memory: Memory,
    *,
    rounds: int = 4,
    size: int = 24,
    seed: int = 99,
    change: Callable = as_it_is,
) -> float:
    """Mean of the first metric over batches of unseen scenes."""
    task.eval()
    scores = []
    for epoch in range(rounds):
        rng = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(memory), generator=rng).tolist()
        for at in range(0, len(order) - size + 1, size):
            step = task(change(batch_of(task, memory, order[at : at + size], seed, epoch)))
            scores.append(float(next(iter(step.metrics.values()))))
    task.train()
    return sum(scores) / len(scores)


def score(
    make: Callable[[], Task],
    steps: int,
    seed: int,
    *,
    scenes: int = 30,
    change: Callable = as_it_is,
    **options: Any,
) -> float:
    """What a task reaches on unseen scenes of the world after that many steps on others."""
    torch.manual_seed(seed)
    task = make()
    seen, unseen = (world(part, scenes=scenes, **options) for part in ("train", "test"))
    train(task, seen, steps=steps, seed=seed, change=change)
    return held_out(task, unseen, change=change)
