"""An index as a source: media listed in a Parquet file, read from their folder."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...errors import InputError
from ...modalities.decode.reader import Backend, read
from ...modalities.decode.sandbox import IsolatedReader, Limits
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ..source import Record, Source
from .schema import INFO
from .table import Rows


class Index(Source):
    """The readable files of an index made by `pretexto index`.

    Ten million rows open within a second; what is known of a file comes from its row, and the
    file itself is opened only to be read.

    Args:
        path: Parquet file.
        root: folder of the media; by default where the index was made, seen from the index or
            as an absolute path.
        strict: leave out files in which the decoder found damage.
        backend: see `modalities.read.read`.
        isolated: decode in a child process under these limits: for files that changed hands
            since they were indexed.

    Raises:
        InputError: not an index, or its folder of media is gone.
    """

    indexed = True

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        *,
        strict: bool = False,
        backend: Backend = "auto",
        isolated: Limits | None = None,
    ):
        self.table = Rows(Path(path), strict=strict)
        self.root = Path(root) if root else _root(Path(path), self.table.facts)
        self.classes = self.table.classes
        self.title = Path(path).stem
        self._numbers = {name: k for k, name in enumerate(self.classes)}
        self._backend: Backend = backend
        self._reader = IsolatedReader(isolated) if isolated else None

    def __len__(self) -> int:
        return len(self.table)

    def name(self, i: int) -> str:
        return self.table.value(i, "path")

    def info(self, i: int) -> MediaInfo:
        return info_of(self.table.row(i))

    def read(self, i: int, plan: Plan) -> Sample:
        path = str(self.root / inside(self.name(i)))
        if self._reader:
            return self._reader.read(path, plan)
        return read(path, plan, self._backend)

    def label(self, i: int) -> int:
        return self._numbers.get(self.table.value(i, "label"), -1)

    def group(self, i: int) -> str:
        return self.table.value(i, "group") or self.name(i)

    def split(self, i: int) -> str:
        return self.table.value(i, "split") or ""

    def records(self) -> Iterator[Record]:
        return records(self.table, self._numbers)


def info_of(row: dict[str, Any]) -> MediaInfo:
    """A row of an index as MediaInfo."""
    facts = {name: row[name] for name in INFO if row[name] is not None}
    return MediaInfo(row["path"], **{**facts, "motion": tuple(facts.get("motion", ()))})


def records(table: Rows, numbers: dict[str, int]) -> Iterator[Record]:
    """What `Source.records` gives, read column by column."""
    for path, label, group, split in table.rows("path", "label", "group", "split"):
        yield path, numbers.get(label, -1), group or path, split or ""


def inside(name: str) -> str:
    """The name, if it stays within its folder. Raises MediaError."""
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive
    if not name or absolute or ".." in parts or "\0" in name:
        raise MediaError(name, "open", "the path leaves the folder of the index; index it again")
    return name


def _root(path: Path, facts: dict[str, Any]) -> Path:
    """The folder of media: where it lies seen from the index, else where it was."""
    candidates = [path.parent / facts.get("relative_root", "."), Path(facts.get("root", "."))]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise InputError(f"{path}: its folder of media {candidates[-1]} is gone; give root=")
