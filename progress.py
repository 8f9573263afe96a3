"""A progress bar for what takes longer than two seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

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


Row = dict[str, Any]
NOT_METRICS = {
    "step",
    "epoch",
    "lr",
    "loss",
    "examples_per_second",
    "waiting",
    "unreadable",
    "left_out",
}


class Display:
    """Progress of one run on stdout.

    Args:
        workers: loader processes, for the advice when they are too slow.
        every: seconds between plain lines.
    """

    def __init__(self, workers: int, *, every: float = 10.0):
        self.workers, self.every = workers, every
        self._bar: Any = None
        self._advised = False
        self._first = self._total = 0
        self._began = self._last = time.monotonic()

    def say(self, text: str) -> None:
        """One line above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, flush=True)

    def start(self, done: int, total: int) -> None:
        """The run begins at step `done` of `total`."""
        self._first, self._total = done, total
        self._began = time.monotonic()
        # The first line after two seconds, the others every so often.
        self._last = self._began + 2 - self.every
        if sys.stdout.isatty():
            self._bar = _bar(done, total)

    def tick(self, done: int, row: Row) -> None:
        """Shows that `done` steps are done; `row` is the newest there is."""
        now = time.monotonic()
        if self._bar is not None:
            if now - self._last > 0.1:
                self._last = now
                self._bar.update(self._bar.task_ids[0], completed=done, words=in_words(row))
                self._bar.refresh()
        elif row and (now - self._last > self.every or done == self._total):
            self._last = now
            left = (now - self._began) / max(done - self._first, 1) * (self._total - done)
            self.say(f"step {done}/{self._total} · {in_words(row)} · {_clock(left)} left")
        self._advise(row)

    def _advise(self, row: Row) -> None:
        # The first rows hold the workers' start; two seconds in, the share means something.
        settled = row.get("step", 0) > self._first + 10 and time.monotonic() - self._began > 2
        if not self._advised and settled and row["waiting"] > 0.3:
            self._advised = True
            self.say(advice(row["waiting"], self.workers))

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.stop()
            self._bar = None


def in_words(row: Row) -> str:
    """Loss, first metric, speed, waiting and what went missing, for one line."""
    if not row:
        return ""
    metrics = [name for name in row if name not in NOT_METRICS]
    parts = [f"loss {row['loss']:.4g}"]
    parts += [f"{name} {row[name]:.3f}" for name in metrics[:1]]
    parts += [f"{row['examples_per_second']:.0f} examples/s", f"waiting {row['waiting']:.0%}"]
    parts += [f"{row['unreadable']} unreadable"] if row["unreadable"] else []
    parts += [f"{row['left_out']} batches left out"] if row["left_out"] else []
    return " · ".join(parts)


def advice(waiting: float, workers: int) -> str:
    """What to do about a device that waits for its data."""
    how = f"raise --trainer.workers (now {workers})"
    return f"loading takes {waiting:.0%} of the time: {how} or pack the index"


def _bar(done: int, total: int) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    # No refresh thread: loader workers may be forked while the bar is up.
    bar = Progress(
        MofNCompleteColumn(), BarColumn(20), TextColumn("{task.fields[words]}"), Left(),
        auto_refresh=False,
    )  # fmt: skip
    bar.add_task("", total=total, completed=done, words="")
    bar.start()
    return bar


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Overall progress; use as a context manager.

    Args:
        total: runs of the whole comparison.
        done: runs that were finished before.
        alive: redraw the bar all the time, from a thread: only where runs are other processes,
            as loader workers may be forked from this one.
    """

    def __init__(self, total: int, done: int = 0, *, alive: bool = False):
        self.total, self.done, self.begun = total, done, done
        self._bar = _trials_bar(total, done, alive) if sys.stdout.isatty() else None
        self._start = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        if self.done:
            self.say(f"{self.done} of {self.total} runs are finished already")
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, words: str) -> None:
        """A run starts; more than one may be under way."""
        self.begun += 1
        line = f"run {min(self.begun, self.total)} of {self.total} · {words}"
        if self._bar is None:
            self.say(line)
        else:
            self._bar.update(self._bar.task_ids[0], description=line, refresh=True)

    def end(self, words: str, outcome: str) -> None:
        """A run is over; `outcome` says how."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, refresh=True)
        self.say(f"  {words}: {outcome}")

    def say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.console.print(line, highlight=False, markup=False)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start


def _trials_bar(total: int, done: int, alive: bool):
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    # Runs redirect sys.stdout into their own log; the bar stays on the terminal.
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=Console(file=sys.stdout),
        redirect_stdout=False,
        redirect_stderr=False,
        auto_refresh=alive,
    )
    bar.add_task("starting", total=total, completed=done)
    return bar
