"""The motion that an index keeps: true speeds at any frame rate, and none where nothing moves."""

from fractions import Fraction

import av
import media_factory as media
import numpy as np
import pytest

from pretexto.datasets.synthetic.source import Synthetic
from pretexto.modalities import motion
from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.motion import Motion, motion_kind


def measured(frames, fps: float) -> tuple[float, ...]:
    """Motion per second of frames [H, W, 3] shown at this rate."""
    found = Motion()
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = number, 1 / Fraction(fps)
        found.add(frame)
    return found.per_second(len(frames) / fps)


def times(fps: float, seconds: float = 1.0) -> np.ndarray:
    return np.arange(round(fps * seconds)) / fps


def noisy(frames, seed: int, deviation: float = 4.0) -> list[np.ndarray]:
    """The frames with a sensor's noise, in grey levels."""
    rng = np.random.default_rng(seed)
    drawn = (f + deviation * rng.standard_normal(f.shape[:2])[..., None] for f in frames)
    return [x.clip(0, 255).round().astype(np.uint8) for x in drawn]


def flickering(frames, fps: float) -> list[np.ndarray]:
    """The frames under light that swings by a fifth twice a second."""
    light = 1 + 0.2 * np.sin(4 * np.pi * times(fps, len(frames) / fps))
    return [
        (f * x).clip(0, 255).round().astype(np.uint8) for f, x in zip(frames, light, strict=True)
    ]


# Over 12 textures, 12.5, 25 and 50 frames per second: 0.96 … 1.12 of the true speed at 20 and 60 %
# of the longer side per second, 0.93 … 1.17 at 5 %; noise of 4 grey levels changes it by 0.02.
@pytest.mark.parametrize("fps", [12.5, 25, 50])
@pytest.mark.parametrize("speed", [20, 60])
def test_a_texture_of_known_speed_has_that_speed_at_any_frame_rate(fps, speed):
    for seed in range(2):
        moving = noisy(media.drifting(speed * times(fps), seed=seed), seed)
        assert measured(moving, fps) == pytest.approx((speed,), rel=0.15)


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (64, 64)])
def test_the_unit_depends_on_no_size_or_shape(size):
    moving = media.drifting(20 * times(25), height=size[0], width=size[1])
    assert measured(moving, 25) == pytest.approx((20,), rel=0.15)


def test_each_second_has_its_own_speed_the_last_one_too():
    far = np.concatenate([np.zeros(25), 20 * times(25), 20 + 60 * times(25, 0.4)])
    still, slow, fast = measured(media.drifting(far), 25)
    assert still < 1
    assert slow == pytest.approx(20, rel=0.15)
    assert fast == pytest.approx(60, rel=0.15)


# Over the same textures noise alone comes to 0.17 … 0.86, the flicker to 0.38 … 1.08.
@pytest.mark.parametrize("fps", [12.5, 25, 50])
def test_noise_and_flicker_are_hardly_motion(fps):
    still = media.drifting(np.zeros(len(times(fps))))
    assert measured(noisy(still, 0), fps)[0] < 1.2
    assert measured(flickering(still, fps), fps)[0] < 1.5


def test_without_opencv_grey_differences_stand_in_and_are_named(tmp_path, monkeypatch):
    still, moving = (media.drifting(speed * times(25)) for speed in (0, 20))
    flicker, noise = flickering(still, 25), noisy(still, 0)
    by_flow = measured(flicker, 25)[0] / measured(moving, 25)[0]
    film = media.write(tmp_path / "x.mp4", moving, times(25).tolist())
    assert analyze(film).motion.kind == motion_kind() == "flow"
    motion_kind.cache_clear()

    def absent():
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(motion, "opencv", absent)
    try:
        assert analyze(film).motion.kind == motion_kind() == "grey"
        # Differences of grey take flicker for motion: 0.8 … 1.2 of this texture's, over 6 of them.
        assert measured(flicker, 25)[0] / measured(moving, 25)[0] > 0.7 > 10 * by_flow
        assert measured(noise, 25)[0] > 50
    finally:
        motion_kind.cache_clear()


def test_a_single_frame_and_a_film_without_times_do_not_move():
    assert measured(media.drifting([0.0]), 25) == (0.0,)
    assert Motion().per_second(1.0) == ()


def test_the_synthetic_world_s_motion_is_its_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETEXTO_CACHE", str(tmp_path))
    source = Synthetic("all", train_scenes=2, test_scenes=1)
    for i in range(len(source)):
        truth, known = source.truth(i), source.info(i).motion
        assert len(known) == 2
        if truth["class"] == "slide":
            # It does nothing else: the area of the figure's disc times all its way.
            covered = np.pi * np.mean(truth["radius"]) ** 2
            ways = np.abs(np.diff(truth["x"])).sum() / (len(truth["x"]) - 1) * 12.5
            assert np.mean(known) == pytest.approx(100 * covered * ways, rel=0.05)
    still = Synthetic("test", train_scenes=2, test_scenes=1, moving=False)
    assert still.info(0).motion == (0.0, 0.0)
    seen = [sum(analyze(source.info(i).path).info.motion) for i in range(len(source))]
    known = [sum(source.info(i).motion) for i in range(len(source))]
    # The flow of the files has the camera's shake in it; six worlds gave 0.46 … 0.67.
    assert np.corrcoef(known, seen)[0, 1] > 0.3
