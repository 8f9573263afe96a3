"""Only what the wanted frames need is decoded, and what comes out stays the same."""

import os

import av
import media_factory as make
import numpy as np
import pytest

from pretexto.modalities.decode import packet_index, reader
from pretexto.modalities.decode.demuxer import Medium
from pretexto.modalities.decode.disposable import spare_test
from pretexto.modalities.decode.frames import Frames
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.decode.seeking import direct
from pretexto.modalities.media import AudioSpan, Plan

COUNT = 120
SECONDS = [k / 30 for k in range(COUNT)]


def world() -> list[np.ndarray]:
    """Pictures whose every part changes, so that a lost reference shows."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (48, 64, 3), np.uint8) // 4 + make.card(k) // 2 for k in range(COUNT)
    ]


def x264(settings: str) -> dict[str, str]:
    """Frames of the kinds asked for, wherever the pictures change."""
    return {"x264-params": f"{settings}:scenecut=0:b-adapt=0"}


@pytest.fixture(scope="module", params=["h264", "pyramid", "open", "plain", "mpeg4"])
def film(request, tmp_path_factory):
    """Films with and without frames that nothing refers to."""
    settings = {
        "h264": ("clip.mp4", "libx264", x264("keyint=24:bframes=3")),
        "pyramid": ("clip.mkv", "libx264", x264("keyint=40:bframes=8:b-pyramid=normal")),
        "open": ("clip.mp4", "libx264", x264("keyint=30:bframes=3:open-gop=1")),
        "plain": ("clip.mp4", "libx264", x264("keyint=24:bframes=0")),
        "mpeg4": ("clip.mp4", "mpeg4", {"g": "12", "bf": "2", "qscale": "5"}),
    }
    name, codec, options = settings[request.param]
    path = tmp_path_factory.mktemp("films") / name
    make.write(path, world(), SECONDS, codec=codec, options=options)
    return request.param, path, decoded(path)


def decoded(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


class Counter:
    """Counts the packets that are decoded."""

    def __init__(self, monkeypatch):
        self.count, decode = 0, Medium.decode

        def counted(medium, packet):
            self.count += packet.size > 0
            return decode(medium, packet)

        monkeypatch.setattr(Medium, "decode", counted)


@pytest.mark.parametrize("step", [1, 2, 4, 7, 40])
def test_every_route_gives_the_frames_of_a_full_decode(film, step):
    _, path, pictures = film
    assert len(pictures) == COUNT
    for first in range(0, COUNT, 11):
        numbers = list(range(first, COUNT, step))[:9]
        times = tuple((n + 0.5) / 30 for n in numbers)
        frames = read(path, Plan(times=times)).frames.permute(0, 2, 3, 1).numpy()
        # The same library converts both: a frame decoded otherwise would differ.
        assert all(np.array_equal(f, pictures[n]) for f, n in zip(frames, numbers, strict=True))


def test_shortcuts_never_fail_on_sound_files(film, monkeypatch):
    """Each of them falls back to decoding more if it goes wrong: here none may need to."""
    _, path, _ = film
    tried = []
    real = Frames.__init__

    def noted(self, track, wanted, short_side, short):
        tried.append(short)
        real(self, track, wanted, short_side, short)

    monkeypatch.setattr(Frames, "__init__", noted)
    for n in range(0, COUNT, 7):
        read(path, Plan(times=((n + 0.5) / 30,)))
    assert tried == [True] * len(tried)


def test_frames_that_nothing_needs_are_left_out(film, monkeypatch):
    kind, path, _ = film
    probe(path)
    track = packet_index.cached(packet_index.identity(origin_of(path), None, None)).video
    counter = Counter(monkeypatch)
    read(path, Plan(times=tuple((n + 0.5) / 30 for n in range(0, 64, 4))))
    if kind == "plain":  # no frame is spare
        assert not track.spare.any()
        assert counter.count <= 61
    else:
        assert 0.25 < track.spare.mean() < 0.75
        assert counter.count < 50
    read(path, Plan(times=(0.01, 3.9)))
    assert counter.count < 50 + 30 + (30 if kind == "plain" else 0)


def test_far_frames_are_sought(film, monkeypatch):
    _, path, pictures = film
    probe(path)
    sought = []
    real = Medium.packets_from
    monkeypatch.setattr(
        Medium, "packets_from", lambda m, t, s: [sought.append(t), real(m, t, s)][1]
    )
    reader.close_files()
    frames = read(path, Plan(times=(0.01, 3.9))).frames
    assert len(sought) == 1
    assert np.array_equal(frames[1].permute(1, 2, 0).numpy(), pictures[117])


def test_a_route_keeps_to_the_order_of_decoding(film):
    _, path, _ = film
    probe(path)
    track = packet_index.cached(packet_index.identity(origin_of(path), None, None)).video
    for wanted in ([0], [119], [0, 119], [30, 31, 32], list(range(0, 120, 9))):
        route = direct(track, wanted)
        ticks = [tick for run in route for tick in run.wanted]
        assert sorted(ticks) == track.pts[wanted].tolist()
        assert all(set(run.wanted) <= run.needed for run in route)
        assert all(run.first in track.keys for run in route)
        assert [run.before for run in route] == sorted(run.before for run in route)


def test_spare_packets_are_told_from_their_syntax():
    unit = [b"\x00\x00\x00\x02\x01\x9e", b"\x00\x00\x00\x02\x41\x9e", b"\x00\x00\x00\x02\x06\x05"]
    sized = spare_test("h264", b"\x01dd\x00\xff\xe1\x00\x00")
    assert sized(unit[2] + unit[0])
    assert not sized(unit[0] + unit[1])
    assert not sized(unit[2])
    delimited = spare_test("h264", None)
    assert delimited(b"\0\0\0\1\x09\xf0\0\0\1\x01\x9e\x00")
    assert not delimited(b"\0\0\1\x67\x64\0\0\1\x01\x9e\x00")
    vop = spare_test("mpeg4", None)
    assert vop(b"\0\0\1\xb6\x90\x00")
    assert not vop(b"\0\0\1\xb6\x50\x00")
    assert not vop(b"\0\0\1\xb6\x90\x00\0\0\1\xb6\x90\x00")  # two pictures in one packet
    assert spare_test("vp9", None) is None


def test_files_stay_open_within_a_bound(tmp_path):
    reader.close_files()
    before = len(os.listdir("/proc/self/fd"))
    paths = [tmp_path / f"{k}.mp4" for k in range(reader._FILES + 4)]
    for path in paths:
        make.write(path, [make.card(k) for k in range(4)], [k / 10 for k in range(4)])
        read(path, Plan(times=(0.1,)))
    assert len(os.listdir("/proc/self/fd")) - before == reader._FILES
    big = tmp_path / "big.mp4"
    black = np.zeros((2304, 2304, 3), np.uint8)  # more pixels than all together may have
    make.write(big, [black] * 2, [0.0, 0.1])
    read(big, Plan(times=(0.1,)))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_on_the_shelf_gives_the_same_again(film):
    _, path, pictures = film
    for n in (90, 3, 90, 117, 0):
        frame = read(path, Plan(times=((n + 0.5) / 30,))).frames[0]
        assert np.array_equal(frame.permute(1, 2, 0).numpy(), pictures[n])


def test_a_forked_process_starts_with_an_empty_shelf(tmp_path):
    path = make.write(tmp_path / "x.mp4", [make.card(k) for k in range(4)], [0.0, 0.1, 0.2, 0.3])
    read(path, Plan(times=(0.1,)))
    key = packet_index.identity(origin_of(path), None, None)
    if not (child := os.fork()):
        os._exit(0 if reader._pool.take(key) is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reader._pool.take(key) is not None


def test_sound_is_read_from_a_file_of_its_own(tmp_path):
    wave = make.clicks(2.0, 48_000)
    pictures = [make.card(k) for k in range(20)]
    path = make.write(tmp_path / "x.mp4", pictures, [k / 10 for k in range(20)], sound=wave)
    span = AudioSpan(0.3, 1.0, 48_000)
    alone = read(path, Plan(audio=span)).audio
    for _ in range(2):
        read(path, Plan(times=(1.5,)))
        assert read(path, Plan(times=(1.5,), audio=span)).audio.equal(alone)
