"""EPIC-Kitchens-100 by the lists of its actions (Damen et al. 2022, arXiv:2006.13256)."""

from collections.abc import Sequence
from pathlib import Path

from ...modalities.decode.sandbox import Limits
from ..annotations import segment_cells, split_of_list
from ..delimited import rows_with_header
from ..source import Files
from .films import Films

_COLUMNS = ("video_id", "start_timestamp", "stop_timestamp", "narration")


def epic_kitchens(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """The actions as segments of the kitchens' films; the verb is the label.

    Groups are the participants, whose kitchens look alike; captions are the narrations.

    Args:
        path: the folder of films, as `P01/videos/P01_01.MP4`.
        lists: EPIC_100_train.csv and EPIC_100_validation.csv.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read or has an impossible segment, or none of its films.
    """
    films = Films(Path(path), "EPIC-Kitchens")
    for file in map(Path, lists):
        part = split_of_list(file)
        for line, row in rows_with_header(file, _COLUMNS[:1], "EPIC-Kitchens"):
            where = f"{file}, line {line}"
            span = segment_cells(row, "start_timestamp", "stop_timestamp", where)
            person = row.get("participant_id") or row["video_id"].partition("_")[0]
            said = row.get("narration", "")
            films.add(row["video_id"], *span, row.get("verb", ""), person, part, said)
    return films.source(isolated)
