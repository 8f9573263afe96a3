"""Tokens of words that were met before: texts repeat their words, and need not be merged anew."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_MOST = 2_000_000  # words that are remembered
_BEFORE_WORD = re.compile(r"(?<=\S)(?= \S)")

Encode = Callable[[Sequence[str]], list[list[int]]]
Split = Callable[[str], list[str]]


class WordCache:
    """Encodes texts part by part, each distinct part once.

    Args:
        encode: gives the tokens of each of several texts.
        split: cuts a text into parts whose tokens, one after another, are those of the text.
    """

    def __init__(self, encode: Encode, split: Split):
        self.encode, self.split = encode, split
        self._known: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Tokens of each text, int64 [N]."""
        parts = [self.split(text) for text in texts]
        if len(self._known) > _MOST:
            self._known.clear()
        new = list(set(chain.from_iterable(parts)) - self._known.keys())
        self._known.update(zip(new, self.encode(new), strict=True))
        find = self._known.__getitem__
        return [np.fromiter(chain.from_iterable(map(find, part)), np.int64) for part in parts]


def split_of(tokenizer: str) -> Split | None:
    """How texts may be cut for the tokenizer of a tokenizer.json; None: not at all.

    Byte-level vocabularies as GPT-2's begin a new word at each space between two letters, BERT's
    end one at each white space.
    """
    parts = json.loads(tokenizer)
    before = parts.get("pre_tokenizer") or {}
    if parts.get("normalizer") is None and before.get("type") == "ByteLevel":
        plain = before.get("use_regex", True) and not before.get("add_prefix_space")
        return _at_spaces if plain else None
    if (parts.get("normalizer") or {}).get("type") == "BertNormalizer":
        return str.split if before.get("type") == "BertPreTokenizer" else None
    return None


def _at_spaces(text: str) -> list[str]:
    if not text:
        return []
    if "  " in text or not text.isascii():
        return _BEFORE_WORD.split(text)
    if " \n" in text or text[0] == " " or text[-1] == " ":
        return _BEFORE_WORD.split(text)
    first, *others = text.split(" ")
    return [first, *[" " + word for word in others]]
