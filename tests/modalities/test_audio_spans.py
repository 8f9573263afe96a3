"""Several spans of sound in one plan: one open, one pass, a seek where they lie far apart."""

import media_factory as make
import numpy as np
import pytest
import torch
from helpers import shared_data

from pretexto.modalities.decode import reader
from pretexto.modalities.decode.demuxer import Medium
from pretexto.modalities.decode.reader import close_files, probe, read
from pretexto.modalities.media import AudioSpan, Plan

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, round(seconds * RATE)))
    return wave.astype(np.float32)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two minutes of pictures with uncompressed sound."""
    seconds = [k / 5 for k in range(600)]
    path = tmp_path_factory.mktemp("spans") / "film.mkv"
    sound = {"sound": noise(120), "rate": RATE, "sound_codec": "pcm_s16le"}
    return make.write(path, [make.card(k % 256) for k in range(600)], seconds, **sound)


@pytest.fixture
def counted(monkeypatch):
    """How many media were opened, and how many packets decoded of them."""
    counts = {"opened": 0, "decoded": 0, "sought": 0}
    start, decode, seek = Medium.__init__, Medium.decode, Medium.packets_from

    def counting(name, real):
        def call(self, *args, **kwargs):
            counts[name] += 1
            return real(self, *args, **kwargs)

        return call

    monkeypatch.setattr(Medium, "__init__", counting("opened", start))
    monkeypatch.setattr(Medium, "decode", counting("decoded", decode))
    monkeypatch.setattr(Medium, "packets_from", counting("sought", seek))
    return counts


def apart(path, spans: tuple[AudioSpan, ...], **rest) -> torch.Tensor:
    """Each span read by a plan of its own."""
    return torch.cat([read(path, Plan(audio=span, **rest)).audio for span in spans], 1)


@pytest.mark.parametrize("past_end", ["repeat", "wrap"])
@pytest.mark.parametrize("rate", [RATE, 11_025])
def test_spans_in_any_order_are_those_of_plans_of_their_own(film, rate, past_end):
    starts = [(80.0, 0.5), (3.0, 0.2), (80.2, 1.0), (100.0, 0.1), (3.1, 0.5), (119.5, 2.0)]
    spans = tuple(AudioSpan(start, seconds, rate) for start, seconds in starts)
    together = read(film, Plan(audio=spans, past_end=past_end)).audio
    assert together.shape == (1, sum(span.samples for span in spans))
    assert together.equal(apart(film, spans, past_end=past_end))


def test_far_spans_are_sought_in_one_open_file(film, counted):
    probe(film)
    close_files()
    counted.update(opened=0, decoded=0, sought=0)
    read(film, Plan(audio=tuple(AudioSpan(start, 0.2, RATE) for start in (20.0, 60.0, 110.0))))
    # A packet of sound holds 0.06 s: three spans and what precedes them are 2.4 s of 120.
    assert (counted["opened"], counted["sought"]) == (1, 3)
    assert counted["decoded"] < 80


def test_near_spans_share_a_pass(film, counted):
    probe(film)
    close_files()
    counted.update(opened=0, decoded=0, sought=0)
    spans = tuple(AudioSpan(60 + 0.3 * k, 0.2, RATE) for k in range(10))
    read(film, Plan(audio=spans))
    assert (counted["opened"], counted["sought"]) == (1, 1)
    assert counted["decoded"] < 80


def test_frames_and_spans_far_apart_come_in_one_pass_of_few_packets(film, counted):
    probe(film)
    close_files()
    counted.update(opened=0, decoded=0, sought=0)
    spans = (AudioSpan(100.0, 0.2, RATE), AudioSpan(30.0, 0.2, RATE))
    sample = read(film, Plan(times=(60.1, 90.1), audio=spans))
    assert [make.spelled(x.permute(1, 2, 0).numpy()) for x in sample.frames] == [
        300 % 256,
        450 % 256,
    ]
    assert sample.audio.equal(apart(film, spans))
    assert counted["decoded"] < 200


@pytest.mark.parametrize("folder", ["av/grid", "av/talkers", "av/mixed", "odd"])
def test_spans_of_real_media_are_those_of_plans_of_their_own(folder):
    checked = 0
    for path in sorted(shared_data(folder).iterdir())[:40]:
        try:
            info = probe(path)
        except reader.MediaError:
            continue
        if not info.has_audio:
            continue
        places = (0.5 * info.duration, 0.0, 0.2 * info.duration)
        spans = tuple(AudioSpan(start, 0.2, info.audio_rate) for start in places)
        together = read(path, Plan(audio=spans, past_end="repeat")).audio
        assert together.equal(apart(path, spans, past_end="repeat")), path.name
        checked += 1
    assert checked
