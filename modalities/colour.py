"""Decoded frames to 8-bit RGB at the wanted size, with the stream's own matrix and range.

swscale does it, as in PyAV's own `to_ndarray`, but its tables are kept from frame to frame. Scaling
comes before conversion where chroma is stored at half resolution: there are half as many values.
"""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .container import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

Pixels = NDArray[np.uint8]

_ITU601 = 5
# AVColorSpace (ITU-T H.273) to swscale's numbers. Unspecified means BT.601, as in FFmpeg.
_MATRICES = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_BILINEAR, _BICUBIC, _AREA = 2, 4, 32  # swscale's flags
_KEPT = 8  # reformatters: each holds some rows of pixels
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
    name = frame.format.name
    full = frame.color_range == _FULL_RANGE or name.startswith("yuvj")
    matrix = _MATRICES.get(int(frame.colorspace), _ITU601)
    if name in _PLANAR_420 and (frame.height, frame.width) != (height, width):
        frame = _reformat(frame, height, width, name, _ITU601, full, full)
    plane: Any = _reformat(frame, height, width, "rgb24", matrix, full, True).planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height]
    out[:] = rows[:, : 3 * width].reshape(height, width, 3)


def _reformat(frame, height, width, pixels, matrix, full, full_out) -> "VideoFrame":
    growth = height * width - frame.height * frame.width
    kind = (frame.format.name, frame.height, frame.width, pixels, height, width)
    kind += (matrix, full, full_out, frame.color_primaries, frame.color_trc)
    return _reformatter(kind).reformat(
        frame,
        width,
        height,
        pixels,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        interpolation=_AREA if growth < 0 else _BICUBIC if growth else _BILINEAR,
        src_color_range=_FULL_RANGE if full else _LIMITED_RANGE,
        dst_color_range=_FULL_RANGE if full_out else _LIMITED_RANGE,
        threads=1,
    )


class _Reformatters(threading.local):
    """swscale's tables for the kinds of pictures met last; making them takes as long as using them.

    They can serve one thread at a time only.
    """

    def __init__(self):
        self.made: OrderedDict[tuple, VideoReformatter] = OrderedDict()


_reformatters = _Reformatters()


def _reformatter(kind: tuple) -> "VideoReformatter":
    from av.video.reformatter import VideoReformatter

    made = _reformatters.made
    found = made[kind] = made.pop(kind, None) or VideoReformatter()
    if len(made) > _KEPT:
        made.popitem(last=False)
    return found
