"""Sound transforms: each does what it says to the sample, and nothing where its strength is 0."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pretexto.encoders.spectrogram import LogMel, LogSpectrogram
from pretexto.modalities.rng import generator
from pretexto.modalities.transforms import audio
from pretexto.modalities.transforms.image import apply_gain

RATE = 16000
L3 = {"n_fft": 512, "window": 160, "hop": 80}


def noise(batch: int = 6, samples: int = RATE, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    loud = torch.linspace(0.02, 0.3, batch)[:, None, None]
    return (torch.rand(batch, 1, samples, generator=rng) * 2 - 1) * loud


def tones(*hertz: float, samples: int = RATE) -> Tensor:
    t = torch.arange(samples, dtype=torch.float64) / RATE
    return torch.stack([0.3 * torch.sin(2 * math.pi * f * t)[None] for f in hertz]).float()


def rms(x: Tensor) -> Tensor:
    return x.double().square().mean((1, 2)).sqrt()


def drawn(draw, count: int = 6, seed: int = 0) -> Tensor:
    return torch.stack([draw(generator(seed, 0, i)) for i in range(count)])


# Every transform with all that it draws, strong enough to be seen.
EACH = {
    "level": (audio.apply_level, audio.draw_level),
    "shift": (audio.apply_shift, lambda rng: audio.draw_shift(rng, 0.5)),
    "masks": (audio.apply_masks, lambda rng: audio.draw_masks(rng, 2, 0.3)),
    "bands": (
        lambda x, v: audio.apply_filter(x, RATE, bands=v),
        lambda rng: audio.draw_masks(rng, 2, 0.3),
    ),
    "gains": (
        lambda x, v: audio.apply_filter(x, RATE, gains=v),
        lambda rng: audio.draw_equaliser(rng, 12.0),
    ),
    "noise": (audio.apply_noise, lambda rng: audio.draw_noise(rng, p=1.0)),
    "mixup": (audio.apply_mixup, lambda rng: audio.draw_mixup(rng, 0.5)),
}
NOTHING = {
    "shift": lambda rng: audio.draw_shift(rng, 0.0),
    "masks": lambda rng: audio.draw_masks(rng, 2, 0.0),
    "bands": lambda rng: audio.draw_masks(rng, 2, 0.0),
    "gains": lambda rng: audio.draw_equaliser(rng, 0.0),
    "noise": lambda rng: audio.draw_noise(rng, p=0.0),
    "mixup": lambda rng: audio.draw_mixup(rng, 0.0),
}


@pytest.mark.parametrize("name", EACH)
def test_same_generator_same_sound_and_nothing_else_is_drawn(name, untouched_rng):
    apply, draw = EACH[name]
    x = noise()
    kept = x.clone()
    with untouched_rng():
        once = apply(x, drawn(draw))
        assert torch.equal(once, apply(x, drawn(draw)))
    assert torch.equal(x, kept), "the argument changed"
    assert not torch.equal(once, apply(x, drawn(draw, seed=1)))
    assert once.dtype == torch.float32
    assert once.shape == x.shape


@pytest.mark.parametrize("name", NOTHING)
def test_no_strength_changes_nothing(name):
    x = noise()
    assert torch.equal(EACH[name][0](x, drawn(NOTHING[name])), x)


@pytest.mark.parametrize("name", [name for name in EACH if name != "mixup"])
def test_neighbours_in_the_batch_do_not_matter(name):
    apply, draw = EACH[name]
    whole = apply(noise(), drawn(draw))
    part = apply(noise()[:2], drawn(draw)[:2])
    torch.testing.assert_close(part, whole[:2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", EACH)
def test_silence_stays_silent(name):
    apply, draw = EACH[name]
    assert torch.equal(apply(torch.zeros(6, 1, 1001), drawn(draw)), torch.zeros(6, 1, 1001))


@pytest.mark.parametrize("name", EACH)
def test_odd_lengths_and_two_channels(name):
    apply, draw = EACH[name]
    x = noise(samples=1001).expand(-1, 2, -1)
    once = apply(x, drawn(draw))
    assert once.shape == (6, 2, 1001)
    assert torch.equal(once[:, 0], once[:, 1])


def test_level_is_the_loudness_that_was_drawn():
    x, levels = noise(), drawn(audio.draw_level)
    assert (levels >= -36).all()
    assert (levels <= -12).all()
    changed = audio.apply_level(x, levels)
    torch.testing.assert_close(20 * rms(changed).log10(), levels.double(), atol=1e-4, rtol=0)
    again = audio.apply_level(0.1 * x, levels)
    torch.testing.assert_close(again, changed, atol=1e-6, rtol=0)


def test_level_never_clips():
    click = torch.zeros(1, 1, RATE)
    click[..., 77] = 0.01
    loud = audio.apply_level(click, torch.tensor([-12.0]))
    torch.testing.assert_close(loud, 100 * click)


@pytest.mark.parametrize(
    ("front", "power"), [(LogSpectrogram(**L3), 1), (LogMel(rate=RATE), 2)], ids=["stft", "mel"]
)
def test_gain_and_level_shift_spectrograms_by_their_logarithm(front, power):
    """ln g for magnitudes, 2 ln g for energies."""
    x = noise()
    gains = torch.tensor([0.5, 0.9, 1.0, 1.1, 2.0, 3.0])
    level = torch.full((6,), -20.0)
    for changed, factor in (
        (apply_gain(x, gains), gains),
        (audio.apply_level(x, level), 0.1 / rms(x)),
    ):
        # A few of noise's bins are too weak for a fair comparison with the floor.
        heard = front(x) > -9
        assert heard.float().mean() > 0.99
        shift = (front(changed) - front(x)).double()
        want = (power * factor.double().log())[:, None, None, None].expand_as(shift)
        torch.testing.assert_close(shift[heard], want[heard], atol=1e-3, rtol=0)


def test_shift_turns_the_sound_around():
    x = noise(3)
    moved = audio.apply_shift(x, torch.tensor([0.25, -0.5, 0.001]))
    for row, before, steps in zip(moved, x, (4000, -8000, 16), strict=True):
        assert torch.equal(row, before.roll(steps, 1))


def test_masks_silence_their_stretches_only():
    x = noise(2) + 1
    masks = torch.tensor([[[0.1, 0.2], [0.5, 0.0]], [[0.9, 0.1], [0.0, 0.01]]])
    silent = audio.apply_masks(x, masks)[:, 0] == 0
    want = torch.zeros(2, RATE, dtype=torch.bool)
    want[0, 1600:4800] = want[1, 14400:] = want[1, :160] = True
    assert torch.equal(silent, want)
    assert torch.equal(audio.apply_masks(x, masks)[:, 0][~want], x[:, 0][~want])


def test_drawn_masks_lie_inside_and_vary():
    masks = drawn(lambda rng: audio.draw_masks(rng, 2, 0.3), 500)
    start, width = masks.unbind(2)
    assert masks.shape == (500, 2, 2)
    assert start.min() >= 0
    assert (start + width).max() <= 1
    assert width.max() <= 0.3
    assert width.max() > 0.29
    assert width.min() < 0.01
    # Uniform widths: a mean of 0.15 with a deviation of 0.087 / sqrt(1000).
    assert abs(width.mean() - 0.15) < 0.012


def mel_place(hertz: float) -> float:
    """Share of the mel scale up to half the rate, by the formula with base ten."""
    mel = lambda f: 2595 * math.log10(1 + f / 700)  # noqa: E731
    return mel(hertz) / mel(RATE / 2)


def test_bands_take_out_the_frequencies_inside_them():
    low, high = mel_place(900), mel_place(1100)
    bands = torch.tensor([[[low, high - low]]]).expand(4, 1, 2)
    x = tones(800, 950, 1050, 1200)
    changed = audio.apply_filter(x, RATE, bands=bands)
    torch.testing.assert_close(changed[[0, 3]], x[[0, 3]], atol=1e-5, rtol=0)
    assert changed[[1, 2]].abs().max() < 1e-5


def test_filter_equals_a_product_in_the_frequency_domain():
    """Against numpy in float64, with the response interpolated by numpy too."""
    x, gains = noise(3, 1001), drawn(lambda rng: audio.draw_equaliser(rng, 12.0), 3)
    bands = drawn(lambda rng: audio.draw_masks(rng, 1, 0.3), 3)
    changed = audio.apply_filter(x, RATE, bands=bands, gains=gains)
    place = np.array([mel_place(f) for f in np.fft.rfftfreq(1001, 1 / RATE)])
    for k in range(3):
        decibels = np.interp(place, np.linspace(0, 1, 8), gains[k].double().numpy())
        start, width = bands[k, 0].tolist()
        response = 10 ** (decibels / 20) * ~((place >= start) & (place < start + width))
        want = np.fft.irfft(np.fft.rfft(x[k, 0].double().numpy()) * response, 1001)
        np.testing.assert_allclose(changed[k, 0].numpy(), want, atol=1e-5)


def test_equaliser_changes_a_tone_by_its_decibels():
    gains = drawn(lambda rng: audio.draw_equaliser(rng, 12.0), 2)
    assert gains.abs().max() <= 12
    knot = 700 * ((1 + 8000 / 700) ** (3 / 7) - 1)
    x = tones(round(knot), round(knot))
    change = 20 * (rms(audio.apply_filter(x, RATE, gains=gains)) / rms(x)).log10()
    torch.testing.assert_close(change, gains[:, 3].double(), atol=0.05, rtol=0)


def test_noise_lies_as_far_below_the_sound_as_drawn():
    x, noises = noise(), drawn(lambda rng: audio.draw_noise(rng, ratio=(5.0, 20.0), p=1.0))
    added = audio.apply_noise(x, noises) - x
    below = 20 * (rms(x) / rms(added)).log10()
    # 16000 samples tell a level to about 0.03 decibels.
    torch.testing.assert_close(below.float(), noises[:, 0], atol=0.15, rtol=0)
    share = drawn(lambda rng: audio.draw_noise(rng, p=0.3), 1000)[:, 0].isfinite().float().mean()
    assert abs(share - 0.3) < 0.05


def test_noise_is_white_and_differs_by_seed():
    made = audio.white(torch.tensor([0, 1, 2, 12345678, 2**24 - 1]), 1 << 15).double()
    assert made.mean(1).abs().max() < 0.03
    assert (made.square().mean(1) - 1).abs().max() < 0.03
    assert made.abs().max() <= math.sqrt(3)
    # Products of independent samples average to 0 ± 0.0055; the greatest of 20 to about 0.017.
    for lag in (1, 2, 3, 64):
        assert (made[:, lag:] * made[:, :-lag]).mean(1).abs().max() < 0.03
    between = made @ made.T / made.shape[1] - torch.diag(made.square().mean(1))
    assert between.abs().max() < 0.03
    power = torch.fft.rfft(made).abs().square()[:, 1:-1].unflatten(1, (-1, 1)).mean(2)
    thirds = power.tensor_split(3, 1)
    levels = torch.stack([third.mean(1) for third in thirds])
    assert (levels / levels.mean(0) - 1).abs().max() < 0.08


def test_mixup_adds_energies_in_the_drawn_shares():
    x = tones(500, 1000, 2000, 3000)
    x = x * torch.tensor([1.0, 0.5, 0.25, 2.0])[:, None, None]
    mixes = torch.tensor([[0.2, 0.0], [0.5, 0.4], [0.0, 0.9], [1.0, 0.999]])
    mixed = audio.apply_mixup(x, mixes)
    # From each on: the next, the one after it (0.4 of three), the last, the last.
    partner = torch.tensor([1, 3, 1, 2])
    energy, share = rms(x).square(), mixes[:, 0].double()
    want = (1 - share) * energy + share * energy[partner]
    torch.testing.assert_close(rms(mixed).square(), want, atol=1e-6, rtol=0)
    torch.testing.assert_close(mixed[3], x[2], atol=1e-6, rtol=0)


def test_mixup_never_takes_itself_and_takes_all_others():
    x = torch.arange(5.0)[:, None, None].expand(-1, 1, 4)
    found = set()
    for which in torch.linspace(0, 1 - 2**-24, 50).tolist():
        other = audio.apply_mixup(x, torch.tensor([[1.0, which]]).expand(5, 2))[:, 0, 0]
        assert not (other == torch.arange(5.0)).any()
        found |= {float(v) for v in other[:1]}
    assert found == {1.0, 2.0, 3.0, 4.0}
    alone = noise(1)
    assert torch.equal(audio.apply_mixup(alone, torch.tensor([[0.5, 0.3]])), alone)
