"""Packed text as a source: blocks of a corpus, or its documents."""

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ...modalities.text import NOTHING, TextInfo
from ..source import Source, texts
from .format import INDEX, TOKENIZER, TextManifest, read_manifest, read_tokenizer

BLOCK, DOCUMENT = "tokens-", "document-"  # how names of examples begin
Unit = Literal["auto", "block", "document"]


class Tokens(Source):
    """What `pretexto pack --tokenizer` wrote; tokens are mapped into memory, not held there.

    Args:
        path: the folder.
        unit: what an example is: a block of so many tokens of the whole corpus, one behind the
            other across documents; a document; "auto": documents where they have labels.
        block: tokens of a block; None: as long as the task's span (`for_length`).

    Raises:
        InputError: no packed text, or a damaged one.
    """

    indexed = True

    def __init__(self, path: str | Path, *, unit: Unit = "auto", block: int | None = None):
        self.path = Path(path)
        self.manifest: TextManifest = read_manifest(self.path)
        tokenizer = read_tokenizer(self.path, self.manifest)
        self.vocabulary, self._edges = tokenizer.vocabulary, tokenizer.word_edges()
        self.title = self.path.resolve().name
        by_document = unit == "document" or (unit == "auto" and bool(self.manifest.classes))
        self._documents = _Documents(self.path / INDEX, self.manifest) if by_document else None
        self.classes = self.manifest.classes if by_document else ()
        if block is not None and block < 1:
            raise InputError(f"{path}: block is a number of tokens, 1 or more, got {block}")
        self._chosen = block is not None
        self.block = block or 512
        self._parts = np.cumsum([0, *(shard.tokens for shard in self.manifest.shards)])
        self._text = _Pieces(np.array([0]), np.array([self.manifest.tokens]))
        self._id = _digest("".join(shard.sha256 for shard in self.manifest.shards).encode())
        self._mapped: dict[int, NDArray] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_mapped": {}}

    def for_length(self, length: int) -> "Tokens":
        """The same in blocks as long as a task's spans, unless another length was asked for: an
        epoch then reads every token once."""
        if self._documents is not None or self._chosen or length == self.block:
            return self
        other = copy.copy(self)
        other.block, other._mapped = length, {}
        return other

    def joined(self, length: int, rows: NDArray[np.int64] | None = None) -> Source:
        if self._documents is None:
            return super().joined(length, rows)
        other = copy.copy(self)
        other.block, other._mapped, other._documents, other.classes = length, {}, None, ()
        if rows is not None:
            stops = self._documents.stops
            starts = np.concatenate([[0], stops[:-1]])
            other._text = _Pieces(starts[rows], stops[rows])
            other._id = _digest(self._id.encode(), other._text.starts.tobytes())
        return other

    def tokenizer(self) -> str | None:
        return (self.path / TOKENIZER).read_text(encoding="utf-8")

    def __len__(self) -> int:
        if self._documents is not None:
            return len(self._documents.stops)
        # A block is followed by one more token at least, which its last one predicts.
        return max((self._text.total - 1) // self.block, min(self._text.total, 1))

    def name(self, i: int) -> str:
        """Other tokens have other names: of a document there is nothing but its number."""
        if self._documents is not None:
            return f"{DOCUMENT}{i}-{self._id}"
        return f"{BLOCK}{i * self.block}-{self._id}"

    def info(self, i: int) -> MediaInfo:
        if self._documents is not None:
            start, stop = self._documents.bounds(i)
            first, last, total = 0, stop - start, stop - start
        else:
            first, total = i * self.block, self._text.total
            last = min(first + self.block, total)
        about = TextInfo(first, last, total, self.vocabulary, self.manifest.bytes_per_token)
        return MediaInfo(self.name(i), "text", text=about)

    def read(self, i: int, plan: Plan) -> Sample:
        if plan.times or plan.audio or plan.flow:
            raise MediaError(self.name(i), "plan", "text has no pictures, no sound and no flow")
        start, stop = self._documents.bounds(i) if self._documents else (0, self._text.total)
        spans = [self._span(i, start, stop, span, plan) for span in plan.tokens]
        if not spans:
            return Sample(note=plan.note)
        tokens = np.concatenate(spans)
        starts = np.concatenate([self._word_starts(span) for span in spans])
        return Sample(
            tokens=torch.from_numpy(tokens), word_starts=torch.from_numpy(starts), note=plan.note
        )

    def _span(
        self, i: int, start: int, stop: int, span: tuple[int, int], plan: Plan
    ) -> NDArray[np.int64]:
        """Tokens of one span of the medium that lies from `start` to `stop` in the corpus."""
        first, last = start + span[0], start + span[1]
        if first >= start and last <= stop:
            return self._at(first, last)
        if plan.past_end == "error":
            reason = f"tokens {span[0]} to {span[1]} are asked of {stop - start}"
            raise MediaError(self.name(i), "plan", reason)
        if plan.past_end == "wrap" and stop > start:
            places = start + (np.arange(*span) % (stop - start))
            return self._at(start, stop)[places - start]
        found = np.full(last - first, NOTHING, np.int64)
        inside = slice(max(first, start), max(min(last, stop), max(first, start)))
        found[inside.start - first : inside.stop - first] = self._at(inside.start, inside.stop)
        return found

    def _at(self, first: int, last: int) -> NDArray[np.int64]:
        """Tokens between two positions of the text."""
        if self._documents is not None:
            return self._stored(first, last)
        found = [self._stored(*part) for part in self._text.between(first, last)]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _stored(self, first: int, last: int) -> NDArray[np.int64]:
        """Tokens of the corpus between two positions, out of as many files as they lie in."""
        found = []
        number = int(np.searchsorted(self._parts, first, "right")) - 1
        while first < last:
            begin, end = self._parts[number : number + 2].tolist()
            found.append(self._shard(number)[first - begin : min(last, end) - begin])
            first, number = min(last, end), number + 1
        tokens = np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)
        if len(tokens) and tokens.max() >= self.vocabulary.size:
            reason = f"a token {tokens.max()} of a vocabulary of {self.vocabulary.size}; pack again"
            raise MediaError(str(self.path), "decode", reason)
        return tokens

    def _shard(self, number: int) -> NDArray:
        if number not in self._mapped:
            name = self.manifest.shards[number].name
            kind = np.dtype(self.manifest.dtype).newbyteorder("<")
            self._mapped[number] = np.memmap(self.path / name, kind, "r")
        return self._mapped[number]

    def _word_starts(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        edges = self._edges[tokens.clip(0)]
        starts = edges[:, 0]
        starts[1:] |= edges[:-1, 1]
        starts[:1] = True
        return starts | (tokens == NOTHING)

    def label(self, i: int) -> int:
        return int(self._documents.labels[i]) if self._documents is not None else -1

    def split(self, i: int) -> str:
        if self._documents is None or self._documents.splits[i] < 0:
            return ""
        return self.manifest.splits[self._documents.splits[i]]

    def labels(self) -> NDArray[np.int64]:
        if self._documents is None:
            return np.full(len(self), -1, np.int64)
        return self._documents.labels.astype(np.int64)

    def splits(self) -> NDArray[np.object_]:
        names = np.array([*self.manifest.splits, ""], object)
        return names[self._documents.splits] if self._documents else texts([""] * len(self))

    def corpus(self) -> Tensor:
        """All tokens one behind another, int64 [N]: for a corpus that fits into memory."""
        return torch.from_numpy(self._stored(0, self.manifest.tokens))


class _Pieces:
    """Pieces of the corpus that are read as one text.

    Args:
        starts, stops: int64 [N], positions in the corpus, of pieces in their order.
    """

    def __init__(self, starts: NDArray[np.int64], stops: NDArray[np.int64]):
        self.starts = starts
        self._ends = np.cumsum(stops - starts)
        self.total = int(self._ends[-1]) if len(self._ends) else 0

    def between(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Where in the corpus the text lies between two of its own positions."""
        k = int(np.searchsorted(self._ends, first, "right"))
        while first < last:
            end = int(self._ends[k])
            moved = int(self.starts[k]) - (int(self._ends[k - 1]) if k else 0)
            yield first + moved, min(last, end) + moved
            first, k = min(last, end), k + 1


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]


class _Documents:
    """Where each document ends, its label and split, as arrays."""

    def __init__(self, path: Path, manifest: TextManifest):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            self.stops, self.labels, self.splits = (
                table[name].to_numpy() for name in ("stop", "label", "split")
            )
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise InputError(f"{path}: no readable table of documents ({error})") from None
        rising = len(self.stops) == 0 or bool((np.diff(self.stops, prepend=0) >= 0).all())
        if (
            len(self.stops) != manifest.documents
            or not rising
            or (len(self.stops) and self.stops[-1] != manifest.tokens)
        ):
            raise InputError(f"{path}: not the documents of these tokens; pack again")

    def bounds(self, i: int) -> tuple[int, int]:
        """Positions in the corpus between which document i lies."""
        return int(self.stops[i - 1]) if i else 0, int(self.stops[i])
