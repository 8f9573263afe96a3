"""Computed flow on disk: the same again, bounded, whole, and no obstacle when it cannot be kept."""

import errno
import logging
import os
from pathlib import Path

import av
import media_factory as media
import pytest
import torch

from pretexto.errors import InputError
from pretexto.modalities.decode import frame_pairs, origin
from pretexto.modalities.decode.reader import close_files, read
from pretexto.modalities.flow import cache as caching
from pretexto.modalities.flow.cache import FlowCache, shared_cache
from pretexto.modalities.media import Plan


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRETEXTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PRETEXTO_FLOW_CACHE", "1")
    return tmp_path / "cache" / "flow"


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How many pairs each call of an estimator had."""
    counts: list[int] = []
    make = frame_pairs.estimator

    def counted(method: str):
        def estimate(first, second):
            counts.append(len(first))
            return make(method)(first, second)

        return estimate

    monkeypatch.setattr(frame_pairs, "estimator", counted)
    return counts


@pytest.fixture
def film(tmp_path) -> Path:
    pictures = media.drifting([k / 1.28 for k in range(12)], height=96, width=128)
    return media.write(tmp_path / "film.mp4", pictures, [k / 20 for k in range(12)])


PLAN = Plan((0.0,), flow=((0.0, 0.1), (0.1, 0.2), (0.3, 0.3)))


def test_flow_is_computed_once_and_given_back_the_same(cache, computed, film):
    first = read(film, PLAN)
    assert computed == [2]
    assert len(list(cache.glob("*/*.flow"))) == 2
    for plan in (
        PLAN,
        Plan(flow=PLAN.flow),
        Plan((0.0,), flow=((0.02, 0.14), (0.11, 0.2), (1e-9, 0))),
    ):
        again = read(film, plan)
        assert again.flow.equal(first.flow)
        assert again.frames is None or again.frames.equal(first.frames)
    assert computed == [2]
    partly = read(film, Plan(flow=((0.1, 0.2), (0.2, 0.3), (0.2, 0.3))))
    assert computed == [2, 1]
    assert partly.flow[0].equal(first.flow[1])
    assert partly.flow[1].equal(partly.flow[2])


def test_it_is_what_is_computed_without_a_cache_to_its_rounding(cache, film, monkeypatch):
    kept = read(film, PLAN).flow
    monkeypatch.setenv("PRETEXTO_FLOW_CACHE", "0")
    exact = read(film, PLAN).flow
    assert (kept - exact).abs().max() <= 1 / 128 + 1e-5
    assert not kept.equal(exact)


def test_another_method_size_or_film_is_another_field(cache, computed, film):
    pair = ((0.0, 0.1),)
    read(film, Plan(flow=pair))
    read(film, Plan(flow=pair, flow_method="dis-fast"))
    read(film, Plan(flow=pair, short_side=48))
    read(film, Plan(flow=((0.1, 0.0),)))
    assert computed == [1, 1, 1, 1]
    other = media.drifting([k / 2.56 for k in range(12)], seed=2, height=96, width=128)
    media.write(film, other, [k / 20 for k in range(12)])
    close_files()
    state = film.stat()
    os.utime(film, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    read(film, Plan(flow=pair))
    assert computed == [1, 1, 1, 1, 1]


def test_the_same_film_is_known_wherever_it_lies(cache, computed, film, tmp_path):
    flow = read(film, PLAN).flow
    state = film.stat()
    os.utime(film, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert read(film, PLAN).flow.equal(flow)
    moved = film.rename(tmp_path / "moved.mp4")
    for medium in (moved, moved.read_bytes(), f"file://{moved}"):
        assert read(medium, PLAN).flow.equal(flow)
    assert computed == [2]
    # What a file object holds may change unseen.
    with moved.open("rb") as file:
        read(file, PLAN)
    assert computed == [2, 2]


def test_each_video_of_a_file_has_its_own_flow(cache, computed, tmp_path):
    still, moving = (media.drifting([k * step for k in range(12)]) for step in (0.0, 1.0))
    with av.open(str(tmp_path / "two.mkv"), "w") as out:
        streams = [out.add_stream("mpeg4", 20) for _ in range(2)]
        for stream, pictures in zip(streams, (still, moving), strict=True):
            stream.height, stream.width = pictures[0].shape[:2]
        for pictures in zip(still, moving, strict=True):
            for stream, picture in zip(streams, pictures, strict=True):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            out.mux(stream.encode())
    for _ in range(2):
        flows = [read(tmp_path / "two.mkv", PLAN, video=k).flow for k in (0, 1)]
        assert flows[0].abs().mean() < 0.2 < 0.8 < flows[1][0].abs().mean()
    assert computed == [2, 2]


def test_a_long_film_is_known_by_pieces_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(origin, "_WHOLE", 1000)
    monkeypatch.setattr(origin, "_PIECES", 3)
    monkeypatch.setattr(origin, "_PIECE", 10)
    data, found = bytes(2000), set()
    for place in (None, 0, 9, 995, 1004, 1990, 1999):
        changed = bytearray(data)
        if place is not None:
            changed[place] = 1
        (tmp_path / f"{place}").write_bytes(changed)
        found.add(origin.origin_of(tmp_path / f"{place}").content())
    found.add(origin.origin_of(data + b"\0").content())
    assert len(found) == 8


def test_what_is_damaged_is_computed_anew(cache, computed, film):
    flow = read(film, PLAN).flow
    for number, path in enumerate(cache.glob("*/*.flow")):
        path.write_bytes(path.read_bytes()[:20] if number else b"")
    assert read(film, PLAN).flow.equal(flow)
    assert computed == [2, 2]
    assert read(film, PLAN).flow.equal(flow)
    assert computed == [2, 2]


def test_the_cache_keeps_to_its_limit_and_drops_what_was_not_used(tmp_path):
    cache = FlowCache(tmp_path, 100_000)
    fields = torch.randn(40, 2, 40, 40, generator=torch.manual_seed(0))
    for number, field in enumerate(fields):
        cache.put((number,), field)
        path = cache._path((number,))
        os.utime(path, (1000 + number, 1000 + number))
        if number:
            assert cache.get((0,)) is not None  # used again and again
        total = sum(p.stat().st_size for p in tmp_path.glob("*/*"))
        assert total <= 100_000 * (1 + 1 / 32)
    assert cache.get((0,)) is not None
    assert cache.get((2,)) is None
    assert cache.get((39,)) is not None
    assert not list(tmp_path.glob("*/*.part"))


def test_a_full_disk_is_named_once_and_flow_computed_all_the_same(
    cache, computed, film, monkeypatch, caplog
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.tempfile, "mkstemp", full)
    caching._cache.cache_clear()
    with caplog.at_level(logging.WARNING):
        first, again = read(film, PLAN).flow, read(film, PLAN).flow
    assert first.equal(again)
    assert computed == [2, 2]
    (line,) = caplog.messages
    assert line.startswith(f"{cache}: flow cannot be kept (No space left on device)")
    assert "\n" not in line


def test_the_switch(cache, monkeypatch):
    assert shared_cache().limit == 10**9
    monkeypatch.setenv("PRETEXTO_FLOW_CACHE", "0")
    assert shared_cache() is None
    monkeypatch.delenv("PRETEXTO_FLOW_CACHE")
    assert shared_cache().limit == 10 * 10**9
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("PRETEXTO_FLOW_CACHE", wrong)
        with pytest.raises(InputError, match=f"PRETEXTO_FLOW_CACHE={wrong}: give a number of giga"):
            shared_cache()
