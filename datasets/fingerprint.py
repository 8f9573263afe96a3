"""The fingerprint of a collection: a hash of columns, whether they are lists or Arrow arrays."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Texts = Union[Sequence[str], "pa.StringArray"]


class Columns(NamedTuple):
    """What is known of some examples in order: names, numbers of classes, groups and splits."""

    names: Texts
    labels: NDArray[np.int64]
    groups: Texts
    splits: Texts


def fingerprint(batches: Iterable[Columns]) -> str:
    """16 hexadecimal digits, the same however the examples are cut into batches."""
    names, groups, splits = _Texts(), _Texts(), _Texts()
    labels = hashlib.sha256()
    for batch in batches:
        names.add(batch.names)
        labels.update(np.ascontiguousarray(batch.labels, "<i8").tobytes())
        groups.add(batch.groups)
        splits.add(batch.splits)
    parts = (names.digest(), labels.digest(), groups.digest(), splits.digest())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


class _Texts:
    """Hashes a column of texts: all bytes one behind the other, and the lengths."""

    def __init__(self):
        self._bytes, self._lengths = hashlib.sha256(), hashlib.sha256()

    def add(self, texts: Texts) -> None:
        lengths, content = _packed(texts) if isinstance(texts, Sequence) else _buffers(texts)
        self._bytes.update(content)
        self._lengths.update(np.ascontiguousarray(lengths, "<i4").tobytes())

    def digest(self) -> bytes:
        return self._bytes.digest() + self._lengths.digest()


def _packed(texts: Sequence[str]) -> "tuple[NDArray, bytes | memoryview]":
    # Names that are no UTF-8 are hashed by the bytes that the system has for them.
    pieces = [text.encode("utf-8", "surrogateescape") for text in texts]
    return np.fromiter(map(len, pieces), np.int32, len(pieces)), b"".join(pieces)


def _buffers(texts: "pa.StringArray") -> "tuple[NDArray, bytes | memoryview]":
    """Of an Arrow array of strings without nulls; nothing is copied."""
    _, offsets, content = texts.buffers()
    if offsets is None or content is None:
        return np.zeros(len(texts), np.int32), b""
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.diff(ends), memoryview(content)[int(ends[0]) : int(ends[-1])]
