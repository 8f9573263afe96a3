"""Rows on disk and on screen."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from .protocol import MEAN, Row, comparable
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
    """Small tables on stdout, one column per protocol: mean over seeds, 95 % interval, chance.

    Of several splits only their mean is shown. A star marks the level picked on validation.
    """
    columns = comparable(_final(rows))
    tables: dict[tuple[str, ...], list[list[Row]]] = {}
    for group in columns.values():
        stamp = group[0].stamp
        view = json.dumps(stamp.view, sort_keys=True)
        kind = (stamp.method, stamp.recipe, stamp.data, stamp.split_hash, view)
        tables.setdefault((*kind, f"{stamp.clips} clips x {stamp.crops} crops"), []).append(group)
    for (method, recipe, *_, clips), groups in tables.items():
        row = groups[0][0]
        title = f"{method} on {row.stamp.data_name}, {row.stamp.split}: {clips}, {recipe}"
        _table(title, *_lines(groups))


def _final(rows: Sequence[Row]) -> list[Row]:
    averaged = {(r.stamp.method, r.stamp.data) for r in rows if r.stamp.split.startswith(MEAN)}
    return [
        r
        for r in rows
        if r.stamp.split.startswith(MEAN) or (r.stamp.method, r.stamp.data) not in averaged
    ]


def _lines(groups: list[list[Row]]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of a table whose columns are the groups, its last line being chance."""
    cells: dict[tuple[str, str], list[list[Row]]] = {}
    for column, group in enumerate(groups):
        for row in group:
            line = cells.setdefault((row.task, row.level), [[] for _ in groups])
            line[column].append(row)
    lines = []
    for (task, level), line in cells.items():
        best = any(row.best for same in line for row in same)
        lines.append([task.rpartition(".")[2], f"{level} *" if best else level, *map(_cell, line)])
    lines.append(["chance", "", *(f"{group[0].chance:.3f}" for group in groups)])
    return ["task", "level", *(group[0].stamp.metric for group in groups)], lines


def _cell(rows: list[Row]) -> str:
    if not rows:
        return ""
    mean, half = interval([row.value for row in rows])
    low, high = (mean - half, mean + half) if len(rows) > 1 else rows[0].interval
    return f"{mean:.3f} ({low:.2f} to {high:.2f})"


def _table(title: str, heads: list[str], lines: list[list[str]]) -> None:
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        print(title)
        for line in [heads, *lines]:
            print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
