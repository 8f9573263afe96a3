"""Sources of pictures that are in memory, or that another library hands out one by one."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..modalities.image import resize
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from .source import Source


class FrameSource(Source):
    """A source whose examples are pictures or films given as arrays of frames.

    A subclass says how many there are and gives the `frames` of each; it may override `fps`.
    """

    @abstractmethod
    def frames(self, i: int) -> NDArray[np.uint8]:
        """Frames of example i: uint8 [T, H, W, 3] RGB, or [H, W, 3] or [H, W] of a picture."""

    def fps(self, i: int) -> float:
        """Frames per second of example i, where it is a film."""
        return 25.0

    def name(self, i: int) -> str:
        return str(i)

    def info(self, i: int) -> MediaInfo:
        count, height, width, _ = self._film(i).shape
        size = {"frames": count, "height": height, "width": width, "codec": "raw"}
        if count == 1:
            return MediaInfo(self.name(i), "image", **size)
        return MediaInfo(
            self.name(i), "video", duration=count / self.fps(i), fps=self.fps(i), **size
        )

    def read(self, i: int, plan: Plan) -> Sample:
        """As `modalities.decode.reader.read` gives it of a file with these frames and no sound."""
        film, fps = self._film(i), self.fps(i)
        if plan.audio or plan.flow:
            raise MediaError(self.name(i), "plan", "an array of frames has no sound and no flow")
        numbers = [frame_number(t, len(film), fps, plan, self.name(i)) for t in plan.times]
        if not numbers:
            return Sample(note=plan.note)
        pixels = torch.from_numpy(np.ascontiguousarray(film[numbers])).permute(0, 3, 1, 2)
        if plan.short_side:
            pixels = resize(pixels, plan.short_side)
        times = torch.tensor([n / fps for n in numbers], dtype=torch.float64)
        return Sample(pixels, times, note=plan.note)

    def _film(self, i: int) -> NDArray[np.uint8]:
        """uint8 [T, H, W, 3]."""
        values = np.asarray(self.frames(i))
        if values.ndim == 2:
            values = np.repeat(values[:, :, None], 3, 2)
        film = values[None] if values.ndim == 3 else values
        if film.dtype != np.uint8 or film.ndim != 4 or film.shape[3] != 3 or not film.size:
            raise InputError(
                f"{self.title} {self.name(i)}: frames are uint8 [T, H, W, 3], [H, W, 3] or [H, W], "
                f"not {values.dtype} {list(values.shape)}"
            )
        return film


def frame_number(time: float, count: int, fps: float, plan: Plan, name: str) -> int:
    """Number of the frame of `count` that is shown at a time, as the plan's `past_end` has it.

    Raises:
        MediaError: a time past the end where that is an error.
    """
    if count == 1:
        return 0
    duration = count / fps
    if not -1e-6 <= time < duration:
        if plan.past_end == "error":
            raise MediaError(name, "plan", f"a frame is asked at {time:.3f} s of {duration:.3f} s")
        time = time % duration if plan.past_end == "wrap" else min(max(time, 0.0), duration)
    return min(max(int((time + 1e-6) * fps), 0), count - 1)


class ArraySource(FrameSource):
    """Pictures or films in arrays.

    Args:
        media: one array each: uint8 [N, H, W, 3], [N, T, H, W, 3], or a list of arrays that
            `FrameSource.frames` would give.
        labels: number of the class of each, -1 for none; None: all unlabelled.
        classes: their names; None: the numbers.
        fps: frames per second of films.
        title: a name for reports.

    Raises:
        InputError: unlike numbers of media and labels, or a label without a class.
    """

    def __init__(
        self,
        media: Sequence[ArrayLike] | NDArray[np.uint8],
        labels: Sequence[int] | NDArray[Any] | None = None,
        *,
        classes: Sequence[str] | None = None,
        fps: float = 25.0,
        title: str = "arrays",
    ):
        self._media, self._fps, self.title = media, fps, title
        self._labels = np.full(len(media), -1) if labels is None else np.asarray(labels)
        if len(self._labels) != len(media):
            raise InputError(f"{title}: {len(media)} media, but {len(self._labels)} labels")
        most = int(self._labels.max(initial=-1))
        self.classes = tuple(map(str, range(most + 1))) if classes is None else tuple(classes)
        if most >= len(self.classes):
            raise InputError(f"{title}: label {most}, but only {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self._media)

    def frames(self, i: int) -> NDArray[np.uint8]:
        return np.asarray(self._media[i])

    def fps(self, i: int) -> float:
        return self._fps

    def label(self, i: int) -> int:
        return int(self._labels[i])
