"""Decoded frames to 8-bit RGB at the wanted size, with the stream's own matrix and range.

swscale does it, as in PyAV's own `to_ndarray`, but its tables are kept from frame to frame. Scaling
comes before conversion where chroma is stored at half resolution: there are half as many values.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .demuxer import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame

    Step = Callable[[VideoFrame], VideoFrame]
from types import ModuleType

Pixels = NDArray[np.uint8]

_ITU601 = 5
# AVColorSpace (ITU-T H.273) to swscale's numbers. Unspecified means BT.601, as in FFmpeg.
_MATRICES = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_BILINEAR, _BICUBIC, _AREA = 2, 4, 32  # swscale's flags
_KEPT = 8  # ways to convert: each holds some rows of pixels
_PLAIN = ("yuv420p", "yuv422p", "yuv444p")
_PLANAR_420 = ("yuv420p", "yuvj420p")


def display_size(frame: "VideoFrame", aspect: float) -> tuple[int, int]:
    """Height and width in pixels with the pixels' aspect applied, before any rotation.

    Raises:
        ValueError: a picture of no size or an absurd one.
    """
    height, width = frame.height, max(round(frame.width * aspect), 1)
    if height < 1 or frame.width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a picture of {frame.width}x{height} pixels")
    return height, width


def orientation(frame: "VideoFrame") -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether to mirror left-right before them."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    mirror = a * d - b * c < 0
    # What is left when the mirror is undone is a rotation; a matrix of zeros means none.
    angle = np.degrees(np.arctan2(-b, -a) if mirror else np.arctan2(b, a))
    return round(-angle / 90) % 4, bool(mirror)


def turned(picture: Pixels, turns: int, mirror: bool) -> Pixels:
    """The picture [H, W, 3] mirrored and rotated as `orientation` says."""
    return np.rot90(picture[:, ::-1] if mirror else picture, turns)


def is_plain(context) -> bool:
    """Whether a codec context tells of 8 bits in limited range: all converters get that right."""
    return context.pix_fmt in _PLAIN and context.color_range != _FULL_RANGE


def to_rgb(frame: "VideoFrame", out: Pixels) -> None:
    """Writes the frame as RGB into `out`, uint8 [height, width, 3], antialiased if it shrinks."""
    height, width = out.shape[:2]
    kind = (frame.format.name, frame.height, frame.width, height, width)
    for step in _steps((*kind, frame.colorspace, frame.color_range)):
        frame = step(frame)
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height]
    out.reshape(height, 3 * width)[:] = rows[:, : 3 * width]


class _Made(threading.local):
    """Ways to convert the kinds of pictures met last, which one thread at a time can use.

    swscale's tables belong to them: making those takes as long as using them.
    """

    def __init__(self):
        self.steps: OrderedDict[tuple, list[Step]] = OrderedDict()


_made = _Made()


def _steps(kind: tuple) -> "list[Step]":
    found = _made.steps.get(kind)
    if found is None:
        found = _made.steps[kind] = _conversion(*kind)
        if len(_made.steps) > _KEPT:
            _made.steps.popitem(last=False)
    return found


def _conversion(
    pixels: str, rows: int, columns: int, height: int, width: int, space: int, span: int
) -> "list[Step]":
    full = span == _FULL_RANGE or pixels.startswith("yuvj")
    matrix = _MATRICES.get(int(space), _ITU601)
    growth = height * width - rows * columns
    kind = _AREA if growth < 0 else _BICUBIC if growth else _BILINEAR
    if (rows, columns) == (height, width) or pixels not in _PLANAR_420:
        return [_reformat(height, width, "rgb24", matrix, full, True, kind)]
    scaled = _reformat(height, width, pixels, _ITU601, full, full, kind)
    return [scaled, _reformat(height, width, "rgb24", matrix, full, True, _BILINEAR)]


def _reformat(
    height: int, width: int, pixels: str, matrix: int, full: bool, full_out: bool, kind: int
) -> "Step":
    from av.video.reformatter import VideoReformatter

    return partial(
        VideoReformatter().reformat,
        width=width,
        height=height,
        format=pixels,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        interpolation=kind,
        src_color_range=_FULL_RANGE if full else _LIMITED_RANGE,
        dst_color_range=_FULL_RANGE if full_out else _LIMITED_RANGE,
        threads=1,
    )


def opencv() -> ModuleType:
    """The cv2 module, working in the calling thread alone.

    Loader processes are forked, and a forked copy of OpenCV's pool waits for threads that did not
    come along: even setting its size there hangs for ever. So the pool must never come into being;
    the loader's processes are what keeps the cores busy.
    """
    import cv2

    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)
    return cv2


def resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] at another height and width, antialiased where it shrinks."""
    if picture.shape[:2] == size:
        return picture
    cv2 = opencv()
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled: Any = cv2.resize(picture, size[::-1], interpolation=interpolation)
    return scaled
