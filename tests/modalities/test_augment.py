"""Batched transforms against torchvision's, one sample at a time."""

from itertools import permutations

import pytest
import torch
import torchvision.transforms.functional as reference
from torch import Tensor

from pretexto.modalities.rng import generator
from pretexto.modalities.transforms.colour import LUMA, apply_colour, colour_map, draw_colour
from pretexto.modalities.transforms.image import (
    apply_blur,
    apply_crop,
    apply_gain,
    draw_blur,
    draw_crop,
    draw_flip,
    draw_gain,
)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_crop_equals_torchvision_on_whole_pixels():
    x = pictures(5, 3, 4, 40, 48)
    boxes = torch.tensor(
        [[0, 0, 40, 48], [3, 5, 30, 20], [10, 8, 12, 40], [1, 1, 7, 9], [24, 32, 16, 16]]
    )
    flips = torch.tensor([False, True, False, True, False])
    relative = boxes / torch.tensor([40, 48, 40, 48])
    out = apply_crop(x, relative, flips, 16)
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        want = reference.resized_crop(
            x[i].transpose(0, 1), top, left, height, width, [16, 16], antialias=True
        )
        want = reference.hflip(want) if flips[i] else want
        torch.testing.assert_close(out[i].transpose(0, 1), want, atol=2e-6, rtol=0)


def test_crop_of_a_coordinate_ramp_gives_the_boxs_coordinates():
    ramp = ((torch.arange(64) + 0.5) / 64).expand(1, 1, 64, 64)
    box = torch.tensor([[0.1, 0.237, 0.61, 0.5113]])
    got = apply_crop(ramp, box, None, 16)[0, 0]
    want = 0.237 + 0.5113 * (torch.arange(16) + 0.5) / 16
    # One input pixel is 1/64; only at the box's own borders is the filter one-sided.
    assert (got - want)[:, 1:-1].abs().max() < 2e-3
    assert (got - want).abs().max() < 0.5 / 64


def test_all_frames_of_a_clip_share_the_crop():
    frame = pictures(2, 3, 1, 20, 20)
    clip = frame.expand(2, 3, 6, 20, 20)
    boxes = torch.stack([draw_crop(generator(0, 0, i)) for i in range(2)])
    out = apply_crop(clip, boxes, torch.tensor([True, False]), 12)
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), atol=0, rtol=0)
    single = apply_crop(frame[:, :, 0], boxes, torch.tensor([True, False]), 12)
    torch.testing.assert_close(out[:, :, 0], single, atol=1e-6, rtol=0)


def test_drawn_boxes_lie_inside_and_spread_as_asked():
    rng = torch.Generator().manual_seed(0)
    boxes = torch.stack([draw_crop(rng, scale=(0.2, 0.8)) for _ in range(4000)])
    top, left, height, width = boxes.unbind(1)
    assert boxes.min() >= 0
    assert (top + height).max() <= 1
    assert (left + width).max() <= 1
    area, aspect = height * width, width / height
    assert area.min() >= 0.2 - 1e-6
    assert area.max() <= 0.8 + 1e-6
    assert aspect.min() >= 3 / 4 - 1e-5
    assert aspect.max() <= 4 / 3 + 1e-5
    # Rejection of boxes that stand out thins the largest ones only; log-aspect is symmetric.
    assert abs(aspect.log().mean()) < 4 * aspect.log().std() / 4000**0.5
    assert torch.equal(
        draw_crop(rng, scale=(1, 1), ratio=(2, 2)), torch.tensor([0.0, 0.0, 1.0, 1.0])
    )


@pytest.mark.parametrize("order", list(permutations(["brightness", "contrast", "saturation"])))
def test_colour_equals_torchvision_where_nothing_is_clamped(order):
    x = 0.35 + 0.3 * pictures(3, 3, 24, 24)
    factors = {"brightness": 1.2, "contrast": 0.7, "saturation": 1.3}
    maps = colour_map([(name, factors[name]) for name in order])
    got = apply_colour(x, maps.expand(3, 2, 3, 3))
    for i in range(3):
        want = x[i]
        for name in order:
            want = getattr(reference, f"adjust_{name}")(want, factors[name])
        # torchvision rounds the luma weights to four digits.
        torch.testing.assert_close(got[i], want, atol=2e-4, rtol=0)


def test_repeated_contrast_uses_the_mean_of_what_came_before():
    x = 0.35 + 0.3 * pictures(1, 3, 12, 12)
    steps = [("brightness", 1.1), ("contrast", 0.5), ("saturation", 0.6), ("contrast", 1.4)]
    want = x[0]
    for name, factor in steps:
        want = getattr(reference, f"adjust_{name}")(want, factor)
    got = apply_colour(x, colour_map(steps)[None])[0]
    torch.testing.assert_close(got, want, atol=3e-4, rtol=0)


def test_strong_jitter_stays_near_torchvisions():
    """Clamping once instead of four times, and turning hue in YIQ, are small differences."""
    rng, apart = torch.Generator().manual_seed(0), []
    x = pictures(64, 3, 16, 16)
    for i in range(64):
        factors = [(n, 0.6 + 0.8 * torch.rand((), generator=rng).item()) for n in NAMES]
        got = apply_colour(x[i : i + 1], colour_map(factors)[None])[0]
        want = x[i]
        for name, factor in factors:
            want = getattr(reference, f"adjust_{name}")(want, factor)
        apart.append((got - want).abs().mean())
    # Measured: mean 0.010, over uniform noise, which clamps more than pictures do.
    assert torch.stack(apart).mean() < 0.02


NAMES = ("brightness", "contrast", "saturation")


def test_hue_turns_chroma_and_keeps_luma():
    x = 0.4 + 0.2 * pictures(1, 3, 8, 8)
    luma = torch.tensor(LUMA)[:, None, None]
    third = colour_map([("hue", 1 / 3)])[None]
    once = apply_colour(x, third)
    torch.testing.assert_close((once * luma).sum(1), (x * luma).sum(1), atol=1e-6, rtol=0)
    thrice = apply_colour(apply_colour(once, third), third)
    torch.testing.assert_close(thrice, x, atol=1e-5, rtol=0)
    assert (once - x).abs().max() > 0.05
    grey = x.mean(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(apply_colour(grey, third), grey, atol=1e-6, rtol=0)


def test_greyscale_equals_torchvision():
    x = pictures(2, 3, 8, 8)
    maps = torch.stack([draw_colour(generator(0, 0, i), p=0, grey=1) for i in range(2)])
    want = reference.rgb_to_grayscale(x, 3)
    torch.testing.assert_close(apply_colour(x, maps), want, atol=2e-4, rtol=0)


def test_drawn_jitter_occurs_as_often_as_asked():
    rng = torch.Generator().manual_seed(0)
    draws = [draw_colour(rng, brightness=0.4, p=0.8, grey=0.2) for _ in range(4000)]
    untouched = sum(torch.equal(m[0], torch.eye(3)) for m in draws)
    grey = sum(bool((m[0] - m[0, :1]).abs().max() < 1e-6) for m in draws)
    # Binomial: five standard deviations of 4000 draws.
    assert abs(untouched - 4000 * 0.2 * 0.8) < 5 * (4000 * 0.16 * 0.84) ** 0.5
    assert abs(grey - 4000 * 0.2) < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_contrast_of_a_clip_uses_one_mean_for_all_frames():
    clip = torch.cat([torch.full((1, 3, 1, 4, 4), v) for v in (0.2, 0.6)], 2)
    out = apply_colour(clip, colour_map([("contrast", 0.5)])[None])
    torch.testing.assert_close(out[0, 0, :, 0, 0], torch.tensor([0.3, 0.5]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.3, 0.9, 2.0])
@pytest.mark.parametrize("shape", [(1, 3, 24, 24), (1, 3, 20, 30)])
def test_blur_equals_torchvision(sigma, shape):
    x = pictures(*shape)
    got = apply_blur(x, torch.tensor([sigma]), 3)
    want = reference.gaussian_blur(x, [7, 7], [sigma, sigma])
    torch.testing.assert_close(got, want, atol=2e-6, rtol=0)


def test_each_sample_has_its_own_blur_and_zero_is_none():
    x = pictures(3, 3, 2, 16, 16)
    out = apply_blur(x, torch.tensor([0.0, 1.0, 0.0]), 2)
    torch.testing.assert_close(out[[0, 2]], x[[0, 2]], atol=1e-6, rtol=0)
    assert (out[1] - x[1]).abs().max() > 0.05
    assert float(draw_blur(generator(0, 0, 0), p=0)) == 0
    assert 0.1 <= float(draw_blur(generator(0, 0, 0), p=1)) <= 2


def test_gain_is_one_factor_per_sound_and_never_clips_over():
    audio = pictures(3, 1, 100) * 2 - 1
    gains = torch.tensor([0.9, 1.1, 3.0])
    out = apply_gain(audio, gains)
    torch.testing.assert_close(out[0], audio[0] * 0.9)
    assert out.abs().max() == 1
    drawn = torch.stack([draw_gain(generator(0, 0, i)) for i in range(200)])
    assert drawn.min() >= 0.9
    assert drawn.max() <= 1.1
    assert drawn.std() > 0.04


def test_flips_are_fair():
    rng = torch.Generator().manual_seed(0)
    flips = torch.stack([draw_flip(rng) for _ in range(2000)])
    assert flips.dtype == torch.bool
    assert abs(flips.float().mean() - 0.5) < 5 * 0.5 / 2000**0.5
    assert not any(draw_flip(rng, 0.0) for _ in range(100))


def test_half_precision_regions_do_not_touch_pixels():
    x = pictures(2, 3, 16, 16)
    box, maps = torch.tensor([[0.1, 0.1, 0.8, 0.8]] * 2), draw_colour(generator(0, 0, 0), hue=0.1)

    def run():
        y = apply_colour(apply_crop(x, box, None, 12), maps.expand(2, 2, 3, 3))
        return apply_blur(y, torch.tensor([0.5, 0.0]), 2)

    plain = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run(), plain)
