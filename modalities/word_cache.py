"""Tokens of words that were met before: texts repeat their words, and need not be merged anew."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_MOST = 2_000_000  # words that are remembered
_OTHER_SPACE = re.compile(r"[^\S\x00-\x7f]")

Flat = tuple[NDArray[np.int64], NDArray[np.int64]]
Encode = Callable[[Sequence[str]], list[list[int]]]


class WordCache:
    """Encodes texts word by word, each distinct one once.

    Args:
        encode: gives the tokens of each of several texts; those of a text's words, one after
            another, must be those of the text (`may_cut`).
    """

    def __init__(self, encode: Encode):
        self.encode = encode
        self._clear()

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        # Of all known words in the order of their numbers: the tokens, and how many are each one's.
        self._tokens = self._counts = np.zeros(0, np.int64)

    def __call__(self, texts: Sequence[str]) -> Flat:
        """Tokens of all texts, int64 [N], and how many of them are each one's, int64 [T]."""
        if len(self._numbers) > _MOST:
            self._clear()
        words, place, per_text = _words(texts)
        self._learn([word for word in words if word not in self._numbers])
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        tokens, counts = self._gathered(numbers[place])
        stops = np.append(0, counts.cumsum())[per_text.cumsum()]
        return tokens, np.diff(stops, prepend=0)

    def _learn(self, new: list[str]) -> None:
        if new:
            self._numbers.update(zip(new, range(len(self._numbers), 1 << 62), strict=False))
            tokens, counts = flattened(self.encode(new))
            self._tokens = np.append(self._tokens, tokens)
            self._counts = np.append(self._counts, counts)

    def _gathered(self, numbers: NDArray[np.int64]) -> Flat:
        """Tokens of known words, one behind the other."""
        starts = self._counts.cumsum() - self._counts
        counts = self._counts[numbers]
        # Of each token where it lies in the table: its word's beginning there and its place in it.
        shift = starts[numbers] - (counts.cumsum() - counts)
        return self._tokens[np.arange(counts.sum()) + shift.repeat(counts)], counts


def _words(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct words of texts, which of them stand there one after another, and how many of
    these are each text's. A word carries the space before it."""
    import pyarrow as pa

    text = "".join(texts)
    data, lengths = text.encode(), byte_lengths(texts)
    begins = _words_begin(text, data)
    begins[(lengths.cumsum() - lengths)[lengths > 0]] = True
    starts = np.flatnonzero(begins)
    stops = np.append(starts, len(data)).astype(np.int32)
    buffers = [None, pa.py_buffer(stops), pa.py_buffer(data)]
    found = pa.Array.from_buffers(pa.utf8(), len(starts), buffers).dictionary_encode()
    place = found.indices.to_numpy().astype(np.int64)
    before = np.searchsorted(starts, lengths.cumsum())
    return found.dictionary.to_pylist(), place, np.diff(before, prepend=0)


def _words_begin(text: str, data: bytes) -> NDArray[np.bool_]:
    """At which bytes a space stands behind something that is none."""
    raw = np.frombuffer(data, np.uint8)
    solid = raw > 32
    if not text.isascii() and _OTHER_SPACE.search(text):
        # Spaces of several bytes: nothing is cut behind a byte that may end one.
        solid &= raw < 128
    begins = np.zeros(len(raw), bool)
    begins[1:] = solid[:-1] & (raw[1:] == 32)
    return begins


def byte_lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    """Bytes of UTF-8 of each text, int64 [T]."""
    each = (len(text) if text.isascii() else len(text.encode()) for text in texts)
    return np.fromiter(each, np.int64, len(texts))


def flattened(lists: Sequence[Sequence[int]]) -> Flat:
    """Numbers of all lists, int64 [N], and how many of them are each one's, int64 [L]."""
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int64, counts.sum()), counts


def may_cut(tokenizer: str) -> bool:
    """Whether the tokenizer of a tokenizer.json treats the words of a text one by one.

    Byte-level vocabularies as GPT-2's begin a new word at each space behind something that is none,
    BERT's end one at each white space.
    """
    parts = json.loads(tokenizer)
    before = parts.get("pre_tokenizer") or {}
    if parts.get("normalizer") is None and before.get("type") == "ByteLevel":
        return bool(before.get("use_regex", True) and not before.get("add_prefix_space"))
    bert = (parts.get("normalizer") or {}).get("type") == "BertNormalizer"
    return bert and before.get("type") == "BertPreTokenizer"
