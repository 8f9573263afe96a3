"""Bits per byte of tiny models of text beside counted ones, on a plain text file.

    python benchmarks/text.py shakespeare.txt --steps 1000

The last tenth of the file is held out. Counted on the rest: single bytes, and an interpolated
Kneser-Ney model of five. Trained on it, a byte a token: causal language modelling, and segment
recurrence without and with memory, the same steps of the same network each.
"""

import argparse
import math
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import torch
from parts.results import about_run, write_result

from pretexto.datasets.text.documents import Piece
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text
from pretexto.encoders.text import TextTransformer
from pretexto.modalities.tokenizer import byte_tokenizer
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.segment_recurrence import SegmentRecurrence
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


def reader(context: int, **options) -> TextInput:
    torch.manual_seed(0)
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
            losses = torch.nn.functional.cross_entropy(logits[0], target[0], reduction="none")
        nats += float(losses.sum())
    return nats / math.log(2) / held.manifest.bytes


def trained(task, source: Tokens, steps: int, folder: Path) -> float:
    """Trains; gives the seconds that it took."""
    began = time.perf_counter()
    args = TrainerArgs(steps=steps, batch_size=32, workers=0, clip=1.0, logger="csv")
    pretrain(task, source, folder, trainer=args, optimizer=OptimizerArgs(lr=0.002))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    text = args.text.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    parts = {"train": text[:cut], "held": text[cut:]}
    train, held = (part.encode() for part in parts.values())
    counted = KneserNey(train, 5).bits(held)
    rows = {"single bytes": unigram_bits(train, held), "Kneser-Ney of 5": counted}
    print(rows, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, content in parts.items():
            pack_text([Piece(content)], folder / part, byte_tokenizer())
        sources = {part: Tokens(folder / part) for part in parts}
        tasks = {
            "causal": CausalLanguage(reader(128, positions="learned")),
            "recurrent, memory 0": SegmentRecurrence(reader(64), memory=0),
            "recurrent, memory 128": SegmentRecurrence(reader(64), memory=128),
        }
        for what, task in tasks.items():
            seconds = trained(task, sources["train"], args.steps, folder / what)
            rows[what] = held_out_bits(task, sources["held"])
            print(f"{what}: {rows[what]:.3f} bits per byte, {seconds:.0f} s", flush=True)
    if args.out:
        write_result(args.out, {**about_run(), "bits_per_byte": rows})


if __name__ == "__main__":
    main()
