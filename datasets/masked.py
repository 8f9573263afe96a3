"""Pictures beside masks that say of each pixel what it shows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..modalities.decode.sandbox import Limits
from ..modalities.media import MediaError, Plan
from ..progress import progress
from .class_list import classes_of
from .delimited import lines_of
from .folder import from_folders, nearest
from .lookup import find_media
from .source import Entry, Files

PREFIX = "masks:"
IGNORED = 255
_NUMBERED = ("P", "L", "1")  # Pillow's modes of one number a pixel, of 8 bits or fewer


class MaskedFiles(Files):
    """Pictures, each with one PNG of the same size in which every pixel has a class's number.

    Args:
        path: the folder.
        entries: the pictures.
        mask: gives the file of the mask of a picture of this name.
        mask_classes: names of the numbers; None: as many as the masks hold, which are all read.
        classes: see `Files`.
        title, isolated: likewise.
    """

    def __init__(
        self,
        path: Path,
        entries: Sequence[Entry],
        mask: Callable[[str], Path],
        mask_classes: Sequence[str] | None,
        *,
        classes: Sequence[str] = (),
        title: str | None = None,
        isolated: Limits | None = None,
    ):
        super().__init__(path, entries, classes, title=title, isolated=isolated)
        self._mask = mask
        self.mask_classes = self._numbers_found() if mask_classes is None else tuple(mask_classes)

    def masks(self, i: int, plan: Plan) -> NDArray[np.uint8]:
        return np.repeat(read_mask(self._mask(self.entry(i).path))[None], len(plan.times), 0)

    def _numbers_found(self) -> tuple[str, ...]:
        most = -1
        for entry in progress(self._entries, len(self._entries), "masks"):
            try:
                values = np.unique(read_mask(self._mask(entry.path)))
            except MediaError:
                continue  # told of where it is needed
            most = max(most, *(int(v) for v in values if v != IGNORED), -1)
        return tuple(map(str, range(most + 1)))


def read_mask(file: Path) -> NDArray[np.uint8]:
    """Numbers of classes [H, W] of a PNG with a palette or in grey, as they are stored.

    Raises:
        MediaError: no such file, no picture, or one whose pixels are colours.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if picture.mode not in _NUMBERED:
                reason = (
                    f"a mask holds one number of 8 bits a pixel, this one is {picture.mode}: save "
                    "it in grey or with a palette"
                )
                raise MediaError(str(file), "mask", reason)
            return np.array(picture).astype(np.uint8)
    except FileNotFoundError:
        raise MediaError(str(file), "mask", "there is no such file") from None
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise MediaError(str(file), "mask", f"damaged or no picture ({error})") from error


def open_masks(spec: str, *, isolated: Limits | None = None) -> MaskedFiles:
    """Pictures in `images` and masks in `masks`, of the same names, below the folder of masks:PATH.

    `images/train`, `val` and `test` are splits; `classes.txt`, if there is one, names the numbers
    0, 1, …, one a line. The number 255 says nothing.

    Args:
        spec: masks:PATH.
        isolated: see `Files`.

    Raises:
        InputError: no such folders, or no pictures.
    """
    root = Path(spec.removeprefix(PREFIX)).expanduser()
    if not root.is_dir():
        raise InputError(f"{root}: no such folder{nearest(root)}")
    for name in ("images", "masks"):
        if not (root / name).is_dir():
            raise InputError(f"{root}: no folder {name} there; masks:PATH has images and masks")
    media, _ = find_media(root / "images")
    names = [name for name, kind in media.items() if kind == "image"]
    if not names:
        raise InputError(f"{root / 'images'}: no pictures there")
    listed = root / "classes.txt"
    entries = from_folders(names)
    return MaskedFiles(
        root,
        [replace(entry, path=f"images/{entry.path}") for entry in entries],
        lambda name: (root / "masks" / name.removeprefix("images/")).with_suffix(".png"),
        lines_of(listed) if listed.is_file() else None,
        classes=classes_of(entries),
        isolated=isolated,
    )
