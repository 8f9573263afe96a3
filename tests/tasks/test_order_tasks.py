"""What every task on the order and the pace of time promises, whatever its question."""

import math

import pytest
import torch
from planted import drawn, medium, still
from task_kit import build_encoder, make_task

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.media import MediaError, MediaInfo
from pretexto.modalities.rng import generator
from pretexto.tasks.arrow_of_time import ArrowOfTime
from pretexto.tasks.clip_order import ClipOrder
from pretexto.tasks.pace import Pace
from pretexto.tasks.parts.heads import PairwiseOrder
from pretexto.tasks.sequence_sorting import SequenceSorting
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Task

# Light and colours stay as they are, so that what stands still looks the same at all times.
LIGHT = {"colour": 0.0, "exposure": False}
TASKS = {
    "arrow_of_time": (ArrowOfTime, TinyVideo, {"frames": 6} | LIGHT),
    "clip_order": (ClipOrder, TinyVideo, {"frames": 3, "gap": 0.4, "hidden": 8} | LIGHT),
    "pace": (Pace, TinyVideo, {"frames": 6, "frame_interval": 0.04, "colour": 0.0}),
    "sequence_sorting": (SequenceSorting, TinyImage, {"exposure": False, "hidden": 8}),
    "shuffle_learn": (ShuffleLearn, TinyImage, {"hidden": 8} | LIGHT),
}
each_task = pytest.mark.parametrize("name", TASKS)
each_encoder = pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])


def task_of(name: str, encoder: type | None = None, **options) -> Task:
    cls, usual, own = TASKS[name]
    return make_task(cls, build_encoder(encoder or usual), **({"size": 32} | own | options))


@each_task
def test_static_media_are_never_asked_about(name):
    task = task_of(name)
    _, data = drawn(task, 6, still)
    step = task(data)
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert float(step.metrics["rejected"]) == 1
    assert all(p.grad.isfinite().all() for p in task.parameters())


# Which axis of the inputs is time, draws, chance, and options: one crop for all moments, and all
# answers of a medium or all equally often.
STATIC = {
    "arrow_of_time": (2, 20, 1 / 2, {}),
    "clip_order": (1, 300, 1 / 6, {}),
    "pace": (2, 20, 1 / 4, {"pairs": True}),
    "sequence_sorting": (1, 300, 1 / 12, {"spatial_jitter": False, "channel_splitting": False}),
    "shuffle_learn": (1, 300, 1 / 2, {"positives": 0.5}),
}


@each_encoder
@each_task
def test_static_media_leave_the_answer_to_chance(name, encoder):
    time, draws, chance, options = STATIC[name]
    task = task_of(name, encoder, static=False, **options).eval()
    _, data = drawn(task, draws, still)
    assert (data["weight"] == 1).all()
    assert torch.equal(data["inputs"], data["inputs"].roll(1, time))
    with torch.no_grad():
        right = float(task(data).metrics["accuracy"])
    all_answers_of_each = len(data["target"]) > draws
    deviation = 0 if all_answers_of_each else math.sqrt(chance * (1 - chance) / draws)
    assert abs(right - chance) <= 5 * deviation


@each_task
def test_segments_are_chosen_where_something_moves(name):
    tuples = name in ("sequence_sorting", "shuffle_learn")
    task = task_of(name, **({"tau_min": 0.2, "tau_max": 0.4} if tuples else {}))
    motion = (0.0,) * 6 + (1.0,) + (0.0,) * 3
    for i in range(200):
        times = task.plan(medium(motion=motion), generator(0, 0, i)).times
        # A segment may miss the motion by the width of a cell, 1/64 of the room.
        assert times[-1] > 6 - 0.2
        assert times[0] < 7 + 0.2


# Options, seconds of media that are just long enough and of such that are not, and the remedy.
LENGTHS = {
    "arrow_of_time": ({"frames": 5, "frame_interval": 0.1}, 0.5, 0.4, "a segment of 0.40 s"),
    "clip_order": ({"frames": 4, "frame_interval": 0.04, "gap": 0.32}, 1.01, 0.6, "lower .* gap"),
    "pace": ({"frames": 8}, 1.2, 0.5, "a segment of 1.12 s"),
    "sequence_sorting": ({"tau_min": 0.1, "tau_max": 2.0}, 0.4, 0.25, "lower tau_min"),
    "shuffle_learn": ({"tau_min": 0.1, "tau_max": 2.0}, 0.4, 0.25, "lower tau_min"),
}


@each_task
def test_clips_stay_inside_and_too_short_media_are_refused_by_name(name):
    options, enough, too_short, remedy = LENGTHS[name]
    task = task_of(name, **options)
    for i in range(200):
        times = task.plan(medium(enough), generator(0, 0, i)).times
        assert min(times) >= 0
        assert max(times) < enough
    reason = rf"^x.mp4: plan: {too_short:.2f} s are too short for .*{remedy}"
    with pytest.raises(MediaError, match=reason) as error:
        task.plan(medium(too_short), generator(0, 0, 0))
    assert error.value.stage == "plan"
    assert "\n" not in str(error.value)


@each_task
def test_pictures_are_refused_by_name(name):
    with pytest.raises(MediaError, match="^x.jpg: plan: no video") as error:
        task_of(name).plan(MediaInfo("x.jpg", "image"), generator(0, 0, 0))
    assert error.value.stage == "plan"


@each_encoder
@pytest.mark.parametrize("name", ["clip_order", "sequence_sorting", "shuffle_learn"])
def test_a_grid_shows_the_head_where_things_are(name, encoder):
    task = task_of(name, encoder, size=64, spatial_grid=2, static=False)
    _, data = drawn(task, 6)
    task(data).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.parameters())


@pytest.mark.parametrize(("name", "moments"), [("clip_order", 3), ("sequence_sorting", 4)])
def test_pairs_of_identical_moments_look_identical(name, moments):
    task = task_of(name)
    head, dim = task.head, task.projection.dim
    assert isinstance(head, PairwiseOrder)
    one = torch.rand(2, 1, dim, generator=generator(0, 0, 0))
    pairs = head.pairs(one.expand(-1, moments, -1))
    assert pairs.shape == (2, moments * (moments - 1) // 2, 8)
    torch.testing.assert_close(pairs, pairs[:, :1].expand_as(pairs))
    other = head.pairs(torch.rand(2, moments, dim, generator=generator(0, 0, 1)))
    assert (other[:, 0] - other[:, 1]).abs().max() > 1e-3
