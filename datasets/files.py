"""Media files below a folder, with what is said of each: what all file formats become."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..modalities.child import IsolatedReader, Limits
from ..modalities.media import MediaInfo, Plan, Sample
from .source import Source


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
        from ..modalities.read import probe

        return probe(path)

    def read(self, i: int, plan: Plan) -> Sample:
        path = str(self.path / self.name(i))
        if self._reader:
            return self._reader.read(path, plan)
        from ..modalities.read import read

        return read(path, plan, info=self._infos.get(i))

    def label(self, i: int) -> int:
        return self._numbers.get(self._entries[i].label, -1)

    def group(self, i: int) -> str:
        """The entry's group, else the example itself."""
        return self._entries[i].group or self.name(i)

    def split(self, i: int) -> str:
        return self._entries[i].split
