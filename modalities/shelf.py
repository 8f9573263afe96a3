"""Files that stay open between reads, within a bound: opening one takes as long as some frames."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from . import timing
from .container import Medium

_FILES = 32
_PIXELS = 1 << 22  # of all their pictures; a decoder may hold twenty of its own


class Shelf:
    """The media that were read last, still open.

    Whoever takes one has it alone until it comes back, so that threads need no lock. A forked
    process must not read on from its parent's place in a file: it starts with an empty shelf.
    """

    def __init__(self):
        self._media: OrderedDict[tuple, Medium] = OrderedDict()
        self._process = os.getpid()

    def take(self, key: tuple) -> Medium | None:
        """The medium of this key, if it stands here."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.clear()
        return self._media.pop(key, None)

    def put(self, key: tuple, medium: Medium) -> None:
        """Keeps a medium; those unused for longest are closed."""
        medium.rest()
        older = self._media.pop(key, None)
        if older:
            older.close()
        self._media[key] = medium
        while len(self._media) > _FILES or sum(m.pixels for m in self._media.values()) > _PIXELS:
            self._media.popitem(last=False)[1].close()

    def clear(self) -> None:
        """Closes everything."""
        while self._media:
            self._media.popitem()[1].close()


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
    kind = timing.cached(key).kind if timing.known(key) else None
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
