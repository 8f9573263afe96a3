"""Frames through decord: the same ones as av reads, or a refusal.

decord counts frames from where its first seek happens to land, so it is believed only where its
own times agree with the packets'. Upright files in indexed containers remain.
"""

from typing import Any

import numpy as np

from .colour import Pixels
from .container import failing
from .media import MediaError
from .opencv import opencv
from .timing import Timeline

_AGREE = 2e-3  # seconds: decord's times are floats of millisecond ticks


def decord_frames(
    path: str, found: Timeline, numbers: list[int], size: tuple[int, int]
) -> list[Pixels]:
    """Frames of these numbers in the track's order, uint8 [H, W, 3] of the given size.

    Raises:
        MediaError: stage "open", if decord is missing or might give other frames.
    """
    track = found.video
    if track is None or not len(track.keys) or track.turns or track.mirror:
        raise _unsupported(path, "its times cannot be checked, or it is rotated")
    try:
        import decord
    except ImportError as error:
        raise _unsupported(path, "decord is not installed here") from error
    with failing(path, "open"):
        reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
        starts = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        expected = (track.pts - track.pts[0]) * float(track.base)
        if len(starts) != len(expected) or np.abs(starts - starts[0] - expected).max() > _AGREE:
            raise _unsupported(path, "its frame times differ from the file's")
        return [_sized(reader[n].asnumpy(), size) for n in numbers]


def _sized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    cv2 = opencv()
    if picture.shape[:2] == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized: Any = cv2.resize(picture, size[::-1], interpolation=interpolation)
    return resized


def _unsupported(path: str, reason: str) -> MediaError:
    return MediaError(path, "open", f"unsupported by decord ({reason}); use the backend av")
