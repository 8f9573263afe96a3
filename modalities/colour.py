"""Decoded frames to 8-bit RGB at the wanted size, with the stream's own matrix and range.

Frames carry luma and chroma; OpenCV converts the commonest kind (BT.601, limited range, 4:2:0)
several times as fast as swscale, which does all the others. Scaling comes before conversion,
where there are half as many values to scale.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .container import MAX_PIXELS
from .opencv import opencv

if TYPE_CHECKING:
    from av import VideoFrame

Pixels = NDArray[np.uint8]

# AVColorSpace (ITU-T H.273) to the names swscale knows. Unspecified means BT.601, as in FFmpeg.
_MATRICES = {1: "ITU709", 4: "FCC", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
_FULL_RANGE = 2
_BLACK = 8  # OpenCV clips luma at 16: noise below it does no harm, pictures of broken data do
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


def to_rgb(frame: "VideoFrame", height: int, width: int) -> Pixels:
    """The frame as RGB uint8 [height, width, 3], antialiased where it shrinks."""
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    matrix = _MATRICES.get(int(frame.colorspace), "ITU601")
    if frame.format.name in _PLANAR_420:
        frame = _scaled(frame, height, width, full)
        if matrix == "ITU601" and not full and _plane(frame, 0, height, width).min() >= _BLACK:
            return _rgb_601(frame)
    rgb: Any = _reformat(frame, height, width, "rgb24", matrix, full, True).to_ndarray()
    return rgb


def _scaled(frame: "VideoFrame", height: int, width: int, full: bool) -> "VideoFrame":
    if (frame.height, frame.width) == (height, width):
        return frame
    return _reformat(frame, height, width, frame.format.name, "ITU601", full, full)


def _reformat(frame, height, width, pixels, matrix, full, full_out) -> "VideoFrame":
    from av.video.reformatter import ColorRange, Colorspace

    growth = height * width - frame.height * frame.width
    return frame.reformat(
        width,
        height,
        pixels,
        src_colorspace=Colorspace[matrix],
        dst_colorspace=Colorspace[matrix],
        interpolation="AREA" if growth < 0 else "BICUBIC" if growth else "BILINEAR",
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG if full_out else ColorRange.MPEG,
        threads=1,
    )


def _rgb_601(frame: "VideoFrame") -> Pixels:
    cv2 = opencv()
    height, width = frame.height, frame.width
    # OpenCV wants even sides: odd ones are padded, so that the chroma planes fit exactly.
    rows, columns = (height + 1) // 2, (width + 1) // 2
    buffer = np.empty(6 * rows * columns, np.uint8)
    luma = buffer[: 4 * rows * columns].reshape(2 * rows, 2 * columns)
    chroma = buffer[4 * rows * columns :].reshape(2, rows, columns)
    luma[:height, :width] = _plane(frame, 0, height, width)
    luma[height:], luma[:, width:] = luma[height - 1], luma[:, width - 1 : width]
    for channel in range(2):
        chroma[channel] = _plane(frame, channel + 1, rows, columns)
    rgb: Any = cv2.cvtColor(buffer.reshape(3 * rows, 2 * columns), cv2.COLOR_YUV2RGB_I420)
    return rgb[:height, :width]


def _plane(frame: "VideoFrame", number: int, height: int, width: int) -> Pixels:
    plane: Any = frame.planes[number]
    flat = np.frombuffer(plane, np.uint8)
    return flat.reshape(-1, plane.line_size)[:height, :width]
