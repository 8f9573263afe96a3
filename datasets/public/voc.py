"""PASCAL VOC's pictures with segmentations in their official layout (Everingham et al. 2010)."""

from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import lines_of
from ..masked import MaskedFiles
from ..source import Entry
from .official import check_present, only_below

# fmt: off
CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)
# fmt: on
PARTS = ("train", "val")  # the test part's masks are not published
_INSIDE = ("VOCdevkit/VOC2012", "VOC2012", ".")


def voc(path: str | Path, *, isolated: Limits | None = None) -> MaskedFiles:
    """The pictures with a segmentation by class, as "train" and "val".

    Args:
        path: the folder that holds `JPEGImages/ID.jpg`, `SegmentationClass/ID.png` and
            `ImageSets/Segmentation/{train,val}.txt`, or that it was unpacked into, as
            `VOCdevkit/VOC2012`.
        isolated: see `Files`.

    Raises:
        InputError: no lists, or listed pictures that are not there.
    """
    top = Path(path)
    root = next((top / n for n in _INSIDE if (top / n / "JPEGImages").is_dir()), top)
    for name in ("JPEGImages", "SegmentationClass"):
        only_below(root, (name,), "PASCAL VOC's pictures and masks")
    lists = only_below(root, ("ImageSets/Segmentation",), "PASCAL VOC's lists")
    entries = [
        Entry(f"JPEGImages/{name.strip()}.jpg", split=part)
        for part in PARTS
        if (lists / f"{part}.txt").is_file()
        for name in lines_of(lists / f"{part}.txt")
    ]
    if not entries:
        raise InputError(f"{lists}: neither train.txt nor val.txt lies there; unpack VOC2012 anew")
    check_present(root, entries, "PASCAL VOC")
    return MaskedFiles(
        root,
        entries,
        lambda name: root / "SegmentationClass" / f"{Path(name).stem}.png",
        CLASSES,
        title="PASCAL VOC",
        isolated=isolated,
    )
