"""Rows on disk and on screen."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from .protocol import Row, comparable
from .statistics import interval


def write_rows(rows: Iterable[Row], file: Path) -> None:
    """Appends rows as JSON lines in one write and waits until the disk has them.

    A torn last line (of a process that was killed) is ended first, so that it spoils no other.
    """
    text = "".join(json.dumps(row.to_dict(), allow_nan=False) + "\n" for row in rows)
    if not text:
        return
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = memoryview(("\n" + text if torn else text).encode())
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def read_rows(file: Path) -> list[Row]:
    """All whole rows; a torn line counts as not written.

    Raises:
        InputError: a line is JSON but no row.
    """
    rows = []
    for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        try:
            rows.append(Row.from_dict(values))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}, line {number}: this is not a result row: {error}") from error
    return rows


def print_rows(rows: Sequence[Row]) -> None:
    """One small table per protocol on stdout: task, level, mean over seeds ± 95 %, chance."""
    for group in comparable(rows).values():
        stamp = group[0].stamp
        title = (
            f"{stamp.method} {stamp.metric}, {stamp.data_name} {stamp.split}, "
            f"{stamp.clips} clips x {stamp.crops} crops, {stamp.recipe}"
        )
        _table(title, ("task", "level", stamp.metric, "95 %", "chance", "test"), _lines(group))


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    by_task: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_task.setdefault((row.task, row.level), []).append(row)
    lines = []
    for (task, level), same in by_task.items():
        mean, half = interval([row.value for row in same])
        low, high = (mean - half, mean + half) if len(same) > 1 else same[0].interval
        mark = f"{level} *" if same[0].best else level
        test = str(same[0].n_test)
        lines.append(
            (task, mark, f"{mean:.3f}", f"{low:.3f}-{high:.3f}", f"{same[0].chance:.3f}", test)
        )
    return lines


def _table(title: str, heads: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    if not sys.stdout.isatty():
        print(f"{title}\n" + "\n".join("  ".join(line) for line in [heads, *lines]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
