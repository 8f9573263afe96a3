"""A small corpus, packed, and small tasks on it."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from pretexto.datasets.text.documents import Piece
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text
from pretexto.encoders.text import TextTransformer
from pretexto.modalities.rng import generator
from pretexto.modalities.tokenizer import Tokenizer, byte_tokenizer
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.task import Batch, Task

SENTENCES = [f"The {c} {t} is {p} the table." for c in ("red", "blue", "old")
             for t in ("cup", "box", "hat", "lamp") for p in ("on", "under")]  # fmt: skip


def packed(
    folder: Path, texts: list[str] = SENTENCES, tokenizer: Tokenizer | None = None, **options: Any
) -> Tokens:
    """The texts as a source."""
    pack_text(map(Piece, texts), folder / "packed", tokenizer or byte_tokenizer())
    return Tokens(folder / "packed", **options)


def labelled_text(
    folder: Path, text: Callable[[str, random.Random], str], labels: Sequence[str], count: int = 48
) -> Tokens:
    """Documents that `text` writes of their label, a third of them to be tested on."""
    rng = random.Random(0)
    pieces = [
        Piece(text(label, rng), True, label, "train" if k % 6 < 4 else "test")
        for k, label in ((k, labels[k % len(labels)]) for k in range(count))
    ]
    pack_text(pieces, folder / "labelled", byte_tokenizer())
    return Tokens(folder / "labelled")


def text_encoder(**options: Any) -> TextTransformer:
    """A transformer of two blocks, at random weights."""
    torch.manual_seed(0)
    sizes = {"vocabulary": 260, "context": 40, "width": 32, "depth": 2, "heads": 2}
    return TextTransformer(**{**sizes, **options})


def text_input(length: int = 16, **options: Any) -> TextInput:
    """Around a transformer of two blocks, at random weights."""
    torch.manual_seed(0)
    sizes = {"vocabulary": 260, "context": 64, "width": 16, "depth": 2, "heads": 2}
    return TextInput(TextTransformer(**{**sizes, **options}), length=length)


def example(task: Task, source: Tokens, i: int, seed: int = 0) -> Batch:
    """Example i as the loader makes it."""
    rng = generator(seed, 0, i)
    made = task.example(source.read(i, task.plan(source.info(i), rng)), rng)
    return {**made, "index": torch.tensor(i), "label": torch.tensor(-1)}


def batch(task: Task, source: Tokens, rows: list[int], seed: int = 0) -> Batch:
    """Several of them."""
    return default_collate([example(task, source, i, seed) for i in rows])
