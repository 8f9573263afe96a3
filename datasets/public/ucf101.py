"""UCF101 in its official layout and splits (Soomro et al. 2012, arXiv:1212.0402)."""

import re
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import lines_of
from ..source import Entry, Files
from .official import check_split, complete, only_below

_NAME = re.compile(r"v_(?P<label>\w+)_g(?P<group>\d+)_c\d+")


def ucf101(path: str | Path, split: int = 1, *, isolated: Limits | None = None) -> Files:
    """The videos of one official split, as "train" and "test".

    Groups are the 25 source videos of each class, which never stand on both sides.

    Args:
        path: the folder that holds `UCF-101/CLASS/v_CLASS_gNN_cNN.avi` and `ucfTrainTestlist/`
            (also named `splits` or `ucf101_lists`), as the two official archives unpack.
        split: 1, 2 or 3.
        isolated: see `Files`.

    Raises:
        InputError: a split that does not exist, no lists, or listed videos that are not there.
    """
    root = Path(path)
    check_split(split, "UCF101")
    lists = only_below(root, ("ucfTrainTestlist", "splits", "ucf101_lists"), "UCF101's lists")
    videos = only_below(root, ("UCF-101", "UCF101", "videos"), "UCF101's videos")
    entries = []
    for part in ("train", "test"):
        for line in lines_of(lists / f"{part}list{split:02}.txt"):
            # Only the training lists give the class's number behind the path.
            name = line.split()[0]
            found = _NAME.match(Path(name).name)
            if found is None:
                raise InputError(f"{lists}: {name!r} is not a name of UCF101")
            group = f"{found['label']}_g{found['group']}"
            entries.append(Entry(f"{videos.name}/{name}", name.split("/")[0], group, part))
    return complete(root, entries, "UCF101", title=f"UCF101 split {split}", isolated=isolated)
