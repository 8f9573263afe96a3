"""The supervised control on text: a random span of each document, by label."""

import random

import pytest
import torch
from small_world import held_out, train
from text_kit import labelled_text, text_input

from pretexto.datasets.source import Subset
from pretexto.modalities.media import Plan
from pretexto.modalities.rng import generator
from pretexto.tasks.supervised import Supervised

LABELS = ("p first", "x first")


def ordered(label: str, rng: random.Random) -> str:
    """Letters of two kinds, one behind the other: their counts are the same in both classes."""
    first, second = rng.choices("pqr", k=10), rng.choices("xyz", k=10)
    return "".join(first + second if label == LABELS[0] else second + first)


class Documents:
    """One part of labelled text, as worlds in memory are."""

    def __init__(self, source, part: str):
        rows = [i for i in range(len(source)) if source.split(i) == part]
        self.source = Subset(source, rows)
        self.infos = [self.source.info(i) for i in range(len(rows))]
        self.labels = [self.source.label(i) for i in range(len(rows))]

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i, plan):
        return self.source.read(i, plan)


def shuffled(batch):
    """The same tokens in another order, which leaves only their counts."""
    rng = torch.Generator().manual_seed(int(batch["target"].sum()))
    order = torch.rand(batch["inputs"].shape, generator=rng).argsort(1)
    return {**batch, "inputs": batch["inputs"].gather(1, order)}


def test_order_is_learned_and_counts_of_tokens_alone_leave_chance(tmp_path):
    source = labelled_text(tmp_path, ordered, LABELS, count=144)
    parts = [Documents(source, part) for part in ("train", "test")]
    found = {}
    for change in (None, shuffled):
        task = Supervised(text_input(20, positions="learned"), 2)
        options = {} if change is None else {"change": change}
        train(task, parts[0], steps=40, seed=0, **options)
        found[change] = held_out(task, parts[1], rounds=1, **options)
    assert found[None] >= 0.95
    assert 0.3 <= found[shuffled] <= 0.7


@pytest.mark.parametrize(("length", "least_starts"), [(8, 8), (24, 1)])
def test_a_span_from_anywhere_in_a_long_document_and_all_of_a_short_one(
    tmp_path, length, least_starts
):
    source = labelled_text(tmp_path, ordered, LABELS, count=12)
    # Twenty letters, and the token that ends a document.
    whole = source.read(0, Plan(tokens=((0, 21),))).tokens
    task, starts = Supervised(text_input(length), 2), set()
    for seed in range(60):
        rng = generator(seed, 0, 0)
        tokens = task.example(source.read(0, task.plan(source.info(0), rng)), rng)["tokens"]
        assert tokens.shape == (length,)
        text = tokens[tokens >= 0]
        found = [k for k in range(21) if torch.equal(whole[k : k + len(text)], text)]
        assert len(text) == min(length, 21)
        starts.update(found[:1])
    assert len(starts) >= least_starts
    assert len(starts) <= 22 - min(length, 21)
