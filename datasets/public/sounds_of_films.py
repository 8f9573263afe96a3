"""VGGSound and AudioSet: seconds of films, by the lists that are published with them."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..annotations import SPLITS, seconds
from ..delimited import read_text
from ..source import Files
from .films import Films

_SECONDS = 10.0  # of every clip of both


def vggsound(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """VGGSound (Chen et al. 2020, arXiv:2004.14368) by its list, without a header.

    A row (film, start in seconds, label, split) means ten seconds: a file `FILM_START`, with the
    start in six digits, as it is or in milliseconds, or the film itself. Groups are the films.

    Args:
        path: the folder of media.
        lists: vggsound.csv.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, or none of its media there.
    """
    films = Films(Path(path), "VGGSound")
    for where, cells in _rows(lists):
        if len(cells) != 4:
            raise InputError(f"{where}: {len(cells)} cells; VGGSound has film, start, label, split")
        film, start, label, part = cells
        first = seconds(start, where)
        films.add(film, first, first + _SECONDS, label, film, SPLITS.get(part, part))
    return films.source(isolated)


def audioset(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """AudioSet (Gemmeke et al. 2017, ICASSP) by its lists of segments.

    A row (film, start, end, labels) has several labels, named by `class_labels_indices.csv` if
    that lies beside the list. The balanced and unbalanced lists are "train", the other "test".

    Args:
        path: the folder of media, named as those of VGGSound.
        lists: balanced_train_segments.csv, unbalanced_train_segments.csv, eval_segments.csv.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, or none of its media there.
    """
    films = Films(Path(path), "AudioSet")
    names = _audioset_names(Path(lists[0]).parent)
    for file in map(Path, lists):
        part = "test" if "eval" in file.stem else "train"
        for where, cells in _rows([file]):
            if len(cells) != 4:
                raise InputError(
                    f"{where}: {len(cells)} cells; AudioSet has film, start, end, labels"
                )
            film, start, end, marks = cells
            labels = tuple(names.get(mark, mark) for mark in marks.split(",") if mark)
            one, several = (labels[0], ()) if len(labels) == 1 else ("", labels)
            span = seconds(start, where), seconds(end, where)
            films.add(film, *span, one, film, part, "", several)
    return films.source(isolated)


def _audioset_names(folder: Path) -> dict[str, str]:
    """Names of the labels by their codes, as /m/09x0r."""
    file = folder / "class_labels_indices.csv"
    if not file.is_file():
        return {}
    rows = csv.reader(io.StringIO(read_text(file), newline=""))
    return {row[1]: row[2] for row in rows if len(row) == 3}


def _rows(lists: Sequence[str | Path]) -> Iterator[tuple[str, list[str]]]:
    """File and line for messages, and the cells; lines that begin with # are remarks."""
    for file in map(Path, lists):
        reader = csv.reader(io.StringIO(read_text(file), newline=""), skipinitialspace=True)
        for cells in reader:
            if cells and not cells[0].startswith("#"):
                yield f"{file}, line {reader.line_num}", [cell.strip() for cell in cells]
