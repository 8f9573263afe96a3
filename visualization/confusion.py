"""Which class is taken for which, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..evaluation.features import EMBEDDING
from ..evaluation.stamp import MEAN, Row

_WRITTEN = 25  # classes up to which every cell has its number


def draw_confusions(rows: Sequence[Row], out: Path) -> None:
    """Writes a PNG of heat maps: methods downwards, encoders across.

    Rows of a map are the true classes, in percent of the row. Of several splits all are counted
    together; of several levels the encoder's output is shown.

    Raises:
        InputError: no row knows its confusions, as those of retrieval.
    """
    shown = _chosen(rows)
    if not shown:
        raise InputError("no confusions to draw: they come with linear, knn and finetune")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(row.stamp.method for row in shown))
    across = max(sum(row.stamp.method == m for row in shown) for m in methods)
    side = _side(shown[0])
    size = (across * (side + 0.6), len(methods) * (side + 0.7))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(methods), across, squeeze=False)
    for line, method in zip(axes, methods, strict=True):
        same = [row for row in shown if row.stamp.method == method]
        for place, row in zip(line, same, strict=False):
            _draw(place, row)
        for place in line[len(same) :]:
            place.axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _chosen(rows: Sequence[Row]) -> list[Row]:
    """Of each method (its first recipe) and encoder the row over all splits."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.confusion is None or row.level != EMBEDDING:
            continue
        key = (row.stamp.method, row.encoder)
        known = found.setdefault(key, row)
        if row.stamp.recipe == known.stamp.recipe and row.stamp.split.startswith(MEAN):
            found[key] = row
    return list(found.values())


def _names(row: Row) -> list[str]:
    return [name.replace("_", " ") for name in row.per_class or {}]


def _side(row: Row) -> float:
    """Inches of a map with its names."""
    count, longest = row.classes, max(map(len, _names(row)), default=0)
    cell = 0.42 if count <= 12 else 0.31 if count <= _WRITTEN else 0.13
    return count * cell + min(2.5, 0.09 * longest) + 0.4


def _draw(axes: Any, row: Row) -> None:
    """One map, with numbers in its cells where they are large enough to be read."""
    counts = np.array(row.confusion, float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names, at = _names(row), range(row.classes)
    size = 9 if row.classes <= 12 else 7.5 if row.classes <= _WRITTEN else 5
    axes.set_xticks(at, names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(at, names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("taken for", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    task = row.task.rpartition(".")[2]
    title = f"{row.stamp.method}: {task}, {row.stamp.metric} {100 * row.value:.1f} %"
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xticks(np.arange(row.classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(row.classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8 if row.classes <= _WRITTEN else 0.2)
    axes.tick_params(which="minor", length=0)
    if row.classes > _WRITTEN:
        return
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.005:
            ink = "white" if share > 0.55 else "#1c2024"
            axes.text(
                j, i, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=size
            )
