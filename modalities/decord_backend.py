"""Frames through decord: the same ones as av reads, or a refusal.

decord counts frames from where its first seek happens to land, so it is believed only where its
own times agree with the packets'. Upright files in indexed containers remain.
"""

import numpy as np

from .colour import Pixels, is_plain
from .container import Medium, failing
from .media import MediaError
from .opencv import resized
from .timing import Timeline

_AGREE = 2e-3  # seconds: decord's times are floats of millisecond ticks


def decord_frames(
    medium: Medium, found: Timeline, numbers: list[int], size: tuple[int, int]
) -> list[Pixels]:
    """Frames of these numbers in the track's order, uint8 [H, W, 3] of the given size.

    Raises:
        MediaError: stage "open", if decord is missing or might give other frames.
    """
    path, track = medium.path, found.video
    if track is None or not len(track.keys) or track.turns or track.mirror:
        raise _unsupported(path, "its times cannot be checked, or it is rotated")
    if medium.video is None or medium.video != medium.container.streams.best("video"):
        raise _unsupported(path, "it reads a file's default stream only")
    if not is_plain(medium.video.codec_context):
        raise _unsupported(path, "it takes full range or more than 8 bits for something else")
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
        pictures = [resized(reader[n].asnumpy(), size) for n in numbers]
        if any(picture.shape != (*size, 3) for picture in pictures):
            raise _unsupported(path, "it gives pictures of another shape")
        return pictures


def _unsupported(path: str, reason: str) -> MediaError:
    return MediaError(path, "open", f"unsupported by decord ({reason}); use the backend av")
