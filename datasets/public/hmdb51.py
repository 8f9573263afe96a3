"""HMDB51 in its official layout and splits (Kuehne et al. 2011, ICCV)."""

from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import lines_of
from ..source import Entry, Files
from .official import check_split, complete, only_below

PARTS = {"1": "train", "2": "test"}  # 0 stands for clips that the split leaves out
_LISTS = ("testTrainMulti_7030_splits", "test_train_splits", "splits")


def hmdb51(path: str | Path, split: int = 1, *, isolated: Limits | None = None) -> Files:
    """The clips of one official split, as "train" and "test".

    Groups are the films, which the official splits keep on one side: what stands before the last
    "_CLASS_" in a clip's name, as "Faith_Rewarded" in "Faith_Rewarded_catch_f_cm_np1_fr_med_9.avi".

    Args:
        path: the folder that holds `hmdb51_org/CLASS/*.avi` (also named `videos` or `hmdb51`) and
            `testTrainMulti_7030_splits/CLASS_test_splitN.txt`.
        split: 1, 2 or 3.
        isolated: see `Files`.

    Raises:
        InputError: a split that does not exist, no lists, or listed clips that are not there.
    """
    root = Path(path)
    check_split(split, "HMDB51")
    lists = only_below(root, _LISTS, "HMDB51's lists")
    videos = only_below(root, ("hmdb51_org", "hmdb51", "videos"), "HMDB51's clips")
    ending = f"_test_split{split}.txt"
    tables = sorted(lists.glob(f"*{ending}"))
    if not tables:
        raise InputError(
            f"{lists}: no files CLASS{ending}; unpack HMDB51's archive of splits there"
        )
    entries = []
    for table in tables:
        label = table.name.removesuffix(ending)
        for line in lines_of(table):
            name, _, part = line.rpartition(" ")
            if part in PARTS:
                file = f"{videos.name}/{label}/{name.strip()}"
                entries.append(Entry(file, label, film_of(name.strip(), label), PARTS[part]))
    return complete(root, entries, "HMDB51", title=f"HMDB51 split {split}", isolated=isolated)


def film_of(clip: str, label: str) -> str:
    """The film that a clip was cut from, "" if its name does not tell."""
    return clip.rpartition(f"_{label}_")[0]
