"""Sound files that libsndfile seeks: sample for sample what FFmpeg gives, without a pass."""

import av
import numpy as np
import pytest
import soundfile
import torch
from helpers import shared_data

from pretexto.modalities.decode import packet_index, sound_file
from pretexto.modalities.decode.demuxer import Medium
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import close_files, probe, read
from pretexto.modalities.media import AudioSpan, MediaError, Plan

RATE = 8000
KINDS = [
    *(("WAV", "wav", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW")),
    ("WAV", "wav", "DOUBLE"),
    ("W64", "w64", "PCM_16"),
    ("RF64", "wav", "PCM_24"),
    ("AIFF", "aiff", "PCM_16"),
    ("AIFF", "aiff", "ALAW"),
    ("CAF", "caf", "PCM_24"),
    ("AU", "au", "PCM_16"),
    ("FLAC", "flac", "PCM_16"),
    ("FLAC", "flac", "PCM_24"),
]


def wave(seconds: float, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (round(seconds * RATE), channels))


def by_ffmpeg(path) -> np.ndarray:
    """Every sample [C, N], decoded from the start."""
    blocks = []
    with av.open(str(path)) as container:
        packed = av.AudioResampler("flt")
        for frame in container.decode(audio=0):
            frame.pts = None
            count = frame.layout.nb_channels
            blocks += [x.to_ndarray().reshape(-1, count).T for x in packed.resample(frame)]
    return np.concatenate(blocks, 1)


def sought(path) -> bool:
    """Whether the file was read by libsndfile."""
    found = packet_index.cached(packet_index.identity(origin_of(path), None, None))
    return found.audio.sought


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("kind", "suffix", "subtype"), KINDS)
def test_every_sample_is_ffmpeg_s(tmp_path, kind, suffix, subtype, channels):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, wave(2.03, channels), RATE, format=kind, subtype=subtype)
    whole = by_ffmpeg(path)
    assert probe(path).duration == whole.shape[1] / RATE
    for start, seconds in ((0.0, 2.03), (0.7, 0.4), (1.9, 0.13)):
        part = read(path, Plan(audio=AudioSpan(start, seconds, RATE))).audio.numpy()
        first = round(start * RATE)
        assert np.array_equal(part, whole[:, first : first + part.shape[1]].clip(-1, 1))
    assert sought(path)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_sound_at_the_end_of_an_hour_costs_no_pass(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"long.{suffix}"
    second = wave(1)
    with soundfile.SoundFile(path, "w", RATE, 1) as out:
        for k in range(3600):
            out.write(second * (k % 60) / 60)
    monkeypatch.setattr(Medium, "packets", lambda self: pytest.fail("all packets are read"))
    info = probe(path)
    assert (info.duration, info.audio_rate) == (3600, RATE)
    close_files()
    monkeypatch.setattr(Medium, "__init__", lambda *_, **__: pytest.fail("FFmpeg is asked"))
    reads = []
    real = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n, **how: reads.append(n) or real(self, n, **how)
    )
    for minute in (58, 59):
        part = read(path, Plan(audio=AudioSpan(60 * minute + 30, 1, RATE))).audio[0]
        assert np.abs(part.numpy() - second[:, 0] * 30 / 60).max() < 1e-4
    assert reads == [RATE, RATE]


def test_real_sound_files_are_sought_and_equal_a_full_decode():
    for name in ("odd/example.wav", "odd/8ch-s16.wav"):
        path = shared_data(name)
        whole = by_ffmpeg(path)
        info = probe(path)
        span = AudioSpan(0, info.duration, info.audio_rate)
        assert np.array_equal(read(path, Plan(audio=span)).audio.numpy(), whole)
        assert sought(path)


def test_a_file_whose_header_does_not_say_its_length_is_read_by_its_packets():
    path = shared_data("odd/bear_no_num_samples.flac")
    info = probe(path)
    assert not sought(path)
    whole = by_ffmpeg(path)
    span = AudioSpan(0, 1, info.audio_rate)
    assert np.array_equal(read(path, Plan(audio=span)).audio.numpy(), whole[:, : span.samples])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, wave(4), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1.5 < probe(path).duration < 2.5
    assert not sought(path)
    assert read(path, Plan(audio=AudioSpan(1, 0.1, RATE))).audio.abs().max() > 0.5


def test_damage_within_a_file_leaves_it_to_ffmpeg(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, wave(10), RATE)
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 20_000] = bytes(20_000)
    path.write_bytes(data)
    probe(path)
    assert sought(path)
    plan = Plan(audio=(AudioSpan(0, 0.5, RATE), AudioSpan(5, 0.5, RATE), AudioSpan(9, 0.5, RATE)))
    sound = read(path, plan).audio
    assert not sought(path)
    assert sound[:, : RATE // 2].abs().max() > 0.9
    with pytest.raises(MediaError, match="damaged"):
        read(path, plan, strict=True)


def test_open_sound_files_are_bounded_and_not_shared_with_forks(tmp_path):
    import os

    paths = [tmp_path / f"{k}.wav" for k in range(sound_file._FILES + 4)]
    close_files()
    before = len(os.listdir("/proc/self/fd"))
    for path in paths:
        soundfile.write(path, wave(0.1), RATE)
        read(path, Plan(audio=AudioSpan(0, 0.1, RATE)))
        read(path, Plan(audio=AudioSpan(0, 0.1, RATE)))
    assert len(os.listdir("/proc/self/fd")) - before == sound_file._FILES
    key = origin_of(paths[-1]).key
    child = os.fork()
    if child == 0:
        os._exit(0 if sound_file._pool.take(key) is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sound_file._pool.take(key) is not None


def test_a_file_of_more_channels_than_ffmpeg_mixes_is_read(tmp_path):
    path = tmp_path / "x.wav"
    values = wave(0.5, 255)
    soundfile.write(path, values, RATE, subtype="FLOAT")
    sound = read(path, Plan(audio=AudioSpan(0, 0.5, RATE))).audio
    assert torch.allclose(sound, torch.from_numpy(values.T).float())
    # Strict reading listens to FFmpeg, which converts 64 at most.
    with pytest.raises(MediaError, match="255 channels of sound"):
        read(path, Plan(audio=AudioSpan(0, 0.1, RATE)), strict=True)
