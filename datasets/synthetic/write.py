"""Writes the synthetic world's clips as MP4 files (H.264 and AAC) with the truth about each."""

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from torch import Generator

from ...modalities.rng import generator, integer
from ...progress import progress
from ..folder import TABLE
from .render import render
from .scene import MOTIONS, Look, Motion, draw_look, draw_motion, pitch
from .sound import RATE, draw_transpose, sound

VERSION = 6
TRUTH = "world.json"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that fixes a synthetic world; see `Synthetic` for the meaning of each."""

    seed: int
    train_scenes: int
    test_scenes: int
    size: int
    fps: float
    seconds: float
    coupled: bool
    upright: bool
    moving: bool

    def clips(self) -> Iterator[tuple[str, int, str]]:
        """Split, scene number and class of each clip."""
        for split, scenes in (("train", self.train_scenes), ("test", self.test_scenes)):
            for scene in range(scenes):
                yield from ((split, scene, name) for name in MOTIONS)

    def times(self) -> np.ndarray:
        """Seconds at which each frame starts, float64 [T]."""
        return np.arange(round(self.seconds * self.fps)) / self.fps


@dataclass(frozen=True, slots=True)
class Clip:
    """What is drawn of one clip. Each part has its own generator, so that a world and its
    counter-world differ in nothing but what the counter-world changes.

    Attributes:
        look, motion: of the figure.
        picture, tone, other, turn: draw the pictures, the sound, the motion that is heard instead,
            and which way is up.
    """

    look: Look
    motion: Motion
    picture: Generator
    tone: Generator
    other: Generator
    turn: Generator


def draw_clip(world: World, split: str, scene: int, name: str) -> Clip:
    """A clip of `World.clips`, always the same."""
    # Test scenes have numbers of their own: more training scenes leave them as they are.
    number, order = scene * 2 + (split == "test"), MOTIONS.index(name)
    look = draw_look(generator(world.seed, number, 0))
    moving, *drawn = (generator(world.seed, number, 1 + order + 100 * part) for part in range(5))
    return Clip(look, draw_motion(moving, name, world.moving), *drawn)


def write_world(folder: Path, world: World) -> None:
    """All files of a world, and `world.json` with what is true of each."""
    clips = list(world.clips())
    for split, _, name in clips:
        (folder / split / name).mkdir(parents=True, exist_ok=True)
    # The encoders work outside the interpreter's lock, so two threads keep two cores busy.
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda clip: _make(folder, world, *clip), clips)
        try:
            truths = list(progress(made, len(clips), "Writing the synthetic world"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    (folder / TRUTH).write_text(json.dumps(truths))
    # So that the folder, indexed or read as it lies, keeps clips of one scene together.
    with (folder / TABLE).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "class", "group", "split"))
        table.writerows((t["path"], t["class"], t["scene"], t["split"]) for t in truths)


def _make(folder: Path, world: World, split: str, scene: int, name: str) -> dict[str, Any]:
    """Renders and writes one clip."""
    clip = draw_clip(world, split, scene, name)
    look, motion = clip.look, clip.motion
    heard, transpose = motion, draw_transpose(clip.tone)
    if not world.coupled:
        heard = draw_motion(clip.other, MOTIONS[integer(clip.other, len(MOTIONS))], world.moving)
    turns = 0 if world.upright else integer(clip.turn, 4)
    frames = np.rot90(
        render(look, motion.states(world.times()), world.size, clip.picture), turns, (1, 2)
    )
    path = f"{split}/{name}/scene{scene:04d}.mp4"
    wave = sound(heard, world.seconds, transpose, clip.tone)
    write_clip(folder / path, np.ascontiguousarray(frames), wave, world.fps)
    facts = {"path": path, "split": split, "scene": f"{split}-scene{scene:04d}", "class": name}
    facts |= {"shape": look.shape, "texture": look.texture, "hue": look.hues[2], "up": 90 * turns}
    return facts | _facts(motion, heard, transpose, world)


def _facts(motion: Motion, heard: Motion, transpose: float, world: World) -> dict[str, Any]:
    x, y, angle, radius = (
        [round(value, 4) for value in dial] for dial in motion.states(world.times()).T.tolist()
    )
    return {
        "speed": motion.speed,
        "direction": motion.direction,
        "x": x,
        "y": y,
        "angle": angle,
        "radius": radius,
        "beats": motion.beats(world.seconds).tolist(),
        "heard": heard.name,
        "heard_beats": heard.beats(world.seconds).tolist(),
        "pitch": pitch(heard.heads(world.times()), transpose).round(1).tolist(),
        "transpose": transpose,
    }


def write_clip(path: Path, frames: np.ndarray, wave: np.ndarray, fps: float) -> None:
    """One MP4 file.

    Every frame is a key frame: any frame is read without its neighbours, and no trace of the
    coding tells where in the film a frame stood.

    Args:
        path: of the file.
        frames: uint8 [T, H, W, 3], RGB, even H and W.
        wave: float32 [N] in [-1, 1] at RATE Hz.
        fps: frames per second.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture = container.add_stream("libx264", rate=rate, options=_PICTURE)
        picture.height, picture.width = frames.shape[1:3]
        picture.pix_fmt = "yuv420p"
        picture.time_base = 1 / rate
        picture.thread_count = 1
        tone = container.add_stream("aac", rate=RATE, layout="mono", options=_SOUND)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(picture.encode(frame))
        for start in range(0, len(wave), 1024):
            part = wave[None, start : start + 1024]
            chunk = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = RATE, start, Fraction(1, RATE)
            container.mux(tone.encode(chunk))
        container.mux(picture.encode(None))
        container.mux(tone.encode(None))


# The default search of FFmpeg's AAC encoder takes five times as long for no better sound here.
_SOUND = {"b": "64k", "aac_coder": "fast"}
_PICTURE = {
    "preset": "ultrafast",
    "crf": "20",
    "g": "1",
    "bf": "0",
    # The matrix that swscale uses for RGB to YUV, written down so that readers need not guess.
    "x264-params": "colormatrix=smpte170m:colorprim=smpte170m:transfer=smpte170m:range=tv",
}
