"""A small corpus, packed, and small tasks on it."""

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
