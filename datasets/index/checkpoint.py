"""A file of lines that survives any interruption: what was done so far, one JSON value a line."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..cache import locked


class Journal:
    """An append-only file of JSON lines, held by one process at a time.

    A line that an interruption cut short is dropped when the file is opened again.

    Args:
        path: of the journal, made if it is not there.
        what: is being made, for the message if another process is at it.

    Raises:
        InputError: another process holds it.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        self._held = ExitStack()
        refusal = f"{what}: another process is writing it; wait for it or end it"
        self._held.enter_context(locked(path, refusal))
        self._file = self._held.enter_context(path.open("ab+"))
        self._drop_torn_line()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_) -> None:
        self._held.close()

    def append(self, value: Any) -> int:
        """Adds a line and hands it to the system; returns its place for `at`."""
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        return place

    def at(self, place: int) -> Any:
        """The value at a place."""
        self._file.seek(place)
        return json.loads(self._file.readline())

    def lines(self) -> Iterator[tuple[int, Any]]:
        """All values with their places, in order."""
        self._file.seek(0)
        place = 0
        for line in self._file:
            yield place, json.loads(line)
            place += len(line)

    def remove(self) -> None:
        """Deletes the file: what it led to is finished."""
        self.path.unlink(missing_ok=True)

    def _drop_torn_line(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        keep = size
        while keep:
            start = max(keep - 65536, 0)
            self._file.seek(start)
            cut = self._file.read(keep - start).rfind(b"\n")
            if cut >= 0:
                keep = start + cut + 1
                break
            keep = start
        if keep < size:
            self._file.truncate(keep)
