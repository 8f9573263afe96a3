"""UrbanSound8K with its ten official folds (Salamon et al. 2014, ACM Multimedia)."""

from pathlib import Path

from ...modalities.decode.sandbox import Limits
from ..delimited import rows_with_header
from ..source import Entry, Files
from .official import complete

LIST = "metadata/UrbanSound8K.csv"
_COLUMNS = ("slice_file_name", "fsid", "fold", "class")


def urbansound8k(path: str | Path, *, isolated: Limits | None = None) -> Files:
    """8732 sounds of up to four seconds in ten classes, as "fold1" … "fold10".

    Groups are the recordings that the sounds were cut from; the official folds never part them.
    Rates and numbers of channels are those of the recordings, and differ.

    Args:
        path: the folder that holds `audio/foldN/*.wav` and `metadata/UrbanSound8K.csv`.
        isolated: see `Files`.

    Raises:
        InputError: no list, or listed sounds that are not there.
    """
    root = Path(path)
    entries = []
    for _, row in rows_with_header(root / LIST, _COLUMNS, "UrbanSound8K"):
        fold = f"fold{row['fold']}"
        name = f"audio/{fold}/{row['slice_file_name']}"
        entries.append(Entry(name, row["class"], row["fsid"], fold))
    return complete(root, entries, "UrbanSound8K", isolated=isolated)
