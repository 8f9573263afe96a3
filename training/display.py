"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

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
