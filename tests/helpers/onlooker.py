"""An onlooker who knows no task, and answers from what anyone would compute of a picture."""

from itertools import combinations

import numpy as np
import torch
from light_worlds import LightWorld
from sklearn.ensemble import RandomForestClassifier
from task_kit import augmented
from torch import Tensor

from pretexto.modalities.rng import generator
from pretexto.tasks.arrow_of_time import ArrowOfTime
from pretexto.tasks.task import Batch, Task


def examples(task: Task, world: LightWorld, count: int, seed: int = 0) -> Batch:
    """The augmented batch of one question about each of `count` films."""
    made = []
    for i in range(count):
        rng = generator(seed, 0, i)
        made.append(task.example(world.read(i, task.plan(world.info(i), rng)), rng))
    return augmented(task, made)


def forest_accuracy(task: Task, batch: Batch, *, asked_only: bool = False) -> tuple[float, int]:
    """How many answers a forest finds in the statistics of moments of films it has not seen.

    Args:
        asked_only: learn from and answer the questions that have weight alone.

    Returns:
        share of right answers, and their number.
    """
    frames = batch["inputs"]
    if isinstance(task, ArrowOfTime):
        frames = frames.transpose(1, 2).unsqueeze(3)
    found = torch.cat([statistics(part) for part in frames.split(10)])
    steps = [found[:, i] - found[:, j] for i, j in combinations(range(found.shape[1]), 2)]
    counted = batch["weight"] > 0 if asked_only else batch["weight"] >= 0
    cues = torch.cat([found.flatten(1), *steps], 1)
    return accuracy_of(cues[counted], batch["target"][counted])


def accuracy_of(cues: Tensor, answers: Tensor) -> tuple[float, int]:
    """What a forest makes of cues [B, F]: taught by the first half, tested by the second."""
    half = len(answers) // 2
    forest = RandomForestClassifier(60, min_samples_leaf=2, random_state=0)
    forest.fit(cues[:half].numpy(), answers[:half].numpy())
    return float(forest.score(cues[half:].numpy(), answers[half:].numpy())), len(answers) - half


def statistics(moments: Tensor) -> Tensor:
    """What an onlooker would compute of each moment of [B, N, 3, T, H, W]: [B, N, F].

    Per channel: mean, deviation, least and greatest value, three quantiles, share of clipped
    pixels, edge energy at one, two and four pixels, Laplacian energy, its share of the variance,
    its kurtosis, border against centre in mean, deviation and edges, the four quarters' means.
    """
    x = moments.mean(3) if moments.shape[3] == 1 else moments.flatten(2, 3)
    flat = x.flatten(3)
    mean, std = flat.mean(3), flat.std(3)
    # numpy sorts several times faster than torch.
    in_order, last = torch.from_numpy(np.sort(flat.numpy(), 3)), flat.shape[3] - 1
    quantiles = [in_order[..., round(share * last)] for share in (0.05, 0.5, 0.95)]
    clipped = ((flat < 0.01) | (flat > 0.99)).float().mean(3)
    edges = [_edges(x, k).mean((3, 4)) for k in (1, 2, 4)]
    bend = x[..., 1:-1, 1:-1] * 4 - x[..., 2:, 1:-1] - x[..., :-2, 1:-1]
    bend = bend - x[..., 1:-1, 2:] - x[..., 1:-1, :-2]
    fine = bend.square().mean((3, 4))
    peaks = bend.square().square().mean((3, 4)) / (fine.square() + 1e-12)
    b, (h, w) = x.shape[-1] // 6, x.shape[-2:]
    inner = x[..., 2 * b : -2 * b, 2 * b : -2 * b]
    outer = torch.cat([x[..., :b, :].flatten(3), x[..., -b:, :].flatten(3),
                       x[..., :b].flatten(3), x[..., -b:].flatten(3)], 3)  # fmt: skip
    border = [
        outer.mean(3) - inner.mean((3, 4)),
        outer.std(3) / (inner.flatten(3).std(3) + 1e-4),
        _edges(x[..., :b, :], 1).mean((3, 4)) / (_edges(inner, 1).mean((3, 4)) + 1e-6),
    ]
    quarters = [
        x[..., i * h // 2 : (i + 1) * h // 2, j * w // 2 : (j + 1) * w // 2].mean((3, 4))
        for i in (0, 1) for j in (0, 1)
    ]  # fmt: skip
    found = [
        mean, std, flat.amin(3), flat.amax(3), *quantiles, clipped, *edges, fine,
        fine / (std.square() + 1e-6), peaks.log(), *border, *quarters,
    ]  # fmt: skip
    colour = [x.diff(dim=2).square().mean((2, 3, 4))[..., None]]
    return torch.cat([torch.cat(found, 2), *colour], 2)


def _edges(x: Tensor, apart: int) -> Tensor:
    across = x[..., :-apart, apart:] - x[..., :-apart, :-apart]
    down = x[..., apart:, :-apart] - x[..., :-apart, :-apart]
    return across.square() + down.square()
