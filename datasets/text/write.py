"""From documents to shards of tokens, in bounded memory."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...modalities.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from ...modalities.word_cache import byte_lengths
from ..cache import write_text
from .documents import Piece
from .format import INDEX, MANIFEST, TOKENIZER, Shard, TextManifest

_TOGETHER = 4 << 20  # bytes of text that are tokenized at a time
_ROWS = 65_536  # documents of a row group
_TRAINED_ON = 200_000_000  # bytes of text that a tokenizer is trained on, from the beginning


def tokenizer_for(spec: str, pieces: Callable[[], Iterable[Piece]]) -> Tokenizer:
    """The tokenizer that a user names: bytes, bpe:SIZE, wordpiece:SIZE, or a file.

    Args:
        spec: what was written.
        pieces: gives the text to train on, from its beginning.

    Raises:
        InputError: no such tokenizer, or a size that is no number.
    """
    kind, colon, size = spec.partition(":")
    if kind not in ("bpe", "wordpiece"):
        return load_tokenizer(spec)
    if not (colon and size.isdigit()):
        raise InputError(f"--tokenizer {spec}: say how many tokens, for example {kind}:8192")
    return train_tokenizer(kind, _some_text(pieces()), int(size))


def _some_text(pieces: Iterable[Piece]) -> Iterator[str]:
    left = _TRAINED_ON
    for piece in pieces:
        yield piece.text
        left -= len(piece.text)
        if left < 0:
            return


def pack_text(
    pieces: Iterable[Piece],
    out: str | Path,
    tokenizer: Tokenizer,
    *,
    shard_bytes: int = 256 << 20,
) -> TextManifest:
    """Writes documents as tokens into a new folder, whole or not at all.

    Behind each document stands the tokenizer's end token, where it has one.

    Args:
        pieces: of the documents, in their order.
        out: the folder.
        tokenizer: of the text.
        shard_bytes: size of a file of tokens.

    Raises:
        InputError: a folder that is there already or cannot be written; bad text, see
            `read_documents`.
    """
    out = Path(out)
    if (out / MANIFEST).exists() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: there is something already; name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.part-", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
    try:
        manifest = _write(pieces, part, tokenizer, shard_bytes)
        part.chmod(0o755)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _write(
    pieces: Iterable[Piece], folder: Path, tokenizer: Tokenizer, shard_bytes: int
) -> TextManifest:
    write_text(folder / TOKENIZER, tokenizer.text)
    dtype = np.dtype("<u2" if tokenizer.vocabulary.size <= 1 << 16 else "<u4")
    shards, table = _Shards(folder, dtype, shard_bytes), _Table(folder / INDEX)
    size, end = 0, tokenizer.vocabulary.end
    with shards, table:
        for batch in _batches(pieces):
            texts = [piece.text for piece in batch]
            last = np.array([piece.last for piece in batch])
            tokens, stops = _with_ends(*tokenizer.encode_together(texts), last, end)
            table.add(shards.tokens + stops[last], [piece for piece in batch if piece.last])
            shards.add(tokens)
            size += int(byte_lengths(texts).sum())
    manifest = TextManifest(
        dtype=dtype.name,
        vocabulary=tokenizer.vocabulary.size,
        tokenizer=tokenizer.vocabulary.sha256,
        documents=table.count,
        tokens=shards.tokens,
        bytes=size,
        classes=tuple(table.classes),
        splits=tuple(table.splits),
        shards=tuple(shards.done),
    )
    manifest.write(folder)
    return manifest


def _with_ends(
    tokens: NDArray[np.int64], counts: NDArray[np.int64], last: NDArray[np.bool_], end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens with the end token behind each piece that is a document's last, and where pieces stop.

    Args:
        tokens: [N] of all pieces.
        counts: [P] of each piece.
        last: [P] whether a document ends with it.
        end: the end token; negative: none is put there.
    """
    if end < 0:
        return tokens, counts.cumsum()
    stops = (counts + last).cumsum()
    ended = np.zeros(len(tokens) + int(last.sum()), bool)
    ended[stops[last] - 1] = True
    out = np.full(len(ended), end, np.int64)
    out[~ended] = tokens
    return out, stops


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces with enough text together to be worth a call."""
    held: list[Piece] = []
    size = 0
    for piece in chain(pieces, [None]):
        if held and (piece is None or size + len(piece.text) > _TOGETHER):
            yield held
            held, size = [], 0
        if piece is not None:
            held.append(piece)
            size += len(piece.text)


class _Shards:
    """Files of tokens that are filled one after another."""

    def __init__(self, folder: Path, dtype: np.dtype, most: int):
        self.folder, self.dtype, self.room = folder, dtype, max(most // dtype.itemsize, 1)
        self.done: list[Shard] = []
        self.tokens = 0
        self._file, self._count, self._hash = None, 0, hashlib.sha256()

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def add(self, tokens: NDArray[np.int64]) -> None:
        """Appends tokens; what does not fit begins the next file."""
        self.tokens += len(tokens)
        while len(tokens):
            if self._file is None:
                self._file = (self.folder / self._name).open("wb")
            now, tokens = np.split(tokens, [self.room - self._count])
            data = now.astype(self.dtype).tobytes()
            self._file.write(data)
            self._hash.update(data)
            self._count += len(now)
            if self._count == self.room:
                self._close()

    @property
    def _name(self) -> str:
        return f"tokens-{len(self.done):05d}.bin"

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self.done.append(Shard(self._name, self._count, self._hash.hexdigest()))
        self._file, self._count, self._hash = None, 0, hashlib.sha256()


@dataclass
class _Table:
    """Where each document ends, its label and its split, as a Parquet file."""

    path: Path
    classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def __enter__(self) -> "_Table":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [("stop", pa.int64()), ("label", pa.int32()), ("split", pa.int32())]
        self._schema = pa.schema(columns)
        self._writer = pq.ParquetWriter(self.path, self._schema)
        self._rows: list[pa.Table] = []
        return self

    def __exit__(self, *_) -> None:
        self._flush()
        self._writer.close()

    def add(self, stops: NDArray[np.int64], pieces: list[Piece]) -> None:
        """Notes where documents end, int64 [D], and the last piece of each."""
        import pyarrow as pa

        labels, splits = (
            [names.setdefault(name, len(names)) if name else -1 for name in named]
            for names, named in (
                (self.classes, [piece.label for piece in pieces]),
                (self.splits, [piece.split for piece in pieces]),
            )
        )
        columns = zip((stops, labels, splits), self._schema, strict=True)
        rows = pa.table([pa.array(c, f.type) for c, f in columns], schema=self._schema)
        self._rows.append(rows)
        self.count += len(pieces)
        if sum(map(len, self._rows)) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.concat_tables(self._rows), row_group_size=_ROWS)
            self._rows = []
