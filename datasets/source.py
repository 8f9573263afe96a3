"""Source: what exists and where. It interprets no pixels and knows no task."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..modalities.decode.sandbox import IsolatedReader, Limits
from ..modalities.media import MediaInfo, Plan, Sample

Record = tuple[str, int, str, str]


class Source(ABC):
    """A numbered collection of media.

    Attributes:
        classes: names of the labels, in the order of their numbers; empty if unlabelled.
        title: a name for reports.
        indexed: whether `info` is known without opening a file.
    """

    classes: tuple[str, ...] = ()
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

    def label(self, i: int) -> int:
        """Number of the class, -1 if unlabelled."""
        return -1

    def group(self, i: int) -> str:
        """What example i was cut from; examples of one group never stand in two splits."""
        return self.name(i)

    def split(self, i: int) -> str:
        """ "train", "val" or "test", the name of a fold, or "" where the source names none."""
        return ""

    def records(self) -> Iterator[Record]:
        """Name, label, group and split of every example in order."""
        for i in range(len(self)):
            yield self.name(i), self.label(i), self.group(i), self.split(i)

    def fingerprint(self) -> str:
        """A hash of names, labels, groups and splits: the stamp of a result row."""
        return fingerprint(self.records())


def fingerprint(records: Iterable[Record]) -> str:
    """The same of records that are at hand."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(repr(record).encode())
    return digest.hexdigest()[:16]


class Subset(Source):
    """Some examples of another source, in the order of the given numbers (an array stays one)."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self.source = source
        self.indices = indices if isinstance(indices, np.ndarray) else tuple(indices)
        self.classes, self.title, self.indexed = source.classes, source.title, source.indexed

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, i: int) -> str:
        return self.source.name(self.indices[i])

    def info(self, i: int) -> MediaInfo:
        return self.source.info(self.indices[i])

    def read(self, i: int, plan: Plan) -> Sample:
        return self.source.read(self.indices[i], plan)

    def label(self, i: int) -> int:
        return self.source.label(self.indices[i])

    def group(self, i: int) -> str:
        return self.source.group(self.indices[i])

    def split(self, i: int) -> str:
        return self.source.split(self.indices[i])


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path below the folder, and label, group and split, "" where there is none."""

    name: str
    label: str = ""
    group: str = ""
    split: str = ""


class Files(Source):
    """A list of media files.

    Args:
        path: the folder.
        entries: the files.
        classes: names of the labels, in the order of their numbers.
        title: what tables call it; None: the folder's name.
        isolated: probe and decode in a child process under these limits: for files that nobody
            has looked at yet.
    """

    def __init__(
        self,
        path: Path,
        entries: Sequence[Entry],
        classes: Sequence[str],
        *,
        title: str | None = None,
        isolated: Limits | None = None,
    ):
        self.path, self._entries, self.classes = path, entries, tuple(classes)
        self._numbers = {name: number for number, name in enumerate(classes)}
        self.title = title or path.resolve().name
        self._infos: dict[int, MediaInfo] = {}
        self._reader = IsolatedReader(isolated) if isolated else None

    def __len__(self) -> int:
        return len(self._entries)

    def name(self, i: int) -> str:
        return self._entries[i].name

    def info(self, i: int) -> MediaInfo:
        if i not in self._infos:
            self._infos[i] = self._probe(str(self.path / self.name(i)))
        return self._infos[i]

    def _probe(self, path: str) -> MediaInfo:
        if self._reader:
            return self._reader.probe(path)
        from ..modalities.decode.reader import probe

        return probe(path)

    def read(self, i: int, plan: Plan) -> Sample:
        path = str(self.path / self.name(i))
        if self._reader:
            return self._reader.read(path, plan)
        from ..modalities.decode.reader import read

        return read(path, plan, info=self._infos.get(i))

    def label(self, i: int) -> int:
        return self._numbers.get(self._entries[i].label, -1)

    def group(self, i: int) -> str:
        """The entry's group, else the example itself."""
        return self._entries[i].group or self.name(i)

    def split(self, i: int) -> str:
        return self._entries[i].split
