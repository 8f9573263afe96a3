"""Clip order on frames whose brightness spells the time."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from planted import drawn, medium, seen
from scipy.stats import chisquare
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.clip_order import ClipOrder
from pretexto.tasks.parts.pictures import strip
from pretexto.visualization.puzzles import correct


def task_of(**options) -> ClipOrder:
    """Pixels that can be read: colours and light as they are, all tuples asked about."""
    encoder = options.pop("encoder", TinyVideo)
    easy = {
        "size": 2,
        "colour": 0.0,
        "exposure": False,
        "static": False,
        "letterbox": False,
        "hidden": 8,
        "gap": 0.4,
    }
    frames = {"frames": 3} if encoder is TinyVideo else {}
    return make_task(ClipOrder, build_encoder(encoder), **(easy | frames | options))


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


@pytest.mark.parametrize("seconds", [10.0, 1.01])
def test_clips_lie_a_gap_apart_and_do_not_overlap(seconds):
    """Three clips of 0.12 s with 0.32 s between them take 1 s."""
    task = task_of(frames=4, frame_interval=0.04, gap=0.32)
    for i in range(300):
        plan = task.plan(medium(seconds), generator(0, 0, i))
        times = torch.tensor(plan.times, dtype=torch.float64)
        clips = times.view(3, 4)
        torch.testing.assert_close(clips.diff(dim=1), torch.full((3, 3), 0.04).double())
        torch.testing.assert_close(clips[1:, 0] - clips[:-1, -1], torch.full((2,), 0.32).double())


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="2 to 5"):
        task_of(clips=6)
    with pytest.raises(InputError, match="gap"):
        task_of(frame_interval=0.1, gap=0.05)


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
