"""Frames through torchcodec: the same ones as av reads, or a refusal.

Asked for a time, torchcodec gives the next frame where the file shows none, and it loses the first
frames of program streams. So it is asked for numbers, and believed only where it knows as many
frames as the packets do and returns those that start when they should.
"""

import os

import numpy as np

from ..media import MediaError
from .demuxer import Medium
from .failures import failing
from .packet_index import Timeline
from .pixels import Pixels, is_plain, resized

_TICKS = 1e-6  # seconds: the same ticks, as floats


def torchcodec_frames(
    medium: Medium, found: Timeline, numbers: list[int], size: tuple[int, int]
) -> list[Pixels]:
    """Frames of these numbers in the track's order, uint8 [H, W, 3] of the given size.

    Raises:
        MediaError: stage "open", if torchcodec is missing or might give other frames.
    """
    path, track = medium.name, found.video
    if track is None or medium.video is None or not len(track.keys):
        raise _torchcodec_refuses(path, "its times cannot be checked")
    if track.turns or track.mirror:
        raise _torchcodec_refuses(path, "it is rotated")
    if not is_plain(medium.video.codec_context):
        raise _torchcodec_refuses(
            path, "it takes full range or more than 8 bits for something else"
        )
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError, RuntimeError) as error:
        raise _torchcodec_refuses(
            path, "torchcodec, or the FFmpeg it needs, is not here"
        ) from error
    with failing(path, "open"):
        decoder = VideoDecoder(
            _file(medium, "torchcodec"), stream_index=medium.video.index, num_ffmpeg_threads=1
        )
        if len(decoder) != len(track.pts):
            raise _torchcodec_refuses(path, "it counts other frames than the file has")
        batch = decoder.get_frames_at(numbers)
        expected = track.pts[numbers] * float(track.base)
        if np.abs(batch.pts_seconds.numpy() - expected).max() > _TICKS:
            raise _torchcodec_refuses(path, "its frame times differ from the file's")
        return [resized(x, size) for x in batch.data.permute(0, 2, 3, 1).numpy()]


def _torchcodec_refuses(path: str, reason: str) -> MediaError:
    return MediaError(path, "open", f"unsupported by torchcodec ({reason}); use the backend av")


_MILLISECONDS = 2e-3  # seconds: decord's times are floats of millisecond ticks


def decord_frames(
    medium: Medium, found: Timeline, numbers: list[int], size: tuple[int, int]
) -> list[Pixels]:
    """Frames of these numbers in the track's order, uint8 [H, W, 3] of the given size.

    Raises:
        MediaError: stage "open", if decord is missing or might give other frames.
    """
    path, track = medium.name, found.video
    if track is None or not len(track.keys) or track.turns or track.mirror:
        raise _decord_refuses(path, "its times cannot be checked, or it is rotated")
    if medium.video is None or medium.video != medium.container.streams.best("video"):
        raise _decord_refuses(path, "it reads a file's default stream only")
    if not is_plain(medium.video.codec_context):
        raise _decord_refuses(path, "it takes full range or more than 8 bits for something else")
    try:
        import decord
    except ImportError as error:
        raise _decord_refuses(path, "decord is not installed here") from error
    with failing(path, "open"):
        reader = decord.VideoReader(_file(medium, "decord"), ctx=decord.cpu(0), num_threads=1)
        starts = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        expected = (track.pts - track.pts[0]) * float(track.base)
        if (
            len(starts) != len(expected)
            or np.abs(starts - starts[0] - expected).max() > _MILLISECONDS
        ):
            raise _decord_refuses(path, "its frame times differ from the file's")
        pictures = [resized(reader[n].asnumpy(), size) for n in numbers]
        if any(picture.shape != (*size, 3) for picture in pictures):
            raise _decord_refuses(path, "it gives pictures of another shape")
        return pictures


def _decord_refuses(path: str, reason: str) -> MediaError:
    return MediaError(path, "open", f"unsupported by decord ({reason}); use the backend av")


def _file(medium: Medium, backend: str) -> str:
    """The path, such that no colon in it is taken for a URL's."""
    if medium.origin.path is None:
        reason = f"unsupported by {backend} (it reads files only); use the backend av"
        raise MediaError(medium.name, "open", reason)
    return os.path.abspath(medium.origin.path)
