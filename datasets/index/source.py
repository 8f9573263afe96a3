"""An index as a source: media listed in a Parquet file, read from their folder."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...modalities.decode.reader import Backend, probe, read
from ...modalities.decode.sandbox import IsolatedReader, Limits
from ...modalities.media import Kind, MediaError, MediaInfo, Plan, Sample
from ..facts import Facts
from ..fingerprint import Columns
from ..paths import leaves_folder, nfc
from ..segment import Segment, segment_of
from ..source import Source, texts
from .columns import codes, decoded
from .schema import INFO
from .table import Rows, where

if TYPE_CHECKING:
    import pyarrow as pa


_FACTS = (
    "kind",
    "motion",
    "start",
    "end",
    "duration",
    "audio_rate",
    "audio_channels",
    "audio_start",
    "audio_duration",
)


class TableSource(Source):
    """A source whose names, labels, groups and splits stand in the rows of an index.

    Args:
        table: the rows.
    """

    indexed = True

    def __init__(self, table: Rows):
        self.table, self.classes = table, table.classes
        self._numbers = {name: k for k, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.table)

    def name(self, i: int) -> str:
        segment = self.segment(i)
        return nfc(self.table.value(i, "path")) + (segment.fragment if segment else "")

    def segment(self, i: int) -> Segment | None:
        """The part of the file that is meant, None: all of it."""
        return segment_of(self.table.value(i, "start"), self.table.value(i, "end"))

    def label(self, i: int) -> int:
        return self._numbers.get(self.table.value(i, "label"), -1)

    def label_set(self, i: int) -> tuple[int, ...]:
        names = self.table.value(i, "labels") or [self.table.value(i, "label")]
        return tuple(self._numbers[name] for name in names if name in self._numbers)

    def caption(self, i: int) -> str:
        return self.table.value(i, "caption") or ""

    def group(self, i: int) -> str:
        """The row's group, else the file: its segments belong together."""
        return self.table.value(i, "group") or nfc(self.table.value(i, "path"))

    def split(self, i: int) -> str:
        return self.table.value(i, "split") or ""

    def labels(self) -> NDArray[np.int64]:
        return _joined(self._label_numbers(c) for (c,) in self.table.batches(("label",)))

    def groups(self) -> NDArray[np.object_]:
        found = self.table.batches(("group", "path"))
        return _joined(_texts(_else(group, _nfc(path))) for group, path in found)

    def splits(self) -> NDArray[np.object_]:
        return _joined(_texts(_else(c, "")) for (c,) in self.table.batches(("split",)))

    def rows_of_split(self, split: str) -> NDArray[np.int64]:
        column = (column for (column,) in self.table.batches(("split",)))
        return np.flatnonzero(where(column, lambda value: (value or "") == split))

    def columns(self, rows: NDArray[np.integer] | None = None) -> Iterator[Columns]:
        wanted = ("path", "label", "group", "split", "start", "end")
        for path, label, group, split, start, end in self.table.batches(wanted, rows):
            plain = _nfc(path)
            yield Columns(
                _with_fragments(plain, start, end),
                self._label_numbers(label),
                _else(group, plain),
                _else(split, ""),
            )

    def facts(self, rows: NDArray[np.integer] | None = None) -> Iterator[Facts]:
        for columns in self.table.batches(_FACTS, rows):
            kind, motion, start, end, *numbers = columns
            names, which = codes(kind)
            duration, rate, channels, begin, sound = map(_numbers, numbers)
            found = Facts(
                known=~(np.isnan(duration) | np.array([name is None for name in names])[which]),
                video=np.array([name == "video" for name in names])[which],
                image=np.array([name == "image" for name in names])[which],
                duration=np.nan_to_num(duration),
                audio_rate=np.nan_to_num(rate).astype(np.int64),
                audio_channels=np.nan_to_num(channels).astype(np.int64),
                audio_start=np.nan_to_num(begin),
                audio_duration=np.nan_to_num(sound),
                motion=_compute().fill_null(_compute().list_value_length(motion), 0).to_numpy() > 0,
            )
            whole = start.null_count == end.null_count == len(start)
            yield found if whole else found.between(_numbers(start), _numbers(end))

    def _label_numbers(self, labels: "pa.Array") -> NDArray[np.int64]:
        names, numbers = codes(labels)
        return np.array([self._numbers.get(name, -1) for name in names])[numbers]


def _numbers(column: "pa.Array") -> NDArray[np.float64]:
    """The column in double precision, NaN where it is null."""
    import pyarrow as pa

    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _joined(parts: Iterable[NDArray]) -> NDArray:
    found = list(parts)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _texts(column: "pa.Array") -> NDArray[np.object_]:
    """Python texts, equal ones held once."""
    distinct, numbers = codes(column)
    return texts(distinct)[numbers]


def _else(column: "pa.Array", other: Any) -> "pa.Array":
    """The column, where it is null or empty the other."""
    import pyarrow as pa

    pc = _compute()
    column = decoded(column)
    if column.null_count == len(column) and isinstance(other, pa.Array):
        return other
    said = pc.fill_null(pc.not_equal(column, ""), False)
    return pc.if_else(said, column, other)


def _compute() -> Any:
    """Arrow's functions, which are made at run time and known to no type checker."""
    import pyarrow.compute

    return pyarrow.compute


def _nfc(column: "pa.Array") -> "pa.Array":
    pc = _compute()
    if pc.all(pc.string_is_ascii(column)).as_py():
        return column
    return pc.utf8_normalize(column, form="NFC")


def _with_fragments(paths: "pa.Array", start: "pa.Array", end: "pa.Array") -> Any:
    """Names of examples: paths, and behind them the segment where one is meant."""
    if start.null_count == end.null_count == len(paths):
        return paths
    found = zip(paths.to_pylist(), start.to_pylist(), end.to_pylist(), strict=True)
    segments = ((path, segment_of(first, last)) for path, first, last in found)
    return [path + (segment.fragment if segment else "") for path, segment in segments]


class Index(TableSource):
    """The readable files of an index made by `pretexto index`.

    Ten million rows open within a second; what is known of a file comes from its row, and the
    file itself is opened only to be read. Rows that another tool has added, without facts, are
    probed.

    Args:
        path: Parquet file.
        root: folder of the media; by default where the index was made, seen from the index or
            as an absolute path.
        strict: leave out files in which the decoder found damage.
        unique: of files with the same content leave out all but the first.
        kind: only "video", "audio" or "image".
        backend: see `modalities.decode.reader.read`.
        isolated: decode in a child process under these limits: for files that changed hands
            since they were indexed.

    Raises:
        InputError: not an index, one without the column that an argument needs, its folder of
            media is gone, or arguments that exclude each other.
    """

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        *,
        strict: bool = False,
        unique: bool = False,
        kind: Kind | None = None,
        backend: Backend = "auto",
        isolated: Limits | None = None,
    ):
        if isolated and backend not in ("auto", "av"):
            raise InputError(f"{path}: isolated files are read by av; leave backend={backend} out")
        super().__init__(Rows(Path(path), strict=strict, unique=unique, kind=kind))
        self._roots = {} if root else find_roots(Path(path), self.table)
        self.root = Path(root) if root else next(iter(self._roots.values()))
        self.title = Path(path).stem
        self._backend: Backend = backend
        self._reader = IsolatedReader(isolated) if isolated else None

    def kinds(self) -> Counter[str]:
        """How many examples there are of each kind that the rows name."""
        counts = self.table.counts("kind")
        return Counter({kind: count for kind, count in counts.items() if kind})

    def info(self, i: int) -> MediaInfo:
        row, segment = self.table.row(i), self.segment(i)
        if row["kind"] is None or row["duration"] is None:
            whole = self._probe(i)
            return segment.info(whole) if segment else whole
        return info_of(row)

    def _probe(self, i: int) -> MediaInfo:
        path = self.file(i)
        return self._reader.probe(path) if self._reader else probe(path)

    def file(self, i: int) -> str:
        """Where example i lies. Raises MediaError if that is outside its folder."""
        root = self._roots[self.table.root(i) or ""] if len(self._roots) > 1 else self.root
        return str(root / inside(self.table.value(i, "path")))

    def read(self, i: int, plan: Plan) -> Sample:
        if segment := self.segment(i):
            return segment.read(self.info(i), plan, lambda p: self._read(i, p))
        return self._read(i, plan)

    def _read(self, i: int, plan: Plan) -> Sample:
        if self._reader:
            return self._reader.read(self.file(i), plan)
        if self.table.value(i, "kind") == "image":
            return read(self.file(i), plan, self._backend)
        timeline = partial(self.table.timeline, i)
        return read(self.file(i), plan, self._backend, timeline=timeline)


def info_of(row: dict[str, Any]) -> MediaInfo:
    """A row of an index as MediaInfo; of its segment, where it means one."""
    segment = segment_of(row["start"], row["end"])
    return segment.info(file_info(row)) if segment else file_info(row)


def file_info(row: dict[str, Any]) -> MediaInfo:
    """The media facts of a row as they are written."""
    facts = {name: row[name] for name in INFO if row[name] is not None}
    return MediaInfo(row["path"], **{**facts, "motion": tuple(facts.get("motion", ()))})


def inside(name: str) -> str:
    """The name, if it stays within its folder. Raises MediaError."""
    if leaves_folder(name):
        raise MediaError(name, "open", "the path leaves the folder of the index; index it again")
    return name


def find_roots(path: Path, table: Rows) -> dict[str, Path]:
    """The folders of media by how the rows write them: seen from the index, or absolute.

    Raises:
        InputError: the rows name no folder, or one that is gone.
    """
    facts, found = table.facts, {}
    written = table.roots() or [facts[key] for key in ("root",) if key in facts]
    if not written:
        raise InputError(f"{path}: says nothing of its folder of media; give root=")
    for root in written:
        candidates = [Path(root)]
        if facts.get("root") == root and facts.get("relative_root"):
            # An index that has moved with its media finds them beside it.
            candidates.insert(0, path.parent / facts["relative_root"])
        here = [folder for folder in candidates if folder.is_dir()]
        if not here:
            raise InputError(f"{path}: its folder of media {root} is gone; give root=")
        first = next(iter(table.rows("path")), ("",))[0]
        found[root] = next((f for f in here if (f / first).exists()), here[0])
    return found
