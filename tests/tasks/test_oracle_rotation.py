"""Rotation on pictures whose pixels spell which way is up."""

import math

import numpy as np
import pytest
import torch
from fakes import FakeSource
from patch_worlds import blotches, in_blocks
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from task_kit import build_encoder, collate, make_task
from torch import Tensor
from torch.nn import functional

from pretexto.comparison.generic_cues import generic_cues
from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.rotation import Rotation


def ramp(plan: Plan, height: int = 60, width: int = 80) -> Sample:
    """Red grows downwards and green to the right, by 3 per pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frame = torch.stack([3 * y, 3 * x, torch.zeros_like(x)]).to(torch.uint8)
    times = torch.tensor(plan.times, dtype=torch.float64)
    return Sample(frame.expand(len(times), 3, height, width), times)


def batch_of(task: Rotation, reader=ramp, count: int = 6) -> dict[str, Tensor]:
    medium = MediaInfo("x.mp4", "video", duration=4.0, fps=25, frames=100, height=60, width=80)
    made = []
    for i in range(count):
        rng = generator(0, 0, i)
        made.append(task.example(reader(task.plan(medium, rng)), rng))
    return task.augment(collate(made))


def spelled(inputs: Tensor) -> Tensor:
    """Where red grows to: down is 0, then counter-clockwise right, up, left."""
    red = inputs[:, 0].mean(1)
    down, right = red.diff(dim=-2).mean((1, 2)), red.diff(dim=-1).mean((1, 2))
    return torch.stack([down, right, -down, -right], 1).argmax(1)


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_answer_is_what_the_pixels_spell(encoder):
    data = batch_of(make_task(Rotation, build_encoder(encoder), size=32))
    assert torch.equal(data["target"], spelled(data["inputs"]))
    assert torch.equal(data["target"].bincount(), torch.tensor([6, 6, 6, 6]))


def test_scrambled_answers_are_noticed():
    data = batch_of(make_task(Rotation, build_encoder(TinyImage), size=32))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(data["target"][order], spelled(data["inputs"]))


def test_inputs_equal_numpys_rotations_exactly():
    inputs = batch_of(make_task(Rotation, build_encoder(TinyVideo), size=32, frames=3))["inputs"]
    for four in inputs.unflatten(0, (6, 4)).numpy():
        for k in range(4):
            assert np.array_equal(four[k], np.rot90(four[0], k, axes=(-2, -1)))
            assert np.array_equal(np.sort(four[k], axis=None), np.sort(four[0], axis=None))
            assert np.array_equal(np.rot90(four[k], 4 - k, axes=(-2, -1)), four[0])


def test_a_frame_is_cropped_square_without_stretching():
    task = make_task(Rotation, build_encoder(TinyImage), size=35, scale=(1.0, 1.0), flip=False)
    upright = batch_of(task)["inputs"][::4, :, 0]
    slope = upright[:, 0].diff(dim=-2).mean((1, 2)) / upright[:, 1].diff(dim=-1).mean((1, 2))
    torch.testing.assert_close(slope, torch.ones(6), atol=0.02, rtol=0)
    squashed = make_task(
        Rotation, build_encoder(TinyImage), size=35, scale=(1.0, 1.0), flip=False, square_crop=False
    )
    upright = batch_of(squashed)["inputs"][::4, :, 0]
    slope = upright[:, 0].diff(dim=-2).mean((1, 2)) / upright[:, 1].diff(dim=-1).mean((1, 2))
    torch.testing.assert_close(slope, torch.full((6,), 60 / 80), atol=0.02, rtol=0)


def test_pictures_without_an_up_cannot_be_told():
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(40) - 19.5, indexing="ij")
    disc = (255 * torch.exp(-(x**2 + y**2) / 200)).to(torch.uint8).expand(1, 3, 40, 40)
    task = make_task(Rotation, build_encoder(TinyImage), size=35, scale=(1.0, 1.0))
    data = batch_of(task, lambda plan: Sample(disc, torch.zeros(1, dtype=torch.float64)))
    with torch.no_grad():
        step = task.eval()(data)
    assert float(step.metrics["accuracy"]) == 0.25
    assert float(step.loss) >= math.log(4) - 1e-6


def test_squashing_gives_the_axis_away_only_without_the_guard():
    """Frames of blotches, four times as wide as high: nothing but squashing can be told."""

    def blotchy(plan: Plan) -> Sample:
        rng = torch.Generator().manual_seed(int(1e6 * plan.times[0]))
        blotches = torch.rand(1, 3, 20, 80, generator=rng)
        frame = functional.interpolate(blotches, scale_factor=4, mode="bicubic").clamp(0, 1)
        return Sample((frame * 255).to(torch.uint8), torch.zeros(1, dtype=torch.float64))

    scores = {}
    for guarded in (True, False):
        task = make_task(Rotation, build_encoder(TinyImage), size=32, square_crop=guarded)
        data = batch_of(task, blotchy, count=100)
        cue, answer = task.guards[0].probe(data).numpy(), (data["target"] % 2).numpy()
        probe = LogisticRegression(max_iter=1000).fit(cue[:200], answer[:200])
        scores[guarded] = probe.score(cue[200:], answer[200:])
    assert scores[False] > 0.9
    # 200 answers of which every picture gives both: chance is 0.5, its deviation below 0.036.
    assert abs(scores[True] - 0.5) < 0.15


def told(task: Rotation, world, eye, count: int = 300) -> float:
    """How often a forest that sees batches of `world(i)` through `eye` alone tells the rotation."""
    still = iter(range(count))

    def read(plan: Plan) -> Sample:
        frames = (255 * world(next(still)).clamp(0, 1)).to(torch.uint8)[None]
        return Sample(frames, torch.zeros(1, dtype=torch.float64))

    data = batch_of(task, read, count)
    seen, answer = eye(data).flatten(1).numpy(), data["target"].numpy()
    cut = len(answer) * 2 // 3
    forest = RandomForestClassifier(200, random_state=0).fit(seen[:cut], answer[:cut])
    return forest.score(seen[cut:], answer[cut:])


def marked(i: int) -> Tensor:
    """Blotches with a white mark in the upper right corner."""
    picture = blotches(i, 12, 72)
    picture[:, 2:9, 63:70] = 1.0
    return picture


def in_odd_blocks(i: int) -> Tensor:
    """Blocks of 8 × 8 pixels, of which those at the right and at the bottom are cut short."""
    return in_blocks(i)[:, :68, :68]


def four_corners(batch: dict[str, Tensor]) -> Tensor:
    x = batch["inputs"][:, :, 0]
    return functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 7)[..., ::6, ::6]


def steps(batch: dict[str, Tensor]) -> Tensor:
    """How much changes from line to line, and from column to column."""
    x = batch["inputs"][:, :, 0]
    return torch.cat([x.diff(dim=-2).abs().mean((1, 3)), x.diff(dim=-1).abs().mean((1, 2))], 1)


def generic(name: str):
    """A cue that no task names, by name."""

    def eye(batch: dict[str, Tensor]) -> Tensor:
        (cue,) = (c for c in generic_cues(batch, FakeSource()) if c.name == name)
        return cue.probe(batch)

    return eye


# Over four seeds of the forest, right in: marks .89, guarded .24 to .27; blocks 1.00, cropped .28
# to .31. Chance is .25, the deviation of 400 answers .022.
def test_a_mark_in_a_corner_tells_the_rotation_only_without_the_guard():
    options = {"size": 36, "scale": (1.0, 1.0), "flip": False}
    tasks = [
        make_task(Rotation, build_encoder(TinyImage), **options, corner_marks=on)
        for on in (False, True)
    ]
    plain, guarded = (told(task, marked, four_corners) for task in tasks)
    assert plain > 0.8
    assert guarded < 0.37
    own = tasks[0].guards[-1]
    assert own.name == "corner_marks"
    assert told(tasks[0], marked, own.probe) > 0.8
    assert told(tasks[0], marked, generic("corners")) > 0.8


def test_the_grid_of_jpegs_blocks_tells_the_rotation_only_of_pictures_that_are_not_cropped():
    options = {"size": 68, "resize_side": 68, "flip": False}
    tasks = [
        make_task(Rotation, build_encoder(TinyImage), **options, scale=scale)
        for scale in ((1.0, 1.0), (0.35, 1.0))
    ]
    whole, cropped = (told(task, in_odd_blocks, steps) for task in tasks)
    assert whole > 0.9
    assert cropped < 0.37
    assert told(tasks[0], in_odd_blocks, generic("block grid")) > 0.9


def test_a_turned_clip_is_drawn_as_a_strip_of_its_frames():
    task = make_task(Rotation, build_encoder(TinyVideo), size=32, frames=8, frame_interval=0.1)
    data = batch_of(task)
    pictures = task(data).pictures()
    assert [p.answer.split()[2] for p in pictures] == ["0°", "90°", "180°", "270°"]
    assert pictures[1].captions == ["+0.00 s", "+0.20 s", "+0.50 s", "+0.70 s"]
    for image, frame in zip(pictures[1].images, (0, 2, 5, 7), strict=True):
        assert torch.equal(image, data["inputs"][5, :, frame])
    single = make_task(Rotation, build_encoder(TinyImage), size=32)
    assert single(batch_of(single)).pictures()[0].captions == ["Which way is up?"]
