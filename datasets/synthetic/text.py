"""A small world of text: what is told of a thing early in a document is needed late in it."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ...modalities.tokenizer import byte_tokenizer
from ..cache import made_once
from ..text.documents import Piece
from ..text.source import Tokens
from ..text.write import pack_text

_VERSION = 1
_DOCUMENTS = {"train": 3000, "test": 600}
_LABELLED = {"train": 480, "test": 240}
_NAMES = ("Ada", "Bela", "Cyrus", "Dora", "Emil", "Flora", "Gita", "Hugo", "Iris", "Jona")
_COLOURS = ("red", "green", "blue", "yellow", "white", "black", "brown", "grey")
_THINGS = ("ball", "boat", "box", "cup", "hat", "kite", "lamp", "ring")
_PLACES = ("garden", "house", "market", "river", "school", "tower")
_ACTS = ("walks to", "runs to", "waits at", "comes from", "looks for", "talks about")


def synthetic_text(split: Literal["train", "test", "labelled"] = "train") -> Tokens:
    """Documents that say who owns which thing, tell of something else, and ask for it again.

    Packed once, one token a byte, into the cache folder.

    Args:
        split: "labelled": both, fewer of each, in one; the class is the colour of the first thing.
            That colour and the one of the second thing stand in a document equally often: counts
            leave two classes, and order tells which it is.
    """

    def make(folder) -> None:
        pieces = _labelled() if split == "labelled" else _documents(split)
        pack_text(pieces, folder / "packed", byte_tokenizer())

    folder = made_once(f"synthetic-text-{_VERSION}-{split}", make)
    source = Tokens(folder / "packed")
    source.title = "synthetic text"
    return source


def _documents(split: str) -> Iterator[Piece]:
    rng = np.random.default_rng(("train", "test").index(split))
    for _ in range(_DOCUMENTS[split]):
        yield Piece(_document(rng))


def _labelled() -> Iterator[Piece]:
    rng = np.random.default_rng(2)
    for split, count in _LABELLED.items():
        for _ in range(count):
            text = _document(rng, _COLOURS[:4])
            yield Piece(text, True, text.split(" ")[3], split)


def _document(rng: np.random.Generator, colours: Sequence[str] = _COLOURS) -> str:
    one, other = rng.choice(_NAMES, 2, replace=False)
    owned = [f"{rng.choice(colours)} {rng.choice(_THINGS)}" for _ in range(2)]
    between = [
        f"{rng.choice((one, other))} {rng.choice(_ACTS)} the {rng.choice(_PLACES)}."
        for _ in range(rng.integers(1, 5))
    ]
    told = [f"{one} has a {owned[0]}.", f"{other} has a {owned[1]}."]
    asked = [f"The {owned[0]} is of {one}.", f"The {owned[1]} is of {other}."]
    return " ".join([*told, *between, *asked])
