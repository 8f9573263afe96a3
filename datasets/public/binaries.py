"""CIFAR-10, CIFAR-100 and STL-10 from the binaries that their makers publish, read in place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..array import FrameSource
from ..delimited import lines_of

_BATCHES = [f"data_batch_{k}.bin" for k in range(1, 6)]


class Pictures(FrameSource):
    """Pictures that are mapped into memory from files.

    Args:
        parts: uint8 [N, 3, H, W] each, all of one size.
        names: of all pictures, in order.
        labels: int [N], -1 where there is none.
        classes: names of the labels.
        splits: of each picture.
        title: a name for reports.
    """

    def __init__(
        self,
        parts: Sequence[NDArray[np.uint8]],
        names: Sequence[str],
        labels: NDArray[np.integer],
        classes: Sequence[str],
        splits: Sequence[str],
        title: str,
    ):
        self._parts, self._names, self._splits = list(parts), names, splits
        self._starts = np.cumsum([0, *map(len, parts)])
        self._labels, self.classes, self.title = labels, tuple(classes), title

    def __len__(self) -> int:
        return len(self._names)

    def name(self, i: int) -> str:
        return self._names[i]

    def frames(self, i: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(self._starts, i, "right")) - 1
        return self._parts[part][i - int(self._starts[part])].transpose(1, 2, 0)

    def label(self, i: int) -> int:
        return int(self._labels[i])

    def labels(self) -> NDArray[np.int64]:
        return self._labels.astype(np.int64)

    def split(self, i: int) -> str:
        return self._splits[i]


def cifar10(path: str | Path) -> Pictures:
    """CIFAR-10 (Krizhevsky 2009): 60,000 pictures of 32 pixels in ten classes, "train" and "test".

    Args:
        path: the folder `cifar-10-batches-bin`, or the one that holds it.

    Raises:
        InputError: the binaries are not there, are cut short, or only pickles are.
    """
    root = _folder(Path(path), "cifar-10-batches-bin", "cifar-10-batches-py", "CIFAR-10")
    files = dict.fromkeys(_BATCHES, "train") | {"test_batch.bin": "test"}
    return _cifar(root, files, lines_of(root / "batches.meta.txt"), 1, "CIFAR-10")


def cifar100(path: str | Path) -> Pictures:
    """CIFAR-100 with its hundred fine classes, as "train" and "test"; see `cifar10`.

    Args:
        path: the folder `cifar-100-binary`, or the one that holds it.
    """
    root = _folder(Path(path), "cifar-100-binary", "cifar-100-python", "CIFAR-100")
    files = {"train.bin": "train", "test.bin": "test"}
    return _cifar(root, files, lines_of(root / "fine_label_names.txt"), 2, "CIFAR-100")


def stl10(path: str | Path) -> Pictures:
    """STL-10 (Coates et al. 2011, AISTATS): pictures of 96 pixels as "train", "test", "unlabeled".

    Args:
        path: the folder `stl10_binary`, or the one that holds it.

    Raises:
        InputError: the binaries are not there or cut short.
    """
    root = _folder(Path(path), "stl10_binary", "", "STL-10")
    pictures, names, labels, splits = [], [], [], []
    for part in ("train", "test", "unlabeled"):
        file = root / f"{part}_X.bin"
        if part == "unlabeled" and not file.is_file():
            continue
        # Columns of pixels lie one behind the other: [N, 3, W, H].
        found = _mapped(file, 3 * 96 * 96).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
        marks = np.full(len(found), -1)
        if part != "unlabeled":
            marks = _mapped(root / f"{part}_y.bin", 1)[:, 0].astype(int) - 1
        if len(marks) != len(found):
            raise InputError(f"{root}: {len(found)} pictures of {part}, but {len(marks)} labels")
        pictures.append(found)
        labels.append(marks)
        names += [f"{part}/{k:06}" for k in range(len(found))]
        splits += [part] * len(found)
    classes = lines_of(root / "class_names.txt")
    return Pictures(pictures, names, _within(labels, classes, root), classes, splits, "STL-10")


def _cifar(
    root: Path, files: dict[str, str], classes: list[str], marks: int, title: str
) -> Pictures:
    """Records of labels, of which the last counts, and a picture as three planes."""
    pictures, names, labels, splits = [], [], [], []
    for name, part in files.items():
        records = _mapped(root / name, marks + 3072)
        pictures.append(records[:, marks:].reshape(-1, 3, 32, 32))
        labels.append(records[:, marks - 1].astype(int))
        names += [f"{name.removesuffix('.bin')}/{k:05}" for k in range(len(records))]
        splits += [part] * len(records)
    return Pictures(pictures, names, _within(labels, classes, root), classes, splits, title)


def _folder(path: Path, name: str, pickles: str, title: str) -> Path:
    for folder in (path / name, path):
        if folder.is_dir() and any(folder.glob("*.bin")):
            return folder
    archive = f"{title.lower()}-binary.tar.gz" if pickles else f"{name}.tar.gz"
    if pickles and ((path / pickles).is_dir() or path.name == pickles):
        raise InputError(
            f"{path}: {pickles} holds pickles, which can run code and are not opened; "
            f"unpack {archive} instead"
        )
    raise InputError(f"{path}: {title}'s folder {name} is not there; unpack {archive}")


def _mapped(file: Path, record: int) -> NDArray[np.uint8]:
    """The bytes of a file [N, record], mapped into memory. Raises InputError."""
    try:
        size = file.stat().st_size
        if not size or size % record:
            raise InputError(f"{file}: {size} bytes are no whole records; unpack it anew")
        return np.memmap(file, np.uint8, "r").reshape(-1, record)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); unpack it anew") from None


def _within(labels: list[NDArray], classes: list[str], root: Path) -> NDArray[np.int64]:
    found = np.concatenate(labels)
    if found.min() < -1 or found.max() >= len(classes):
        raise InputError(f"{root}: a label is none of the {len(classes)} classes; unpack it anew")
    return found
