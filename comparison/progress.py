"""What a person sees while a comparison runs: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType


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
        self._bar = _bar(total, done, alive) if sys.stdout.isatty() else None
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


def _bar(total: int, done: int, alive: bool):
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
