"""Segments read their own seconds, on a clock that starts at zero."""

import shutil

import media_factory as make
import numpy as np
import pytest
import torch

from pretexto.datasets.index import build as indexing
from pretexto.datasets.index.build import scan_job
from pretexto.datasets.index.schema import write_rows
from pretexto.datasets.index.source import Index
from pretexto.datasets.listed import ListFile
from pretexto.datasets.packs import write as packing
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.transcode import PackSettings
from pretexto.datasets.packs.write import pack
from pretexto.datasets.segment import Segment
from pretexto.errors import InputError
from pretexto.modalities.decode import packet_index
from pretexto.modalities.decode.demuxer import Medium
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import AudioSpan, MediaError, MediaInfo, Plan

RATE = 8000


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Four seconds at 10 frames per second, each spelling its number, with a rising ramp."""
    path = tmp_path_factory.mktemp("films") / "film.mkv"
    wave = np.linspace(-0.5, 0.5, 4 * RATE, dtype=np.float32)[None]
    cards = [make.card(k) for k in range(40)]
    make.write(path, cards, [k / 10 for k in range(40)], sound=wave, rate=RATE)
    return path


@pytest.fixture
def source(film):
    text = "path,start,end\nfilm.mkv,1,2.5\nfilm.mkv,3,9\nfilm.mkv,0:00:02,0:00:03\n"
    (film.parent / "l.csv").write_text(text)
    return ListFile(film.parent / "l.csv")


def spelled(sample):
    return [make.spelled(frame.permute(1, 2, 0).numpy()) for frame in sample.frames]


def test_a_segment_is_a_medium_of_its_own(source, film):
    info = source.info(0)
    assert info.duration == 1.5
    assert info.frames == 15
    assert info.has_audio
    assert (info.audio_start, info.audio_duration) == pytest.approx((0, 1.5), abs=0.01)
    assert source.name(0) == "film.mkv#t=1,2.5"
    assert source.info(1).duration == pytest.approx(probe(film).duration - 3)
    assert {source.group(i) for i in range(3)} == {"film.mkv"}


def test_frames_are_those_of_its_seconds(source):
    sample = source.read(0, Plan((0.0, 0.55, 1.45)))
    assert spelled(sample) == [10, 15, 24]
    assert sample.times.tolist() == pytest.approx([0.0, 0.5, 1.4], abs=1e-3)
    assert spelled(source.read(2, Plan((0.05,)))) == [20]
    with pytest.raises(MediaError, match=r"#t=1,2.5: plan: a frame is asked at 1\.500 s of 1\.500"):
        source.read(0, Plan((1.5,)))
    assert spelled(source.read(0, Plan((-1.0, 1.5, 9.0), past_end="repeat"))) == [10, 24, 24]
    assert spelled(source.read(0, Plan((1.6,), past_end="wrap"))) == [11]


def test_sound_is_that_of_its_seconds(source, film):
    whole = read(film, Plan(audio=AudioSpan(0.0, 3.9, RATE))).audio
    inside = source.read(0, Plan(audio=AudioSpan(0.25, 1.0, RATE))).audio
    assert torch.allclose(inside, whole[:, 10_000:18_000], atol=1e-4)
    beyond = source.read(0, Plan(audio=AudioSpan(-0.5, 2.5, RATE), past_end="repeat")).audio
    assert beyond.shape == (1, 20_000)
    assert beyond[:, :4000].abs().max() == beyond[:, 16_000:].abs().max() == 0
    assert torch.allclose(beyond[:, 4000:16_000], whole[:, 8000:20_000], atol=1e-4)
    wrapped = source.read(0, Plan(audio=AudioSpan(1.0, 1.0, RATE), past_end="wrap")).audio
    expected = torch.cat([whole[:, 16_000:20_000], whole[:, 8000:12_000]], 1)
    assert torch.allclose(wrapped, expected, atol=1e-4)
    with pytest.raises(MediaError, match="past_end says what to do there"):
        source.read(0, Plan(audio=AudioSpan(1.0, 1.0, RATE)))


def test_an_index_reads_segments_without_probing(film, tmp_path, monkeypatch):
    facts, _ = scan_job(str(film), None)
    place = {"path": "film.mkv", "root": str(film.parent)}
    rows = [{**facts, **place, "start": s, "end": s + 0.5} for s in (0.5, 3.0)]
    write_rows(tmp_path / "i.parquet", rows, {})
    monkeypatch.setattr("pretexto.datasets.index.source.probe", lambda path: pytest.fail("probed"))
    index = Index(tmp_path / "i.parquet")
    assert [index.name(i) for i in range(2)] == ["film.mkv#t=0.5,1", "film.mkv#t=3,3.5"]
    assert index.info(1).duration == 0.5
    assert spelled(index.read(1, Plan((0.0, 0.45)))) == [30, 34]
    assert len(index.info(0).motion) == 1


def test_segments_that_cannot_be_are_one_line():
    film = MediaInfo("f.mp4", "video", duration=10.0, fps=25, frames=250)
    with pytest.raises(MediaError, match=r"f.mp4#t=12,13: .*after the end of the medium \(10"):
        Segment(12.0, 13.0).info(film)
    with pytest.raises(MediaError, match="a picture has no segments"):
        Segment(1.0, 2.0).info(MediaInfo("p.png", "image"))
    with pytest.raises(MediaError, match="sound is asked of a segment without sound"):
        Segment(1.0, 2.0).read(
            Segment(1.0, 2.0).info(film), Plan(audio=AudioSpan(0, 1, 8000)), lambda plan: None
        )


def test_sound_outside_the_segment_is_not_counted():
    sound = {"audio_rate": 8000, "audio_channels": 1, "audio_start": 4.0, "audio_duration": 6.0}
    motion = tuple(map(float, range(10)))
    film = MediaInfo("f.mp4", "video", 10.0, motion=motion, **sound)
    info = Segment(3.0, 5.5).info(film)
    assert (info.audio_start, info.audio_duration) == (1.0, 1.5)
    assert info.motion == (3.0, 4.0, 5.0)
    assert not Segment(1.0, 3.0).info(film).has_audio


def test_a_pack_of_segments_holds_the_seconds_and_labels_of_each(film, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "run_in_children", without_children)
    facts, _ = scan_job(str(film), None)
    place = {"path": "film.mkv", "root": str(film.parent)}
    bounds = {"early": (0.55, 1.05), "late": (3.0, None), "bare": (2.0, 3.0)}
    rows = [{**facts, **place, "label": k, "start": a, "end": b} for k, (a, b) in bounds.items()]
    rows[2] = {**place, "label": "bare", "start": 2.0, "end": 3.0}  # as another tool adds it
    write_rows(tmp_path / "i.parquet", rows, {})
    settings = PackSettings(short_side=64, quality=95, chroma="444", audio_rate=RATE)
    pack(tmp_path / "i.parquet", tmp_path / "packed", settings)
    index, packs = Index(tmp_path / "i.parquet"), Packs(tmp_path / "packed")
    assert packs.fingerprint() == index.fingerprint()
    assert [packs.name(i) for i in range(3)] == [index.name(i) for i in range(3)]
    assert [packs.classes[k] for k in packs.labels()] == ["early", "late", "bare"]
    plan = Plan((0.0, 0.2, 0.45), audio=AudioSpan(0.1, 0.3, RATE))
    for i in range(3):
        mine, there = packs.info(i), index.info(i)
        assert mine.path == packs.name(i)
        assert (mine.duration, mine.motion) == (there.duration, there.motion)
        assert mine.audio_duration == pytest.approx(there.audio_duration)
        read_there = index.read(i, plan)
        found = packs.read(i, plan)
        assert spelled(found) == spelled(read_there)
        assert found.times.tolist() == pytest.approx(read_there.times.tolist())
        assert torch.allclose(found.audio, read_there.audio, atol=2e-4)
    assert spelled(packs.read(0, Plan((0.0, 0.49)))) == [5, 10]
    with pytest.raises(MediaError, match=r"0\.600 s of 0\.500"):
        packs.read(0, Plan((0.6,)))
    thinned = PackSettings(short_side=64, fps=5.0)
    pack(tmp_path / "i.parquet", tmp_path / "thinned", thinned)
    assert spelled(Packs(tmp_path / "thinned").read(1, Plan((0.0, 0.39)))) == [30, 32]


def test_a_segment_out_of_an_hour_long_film(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "run_in_children", without_children)
    cards = [make.card(k % 256) for k in range(3600)]
    make.write(tmp_path / "hour.mkv", cards, [float(k) for k in range(3600)])
    facts, blobs = scan_job(str(tmp_path / "hour.mkv"), None)
    row = {**facts, "timeline": blobs[0], "path": "hour.mkv", "root": str(tmp_path)}
    write_rows(tmp_path / "i.parquet", [{**row, "start": 3000.0, "end": 3010.0}], {})
    plan = Plan((0.5, 9.5))
    monkeypatch.setattr(Medium, "packets", lambda self: pytest.fail("all packets are read"))
    packet_index.forget(packet_index.identity(origin_of(tmp_path / "hour.mkv"), None, None))
    index = Index(tmp_path / "i.parquet")
    assert index.info(0).duration == 10
    assert spelled(index.read(0, plan)) == [3000 % 256, 3009 % 256]
    manifest = pack(tmp_path / "i.parquet", tmp_path / "packed", PackSettings(short_side=64))
    packs = Packs(tmp_path / "packed")
    assert packs.info(0).frames == 10
    assert spelled(packs.read(0, plan)) == [3000 % 256, 3009 % 256]
    assert sum(shard.bytes for shard in manifest.shards) < 200_000


def test_packs_of_an_index_of_several_folders_that_has_moved(film, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "run_in_children", without_children)
    facts, _ = scan_job(str(film), None)
    media = tmp_path / "before" / "media"
    media.mkdir(parents=True)
    shutil.copy(film, media / "film.mkv")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(film, other / "also.mkv")
    rows = [
        {**facts, "path": "film.mkv", "root": str(media), "start": 1.0, "end": 2.0},
        {**facts, "path": "also.mkv", "root": str(other)},
    ]
    beside = {"root": str(media), "relative_root": "media"}
    write_rows(tmp_path / "before" / "i.parquet", rows, beside)
    (tmp_path / "before").rename(tmp_path / "after")
    index = Index(tmp_path / "after" / "i.parquet")
    assert index.file(0) == str(tmp_path / "after" / "media" / "film.mkv")
    assert index.file(1) == str(other / "also.mkv")
    pack(tmp_path / "after" / "i.parquet", tmp_path / "packed", PackSettings(short_side=64))
    packs = Packs(tmp_path / "packed")
    assert [spelled(packs.read(i, Plan((0.05,)))) for i in range(2)] == [[10], [0]]


def without_children(job, requests, **options):
    """What `run_in_children` does, in this process."""
    for request in requests:
        yield request, job(*request)


def test_an_index_quarantines_segments_that_their_files_do_not_have(film, tmp_path, monkeypatch):
    monkeypatch.setattr(indexing, "run_in_children", without_children)
    shutil.copy(film, tmp_path / "film.mkv")
    rows = "film.mkv,9,10,a\nfilm.mkv,1,2,b\nfilm.mkv,3,9,a\n"
    (tmp_path / "l.csv").write_text(f"path,start,end,label\n{rows}")
    for _ in range(2):  # the second time the file's row is taken from the first index
        report = indexing.scan(tmp_path / "l.csv", tmp_path / "i.parquet")
        index = Index(tmp_path / "i.parquet")
        assert [index.name(i) for i in range(len(index))] == [
            "film.mkv#t=1,2",
            "film.mkv#t=3,9",
        ]
        assert index.info(0).duration == 1
        text = "\n".join(report.lines())
        assert "readable: 1 video" in text
        assert "segment: 1 segments; their files do not have them; correct start and end" in text
        assert "  film.mkv#t=9,10: the segment starts after the end of the medium" in text


def test_what_is_no_folder_and_no_list_is_called_so(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(InputError, match="an archive is given as --data itself"):
        indexing.list_media(tmp_path / "x.tar")
    with pytest.raises(InputError, match="no such folder; give a folder, a list"):
        indexing.list_media(tmp_path / "y")
