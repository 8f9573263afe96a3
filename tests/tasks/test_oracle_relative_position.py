"""Relative position on pictures whose pixels spell where each patch was cut."""

import numpy as np
import pytest
import torch
from patch_worlds import (
    batch_of,
    blotches,
    in_blocks,
    lit_from_above,
    picture_info,
    probe_accuracy,
    ramp,
    smooth,
    still,
    through_a_lens,
    through_a_magenta_lens,
)
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.patches import PROJECTION, one_channel_and_noise, pixelated, standardized
from pretexto.tasks.relative_position import PatchGuards, RelativePosition, paired

BARE = dict.fromkeys(
    ("jitter", "pixelation", "colour_dropping", "standardize", "letterbox", "block_grid"), False
)
# Row-major around the centre: up is less, left is less.
WHERE = {
    (-1, -1): 0, (-1, 0): 1, (-1, 1): 2, (0, -1): 3, (0, 1): 4, (1, -1): 5, (1, 0): 6, (1, 1): 7,
}  # fmt: skip


def task_of(form: str = "pair", size: int = 24, **guards: bool) -> RelativePosition:
    return make_task(
        RelativePosition, build_encoder(TinyImage), size=size, form=form,
        guards=PatchGuards(**{**BARE, **guards}),
    )  # fmt: skip


def places(pairs: Tensor) -> Tensor:
    """Row and column at which each patch of [R, 2, 3, 1, S, S] was cut from the ramp."""
    corner = (255 * pairs[..., 0, 0, 0]).round().long()
    return torch.stack([corner[..., 0] // 2, corner[..., 1]], -1)


def spelled(pairs: Tensor) -> Tensor:
    """The answer as the pixels spell it: a step below the size is no step."""
    step = (places(pairs)[:, 1] - places(pairs)[:, 0]).numpy()
    sign = np.where(np.abs(step) < 24, 0, np.sign(step))
    return torch.tensor([WHERE[int(y), int(x)] for y, x in sign])


@pytest.mark.parametrize("form", ["pair", "grid"])
def test_the_answer_is_what_the_pixels_spell(form):
    data = batch_of(task_of(form, jitter=True), lambda i: ramp(), 200, about=picture_info(120, 250))
    pairs = paired(data["inputs" if form == "pair" else "patches"])
    assert torch.equal(data["target"], spelled(pairs))
    assert set(data["target"].tolist()) == set(range(8))


def test_exchanging_the_patches_turns_answer_l_into_7_minus_l():
    data = batch_of(task_of(jitter=True), lambda i: ramp(), 200, about=picture_info(120, 250))
    assert torch.equal(spelled(data["inputs"].flip(1)), 7 - data["target"])


@pytest.mark.parametrize("form", ["pair", "grid"])
def test_patches_are_moved_on_their_own_and_never_overlap(form):
    task = task_of(form, jitter=True)
    data = batch_of(task, lambda i: ramp(), 300, about=picture_info(120, 250))
    at = places(paired(data["inputs" if form == "pair" else "patches"]))
    far = (at[:, 1] - at[:, 0]).abs()
    # 24 pixels and a gap of 12, each moved by up to 2: those beside each other are never nearer.
    assert set(far.flatten().tolist()) == {*range(5), *range(32, 41)}
    assert far.amax(1).min() >= 24 + 12 - 4


def test_patches_come_from_the_picture_at_its_own_resolution():
    task = task_of(jitter=True)
    plan = task.plan(picture_info(480, 640), generator(0, 0, 0))
    assert plan.short_side == 480
    many = task.plan(picture_info(1200, 2400), generator(0, 0, 0)).short_side
    assert many == round(1200 * (450_000 / (1200 * 2400)) ** 0.5)
    small = task.plan(picture_info(32, 40), generator(0, 0, 0)).short_side
    assert small == task.least == 24 + 12 + 24 + 4
    tiny = batch_of(task, lambda i: still(blotches(i, side=32)), 4, about=picture_info(32, 32))
    assert tiny["inputs"].shape == (4, 2, 3, 1, 24, 24)


def test_the_first_patch_alone_tells_less_than_the_paper_fears():
    """Pairs lie anywhere: the second patch of each answer comes from many places."""
    data = batch_of(task_of(), lambda i: ramp(), 600, about=picture_info(120, 250))
    at = places(data["inputs"])[:, 1]
    for answer in range(8):
        own = at[data["target"] == answer]
        assert own[:, 1].float().std() > 30


def test_the_projection_takes_green_against_magenta_out_and_nothing_else():
    b, a = PROJECTION.double().numpy(), np.array([-1.0, 2.0, -1.0])
    assert np.allclose(b, b.T)
    assert np.allclose(b @ b, b, atol=1e-6)
    assert np.allclose(b @ a, 0, atol=1e-6)
    assert np.linalg.matrix_rank(b, tol=1e-6) == 2
    assert np.allclose(b @ np.ones(3), 1, atol=1e-6)
    task = task_of(colour_projection=True)
    x = batch_of(task, lambda i: blotches(i), 6)["inputs"] - 0.5
    assert float((x[:, :, 1] * 2 - x[:, :, 0] - x[:, :, 2]).abs().max()) < 1e-5
    plain = batch_of(task_of(), lambda i: blotches(i), 6)["inputs"] - 0.5
    assert float((plain[:, :, 1] * 2 - plain[:, :, 0] - plain[:, :, 2]).abs().max()) > 0.1


def test_dropped_channels_know_nothing_of_what_they_were():
    kept = []
    for i in range(60):
        patch = (255 * blotches(i, side=48)).to(torch.uint8)[:, None]
        made = one_channel_and_noise(patch, generator(0, 0, i))
        same = [torch.equal(made[c], patch[c]) for c in range(3)]
        kept.append(same.index(True))
        assert sum(same) == 1
        for c in {0, 1, 2} - {kept[-1]}:
            noise, was = made[c].float(), patch[c].float()
            assert 0 < float(noise.std()) < 2
            assert abs(float(torch.corrcoef(torch.stack([noise, was]).flatten(1))[0, 1])) < 0.1
    assert set(kept) == {0, 1, 2}


def test_pixelation_takes_detail_away_and_keeps_the_size():
    patch = torch.randint(0, 256, (3, 1, 48, 48), generator=generator(0, 0, 0), dtype=torch.uint8)
    rough = [float(pixelated(patch, generator(0, 0, i), 0.1).float().std()) for i in range(20)]
    assert pixelated(patch, generator(0, 0, 0), 0.1).shape == patch.shape
    assert max(rough) < 0.9 * float(patch.float().std())
    assert min(rough) < 0.5 * max(rough)


def test_standardized_patches_have_one_mean_and_deviation_and_constant_ones_are_grey():
    x = torch.rand(2, 3, 3, 1, 16, 16) * torch.tensor([0.2, 1.0])[:, None, None, None, None, None]
    whole, each = (standardized(x, each_channel=e) for e in (False, True))
    torch.testing.assert_close(whole.mean((3, 4, 5)), torch.full((2, 3, 3), 0.5))
    spread = (whole - 0.5).square().mean((2, 3, 4, 5)).sqrt()
    torch.testing.assert_close(spread, torch.full((2, 3), 0.25))
    torch.testing.assert_close(each.std((3, 4, 5), correction=0), torch.full((2, 3, 3), 0.25))
    flat = standardized(torch.full((1, 1, 3, 1, 8, 8), 0.8), each_channel=True)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.5))


# Measured, off and on: gap 0.99 and 0.14, block_grid 1.00 and 0.14, colour_dropping 0.93 and 0.11,
# colour_projection 0.90 and 0.12, standardize 0.39 and 0.11; of light from above alone nobody can
# know more than which patch is the higher one, 3 answers in 8. Chance is 0.125, of 300 questions.
CUES = {
    "gap": (smooth, 0.8),
    "block_grid": (in_blocks, 0.8),
    "colour_dropping": (through_a_lens, 0.6),
    "colour_projection": (through_a_magenta_lens, 0.6),
    "standardize": (lit_from_above, 0.27),
}


HEAVY = ("colour_dropping", "colour_projection", "standardize")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in CUES]
)
def test_a_world_of_one_cue_is_told_only_without_its_guard(name):
    world, told = CUES[name]
    scores = [probe_accuracy(task_of(size=28, **{name: on}), name, world) for on in (False, True)]
    assert scores[0] > told
    assert scores[1] < 0.2


def test_what_makes_no_sense_is_refused():
    for options, message in (
        ({"jitter": 0.3}, "make the gap more than twice the jitter"),
        ({"form": "pairs"}, '"pair" or "grid"'),
        ({"gap": -1.0}, "gap is a number from 0 on"),
        ({"pixelation": 2.0}, "pixelation is a share"),
        ({"spatial_grid": 2, "hidden": 0}, "needs a hidden layer"),
    ):
        with pytest.raises(InputError, match=message):
            RelativePosition(ClipInput(build_encoder(TinyImage), size=24), **options)
