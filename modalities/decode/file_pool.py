"""Files that stay open between reads, within a bound: opening one takes as long as some frames."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import packet_index as timing
from .demuxer import Medium
from .lru_cache import Recent

_FILES = 32
_PIXELS = 1 << 22  # of all their pictures; a decoder may hold twenty of its own


class Shelf:
    """The media that were read last, still open.

    Whoever takes one has it alone until it comes back. A forked process must not read on from
    its parent's place in a file: it starts with an empty shelf.
    """

    def __init__(self):
        self._media: Recent[Medium] = Recent(lambda medium: medium.pixels, _PIXELS, _FILES)
        self._process = os.getpid()

    def take(self, key: tuple) -> Medium | None:
        """The medium of this key, if it stands here."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.clear()
        return self._media.pop(key)

    def put(self, key: tuple, medium: Medium) -> None:
        """Keeps a medium; those unused for longest are closed."""
        medium.rest()
        for older in self._media.put(key, medium):
            older.close()

    def clear(self) -> None:
        """Closes everything."""
        for medium in self._media.clear():
            medium.close()


_shelf = Shelf()


def close_files() -> None:
    """Closes the files that this process has left open."""
    _shelf.clear()


@contextmanager
def opened(
    path: str, key: tuple, choice: tuple[int | None, int | None], reuse: bool
) -> Iterator[Medium]:
    """The file, open: from the shelf if `reuse` allows it; it goes back there if all went well.

    Args:
        path: the file.
        key: its `timing.identity`.
        choice: numbers of the video and the audio stream.
        reuse: whether the reader starts at a seek, so that it need not be fresh.
    """
    known = timing.cached(key)
    kind = known.kind if known else None
    medium = _shelf.take(key) if reuse and kind else None
    if medium is None:
        keep = kind is None
        medium = Medium(path, video=choice[0], audio=choice[1], keep=keep, known=kind)
    try:
        yield medium
    except BaseException:
        medium.close()
        raise
    if reuse and not medium.errors and timing.indexed(medium):
        _shelf.put(key, medium)
    else:
        medium.close()
