"""Files that stay open between reads, within a bound: opening one takes as long as some frames."""

import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .lru_cache import Recent


class _Closable(Protocol):
    def close(self) -> None: ...


F = TypeVar("F", bound=_Closable)


class FilePool(Generic[F]):
    """The files that were read last, still open.

    Whoever takes one has it alone until it comes back. A forked process must not read on from
    its parent's place in a file: it starts with an empty pool.

    Args:
        weigh: what a file counts towards `most`.
        most: greatest sum of weights.
        count: greatest number of files; None: no bound but `most`.
    """

    def __init__(self, weigh: Callable[[F], int], most: int, count: int | None = None):
        self._files: Recent[F] = Recent(weigh, most, count)
        self._process = os.getpid()

    def take(self, key: tuple) -> F | None:
        """The file of this key, if it is open."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.clear()
        return self._files.pop(key)

    def put(self, key: tuple, file: F) -> None:
        """Keeps a file; those unused for longest are closed."""
        for older in self._files.put(key, file):
            older.close()

    def clear(self) -> None:
        """Closes everything."""
        for file in self._files.clear():
            file.close()
