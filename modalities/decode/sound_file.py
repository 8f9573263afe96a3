"""Sound files that libsndfile seeks to the sample: uncompressed ones and FLAC.

They give the same samples, bit for bit, as decoding them with FFmpeg from the start does. MP3, Ogg
and the like do not: other decoders round otherwise.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .failures import failing
from .file_pool import FilePool
from .origin import Origin

if TYPE_CHECKING:
    from soundfile import SoundFile

FORMATS = ("wav", "w64", "aiff", "caf", "au", "flac")  # FFmpeg's names
_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_FILES = 32
_pool: "FilePool[SoundFile]" = FilePool(lambda file: 1, _FILES)


class Length(NamedTuple):
    """Samples per channel, channels and Hz."""

    samples: int
    channels: int
    rate: int


def length(origin: Origin) -> Length | None:
    """What the file holds; None if libsndfile cannot read it exactly and to its end."""
    try:
        with _opened(origin) as file:
            if not file.subtype.startswith(_SUBTYPES) or file.frames < 1:
                return None
            file.seek(file.frames - 1)
            whole = len(file.read(2, dtype="float32")) == 1
            return Length(file.frames, file.channels, file.samplerate) if whole else None
    except (ImportError, OSError, RuntimeError):
        return None


def read_ranges(origin: Origin, ranges: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Samples [C, n] in [-1, 1] of each range: the number of its first one, and the last's + 1.

    Raises:
        MediaError: a part of the file cannot be read.
    """
    blocks = []
    with failing(origin.name, "decode"), _opened(origin) as file:
        for first, last in ranges:
            file.seek(first)
            block = file.read(last - first, dtype="float32", always_2d=True)
            if len(block) < last - first:
                raise ValueError("the sound ends early")
            blocks.append(block.T)
    return blocks


@contextmanager
def _opened(origin: Origin) -> "Iterator[SoundFile]":
    from soundfile import SoundFile

    if origin.path is None:
        with origin.open() as handle, SoundFile(handle) as file:  # pyright: ignore
            yield file
        return
    file = _pool.take(origin.key) or SoundFile(origin.path)
    try:
        yield file
    except BaseException:
        file.close()
        raise
    _pool.put(origin.key, file)


def close_sound_files() -> None:
    """Closes the files that this process has left open."""
    _pool.clear()
