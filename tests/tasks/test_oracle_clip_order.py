"""Clip order on frames whose brightness spells the time."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from planted import drawn, medium, still
from scipy.stats import chisquare
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo
from pretexto.modalities.rng import generator
from pretexto.tasks.clip_order import ClipOrder
from pretexto.tasks.parts.heads import PairwiseOrder
from pretexto.tasks.parts.pictures import strip
from pretexto.visualization.puzzles import correct


def task_of(**options) -> ClipOrder:
    """Pixels that can be read: colours and light as they are, all tuples asked about."""
    encoder = options.pop("encoder", TinyVideo)
    easy = {"size": 2, "colour": 0.0, "exposure": False, "static": False, "hidden": 8, "gap": 0.4}
    frames = {"frames": 3} if encoder is TinyVideo else {}
    return make_task(ClipOrder, build_encoder(encoder), **(easy | frames | options))


def seen(inputs: Tensor) -> Tensor:
    """The time that each clip's first frame spells, in levels: [B, N]."""
    return (inputs[:, :, :, 0].mean((2, 3, 4)) * 255).round()


def spelled(inputs: Tensor) -> Tensor:
    """The class that the pixels spell: ranks in time, looked up among all orders."""
    every = list(permutations(range(inputs.shape[1])))
    return torch.tensor(
        [every.index(tuple(r)) for r in seen(inputs).argsort(1).argsort(1).tolist()]
    )


@pytest.mark.parametrize("clips", [2, 3, 4])
@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_answer_is_what_the_pixels_spell(encoder, clips):
    task = task_of(encoder=encoder, clips=clips)
    assert task.head.classifier.out_features == math.factorial(clips)
    _, data = drawn(task, 80)
    assert (data["weight"] == 1).all()
    assert torch.equal(data["target"], spelled(data["inputs"]))


def test_colour_change_keeps_the_order():
    _, data = drawn(task_of(colour=0.2), 80, info=medium(6.0))
    assert torch.equal(data["target"], spelled(data["inputs"]))


def test_scrambled_answers_are_noticed():
    _, data = drawn(task_of(), 200)
    assert not torch.equal(data["target"].roll(1), spelled(data["inputs"]))
    assert (spelled(data["inputs"][:, [1, 0, 2]]) != data["target"]).all()
    assert (spelled(data["inputs"].flip(1)) != data["target"]).all()


def test_all_orders_are_asked_equally_often():
    _, data = drawn(task_of(), 900)
    assert chisquare(data["target"].bincount(minlength=6).numpy()).pvalue > 1e-3


def test_every_clip_runs_forwards():
    _, data = drawn(task_of(frame_interval=0.1), 100)
    assert (data["inputs"].mean((2, 4, 5)).diff(dim=2) > 0).all()


def test_clips_lie_a_gap_apart_and_do_not_overlap():
    task = task_of(frames=4, frame_interval=0.04, gap=0.32)
    for i in range(300):
        times = torch.tensor(task.plan(medium(), generator(0, 0, i)).times, dtype=torch.float64)
        clips = times.view(3, 4)
        torch.testing.assert_close(clips.diff(dim=1), torch.full((3, 3), 0.04).double())
        torch.testing.assert_close(clips[1:, 0] - clips[:-1, -1], torch.full((2,), 0.32).double())
        assert times.min() >= 0
        assert times.max() < 10


def test_media_too_short_for_the_gap_are_refused_by_name():
    """Three clips of 0.12 s with 0.32 s between them take 1 s."""
    task = task_of(frames=4, frame_interval=0.04, gap=0.32)
    for i in range(100):
        times = task.plan(medium(1.01), generator(0, 0, i)).times
        assert max(times) < 1.01
        assert times[4] - times[3] == pytest.approx(0.32)
    with pytest.raises(MediaError, match=r"x.mp4: plan: 0.60 s are too short .* lower .* gap"):
        task.plan(medium(0.6), generator(0, 0, 0))


def test_segments_are_chosen_where_something_moves():
    motion = (0.0,) * 6 + (1.0,) + (0.0,) * 3
    for i in range(200):
        times = task_of().plan(medium(motion=motion), generator(0, 0, i)).times
        assert times[-1] > 6 - 0.2
        assert times[0] < 7 + 0.2


def test_pairs_of_identical_clips_look_identical():
    task = task_of(size=32)
    assert isinstance(task.head, PairwiseOrder)
    same = torch.rand(2, 1, task.video.encoder.dim, generator=generator(0, 0, 0)).expand(-1, 3, -1)
    pairs = task.head.pairs(same)
    assert pairs.shape == (2, 3, 8)
    torch.testing.assert_close(pairs, pairs[:, :1].expand_as(pairs))


def test_static_media_are_never_asked_about():
    task = task_of(size=32, static=True)
    _, data = drawn(task, 6, still)
    step = task(data)
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert float(step.metrics["rejected"]) == 1
    assert all(p.grad.isfinite().all() for p in task.parameters())


def test_static_media_leave_the_answer_to_chance():
    task = task_of(size=16, static=False, scale=(1.0, 1.0)).eval()
    _, data = drawn(task, 300, still)
    assert torch.equal(data["inputs"], data["inputs"][:, [2, 0, 1]])
    with torch.no_grad():
        got = float(task(data).metrics["accuracy"])
    assert abs(got - 1 / 6) < 5 * math.sqrt(1 / 6 * 5 / 6 / 300)


def test_impossible_media_and_options_are_refused():
    with pytest.raises(MediaError, match="no video"):
        task_of().plan(MediaInfo("x.jpg", "image"), generator(0, 0, 0))
    with pytest.raises(InputError, match="2 to 5"):
        task_of(clips=6)
    with pytest.raises(InputError, match="gap"):
        task_of(frame_interval=0.1, gap=0.05)


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_a_grid_shows_the_head_where_things_are(encoder):
    task = task_of(encoder=encoder, size=64, spatial_grid=2)
    _, data = drawn(task, 4)
    task(data).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.parameters())


def test_pictures_say_in_which_order_to_view_the_clips():
    task = task_of(size=16, clips=4)
    _, data = drawn(task, 4)
    for i, picture in enumerate(task(data).pictures()):
        places = [int(k) - 1 for k in picture.answer.removeprefix("in order ").split("-")]
        times = [float(picture.captions[k].split()[0]) for k in places]
        assert times == sorted(times), picture.answer
        said = picture.answer.removeprefix("in order ")
        assert correct(replace(picture, prediction=f"{said} (50 %)"))
        assert torch.equal(picture.images[2], strip(data["inputs"][i, 2], 2))
