"""Diving48 by its published lists (Li et al. 2018, ECCV)."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..annotations import split_of_list
from ..delimited import read_json
from ..source import Files
from .films import Films


def diving48(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """The dives, as "train" and "test"; classes are named by `Diving48_vocab.json` if it is there.

    Args:
        path: the folder that holds the videos `NAME.mp4`, also below it.
        lists: Diving48_V2_train.json and Diving48_V2_test.json.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, or none of its videos there.
    """
    films = Films(Path(path), "Diving48")
    names = _vocabulary(Path(lists[0]).parent)
    for file in map(Path, lists):
        part = split_of_list(file)
        for record in read_json(file, list, "Diving48"):
            if not isinstance(record, dict) or not {"vid_name", "label"} <= record.keys():
                raise InputError(f"{file}: a record of Diving48 has vid_name and label")
            number = str(record["label"])
            films.add(str(record["vid_name"]), label=names.get(number, number), split=part)
    return films.source(isolated, tuple(names.values()) or None)


def _vocabulary(folder: Path) -> dict[str, str]:
    file = folder / "Diving48_vocab.json"
    if not file.is_file():
        return {}
    parts = read_json(file, list, "Diving48's classes")
    return {str(k): "-".join(p) if isinstance(p, list) else str(p) for k, p in enumerate(parts)}
