"""A file that ends before its container says so is named and refused where damage is."""

import av
import media_factory as make
import numpy as np
import pytest
from helpers import shared_data

from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.decode.truncation import missing_bytes
from pretexto.modalities.media import AudioSpan, MediaError, Plan

VIDEOS = {"x.avi": "mpeg4", "x.mkv": "libx264", "x.webm": "libvpx-vp9", "x.mp4": "libx264"}
SOUNDS = {"x.wav": "pcm_s16le", "x.opus": "libopus", "x.m4a": "aac"}


def whole(tmp_path, name):
    """Two seconds of noisy pictures or six of noise, with the index of an MP4 file in front."""
    rng, path = np.random.default_rng(0), tmp_path / f"whole-{name}"
    if name in VIDEOS:
        pictures = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(50)]
        make.write(
            path, pictures, [k / 25 for k in range(50)], codec=VIDEOS[name], options={"g": "10"}
        )
    else:
        sound = rng.normal(0, 0.1, (1, 288_000)).astype(np.float32)
        make.write(path, sound=sound, sound_codec=SOUNDS[name])
    return in_front(path, tmp_path / name) if name.endswith(("mp4", "m4a")) else path


def in_front(path, out):
    with (
        av.open(str(path)) as old,
        av.open(str(out), "w", options={"movflags": "faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams[0])
        for packet in old.demux(old.streams[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return out


def cut(path, share: float):
    data = path.read_bytes()
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short, len(data) - int(len(data) * share)


@pytest.mark.parametrize("name", [*VIDEOS, *SOUNDS])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_off_file_is_named_and_strictly_refused(tmp_path, name, share):
    good = whole(tmp_path, name)
    assert missing_bytes(origin_of(good)) == 0
    assert analyze(good).ends_early == ""
    bad, missing = cut(good, share)
    found = missing_bytes(origin_of(bad))
    # Ogg tells of the page that is cut, not of those that are gone.
    assert 0 < found <= missing if name == "x.opus" else found == missing
    plan = Plan(times=(0.1,)) if name in VIDEOS else Plan(audio=AudioSpan(0.0, 0.2, 8000))
    read(good, plan, strict=True)
    read(bad, plan)
    with pytest.raises(MediaError, match="damaged: ends early: at .* bytes are missing"):
        read(bad, plan, strict=True)
    assert analyze(bad).ends_early.startswith(f"ends early: at {probe(bad).duration:.2f}")


def test_the_reason_says_where_it_ends_of_what(tmp_path):
    bad, missing = cut(whole(tmp_path, "x.mkv"), 0.5)
    reason = analyze(bad).ends_early
    assert reason.endswith(
        (f"of 1.99 s, {missing} bytes are missing", f"of 2.00 s, {missing} bytes are missing")
    )
    assert 0.7 < probe(bad).duration < 1.3


def test_the_index_puts_it_into_the_quarantine(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    good = whole(tmp_path, "x.mkv")
    bad, _ = cut(good, 0.6)
    good.rename(folder / "good.mkv")
    bad.rename(folder / "bad.mkv")
    report = scan(folder, tmp_path / "i.parquet", jobs=1)
    assert [(name, status) for name, status, _ in report.bad] == [("bad.mkv", "damaged")]
    assert "ends early" in "\n".join(report.lines())
    assert [Index(tmp_path / "i.parquet").name(i) for i in range(1)] == ["good.mkv"]
    assert len(Index(tmp_path / "i.parquet")) == 1


def test_headers_that_overstate_are_no_damage(tmp_path):
    """Every clip of J-HMDB promises more frames than it has, and all of its bytes are there."""
    files = sorted(shared_data("video/jhmdb8").rglob("*.avi"))[::20]
    for path in files:
        with av.open(str(path)) as container:
            assert container.streams.video[0].frames > probe(path).frames
        assert analyze(path).ends_early == ""
        read(path, Plan(times=(0.1,)), strict=True)
    bad, _ = cut_copy(files[0], tmp_path)
    assert "ends early" in analyze(bad).ends_early


def cut_copy(path, folder):
    (folder / path.name).write_bytes(path.read_bytes())
    return cut(folder / path.name, 0.7)


def test_no_whole_file_is_accused():
    for folder in ("av/grid", "av/talkers", "av/mixed", "audio/esc10"):
        for path in shared_data(folder).rglob("*.*"):
            assert missing_bytes(origin_of(path)) == 0


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"RIFF\xff\xff\xff\xffAVI ", b"\0\0\0\0ftyp", b"\x1a\x45\xdf\xa3", b"OggS",
     b"\0\0\0\x01mdat\0\0", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7],
)  # fmt: skip
def test_what_says_nothing_misses_nothing(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert missing_bytes(origin_of(path)) == 0
