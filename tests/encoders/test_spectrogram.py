"""Spectrograms against scipy, and against what tones, gains and silence must give."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from pretexto.encoders.spectrogram import MFCC, LogMel, LogSpectrogram
from pretexto.errors import InputError

RATE = 48000
L3 = {"n_fft": 512, "window": 480, "hop": 240}


def noise(batch: int = 2, samples: int = RATE, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, samples, generator=rng) * 0.2 - 0.1


def tone(hertz: float, rate: int = RATE) -> torch.Tensor:
    return (0.5 * torch.sin(2 * math.pi * hertz * torch.arange(rate) / rate)).view(1, 1, -1)


def reference_stft(x: np.ndarray, n_fft: int, window: int, hop: int) -> np.ndarray:
    """|STFT| frame by frame with scipy's window and numpy's transform, in float64."""
    margin = (n_fft - window) // 2
    taper = np.pad(get_window("hann", window, fftbins=True), (margin, n_fft - window - margin))
    padded = np.pad(x.astype(np.float64), n_fft // 2, mode="reflect")
    starts = range(0, len(x), hop)
    return np.stack([np.abs(np.fft.rfft(padded[s : s + n_fft] * taper)) for s in starts], 1)


def test_the_power_equals_an_independent_stft():
    x = noise()
    ours = LogSpectrogram(**L3).power(x).sqrt()
    for row, wave in zip(ours, x, strict=True):
        expected = reference_stft(wave[0].numpy(), **L3)
        np.testing.assert_allclose(row.numpy(), expected, atol=2e-5)


def test_the_power_equals_scipys_short_time_transform():
    from scipy.signal import ShortTimeFFT

    x = noise(1)[0, 0].numpy().astype(np.float64)
    taper = np.pad(get_window("hann", 480, fftbins=True), 16)
    theirs = ShortTimeFFT(taper, hop=240, fs=RATE, mfft=512).stft(x)
    ours = LogSpectrogram(**L3).power(noise(1)).sqrt()[0].numpy()
    # Theirs starts one frame earlier at most and pads with zeros: compare away from the ends.
    first = [k for k in range(4) if np.allclose(np.abs(theirs[:, 10 + k]), ours[:, 10], atol=2e-5)]
    assert len(first) == 1
    shifted = np.abs(theirs[:, first[0] :])
    np.testing.assert_allclose(ours[:, 3:190], shifted[:, 3:190], atol=2e-5)


def test_one_second_gives_200_frames_of_257_bins():
    assert LogSpectrogram(**L3)(noise()).shape == (2, 1, 257, 200)
    assert LogMel(rate=16000)(noise(samples=16000)).shape == (2, 1, 64, 100)


@pytest.mark.parametrize("hertz", [440.0, 1000.0, 3000.0, 12345.0])
def test_tone_peaks_at_its_bin(hertz: float):
    spectrum = LogSpectrogram(**L3)(tone(hertz))[0, 0]
    inner = spectrum[:, 2:-2].argmax(0)
    assert set(inner.tolist()) == {round(hertz * 512 / RATE)}


def test_tone_peaks_at_its_mel():
    mel = lambda f: 2595 * math.log10(1 + f / 700)  # noqa: E731
    low, high = mel(50.0), mel(8000.0)
    for hertz in (300.0, 1000.0, 4000.0):
        peak = LogMel(rate=16000)(tone(hertz, 16000))[0, 0, :, 50].argmax().item()
        centre = (mel(hertz) - low) / (high - low) * 65 - 1
        assert abs(peak - centre) <= 1


@pytest.mark.parametrize(
    ("front", "power"), [(LogSpectrogram(**L3), 1), (LogMel(rate=RATE), 2)], ids=["stft", "mel"]
)
def test_gain_shifts_by_its_logarithm(front: torch.nn.Module, power: int):
    x = noise()
    shift = front(3.0 * x) - front(x)
    torch.testing.assert_close(
        shift, torch.full_like(shift, power * math.log(3.0)), atol=1e-3, rtol=0
    )


def test_silence_lies_on_the_floor():
    silence = torch.zeros(1, 1, 16000)
    flat = LogSpectrogram(**L3, floor=1e-5)(silence)
    torch.testing.assert_close(flat, torch.full_like(flat, math.log(1e-5)))
    flat = LogMel(rate=16000, floor=1e-8)(silence)
    torch.testing.assert_close(flat, torch.full_like(flat, math.log(1e-8)))


def test_time_axis_places_a_click():
    x = torch.zeros(1, 1, RATE)
    x[..., 24000] = 1.0
    assert LogSpectrogram(**L3)(x)[0, 0].mean(0).argmax() == 24000 // 240


def test_autocast_changes_nothing():
    x, front = noise(), LogMel(rate=16000)
    with torch.autocast("cpu", torch.bfloat16):
        inside = front(x)
    assert torch.equal(inside, front(x))


def test_every_mel_filter_hears_something():
    for rate, mels in [(16000, 64), (48000, 64), (22050, 64)]:
        assert (LogMel(rate=rate, mels=mels).get_buffer("filters").amax(1) > 0).all(), (rate, mels)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="at least 257"):
        LogSpectrogram(**L3)(torch.zeros(1, 1, 256))
    assert LogSpectrogram(**L3)(torch.zeros(1, 1, 257)).shape[-1] == 1


def test_mfcc_equals_the_cosine_transform_written_out():
    """Sums of cosines over the filters in float64, and scipy's transform."""
    from scipy.fft import dct

    x, mels, count = noise(samples=16000), 40, 13
    ours = MFCC(rate=16000, count=count, mels=mels)(x).double().numpy()
    assert ours.shape == (2, 1, count, 100)
    energy = LogMel(rate=16000, mels=mels)(x).double().numpy()
    centre = np.arange(mels) + 0.5
    for k in range(count):
        scale = math.sqrt((1 if k == 0 else 2) / mels)
        wave = scale * np.cos(math.pi * k * centre / mels)
        expected = np.einsum("m,bcmt->bct", wave, energy)
        np.testing.assert_allclose(ours[:, :, k], expected, atol=1e-3)
    np.testing.assert_allclose(
        ours, dct(energy, type=2, norm="ortho", axis=2)[:, :, :count], atol=1e-3
    )


def test_all_mfcc_hold_all_of_the_spectrogram():
    """The transform is a rotation: it keeps squares and can be turned back."""
    x = noise(samples=16000)
    energy = LogMel(rate=16000)(x)
    front = MFCC(rate=16000, count=64)
    torch.testing.assert_close(front.get_buffer("basis").T @ front(x), energy, atol=1e-3, rtol=0)


def test_gain_moves_the_first_mfcc_alone():
    x, front = noise(samples=16000), MFCC(rate=16000, mels=64)
    shift = front(3.0 * x) - front(x)
    want = torch.zeros_like(shift)
    want[:, :, 0] = 2 * math.sqrt(64) * math.log(3.0)
    torch.testing.assert_close(shift, want, atol=5e-3, rtol=0)


def test_more_coefficients_than_filters_are_refused():
    for count in (0, 41):
        with pytest.raises(InputError, match="40 mel filters give 1 to 40"):
            MFCC(rate=16000, count=count, mels=40)


def test_a_sound_has_the_same_log_mel_alone_and_in_a_large_batch():
    sounds = 0.1 * torch.randn(37, 1, 4000, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(rate=16000)
    alone = torch.cat([log_mel(sound[None]) for sound in sounds])
    torch.testing.assert_close(log_mel(sounds), alone)
