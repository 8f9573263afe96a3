"""Media from anywhere: paths of any name, bytes, file objects and URLs."""

import builtins
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import media_factory as make
import numpy as np
import pytest
import soundfile
from PIL import Image

from pretexto.errors import InputError
from pretexto.modalities.decode import lru_cache
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import close_files, probe, read
from pretexto.modalities.media import AudioSpan, MediaError, Plan

RATE = 8000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A film, a sound and a picture."""
    root = tmp_path_factory.mktemp("media")
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, RATE)).astype(np.float32)
    pictures = [make.card(k) for k in range(20)]
    sound = {"sound": wave, "rate": RATE, "sound_codec": "pcm_s16le"}
    make.write(root / "film.mkv", pictures, [k / 20 for k in range(20)], **sound)
    soundfile.write(root / "sound.wav", wave[0], RATE)
    Image.fromarray(make.card(77)).save(root / "card.png")
    return root


PLANS = {
    "film.mkv": Plan(times=(0.31, 0.8), audio=AudioSpan(0.2, 0.3, RATE)),
    "sound.wav": Plan(audio=(AudioSpan(0.5, 0.3, RATE), AudioSpan(0, 0.1, RATE))),
    "card.png": Plan(times=(0.0,)),
}


class Pipe(io.RawIOBase):
    """A stream that cannot be wound back."""

    def __init__(self, data: bytes):
        self._data = io.BytesIO(data)

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._data.read(size)


def as_url(path: Path) -> str:
    import fsspec

    url = f"memory://{path.name}-{path.stat().st_mtime_ns}/{path.name}"
    system, inside = fsspec.url_to_fs(url)
    system.pipe_file(inside, path.read_bytes())
    return url


FORMS = {
    "text": str,
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "open file": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "pipe": lambda path: Pipe(path.read_bytes()),
    "memory URL": as_url,
    "file URL": lambda path: f"file://{path}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PLANS)
def test_a_medium_in_any_form_is_the_same(folder, name, form):
    medium, plan = FORMS[form](folder / name), PLANS[name]
    expected = read(folder / name, plan)
    for _ in range(2):  # what is known of it by the second time changes nothing
        if form == "pipe":
            medium = FORMS[form](folder / name)
        sample = read(medium, plan)
        for field in ("frames", "times", "audio"):
            ours, theirs = getattr(sample, field), getattr(expected, field)
            assert (ours is None) == (theirs is None)
            assert ours is None or ours.equal(theirs)
    if form != "pipe":
        info, known = probe(medium), probe(folder / name)
        assert (info.kind, info.duration, info.frames) == (known.kind, known.duration, known.frames)


def test_a_file_object_stays_open_and_is_known_by_itself(folder):
    first, second = (io.BytesIO((folder / name).read_bytes()) for name in ("film.mkv", "sound.wav"))
    assert probe(first).kind == "video"
    assert probe(second).kind == "audio"
    assert not first.closed
    del first
    third = io.BytesIO((folder / "sound.wav").read_bytes())
    assert probe(third).kind == "audio"


def test_bytes_of_equal_length_are_told_apart(folder):
    data = (folder / "card.png").read_bytes()
    assert origin_of(data).key != origin_of(data[:-1] + b"x").key
    assert origin_of(data).key == origin_of(bytearray(data)).key


def test_no_descriptor_is_left_open_by_bytes_and_objects(folder):
    close_files()
    before = len(os.listdir("/proc/self/fd"))
    for name, plan in PLANS.items():
        with (folder / name).open("rb") as file:
            read(file, plan)
        read((folder / name).read_bytes(), plan)
        with pytest.raises(MediaError):
            read(b"nothing", plan)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["12:30.wav", "a:b.mkv", "http:film.mkv", "two words?.wav"])
def test_relative_names_with_colons_are_files(folder, tmp_path, monkeypatch, name):
    kind = "sound.wav" if name.endswith("wav") else "film.mkv"
    (tmp_path / name).write_bytes((folder / kind).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(name).kind == ("audio" if kind == "sound.wav" else "video")
    assert read(name, PLANS[kind]).audio.equal(read(folder / kind, PLANS[kind]).audio)
    assert read(name, PLANS[kind], strict=True).audio is not None
    if kind == "film.mkv":
        assert read(name, Plan(times=(0.31,)), "decord").frames is not None


def test_a_pipe_a_folder_and_nothing_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "film.mp4")
    refused = {"film.mp4": "pipe", ".": "a folder", "none.mp4": "No such file"}
    for name, reason in refused.items():
        with ThreadPoolExecutor() as pool:
            said = pool.submit(_refusal, tmp_path / name).result(timeout=30)
        assert reason in said
        assert "\n" not in said


def _refusal(path: Path) -> str:
    try:
        probe(path)
    except MediaError as error:
        return f"{error.stage}: {error.reason}"
    return ""


def test_what_is_no_medium_is_named():
    with pytest.raises(InputError, match="not int"):
        read(3, Plan(times=(0.0,)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nosuch"):
        probe("nosuch://somewhere/film.mp4")
    with pytest.raises(MediaError, match="open"):
        probe("memory://nothing/here.mp4")


def test_other_backends_read_files_only(folder):
    with pytest.raises(MediaError, match="unsupported by decord"):
        read((folder / "film.mkv").read_bytes(), Plan(times=(0.0,)), "decord")


def test_a_platform_that_cannot_fork_needs_no_hook(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    store = lru_cache.Recent(lambda value: 1, 2)
    store.put((1,), "a")
    assert store.get((1,)) == "a"


def test_a_picture_is_opened_once(folder, monkeypatch):
    opened, real = [], builtins.open

    def counting(file, *args, **kwargs):
        opened.append(file)
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", counting)
    picture = str(folder / "card.png")
    probe(picture)
    assert opened.count(picture) == 1
    read(picture, PLANS["card.png"])
    assert opened.count(picture) == 2
