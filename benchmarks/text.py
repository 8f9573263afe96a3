"""Bits per byte of tiny models of text beside counted ones, on a plain text file.

    python benchmarks/text.py shakespeare.txt --steps 1000

The last tenth of the file is held out. Counted on the rest: single bytes, and an interpolated
Kneser-Ney model of five. Trained on it, a byte a token: causal and masked language modelling, and
segment recurrence with memory, so many steps each; segment recurrence without memory gets as many
more steps as its step is cheaper, by counted floating-point operations. Recurrence once in segments
of 64 bytes, and once in short ones of 16, where most of what a byte depends on lies before its
segment.
"""

import argparse
import math
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
from parts.results import about_run, write_result
from torch.utils.flop_counter import FlopCounterMode

from pretexto.datasets.text.documents import Piece
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text
from pretexto.encoders.text import TextTransformer
from pretexto.modalities.tokenizer import byte_tokenizer
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.masked_language import MaskedLanguage
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.segment_recurrence import SegmentRecurrence
from pretexto.tasks.task import Task
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain

_DISCOUNT = 0.75


def unigram_bits(train: bytes, held: bytes) -> float:
    """Bits per byte by the frequencies of single bytes, with one more of each of the 256."""
    counts = Counter(train)
    total = len(train) + 256
    return -sum(math.log2((counts[b] + 1) / total) for b in held) / len(held)


class KneserNey:
    """Interpolated Kneser-Ney of bytes (Chen & Goodman 1999, section 2.7), one discount.

    The highest order counts occurrences, the others in how many contexts a byte was seen.
    """

    def __init__(self, text: bytes, order: int):
        self.order = order
        self.counts = [defaultdict(Counter) for _ in range(order)]
        for i in range(order - 1, len(text)):
            self.counts[-1][text[i - order + 1 : i]][text[i]] += 1
        for n in range(order - 2, -1, -1):
            for context, behind in self.counts[n + 1].items():
                for byte in behind:
                    self.counts[n][context[1:]][byte] += 1
        self.totals = [{c: sum(b.values()) for c, b in level.items()} for level in self.counts]

    def probability(self, context: bytes, byte: int) -> float:
        p = 1 / 256
        for n in range(self.order):
            key = context[len(context) - n :] if n else b""
            behind = self.counts[n].get(key)
            if behind is None:
                break
            total = self.totals[n][key]
            left = _DISCOUNT * len(behind) / total
            p = max(behind[byte] - _DISCOUNT, 0) / total + left * p
        return p

    def bits(self, held: bytes) -> float:
        """Bits per byte of a text."""
        before = self.order - 1
        each = (
            math.log2(self.probability(held[max(i - before, 0) : i], held[i]))
            for i in range(len(held))
        )
        return -sum(each) / len(held)


def reader(context: int, seed: int, **options) -> TextInput:
    torch.manual_seed(seed)
    return TextInput(TextTransformer(vocabulary=260, context=context, **options), length=context)


@torch.no_grad()
def held_out_bits(task: CausalLanguage | SegmentRecurrence, held: Tokens) -> float:
    """Bits per byte of a text, one span behind the other; with memory where the task has it."""
    task.eval()
    length, tokens, memory, nats = task.text.length, held.corpus(), None, 0.0
    for start in range(0, len(tokens) - 1, length):
        span = tokens[start : start + length + 1]
        x, target = span[None, :-1], span[None, 1:]
        if isinstance(task, SegmentRecurrence):
            losses, _, memory = task.score(x, target, memory)
        else:
            logits = task.logits(task.text.encoder.states(x)[-1])
            losses = F.cross_entropy(logits[0], target[0], reduction="none")
        nats += float(losses.sum())
    return nats / math.log(2) / held.manifest.bytes


@torch.no_grad()
def hidden_bits(task: MaskedLanguage, held: Tokens) -> float:
    """Bits per byte that is hidden; the same ones for every network."""
    task.eval()
    nats, asked = 0.0, 0
    for i in range(len(held)):
        rng = torch.Generator().manual_seed(i)
        example = task.example(held.read(i, task.plan(held.info(i), rng)), rng)
        tokens, target = example["tokens"][None], example["target"]
        logits = task.logits(task.text.encoder.states(tokens)[-1][0])
        nats += float(F.cross_entropy(logits, target, ignore_index=-1, reduction="sum"))
        asked += int((target >= 0).sum())
    return nats / math.log(2) / asked


def operations(task: SegmentRecurrence) -> float:
    """Floating-point operations of the forward pass of a segment whose memory is full.

    Those of a backward pass are twice as many, with memory as without.
    """
    tokens = torch.zeros(1, task.text.length, dtype=torch.int64)
    memory = None
    for _ in range(1 + -(-task.memory // task.text.length)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            *_, memory = task.score(tokens, tokens, memory)
    return counter.get_total_flops()


def recurrent(
    length: int, memory: int, batch: int, seed: int
) -> dict[str, tuple[Task, int, float]]:
    """Recurrence with and without memory: the task, its batch, and how many times the steps."""
    remembers = SegmentRecurrence(reader(length, seed), memory=memory)
    forgets = SegmentRecurrence(reader(length, seed), memory=0)
    cheaper = operations(remembers) / operations(forgets)
    name = f"recurrent, segments of {length}, memory"
    return {f"{name} {memory}": (remembers, batch, 1.0), f"{name} 0": (forgets, batch, cheaper)}


def trained(task: Task, source: Tokens, steps: int, batch: int, seed: int, folder: Path) -> float:
    """Trains; gives the seconds of processor time that it took."""
    began = time.process_time()
    args = TrainerArgs(steps=steps, batch_size=batch, workers=0, clip=1.0, logger="csv")
    optimizer = OptimizerArgs(lr=0.002, weight_decay=0.01)
    pretrain(task, source, folder, trainer=args, optimizer=optimizer, seed=seed)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", default="", help="rows of networks whose names have this in them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    seed = args.seed
    text = args.text.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    parts = {"train": text[:cut], "held": text[cut:]}
    train, held = (part.encode() for part in parts.values())
    counted = KneserNey(train, 5).bits(held)
    rows = {
        "single bytes": {"bits": unigram_bits(train, held)},
        "Kneser-Ney of 5": {"bits": counted},
    }
    print(rows, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, content in parts.items():
            pack_text([Piece(content)], folder / part, byte_tokenizer())
        sources = {part: Tokens(folder / part) for part in parts}
        tasks = {
            "causal": (CausalLanguage(reader(128, seed, positions="learned")), 32, 1.0),
            "masked": (MaskedLanguage(reader(128, seed, positions="learned")), 32, 1.0),
            **recurrent(64, memory=128, batch=32, seed=seed),
            **recurrent(16, memory=48, batch=128, seed=seed),
        }
        for what, (task, batch, more) in tasks.items():
            if args.only not in what:
                continue
            steps = round(args.steps * more)
            seconds = trained(task, sources["train"], steps, batch, seed, folder / what)
            bits = hidden_bits if isinstance(task, MaskedLanguage) else held_out_bits
            row = {"bits": bits(task, sources["held"]), "steps": steps, "cpu_s": seconds}
            print(f"{what}: {row}", flush=True)
            rows[what] = row
    if args.out:
        write_result(args.out, {**about_run(), "bits_per_byte": rows})


if __name__ == "__main__":
    main()
