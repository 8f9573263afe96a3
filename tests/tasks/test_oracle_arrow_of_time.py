"""The arrow of time on frames whose brightness spells the time."""

import math

import pytest
import torch
from planted import drawn, medium
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.arrow_of_time import ArrowOfTime
from pretexto.tasks.parts.clip_input import ClipInput


def task_of(**options) -> ArrowOfTime:
    """Pixels that can be read: colours and light as they are, all tuples asked about."""
    encoder = options.pop("encoder", TinyVideo)
    easy = {
        "size": 2,
        "frames": 6,
        "colour": 0.0,
        "exposure": False,
        "static": False,
        "letterbox": False,
    }
    return make_task(ArrowOfTime, build_encoder(encoder), **(easy | options))


def spelled(inputs: Tensor) -> Tensor:
    """1 where every frame is later than the one before, 0 where earlier, -1 else."""
    steps = inputs.mean((1, 3, 4)).diff(dim=1)
    return (steps > 0).all(1).long() - (~(steps < 0).all(1) & ~(steps > 0).all(1)).long()


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_answer_is_what_the_pixels_spell(encoder):
    _, data = drawn(task_of(encoder=encoder), 200)
    assert (data["weight"] == 1).all()
    assert torch.equal(data["target"], spelled(data["inputs"]))
    assert torch.equal(data["target"], (data["times"].diff(dim=1) > 0).all(1).long())


def test_colour_change_keeps_the_direction():
    # Six seconds of ten, since brighter frames would all become white.
    _, data = drawn(task_of(colour=0.2, frame_interval=0.2), 100, info=medium(6.0))
    assert torch.equal(data["target"], spelled(data["inputs"]))


def test_scrambled_answers_are_noticed():
    _, data = drawn(task_of(), 200)
    assert not torch.equal(data["target"].roll(1), spelled(data["inputs"]))
    assert torch.equal(data["target"], 1 - spelled(data["inputs"].flip(2)))
    swapped = data["inputs"][:, :, [1, 0, 2, 3, 4, 5]]
    assert (spelled(swapped) == -1).all()


def test_every_clip_is_shown_in_both_directions():
    _, data = drawn(task_of(size=16), 20)
    forwards, backwards = data["inputs"][1::2], data["inputs"][::2]
    assert torch.equal(data["target"], torch.tensor([0, 1] * 20))
    assert torch.equal(forwards, backwards.flip(2))
    assert not torch.equal(forwards, backwards)
    assert torch.equal(data["times"][1::2], data["times"][::2].flip(1))


def test_without_pairs_half_of_the_clips_run_backwards():
    _, data = drawn(task_of(pairs=False), 1000)
    assert torch.equal(data["target"], spelled(data["inputs"]))
    # Five standard deviations of a binomial.
    assert abs(int(data["target"].sum()) - 500) < 5 * math.sqrt(250)


def test_frames_are_evenly_spaced():
    task = task_of(frames=5, frame_interval=0.1)
    for i in range(200):
        times = torch.tensor(task.plan(medium(0.5), generator(0, 0, i)).times)
        torch.testing.assert_close(times.diff(), torch.full((4,), 0.1), atol=1e-5, rtol=0)


def test_an_image_encoder_shows_the_order_of_frames():
    video = ClipInput(build_encoder(TinyImage).eval(), frames=4)
    clip = torch.rand(2, 3, 4, 32, 32, generator=generator(0, 0, 0))
    with torch.no_grad():
        vectors = video.encode_frames(clip).unflatten(1, (4, -1))
        for k in range(4):
            torch.testing.assert_close(vectors[:, k], video.encoder(clip[:, :, k]))


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="2 or more frames"):
        task_of(frames=1)
