"""A progress bar that appears only when the work turns out to be long."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 2.0
LINE_EVERY = 10.0


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Passes items on; shows a bar on stderr after two seconds (plain lines without a terminal).

    Args:
        items: what to pass on.
        total: their number.
        what: words before the bar.
    """
    started = time.monotonic()
    source = enumerate(items)
    for done, item in source:
        yield item
        if time.monotonic() - started > PATIENCE:
            rest = (item for _, item in source)
            show = _bar if sys.stderr.isatty() else _lines
            yield from show(rest, done + 1, total, what)
            return


def _bar(items: Iterable[T], done: int, total: int, what: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)


def _lines(items: Iterable[T], done: int, total: int, what: str) -> Iterator[T]:
    said = 0.0
    for count, item in enumerate(items, done):
        if time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            print(f"{what}: {count} of {total}", file=sys.stderr, flush=True)
        yield item
