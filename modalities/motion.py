"""How much a film moves: how far its points go between successive frames, by the second."""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .decode.pixels import opencv

MotionKind = Literal["flow", "grey"]
UNITS: dict[MotionKind, str] = {
    "flow": "% of the longer side per second",
    "grey": "grey levels per second",
}
# Measured on moving textures: 128 pixels by the ultrafast preset are within 9 % of the true speed,
# as 96 by the fast one are, in two thirds of the time; 64 overstate slow movement by 20 %.
_LONG = 128  # pixels of the small pictures' longer side
_SHORTEST = 32  # of what DIS is given: on lower pictures its ultrafast preset ends the process
_Picture = NDArray[np.uint8]


@cache
def motion_kind() -> MotionKind:
    """What motion is measured by here: "grey" where OpenCV cannot be imported."""
    try:
        opencv()
    except ImportError:
        return "grey"
    return "flow"


class Motion:
    """Motion of one film, frame by frame.

    Each frame is shrunk to grey pictures with a longer side of 128 pixels. "flow" is the mean
    length of the optical flow (dense inverse search, Kroeger et al., ECCV 2016) from one to the
    next, in hundredths of the longer side, so that neither frame rate nor size of the picture
    matter. "grey" is the mean absolute difference of the two, in levels of 255: it takes changes
    of brightness for motion, and large contrasts for fast ones.

    Attributes:
        kind: "flow", or "grey" where OpenCV cannot be imported.
        count: frames so far.
    """

    def __init__(self):
        self.kind: MotionKind = motion_kind()
        self.count = 0
        self._apart = _flow() if self.kind == "flow" else _grey
        self._size = (0, 0)
        self._last: _Picture | None = None
        self._times: list[float] = []
        self._moved: list[float] = []

    def add(self, frame) -> None:
        """Takes the next decoded frame."""
        self.count += 1
        if self._last is None:
            self._size = _small(frame.width, frame.height)
        width, height = self._size
        grey = frame.reformat(width, height, "gray", interpolation="AREA", threads=1)
        rows = np.frombuffer(grey.planes[0], np.uint8).reshape(height, -1)
        picture = np.ascontiguousarray(rows[:, :width])  # DIS takes no pictures with gaps
        if frame.time is not None:
            apart = 0.0 if self._last is None else self._apart(self._last, picture)
            self._moved.append(apart)
            self._times.append(frame.time)
        self._last = picture

    def steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Starts of the frames in seconds from the first one's [N], and how far all moved until
        each [N], which grows from 0."""
        times = np.maximum.accumulate(np.array(self._times, np.float64))
        return times - times[:1], np.cumsum(self._moved)

    def per_second(self, duration: float) -> tuple[float, ...]:
        """Mean speed in each second, in the kind's unit; empty without frames."""
        return speeds(*self.steps(), duration) if self._times else ()


def speeds(
    times: NDArray[np.float64], moved: NDArray[np.float64], duration: float
) -> tuple[float, ...]:
    """Mean speed in each second.

    A step between two frames counts for the time between them, so a second that the film ends in
    has the speed that is seen in it.

    Args:
        times: [N], starts of the frames in seconds, rising from 0.
        moved: [N], how far all has moved until each, in any unit of length.
        duration: seconds.

    Returns:
        one value per second begun, rounded to a thousandth; none of more than 10 million.
    """
    seconds = max(int(np.ceil(round(duration, 6))), 1)
    if seconds > 10_000_000:
        return ()
    edges = np.arange(seconds + 1).clip(0, times[-1])
    moves, lengths = np.diff(np.interp(edges, times, moved)), np.diff(edges)
    found = np.divide(moves, lengths, out=np.zeros(seconds), where=lengths > 0)
    return tuple(round(float(x), 3) for x in found)


def _small(width: int, height: int) -> tuple[int, int]:
    """The small picture's width and height: in proportion, so that one unit serves both axes."""
    scale = _LONG / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _flow() -> Callable[[_Picture, _Picture], float]:
    """A function that measures hundredths of the longer side; it keeps its buffers."""
    cv2 = opencv()
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def apart(first: _Picture, second: _Picture) -> float:
        height, width = first.shape
        edge = (0, max(_SHORTEST - height, 0), 0, max(_SHORTEST - width, 0))
        pair = [cv2.copyMakeBorder(x, *edge, cv2.BORDER_REPLICATE) for x in (first, second)]
        flow = method.calc(*pair, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
        x, y = flow[:height, :width, 0], flow[:height, :width, 1]
        return float(np.sqrt(x * x + y * y).mean()) * 100 / _LONG

    return apart


def _grey(first: _Picture, second: _Picture) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())
