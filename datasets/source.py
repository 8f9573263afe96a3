"""Source: what exists and where. It interprets no pixels and knows no task."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..modalities.decode.origin import Readable
from ..modalities.decode.sandbox import IsolatedReader, Limits
from ..modalities.media import MediaInfo, Plan, Sample
from .facts import Facts
from .fingerprint import Columns, fingerprint
from .paths import nfc
from .segment import Segment, segment_of

_TOGETHER = 65_536  # rows whose texts are held at a time
_PROBED = 32_768  # files, of those used last, whose facts are remembered: 22 MB


@dataclass(frozen=True, slots=True)
class Shards:
    """In which files the examples of a source lie, where they are best read file by file.

    Attributes:
        numbers: int [N], of the file of each example.
        fetch: brings the file of this number near, before it is read.
        claiming: gives what says which files are needed from now on, in place of those before:
            they stay near while there is room for all that is claimed.
        room: how many files there is room for near at hand; None: for all.
    """

    numbers: NDArray[np.integer]
    fetch: Callable[[int], object]
    claiming: Callable[[], AbstractContextManager[Callable[[Collection[int]], object]]]
    room: int | None = None

    def shared(self, readers: int) -> "Shards":
        """The same for one of several processes that read at once out of one cache."""
        return self if self.room is None else replace(self, room=self.room // readers)


class Source(ABC):
    """A numbered collection of media.

    Attributes:
        classes: names of the labels, in the order of their numbers; empty if unlabelled.
        title: a name for reports.
        indexed: whether `info` is known without opening a file.
        mask_classes: names of the numbers in `masks`; empty where it has no masks.
    """

    classes: tuple[str, ...] = ()
    mask_classes: tuple[str, ...] = ()
    title: str = ""
    indexed: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, i: int) -> str:
        """A stable name of example i within the source (a relative path)."""

    @abstractmethod
    def info(self, i: int) -> MediaInfo:
        """What is known of example i. Raises MediaError if the file cannot be probed."""

    @abstractmethod
    def read(self, i: int, plan: Plan) -> Sample:
        """What the plan asks of example i. Raises MediaError; never returns another example."""

    def masks(self, i: int, plan: Plan) -> NDArray[np.uint8]:
        """Of the frames at the plan's times the class of each pixel, [T, H, W] at the size that
        they have in the file; 255 where nothing is said.

        Raises:
            InputError: a source without masks.
            MediaError: the mask of this example is missing, damaged or of another size.
        """
        raise InputError(f"{self.title or type(self).__name__} has no masks of segments")

    def for_length(self, length: int) -> "Source":
        """The source as it suits tasks on spans of so many tokens; most are what they are."""
        return self

    def joined(self, length: int, rows: NDArray[np.int64] | None = None) -> "Source":
        """The texts of these examples (None: of all) one behind another, in blocks of so many
        tokens, for tasks whose spans follow one another; most are what they are."""
        return self.for_length(length) if rows is None else Subset(self, rows)

    def tokenizer(self) -> str | None:
        """The tokenizer.json that its text is packed with; None where there is no text."""
        return None

    def label(self, i: int) -> int:
        """Number of the class, -1 if unlabelled or of several classes (see `label_set`)."""
        return -1

    def label_set(self, i: int) -> tuple[int, ...]:
        """Numbers of all classes of example i, in the order of its list."""
        return (self.label(i),) if self.label(i) >= 0 else ()

    def caption(self, i: int) -> str:
        """A sentence about example i, "" where there is none."""
        return ""

    def group(self, i: int) -> str:
        """What example i was cut from; examples of one group never stand in two splits."""
        return self.name(i)

    def split(self, i: int) -> str:
        """ "train", "val" or "test", the name of a fold, or "" where the source names none."""
        return ""

    def labels(self) -> NDArray[np.int64]:
        """`label` of every example, [N]."""
        return np.fromiter(map(self.label, range(len(self))), np.int64, len(self))

    def groups(self) -> NDArray[np.object_]:
        """`group` of every example, [N] texts."""
        return texts([self.group(i) for i in range(len(self))])

    def splits(self) -> NDArray[np.object_]:
        """`split` of every example, [N] texts."""
        return texts([self.split(i) for i in range(len(self))])

    def shards(self) -> Shards | None:
        """In which files the examples lie; None where any order of reading costs the same."""
        return None

    def rows_of_split(self, split: str) -> NDArray[np.int64]:
        """Numbers of the examples of one split, in order."""
        return np.flatnonzero(self.splits() == split)

    def columns(self, rows: NDArray[np.int64] | None = None) -> Iterator[Columns]:
        """Names, labels, groups and splits of these examples (None: of all), batch by batch."""
        every = range(len(self)) if rows is None else rows
        for start in range(0, len(every), _TOGETHER):
            part = [int(i) for i in every[start : start + _TOGETHER]]
            labels = np.fromiter(map(self.label, part), np.int64, len(part))
            yield Columns(
                [self.name(i) for i in part],
                labels,
                [self.group(i) for i in part],
                [self.split(i) for i in part],
            )

    def facts(self, rows: NDArray[np.int64] | None = None) -> Iterator[Facts] | None:
        """What is known of these examples (None: of all), batch by batch; None where files would
        have to be opened."""
        return None

    def fingerprint(self) -> str:
        """A hash of names, labels, groups and splits: the stamp of a result row."""
        return fingerprint(self.columns())


def texts(values: Sequence[str]) -> NDArray[np.object_]:
    """An array [N] of texts, which are not copied."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def balanced_weights(labels: ArrayLike) -> NDArray[np.float64]:
    """How often to draw each example so that every class is drawn equally often.

    Args:
        labels: int [N], numbers of the classes, as `Source.labels` gives them.

    Returns:
        [N], of sum 1: 0 for the unlabelled (-1); of no labelled example, the same for all.
    """
    labels = np.asarray(labels)
    known = labels >= 0
    counts = np.bincount(labels[known]) if known.any() else np.ones(1)
    shares = np.where(known, 1.0 / np.maximum(counts[np.where(known, labels, 0)], 1), 0.0)
    shares = shares if known.any() else np.ones(len(labels))
    return shares / max(shares.sum(), 1e-300)


class Subset(Source):
    """Some examples of another source, in the order of the given numbers."""

    def __init__(self, source: Source, indices: Sequence[int] | NDArray[np.integer]):
        self.source, self.indices = source, np.asarray(indices, np.int64)
        self.classes, self.title, self.indexed = source.classes, source.title, source.indexed
        self.mask_classes = source.mask_classes

    def __len__(self) -> int:
        return len(self.indices)

    def _at(self, i: int) -> int:
        return int(self.indices[i])

    def name(self, i: int) -> str:
        return self.source.name(self._at(i))

    def info(self, i: int) -> MediaInfo:
        return self.source.info(self._at(i))

    def read(self, i: int, plan: Plan) -> Sample:
        return self.source.read(self._at(i), plan)

    def masks(self, i: int, plan: Plan) -> NDArray[np.uint8]:
        return self.source.masks(self._at(i), plan)

    def label(self, i: int) -> int:
        return self.source.label(self._at(i))

    def label_set(self, i: int) -> tuple[int, ...]:
        return self.source.label_set(self._at(i))

    def caption(self, i: int) -> str:
        return self.source.caption(self._at(i))

    def group(self, i: int) -> str:
        return self.source.group(self._at(i))

    def split(self, i: int) -> str:
        return self.source.split(self._at(i))

    def labels(self) -> NDArray[np.int64]:
        return self.source.labels()[self.indices]

    def groups(self) -> NDArray[np.object_]:
        return self.source.groups()[self.indices]

    def splits(self) -> NDArray[np.object_]:
        return self.source.splits()[self.indices]

    def shards(self) -> Shards | None:
        found = self.source.shards()
        return found and replace(found, numbers=found.numbers[self.indices])

    def columns(self, rows: NDArray[np.int64] | None = None) -> Iterator[Columns]:
        return self.source.columns(self.indices if rows is None else self.indices[rows])

    def facts(self, rows: NDArray[np.int64] | None = None) -> Iterator[Facts] | None:
        return self.source.facts(self.indices if rows is None else self.indices[rows])

    def joined(self, length: int, rows: NDArray[np.int64] | None = None) -> Source:
        return self.source.joined(length, self.indices if rows is None else self.indices[rows])

    def tokenizer(self) -> str | None:
        return self.source.tokenizer()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a list; "" or None where it says nothing.

    Attributes:
        path: of the file, below the folder.
        label: the class.
        group: what it was cut from.
        split: part or fold.
        start, end: seconds of the segment that is meant.
        labels: the classes, where there are several.
        caption: a sentence about it.
    """

    path: str
    label: str = ""
    group: str = ""
    split: str = ""
    start: float | None = None
    end: float | None = None
    labels: tuple[str, ...] = ()
    caption: str = ""

    @property
    def segment(self) -> Segment | None:
        return segment_of(self.start, self.end)


class Files(Source):
    """A list of media files.

    Args:
        path: the folder.
        entries: the files.
        classes: names of the labels, in the order of their numbers.
        title: what tables call it; None: the folder's name.
        isolated: probe and decode in a child process under these limits: for files that nobody
            has looked at yet.
        medium: gives what is read of a name; None: the file below the folder.
    """

    def __init__(
        self,
        path: Path,
        entries: Sequence[Entry],
        classes: Sequence[str],
        *,
        title: str | None = None,
        isolated: Limits | None = None,
        medium: Callable[[str], Readable] | None = None,
    ):
        self.path, self._entries, self.classes = path, entries, tuple(classes)
        self._numbers = {name: number for number, name in enumerate(classes)}
        self.title = title or path.resolve().name
        self._infos: OrderedDict[str, MediaInfo] = OrderedDict()
        self._reader = IsolatedReader(isolated) if isolated else None
        self._opened = medium or self._file

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, i: int) -> Entry:
        """The row of the list."""
        return self._entries[i]

    def name(self, i: int) -> str:
        entry = self._entries[i]
        name = nfc(entry.path)
        return name + entry.segment.fragment if entry.segment else name

    def info(self, i: int) -> MediaInfo:
        entry = self._entries[i]
        whole = self._whole(entry.path)
        return entry.segment.info(whole) if entry.segment else whole

    def _file(self, name: str) -> str:
        return str(self.path / name)

    def _whole(self, name: str) -> MediaInfo:
        found = self._infos[name] = self._infos.pop(name, None) or self._probe(name)
        if len(self._infos) > _PROBED:
            self._infos.popitem(last=False)
        return found

    def _probe(self, name: str) -> MediaInfo:
        if self._reader:
            return self._reader.probe(self._file(name))
        from ..modalities.decode.reader import probe

        return probe(self._opened(name))

    def read(self, i: int, plan: Plan) -> Sample:
        entry = self._entries[i]
        if entry.segment:
            return entry.segment.read(self.info(i), plan, lambda p: self._read(entry.path, p))
        return self._read(entry.path, plan)

    def _read(self, name: str, plan: Plan) -> Sample:
        if self._reader:
            return self._reader.read(self._file(name), plan)
        from ..modalities.decode.reader import read

        return read(self._opened(name), plan, info=self._infos.get(name))

    def label(self, i: int) -> int:
        entry = self._entries[i]
        return -1 if len(entry.labels) > 1 else self._numbers.get(entry.label, -1)

    def label_set(self, i: int) -> tuple[int, ...]:
        entry = self._entries[i]
        names = entry.labels or ((entry.label,) if entry.label else ())
        return tuple(self._numbers[name] for name in names if name in self._numbers)

    def caption(self, i: int) -> str:
        return self._entries[i].caption

    def group(self, i: int) -> str:
        """The entry's group, else the file: its segments belong together."""
        entry = self._entries[i]
        return entry.group or nfc(entry.path)

    def split(self, i: int) -> str:
        return self._entries[i].split
