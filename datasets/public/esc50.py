"""ESC-50 and its subset ESC-10 with their five official folds (Piczak 2015, ACM Multimedia)."""

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import rows_with_header
from ..lookup import find_media
from ..source import Entry, Files
from .official import complete

LIST = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "category", "esc10", "src_file")
# Fold, number of the recording at Freesound, and which part of it.
_NAME = re.compile(r"(?P<fold>\d)-(?P<clip>\d+)-[A-Z](-\d+)?\.\w+$")


def esc50(path: str | Path, *, classes: int = 50, isolated: Limits | None = None) -> Files:
    """2000 sounds of five seconds in 50 classes, as "fold1" … "fold5"; or ESC-10, 400 in ten.

    Groups are the recordings that the sounds were cut from; the official folds never part them.

    Args:
        path: the folder that holds `audio/*.wav` and `meta/esc50.csv`; or one with a folder per
            class, `CLASS/FOLD-RECORDING-TAKE.ogg`, as ESC-10 and the first ESC-50 were published.
        classes: 50, or 10 for ESC-10, which `meta/esc50.csv` marks.
        isolated: see `Files`.

    Raises:
        InputError: neither layout, listed sounds that are not there, or other classes than asked.
    """
    root, title = Path(path), f"ESC-{classes}"
    listed = (root / LIST).is_file()
    entries = list(_listed(root, classes == 10) if listed else _named(root, title))
    source = complete(root, entries, title, isolated=isolated)
    if (found := len(source.classes)) != classes:
        raise InputError(f"{root}: holds {found} classes, and {title} has {classes}")
    return source


def _listed(root: Path, only_ten: bool) -> Iterator[Entry]:
    for _, row in rows_with_header(root / LIST, _COLUMNS, "ESC-50"):
        if not only_ten or row["esc10"].lower() == "true":
            name, fold = f"audio/{row['filename']}", f"fold{row['fold']}"
            yield Entry(name, row["category"], row["src_file"], fold)


def _named(root: Path, title: str) -> Iterator[Entry]:
    expected = f"expected {LIST} beside audio/, or CLASS/FOLD-RECORDING-TAKE.ogg"
    if not root.is_dir():
        raise InputError(f"{root}: {title} is not there; no such folder")
    for name, kind in find_media(root)[0].items():
        *folders, file = name.split("/")
        found = _NAME.match(file)
        if kind == "audio" and (len(folders) != 1 or not found):
            raise InputError(f"{root}: {name!r} is no name of {title}; {expected}")
        if found:
            # The folders are numbered: "001 - Dog bark".
            label = re.sub(r"^\d+ - ", "", folders[0])
            yield Entry(name, label, found["clip"], f"fold{found['fold']}")
