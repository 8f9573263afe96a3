"""Decoding in children: their limits, and training on files that nobody has looked at yet."""

import os
import time
from pathlib import Path

import child_jobs
import media_factory as media
import numpy as np
import pytest
from fakes import fake_task

from pretexto.build import build
from pretexto.datasets.folder import Folder
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source
from pretexto.modalities.decode import reader as reading
from pretexto.modalities.decode import sandbox as child
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.decode.sandbox import Child, IsolatedReader, Limits
from pretexto.modalities.media import AudioSpan, MediaError, Plan
from pretexto.training.data import Examples, make_loader
from pretexto.training.sampler import Schedule

LIMITS = Limits(30, 1024)


@pytest.fixture(autouse=True)
def _children_find_the_jobs(monkeypatch):
    path = [str(Path(__file__).parents[1] / "helpers"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Two films of two seconds with sound, and one that is none."""
    root = tmp_path_factory.mktemp("films")
    wave = 0.5 * np.sin(np.arange(32_000) * 0.2)[None].astype(np.float32)
    times = np.arange(32) / 16
    for name in ("a", "b"):
        cards = [media.card((k * 37 + ord(name)) % 256) for k in range(32)]
        media.write(root / f"{name}.mp4", cards, times.tolist(), sound=wave, rate=16_000)
    return root


def test_children_answer_and_keep_to_their_limits(tmp_path):
    with Child(child_jobs.misbehave, Limits(2, 256)) as child:
        answer, blobs = child.run("loud", 1, "two")
        assert answer["arguments"] == [1, "two"]
        assert blobs == [b"abc", b""]
        assert child.run("again")[0]["process"] == answer["process"] != os.getpid()
        with pytest.raises(MediaError, match="refused: demux: no"):
            child.run("refused")
        with pytest.raises(MediaError, match="memory"):
            child.run("greedy")
        assert child.run("again")[0]["process"] == answer["process"]
        start = time.monotonic()
        with pytest.raises(MediaError) as caught:
            child.run("hang")
        assert caught.value.stage == "time"
        assert time.monotonic() - start < 4
    # A child whose parent is gone ends by itself.
    with pytest.raises(OSError, match="No such process"):
        os.kill(answer["process"], 0)


def test_reading_in_a_child_gives_the_same(films, tmp_path):
    reader = IsolatedReader(LIMITS)
    path = str(films / "a.mp4")
    plan = Plan((1.5, 0.2), AudioSpan(0.9, 0.5, 8000), ((0.0, 1.5),), short_side=32)
    ours, theirs = reader.read(path, plan), read(path, plan)
    for name in ("frames", "times", "audio", "flow"):
        assert getattr(ours, name).equal(getattr(theirs, name))
    assert reader.probe(path) == probe(path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no media at all" * 100)
    with pytest.raises(MediaError, match="open"):
        reader.probe(str(broken))
    reader.close()


def test_training_on_a_folder_decodes_in_children_if_told_so(films, monkeypatch):
    examples = Examples(Folder(films), fake_task(), 3)
    expected = [x.batch["frame"] for x in make_loader(examples, Schedule(2, 2, 3))]

    def refuse(*_, **__):
        raise AssertionError("decoded outside a child")

    monkeypatch.setattr(reading, "read", refuse)
    monkeypatch.setattr(reading, "probe", refuse)
    source = open_source(str(films), isolated=LIMITS)
    assert source.info(0).has_audio  # its child runs now: loader workers must not share it
    loader = make_loader(Examples(source, fake_task(), 3), Schedule(2, 2, 3), workers=1)
    found = [x.batch["frame"] for x in loader]
    assert all(a.equal(b) for a, b in zip(expected, found, strict=True))
    assert source.info(1).has_audio


def test_a_file_that_kills_its_reader_is_one_lost_example(films, tmp_path, monkeypatch):
    for name in ("crash", "whole"):
        (tmp_path / f"{name}.mp4").symlink_to(films / "a.mp4")
    monkeypatch.setattr(child, "read_job", child_jobs.read)
    source = Folder(tmp_path, isolated=LIMITS)
    (loaded,) = make_loader(Examples(source, fake_task(), 0), Schedule(2, 2, 1))
    assert [(x.name, x.stage) for x in loaded.lost] == [("crash.mp4", "crash")]
    assert loaded.batch["index"].tolist() == [1]


def test_a_config_may_ask_for_children(films):
    arguments = {"path": str(films), "isolated": {"seconds": 7.0, "megabytes": 512}}
    tree = {"data": {"class_path": "pretexto.datasets.folder.Folder", "init_args": arguments}}
    source = build(tree, {"data": str | Source}, "test")["data"]
    assert source._reader._child.limits == Limits(7.0, 512)
