"""A progress bar for what takes longer than two seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(
    items: Iterable[T], total: int, label: str, *, patience: float = 2.0, every: float = 10.0
) -> Iterator[T]:
    """Passes items on and shows on stderr how many of `total` are done.

    A bar on a terminal; elsewhere one plain line every `every` seconds. Nothing before
    `patience` seconds have passed.
    """
    begin = time.monotonic()
    bar, last = None, begin
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if bar is None and sys.stderr.isatty() and now - begin > patience:
                bar = _Bar(label, total)
            if bar is not None:
                bar.show(done)
            elif not sys.stderr.isatty() and now - max(begin + patience - every, last) > every:
                last = now
                print(f"{label}: {done}/{total}", file=sys.stderr, flush=True)
            yield item
    finally:
        if bar is not None:
            bar.close()


class _Bar:
    def __init__(self, label: str, total: int):
        from rich.console import Console
        from rich.progress import Progress

        self.progress = Progress(console=Console(stderr=True), transient=True)
        self.progress.start()
        self.task = self.progress.add_task(label, total=total)

    def show(self, done: int) -> None:
        self.progress.update(self.task, completed=done)

    def close(self) -> None:
        self.progress.stop()
