"""Each task on time is learned from what moves, and not from a single moment.

Scores are mean accuracies on unseen scenes of the synthetic world; for the arrow of time, where
that world runs the same both ways, of one where things fall. Moments lie so close together that a
figure, which turns round about twice a second, is mostly on one way between them.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from small_world import as_it_is, held_out, one_moment, score, train
from task_kit import make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.image import resize
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator, integer, uniform
from pretexto.tasks.arrow_of_time import ArrowOfTime
from pretexto.tasks.clip_order import ClipOrder
from pretexto.tasks.pace import Pace
from pretexto.tasks.sequence_sorting import SequenceSorting
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Task

pytestmark = pytest.mark.slow

FAST = {"fps": 50, "seconds": 1.0}


def shuffle_learn(static: bool = True) -> Task:
    # Frames of 12.5 a second came to 0.598 after 300 steps and 0.601 after 500, without the guard
    # `exposure` to 0.629, and of three times as many scenes to 0.607 and without guards to 0.695.
    options = {"tau_min": 0.08, "tau_max": 0.16, "positives": 0.5, "spatial_grid": 2}
    views = {"size": 32, "scale": (0.8, 1.0), "colour": 0.0, "static": static}
    return make_task(ShuffleLearn, TinyImage(width=8), **options, **views)


def clip_order() -> Task:
    # Single frames: which way they run is seen in how a figure gathers speed. Clips of four frames,
    # 0.04 s apart, in a video encoder came to 0.327 after 500 dearer steps (seed 0).
    options = {"frames": 1, "frame_interval": 0.02, "gap": 0.08, "spatial_grid": 2}
    views = {"size": 32, "scale": (1.0, 1.0), "colour": 0.0}
    return make_task(ClipOrder, TinyImage(width=8), **options, **views)


def sequence_sorting() -> Task:
    # With one colour channel per moment, three moments came to 0.440 after 500 steps, and
    # and without it to 0.673 (seed 0).
    options = {"moments": 4, "tau_min": 0.06, "tau_max": 0.12, "spatial_grid": 2}
    views = {"size": 32, "scale": (0.8, 1.0), "channel_splitting": False}
    return make_task(SequenceSorting, TinyImage(width=8), **options, **views)


def pace() -> Task:
    return make_task(
        Pace,
        TinyVideo(width=8),
        size=32,
        frames=6,
        frame_interval=0.08,
        paces=(1, 4),
        scale=(0.8, 1.0),
        colour=0.0,
    )


def arrow_of_time() -> Task:
    return make_task(
        ArrowOfTime, TinyVideo(width=8), size=32, frames=8, frame_interval=0.04, scale=(0.8, 1.0)
    )


def one_frame(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only the frame in the middle, at every time of [B, 3, T, H, W]."""
    x = batch["inputs"]
    middle = x.shape[2] // 2
    return {**batch, "inputs": x[:, :, middle : middle + 1].expand_as(x)}


class Falls:
    """Bodies that fall, faster and faster, once a second, before still noise of their own.

    Without `gravity` half of the films run backwards. Unseen media have other numbers.
    """

    def __init__(self, count: int, first: int = 0, gravity: bool = True):
        about = MediaInfo(
            "x.mp4", "video", duration=4.0, fps=25, frames=100, height=40, width=40
        )  # fmt: skip
        self.first, self.gravity = first, gravity
        self.infos, self.labels = [about] * count, [0] * count

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        rng = generator(self.first, 0, i)
        ground = 0.4 * torch.rand(3, 40, 40, generator=rng)
        body = 0.5 + 0.5 * torch.rand(3, 1, 1, generator=rng)
        left, began = integer(rng, 30), uniform(rng, 0.0, 1.0)
        frames = ground.repeat(len(plan.times), 1, 1, 1)
        for frame, t in zip(frames, plan.times, strict=True):
            phase = (began + t) % 1.0
            if i % 2 and not self.gravity:
                phase = 1.0 - phase
            top = int(32 * phase**2)
            frame[:, top : top + 8, left : left + 8] = body
        shown = resize((255 * frames).byte(), plan.short_side or 40)
        return Sample(shown, torch.tensor(plan.times).double())


def falling_score(seed: int, *, gravity: bool = True, change: Callable = as_it_is) -> float:
    torch.manual_seed(seed)
    task = arrow_of_time()
    train(task, Falls(128, 1000 * seed, gravity), steps=100, seed=seed, lr=2e-3, change=change)
    return held_out(task, Falls(96, 1000 * seed + 500, gravity), change=change)


def test_shuffle_and_learn_is_learned_and_not_from_one_moment_or_where_nothing_moves():
    # Measured: 0.694 (seed 0), balanced; chance is one half.
    assert score(shuffle_learn, 400, 0, scenes=16, **FAST) > 0.6
    # Where nothing moves, and is asked about all the same: 0.500.
    asked = partial(shuffle_learn, static=False)
    still = score(asked, 400, 0, scenes=16, moving=False, **FAST)
    assert abs(still - 0.5) < 0.05
    one = score(shuffle_learn, 400, 0, scenes=16, change=one_moment, **FAST)
    assert abs(one - 0.5) < 0.05


def test_sequence_sorting_is_learned_and_not_from_one_moment():
    # Four moments, as in the paper. Measured over seeds 0 and 1: 0.425 and 0.355, and without the
    # guard `exposure` 0.436 and 0.483; chance is 1 of 12.
    assert score(sequence_sorting, 500, 0, **FAST) > 0.35
    # Measured over three seeds: 0.073 to 0.090.
    assert score(sequence_sorting, 500, 0, change=one_moment, **FAST) < 0.12


def test_clip_order_is_learned_and_not_from_one_clip():
    # Measured over seeds 0 and 1: 0.383 and 0.358, and over three when segments did not follow
    # motion: 0.346 to 0.377; chance is 1 of 6.
    assert score(clip_order, 400, 0, **FAST) > 0.27
    # Measured over three seeds: 0.138 to 0.163, of 480 tuples, so that chance has a deviation of
    # 0.017.
    assert score(clip_order, 400, 0, change=one_moment, **FAST) < 0.22


def test_pace_is_learned_and_not_from_one_frame():
    # Measured over seeds 0 and 1: 0.874 and 0.852; chance is 1 of 2 paces.
    assert score(pace, 300, 0) > 0.7
    # Measured: 0.514 (seed 0), and over three seeds when segments did not follow motion: 0.473 to
    # 0.525; of 480 clips, so that chance has a deviation of 0.023.
    assert abs(score(pace, 300, 0, change=one_frame) - 0.5) < 0.08


def test_the_arrow_of_time_is_learned_where_things_fall():
    # Measured over three seeds: 0.997 to 0.999.
    assert falling_score(0) > 0.9
    # Measured over three seeds: 0.473 to 0.493 without gravity, 0.492 to 0.507 from one frame.
    assert abs(falling_score(0, gravity=False) - 0.5) < 0.08
    assert abs(falling_score(0, change=one_frame) - 0.5) < 0.08
