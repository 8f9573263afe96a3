"""Bars are found whatever their colour, noise and compression; pictures are left as they are."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from light_worlds import texture
from PIL import Image
from torch import Tensor

from pretexto.modalities.image import resize
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.letterbox import without_letterbox


def film(i: int, height: int = 96, width: int = 128, count: int = 4) -> Tensor:
    """uint8 [count, 3, height, width] of a textured picture that moves by a pixel each frame."""
    picture = texture(0, i, 160)
    frames = torch.stack([picture[:, k : k + height, k : k + width] for k in range(count)])
    return (255 * frames).round().to(torch.uint8)


def barred(frames: Tensor, top: int, left: int, colour: Callable[[int], Tensor]) -> Tensor:
    """Bars of `top` lines above and below, and of `left` columns at both sides."""
    boxed = frames.clone()
    height, width = frames.shape[-2:]
    for k, frame in enumerate(boxed):
        shade = colour(k).round().clamp(0, 255).to(torch.uint8)
        for bar in (frame[:, :top], frame[:, height - top :], frame[..., :left]):
            bar[:] = shade
        frame[..., width - left :] = shade
    return boxed


def plain(*rgb: float) -> Callable[[int], Tensor]:
    return lambda k: torch.tensor(rgb)[:, None, None].expand(3, 1, 1)


def brightening(k: int) -> Tensor:
    return torch.full((3, 1, 1), 2.0 + 60 * k)


def noisy(frames: Tensor, deviation: float) -> Tensor:
    noise = deviation * torch.randn(frames.shape, generator=generator(0, 0, 0))
    return (frames + noise).round().clamp(0, 255).to(torch.uint8)


def compressed(frames: Tensor, quality: int) -> Tensor:
    """Each frame as a JPEG file makes it."""
    made = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        made.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(made)


COLOURS = {
    "black": plain(0, 0, 0),
    "nearly black": plain(16, 12, 20),
    "grey": plain(110, 110, 110),
    "white": plain(250, 250, 250),
    "red": plain(180, 20, 30),
    "brightening": brightening,
}
WEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda frames: frames,
    "noisy": lambda frames: noisy(frames, 8.0),
    "compressed": lambda frames: compressed(frames, 50),
    "compressed and resized": lambda frames: resize(compressed(frames, 50), 73),
}


@pytest.mark.parametrize("wear", WEAR)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("top", "left"), [(14, 0), (0, 40), (10, 16)])
def test_bars_are_cut_off_whatever_their_colour_and_wear(colour, wear, top, left):
    for i in range(3):
        worn = WEAR[wear](barred(film(i), top, left, COLOURS[colour]))
        scale = worn.shape[-2] / 96
        height, width = without_letterbox(worn).shape[-2:]
        # No line of the bars is left, and at most seven of the picture are lost at each side.
        for found, least, bar in (
            (height, 96 - 2 * top, top),
            (width, 128 - 2 * left, left),
        ):
            assert found <= least * scale + 0.5, (i, found, least * scale)
            assert found >= least * scale - (14 if bar else 1), (i, found, least * scale)


@pytest.mark.parametrize("wear", WEAR)
def test_pictures_without_bars_are_left_as_they_are(wear):
    for i in range(8):
        frames = WEAR[wear](film(i))
        assert torch.equal(without_letterbox(frames), frames)


def test_sky_is_no_bar():
    """A clear sky that grows paler towards a skyline of unequal roofs."""
    frames = film(0)
    heights = [20, 45, 30, 50, 25, 40, 15, 35]
    for k, roof in enumerate(heights):
        shade = torch.linspace(120, 160, roof)[:, None]
        frames[:, 2, :roof, 16 * k : 16 * (k + 1)] = shade.to(torch.uint8)
        frames[:, :2, :roof, 16 * k : 16 * (k + 1)] = 90
    assert torch.equal(without_letterbox(frames), frames)


def test_dark_and_flat_pictures_are_left_as_they_are():
    flat = torch.full((3, 3, 40, 60), 12, dtype=torch.uint8)
    assert torch.equal(without_letterbox(flat), flat)
    lamp = flat.clone()
    lamp[:, :, 18:22, 28:32] = 220
    assert torch.equal(without_letterbox(lamp), lamp)
    dim = noisy(flat, 3.0)
    assert torch.equal(without_letterbox(dim), dim)


def test_a_portrait_film_between_wide_bars_is_found():
    boxed = barred(film(2), 0, 43, COLOURS["black"])
    assert without_letterbox(boxed).shape[-1] in range(32, 43)


def test_at_one_side_alone_only_a_thin_black_border_is_cut():
    thin, shade = film(3)[:1], film(3)[:1]
    thin[..., 125:] = 10
    assert without_letterbox(thin).shape[-2:] in {(96, n) for n in range(120, 125)}
    shade[..., 90:] = 10
    assert torch.equal(without_letterbox(shade), shade)


def test_what_is_cut_is_the_same_in_all_frames_and_a_view():
    boxed = barred(film(4), 14, 0, brightening)
    found = without_letterbox(boxed)
    top = (96 - found.shape[-2]) // 2
    assert torch.equal(found, boxed[:, :, top : top + found.shape[-2]])
    assert found.data_ptr() in range(boxed.data_ptr(), boxed.data_ptr() + boxed.nbytes)


def test_what_is_a_bar_in_all_frames_but_one_is_kept():
    for i in range(4):
        frames = film(i, count=16)
        # Rich in contrast, and with ends that are alike, as those of bars are.
        half = 255 * (frames[7, :, :48, :64] > 128).to(torch.uint8)
        half = torch.cat([half, half.flip(1)], 1)
        mixed = barred(frames, 14, 20, COLOURS["black"])
        mixed[7] = torch.cat([half, half.flip(2)], 2)
        assert torch.equal(without_letterbox(mixed), mixed)


def test_bars_within_bars_of_another_colour_are_cut_too():
    picture = torch.randint(60, 200, (4, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    frames = torch.full((4, 3, 56, 64), 235, dtype=torch.uint8)
    frames[..., 12:52] = 16  # black above and below, between white sides
    frames[:, :, 8:48, 12:52] = picture.to(torch.uint8)
    kept = without_letterbox(frames)
    # The line beside a bar goes with it.
    assert kept.equal(picture.to(torch.uint8)[..., 1:-1, 1:-1])
