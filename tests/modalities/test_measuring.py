"""Measuring a file never makes it unreadable, whatever its pictures and sounds are like."""

from fractions import Fraction

import av
import media_factory as make
import numpy as np
import pytest
import soundfile

from pretexto.datasets.index.build import scan_job
from pretexto.modalities import motion
from pretexto.modalities.decode import analyze as analysis
from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.decode.sandbox import Child, Limits
from pretexto.modalities.motion import Motion

SIZES = [(100, 334), (34, 128), (128, 20), (640, 16), (16, 640), (1000, 2), (2, 2), (123, 77)]


def frames_of(sizes: list[tuple[int, int]], seconds: list[float]):
    """Frames of these widths and heights, whose texture moves."""
    for (width, height), time in zip(sizes, seconds, strict=True):
        moved = make.drifting([100 * time], height=height, width=width)[0]
        frame = av.VideoFrame.from_ndarray(moved, format="rgb24")
        frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
        yield frame


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_motion_is_measured_at_any_size(width, height):
    measure = Motion()
    for frame in frames_of([(width, height)] * 4, [0.0, 0.04, 0.08, 0.12]):
        measure.add(frame)
    (speed,) = measure.per_second(0.16)
    assert 0 <= speed < 2000
    assert speed > 0 or min(width, height) < 16


def test_a_narrow_film_moves_as_fast_as_a_square_one():
    """Pictures without a multiple of eight columns lie in memory with gaps."""
    seconds, found = [k / 25 for k in range(10)], []
    for size in ((128, 128), (75, 128)):
        measure = Motion()
        for frame in frames_of([size] * 10, [0.1 * s for s in seconds]):
            measure.add(frame)
        found.append(measure.per_second(0.04)[0])
    assert found[0] == pytest.approx(100, rel=0.3)
    assert found[1] == pytest.approx(found[0], rel=0.3)


def test_motion_goes_on_where_the_size_changes():
    sizes = [(128, 96)] * 3 + [(75, 128)] * 3 + [(640, 360)] * 3
    measure = Motion()
    for frame in frames_of(sizes, [k / 25 for k in range(9)]):
        measure.add(frame)
    assert measure.count == 9
    assert len(measure.per_second(0.36)) == 1


def test_a_vp9_film_whose_size_changes_is_healthy(tmp_path):
    path = make.vp9_of_changing_size(tmp_path / "changing.webm")
    with Child(scan_job, Limits(60, 2048)) as child:
        row, _ = child.run(str(path), None)
    assert (row["status"], row["reason"], row["frames"]) == ("ok", None, 240)
    assert len(row["motion"]) == 12


@pytest.mark.parametrize("size", [(90, 160), (62, 128), (160, 24), (44, 44)])
def test_films_of_odd_shapes_are_healthy(tmp_path, size):
    pictures = [make.card(k, size[1], size[0]) for k in range(8)]
    path = make.write(tmp_path / "odd.mp4", pictures, np.cumsum([0, *[0.02, 0.1] * 4])[:8].tolist())
    with Child(scan_job, Limits(60, 2048)) as child:
        row, _ = child.run(str(path), None)
    assert (row["status"], row["reason"]) == ("ok", None)
    assert row["motion"]


def test_a_measure_that_fails_says_so_and_the_film_stays(tmp_path, monkeypatch):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 24_000)).astype(np.float32)
    pictures = [make.card(k) for k in range(12)]
    path = make.write(tmp_path / "film.mp4", pictures, [k / 25 for k in range(12)], sound=wave)

    def fails(*_):
        raise RuntimeError("no\nflow today")

    monkeypatch.setattr(motion.Motion, "add", fails)
    found = analyze(path)
    assert found.frames == 12
    assert found.unmeasured == "motion: RuntimeError: no flow today"
    assert (found.info.motion, found.motion) == ((), None)
    assert found.loudness < 0
    monkeypatch.setattr(analysis.Loudness, "result", fails)
    found = analyze(path)
    assert found.unmeasured.endswith("; loudness: RuntimeError: no flow today")
    assert (found.loudness, found.silence) == (None, None)
    assert found.errors == ()


def test_sound_of_too_many_channels_is_readable_and_its_loudness_unmeasured(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, (4000, 255)), 8000)
    found = analyze(path)
    assert found.errors == ()
    assert found.loudness is None
    assert found.unmeasured.startswith("loudness: ValueError: 255 channels")
