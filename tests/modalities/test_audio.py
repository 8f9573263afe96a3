"""Sound at exact times: on one clock with the picture, exact to a sample, silent in gaps."""

import math

import av
import media_factory as make
import numpy as np
import pytest
import torch
from helpers import shared_data

from pretexto.modalities.decode.audio import resample
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import AudioSpan, MediaError, Plan

RATE = 48_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[None].astype(np.float32), channels, 0)


def sweep(seconds: float) -> np.ndarray:
    """A rising tone [1, N]: no two stretches are alike."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * (800 * t + 60 * t**2)))[None].astype(np.float32)


def test_a_span_is_a_cut_of_the_whole(tmp_path):
    path = make.write(tmp_path / "sweep.mp4", sound=sweep(30))
    whole = read(path, Plan(audio=AudioSpan(0, 29, RATE))).audio
    for start in (0.0, 0.3, 9.9, 11.3, 25.123):
        span = AudioSpan(start, 0.7, RATE)
        part = read(path, Plan(audio=span)).audio
        first = round(start * RATE)
        assert part.shape == (1, span.samples)
        # AAC's noise substitution is drawn anew after a seek: nothing else differs. Off by one
        # sample, these sounds differ by 0.05 and more.
        assert (part - whole[:, first : first + span.samples]).abs().max() < 0.01


@pytest.mark.parametrize("name", ["long.mkv", "long.mka"])
def test_spans_far_into_a_file_with_coarse_ticks_are_exact_to_a_sample(tmp_path, name):
    path = make.write(tmp_path / name, sound=sweep(40))
    whole = read(path, Plan(audio=AudioSpan(0, 39, RATE))).audio[0]
    for start in (15.0, 21.3331, 33.7):
        part = read(path, Plan(audio=AudioSpan(start, 0.5, RATE))).audio[0]
        first = round(start * RATE)
        scores = [float(part @ whole[first + k : first + k + len(part)]) for k in range(-60, 61)]
        assert int(np.argmax(scores)) == 60


def test_silence_where_the_file_has_no_sound(tmp_path):
    seconds = [k / 25 for k in range(75)]
    path = make.write(
        tmp_path / "late.mkv", make.flashes(seconds), seconds, sound=tone(1), sound_start=1.0
    )
    sound = read(path, Plan(audio=AudioSpan(0, 3, RATE), past_end="repeat")).audio[0]
    assert sound.shape == (3 * RATE,)
    assert sound[: int(0.95 * RATE)].abs().max() == 0
    assert sound[int(2.1 * RATE) :].abs().max() == 0
    assert sound[int(1.1 * RATE) : int(1.9 * RATE)].abs().max() > 0.4


def test_a_length_that_overflowed_does_not_stretch_the_sound():
    path = shared_data("odd/spacestorm-1000Hz-100ms.ogg")
    assert probe(path).duration < 1.0


def test_past_the_end(tmp_path):
    path = make.write(tmp_path / "tone.wav", sound=tone(1), sound_codec="pcm_s16le")
    span = AudioSpan(0.75, 0.5, RATE)
    with pytest.raises(MediaError, match="plan"):
        read(path, Plan(audio=span))
    with pytest.raises(MediaError, match="plan"):
        read(path, Plan(audio=AudioSpan(-0.2, 0.1, RATE)))
    whole = read(path, Plan(audio=AudioSpan(0, 1, RATE))).audio
    held = read(path, Plan(audio=span, past_end="repeat")).audio
    assert held[:, : RATE // 4].equal(whole[:, 3 * RATE // 4 :])
    assert held[:, RATE // 4 :].abs().max() == 0
    wrapped = read(path, Plan(audio=span, past_end="wrap")).audio
    assert wrapped.equal(torch.cat([whole[:, 3 * RATE // 4 :], whole[:, : RATE // 4]], 1))


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "flac"])
def test_every_channel_comes_back(tmp_path, layout, codec):
    count = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}[layout]
    sound = np.concatenate([tone(0.5) * (k + 1) / 10 for k in range(count)])
    name = "x.wav" if codec == "pcm_s16le" else "x.flac"
    path = make.write(tmp_path / name, sound=sound, sound_codec=codec, layout=layout)
    assert probe(path).audio_channels == count
    back = read(path, Plan(audio=AudioSpan(0, 0.5, RATE))).audio
    assert np.abs(back.numpy() - sound).max() < 1e-4


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 11_127])
def test_resampling_keeps_positions_and_number(tmp_path, rate):
    path = make.write(tmp_path / "tone.wav", sound=tone(2), sound_codec="pcm_s16le")
    for start in (0.0, 0.5, 0.73125):
        span = AudioSpan(start, 0.7, rate)
        sound = read(path, Plan(audio=span)).audio[0]
        assert len(sound) == span.samples
        t = start + np.arange(span.samples) / rate
        # A shift of one sample at 16 kHz would differ by 0.08 here.
        middle = slice(rate // 20, -rate // 20)
        expected = 0.5 * np.sin(2 * np.pi * 440 * t)
        assert np.abs(sound.numpy() - expected)[middle].max() < 0.012


def test_resampling_removes_what_would_alias():
    t = torch.arange(RATE) / RATE
    high = torch.sin(2 * math.pi * 12_000 * t)[None]
    for rate in (16_000, 11_127):
        assert resample(high, RATE, rate)[:, 500:-500].abs().max() < 0.02


def test_real_sound_equals_a_full_decode():
    path = next(shared_data("av/grid").glob("*.mpg"))
    blocks = []
    with av.open(str(path)) as container:
        packed = av.AudioResampler("flt")
        for frame in container.decode(audio=0):
            frame.pts = None
            blocks += [x.to_ndarray().reshape(-1, 2).T for x in packed.resample(frame)]
    whole = np.concatenate(blocks, 1)
    part = read(path, Plan(audio=AudioSpan(1.0, 0.5, 44_100))).audio.numpy()
    assert np.abs(part - whole[:, 44_100 : 44_100 + 22_050]).max() < 1e-6
