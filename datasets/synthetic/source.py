"""The synthetic world as a source: real MP4 files, written once, with the truth about each."""

import hashlib
import json
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...modalities.media import MediaInfo, Plan, Sample
from ...modalities.motion import speeds
from ..array import frame_number
from ..cache import made_once
from ..source import Source
from .render import figure_masks
from .scene import MOTIONS
from .sound import RATE
from .write import TRUTH, VERSION, World, draw_clip, write_world


class Synthetic(Source):
    """Clips of a figure with a head that moves in one of eight ways, and the sound it makes.

    Every scene (background, figure, colours, texture) shows every motion once, so nothing about
    a scene tells the class; position, size, angle, speed, shake, light, timbre and loudness are
    drawn for each clip without regard to it. A frame alone tells nothing either: the class is in
    the movement over about one second. The tone follows the height of the figure's head, a tick
    sounds at every turning point, the light comes from above, and motions gather speed between
    turns, so that time has a direction.

    The files go to `$PRETEXTO_CACHE` or `~/.cache/pretexto`, and are read from there next time.

    Args:
        split: "train", "test" or "all" (both, training clips first); scenes are never shared.
        seed: of the world; the same seed gives the same pixels and the same sound.
        train_scenes: number of training scenes, eight clips each.
        test_scenes: number of test scenes, eight clips each.
        size: pixels of the square picture, even.
        fps: frames per second.
        seconds: length of each clip.
        coupled: False: each clip gets the sound of a motion drawn for itself, from any class.
        upright: False: each clip is turned by 0, 90, 180 or 270 degrees, so "up" is unknowable.
        moving: False: the figure stands still and sounds a steady tone (the camera still shakes).

    Raises:
        InputError: an unknown split, a size or length that cannot be written, or a cache folder
            that cannot be.
    """

    classes = MOTIONS
    mask_classes = ("background", "figure")

    def __init__(
        self,
        split: Literal["train", "test", "all"] = "all",
        *,
        seed: int = 0,
        train_scenes: int = 60,
        test_scenes: int = 30,
        size: int = 64,
        fps: float = 12.5,
        seconds: float = 2.0,
        coupled: bool = True,
        upright: bool = True,
        moving: bool = True,
    ):
        if split not in ("train", "test", "all"):
            raise InputError(f"synthetic: no split {split!r}; choose train, test or all")
        world = World(seed, train_scenes, test_scenes, size, fps, seconds, coupled, upright, moving)
        _check(world)
        key = hashlib.sha256(repr((VERSION, asdict(world))).encode()).hexdigest()[:16]
        self.folder = made_once(f"synthetic-{key}", lambda folder: write_world(folder, world))
        truths = json.loads((self.folder / TRUTH).read_text())
        self._truths = [fact for fact in truths if split in ("all", fact["split"])]
        self._clips = [clip for clip in world.clips() if split in ("all", clip[0])]
        self.title = "synthetic world"
        self._frames, self._world = len(world.times()), world
        self._infos: dict[int, MediaInfo] = {}

    def __len__(self) -> int:
        return len(self._truths)

    def name(self, i: int) -> str:
        return self._truths[i]["path"]

    def info(self, i: int) -> MediaInfo:
        if i not in self._infos:
            self._infos[i] = self._info(i)
        return self._infos[i]

    def _info(self, i: int) -> MediaInfo:
        return MediaInfo(
            path=str(self.folder / self.name(i)),
            kind="video",
            duration=self._frames / self._world.fps,
            fps=self._world.fps,
            frames=self._frames,
            height=self._world.size,
            width=self._world.size,
            codec="h264",
            audio_rate=RATE,
            audio_channels=1,
            audio_duration=self._world.seconds,
            motion=self._motion(i),
        )

    def _motion(self, i: int) -> tuple[float, ...]:
        """As `modalities.motion` has it, but by construction, and without the camera's shake."""
        x, y, angle, radius = (
            np.array(self._truths[i][name]) for name in ("x", "y", "angle", "radius")
        )
        # A disc's points lie two thirds of its radius from its centre on average.
        turned, grown = np.diff(np.unwrap(np.radians(angle))) * radius[1:], np.diff(radius)
        far = np.hypot(np.hypot(np.diff(x), np.diff(y)), 2 / 3 * np.hypot(turned, grown))
        steps = 100 * far * np.pi * radius[1:] ** 2  # all else stands still
        moved = np.concatenate([[0.0], np.cumsum(steps)])
        return speeds(self._world.times(), moved, self._frames / self._world.fps)

    def read(self, i: int, plan: Plan) -> Sample:
        from ...modalities.decode.reader import read

        info = self.info(i)
        return read(info.path, plan, info=info)

    def masks(self, i: int, plan: Plan) -> NDArray[np.uint8]:
        """1 where the figure is, head and body, which move as one, and 0 elsewhere."""
        fps, count = self._world.fps, self._frames
        numbers = [frame_number(t, count, fps, plan, self.name(i)) for t in plan.times]
        clip, world = draw_clip(self._world, *self._clips[i]), self._world
        states = clip.motion.states(world.times())
        masks = figure_masks(clip.look, states, world.size, clip.picture)[numbers]
        return np.rot90(masks, self._truths[i]["up"] // 90, (1, 2)).astype(np.uint8)

    def label(self, i: int) -> int:
        return MOTIONS.index(self._truths[i]["class"])

    def group(self, i: int) -> str:
        """The scene."""
        return self._truths[i]["scene"]

    def split(self, i: int) -> str:
        return self._truths[i]["split"]

    def truth(self, i: int) -> dict[str, Any]:
        """What is true of clip i.

        class, scene, shape, texture; hue of the body, 0 … 1; up: degrees counter-clockwise by
        which the picture was turned; speed in cycles per second and direction; for each frame x,
        y and radius in picture sides (y downwards) and angle in degrees clockwise, before that
        turn and without the camera's shake; beats: seconds of the turning points; pitch of each
        frame in Hz, heard (the class) and heard_beats, which are another motion's if the world
        is not coupled; transpose in octaves.
        """
        return self._truths[i]


def _check(world: World) -> None:
    if world.size < 16 or world.size % 2:
        raise InputError(f"synthetic: size must be even and at least 16 pixels, not {world.size}")
    if world.fps <= 0 or len(world.times()) < 1:
        raise InputError(
            f"synthetic: {world.seconds} s at {world.fps} fps hold no frame; take a longer clip"
        )
    if world.train_scenes < 0 or world.test_scenes < 0 or world.seed < 0:
        raise InputError("synthetic: seed and numbers of scenes must be 0 or more")
