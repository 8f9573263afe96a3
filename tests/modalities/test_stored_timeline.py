"""Timelines as bytes beside a file: what is read is the same, and nobody demuxes it again."""

import os
import zlib
from dataclasses import fields, replace
from pathlib import Path

import av
import media_factory as make
import numpy as np
import pytest
import soundfile
from helpers import shared_data

from pretexto.modalities.decode import packet_index
from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.decode.demuxer import Medium
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import close_files, probe, read
from pretexto.modalities.decode.stored_timeline import pack, unpack
from pretexto.modalities.media import AudioSpan, MediaError, Plan

HOURS = 2


def same(first, second) -> bool:
    """Whether two tracks are equal, arrays included."""
    if first is None or second is None:
        return first is second
    values = ((getattr(first, f.name), getattr(second, f.name)) for f in fields(first))
    return all(np.array_equal(a, b) for a, b in values)


def forget(path) -> None:
    packet_index.forget(packet_index.identity(origin_of(path), None, None))
    close_files()


def timeline_of(path) -> packet_index.Timeline:
    probe(path)
    found = packet_index.cached(packet_index.identity(origin_of(path), None, None))
    assert found is not None
    return found


@pytest.mark.parametrize("folder", ["odd", "av/grid", "av/talkers"])
def test_what_is_stored_is_what_comes_back(folder):
    checked = 0
    for path in sorted(shared_data(folder).iterdir())[:60]:
        try:
            found = timeline_of(path)
        except (MediaError, AssertionError):
            continue
        back = unpack(pack(found, path.stat().st_size), origin_of(path))
        assert back is not None
        assert same(back.video, found.video), path.name
        assert same(back.audio, found.audio), path.name
        assert replace(back, video=None, audio=None) == replace(found, video=None, audio=None)
        checked += 1
    assert checked > 5


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two hours of one frame of 16 by 16 pixels a second."""
    path = tmp_path_factory.mktemp("long") / "film.mkv"
    seconds = range(HOURS * 3600)
    pictures = [make.card(k % 256, 16, 16) for k in seconds]
    options = {"preset": "ultrafast", "g": "10", "crf": "18"}
    return make.write(path, pictures, [float(k) for k in seconds], options=options)


def test_a_film_of_two_hours_opens_without_a_pass(film, monkeypatch):
    stored = analyze(film).timeline
    assert len(stored) < 40_000
    forget(film)
    monkeypatch.setattr(Medium, "packets", lambda self: pytest.fail("all packets are read"))
    read_packets, real = [], Medium.packets_from

    def counting(self, *args):
        for packet in real(self, *args):
            read_packets.append(packet.size)
            yield packet

    monkeypatch.setattr(Medium, "packets_from", counting)
    sample = read(film, Plan(times=(5400.5,)), timeline=lambda: stored)
    assert sample.times.tolist() == [5400.0]
    assert make.spelled(sample.frames[0].permute(1, 2, 0).numpy()) == 5400 % 256
    assert len(read_packets) < 50
    assert probe(film).duration == pytest.approx(HOURS * 3600, abs=1.5)


def test_what_follows_a_rule_takes_no_room_and_no_time(tmp_path):
    """Of equal steps one is kept, and a bit for each frame that others do not need."""
    pictures = [make.card(k % 256, 16, 16) for k in range(1000)]
    path = make.write(tmp_path / "x.mkv", pictures, [k / 25 for k in range(1000)])
    found = timeline_of(path)
    assert set(np.diff(found.video.pts)) == {40}
    raw = zlib.decompress(pack(found, path.stat().st_size))
    head = raw[4 : 4 + int.from_bytes(raw[:4], "little")].decode()
    assert '"pts":{"count":1000,"first":0,"step":40}' in head
    assert '"spare":{"count":1000,"bits":1}' in head
    assert len(raw) < 3 * 1000 + len(head) + 200  # order and place of packets, and key frames
    assert same(unpack(pack(found, path.stat().st_size), origin_of(path)).video, found.video)


def test_sound_files_have_one_too(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 8000), 8000)
    stored, plan = analyze(path).timeline, Plan(audio=AudioSpan(0.5, 0.2, 8000))
    expected = read(path, plan).audio
    forget(path)
    assert read(path, plan, timeline=lambda: stored).audio.equal(expected)


def test_of_another_file_or_damaged_it_is_left_aside(tmp_path):
    pictures = [make.card(k) for k in range(30)]
    one = make.write(tmp_path / "one.mkv", pictures, [k / 30 for k in range(30)])
    two = make.write(tmp_path / "two.mkv", pictures[::-1], [k / 10 for k in range(30)])
    stored = analyze(one).timeline
    plan = Plan(times=(0.5,))
    expected = read(two, plan).times
    raw = zlib.decompress(stored)
    damaged = [b"", b"x", stored[:-9], zlib.compress(raw[:-50]), zlib.compress(b"\xff" * 99)]
    damaged += [zlib.compress(raw.replace(b'"format":2', b'"format":9')), stored]
    damaged += [zlib.compress(raw.replace(b'"count":30', b'"count":3' + b"0" * 15))]
    damaged.append(zlib.compress(raw[:-30] + bytes(range(200, 230))))
    for data in damaged:
        forget(two)
        assert read(two, plan, timeline=lambda data=data: data).times.equal(expected)


def test_a_timeline_that_lies_is_found_out(tmp_path):
    """A file of the same size whose frames lie elsewhere: what comes is shown at its own time."""
    path = make.write(
        tmp_path / "x.mkv", [make.card(k) for k in range(30)], [k / 30 for k in range(30)]
    )
    found = timeline_of(path)
    lying = found.video.pts + np.where(found.video.pts > 0, 7, 0)
    video = replace(found.video, pts=lying)
    lie = pack(replace(found, video=video), os.path.getsize(path))
    forget(path)
    sample = read(path, Plan(times=(0.51,)), timeline=lambda: lie)
    assert make.spelled(sample.frames[0].permute(1, 2, 0).numpy()) == 15
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert min(abs(t - times[0] - float(sample.times[0])) for t in times) < 1e-6
