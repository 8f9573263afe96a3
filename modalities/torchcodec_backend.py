"""Frames through torchcodec: the same ones as av reads, or a refusal.

Asked for a time, torchcodec gives the next frame where the file shows none, and it loses the first
frames of program streams. So it is asked for numbers, and believed only where it knows as many
frames as the packets do and returns those that start when they should.
"""

import numpy as np

from .colour import Pixels, is_plain
from .container import Medium, failing
from .media import MediaError
from .opencv import resized
from .timing import Timeline

_AGREE = 1e-6  # seconds: the same ticks, as floats


def torchcodec_frames(
    medium: Medium, found: Timeline, numbers: list[int], size: tuple[int, int]
) -> list[Pixels]:
    """Frames of these numbers in the track's order, uint8 [H, W, 3] of the given size.

    Raises:
        MediaError: stage "open", if torchcodec is missing or might give other frames.
    """
    path, track = medium.path, found.video
    if track is None or medium.video is None or not len(track.keys):
        raise _unsupported(path, "its times cannot be checked")
    if track.turns or track.mirror:
        raise _unsupported(path, "it is rotated")
    if not is_plain(medium.video.codec_context):
        raise _unsupported(path, "it takes full range or more than 8 bits for something else")
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError, RuntimeError) as error:
        raise _unsupported(path, "torchcodec, or the FFmpeg it needs, is not here") from error
    with failing(path, "open"):
        decoder = VideoDecoder(path, stream_index=medium.video.index, num_ffmpeg_threads=1)
        if len(decoder) != len(track.pts):
            raise _unsupported(path, "it counts other frames than the file has")
        batch = decoder.get_frames_at(numbers)
        expected = track.pts[numbers] * float(track.base)
        if np.abs(batch.pts_seconds.numpy() - expected).max() > _AGREE:
            raise _unsupported(path, "its frame times differ from the file's")
        return [resized(x, size) for x in batch.data.permute(0, 2, 3, 1).numpy()]


def _unsupported(path: str, reason: str) -> MediaError:
    return MediaError(path, "open", f"unsupported by torchcodec ({reason}); use the backend av")
