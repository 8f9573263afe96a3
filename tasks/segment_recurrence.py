"""Which token comes next, for a reader that remembers the segments before?"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..encoders.text import Memory
from ..errors import InputError
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from .parts.check import check_least
from .parts.language import guess_pictures, language_step
from .parts.text_input import TextInput
from .task import Batch, Step, Task, Traits


class SegmentRecurrence(Task):
    """Transformer-XL (Dai et al. 2019, arXiv:1901.02860, section 3).

    Each row of a batch is a lane: its segment follows the one of the batch before, whose states
    every block still sees, without gradient into them. Lanes begin anew in each epoch; what a
    batch remembers is checked against the positions that the next one reads, and is forgotten
    where they do not follow. Only while training: in evaluation mode segments stand alone, unless
    `score` is given their memory. The encoder must be causal, with relative positions. As in the
    authors' code, memory goes on across the end of a document.

    Args:
        text: what is pretrained; its length is that of a segment.
        memory: states of so many tokens before a segment that are kept; 0: none.
        same_length: let every token see `memory` tokens, itself among them, and none beyond.
        cutoffs: numbers of tokens, rising, at which the vocabulary is cut for an adaptive softmax
            (Grave et al. 2017, arXiv:1609.04309), the most frequent tokens first; none: one
            softmax over the table of embeddings.
        div: by how much each further part of the vocabulary is narrower.
    """

    traits = Traits(unit_metrics=False, draws=False)
    consecutive = True

    def __init__(
        self,
        text: TextInput,
        *,
        memory: int = 128,
        same_length: bool = False,
        cutoffs: tuple[int, ...] = (),
        div: float = 1.0,
    ):
        super().__init__(text=text)
        check_least(0, memory=memory)
        text.encoder.set_causal(True)
        if text.encoder.relative is None:
            raise InputError("segments follow one another only by relative positions: positions")
        if same_length and not memory:
            raise InputError("same_length needs memory, the number of tokens that each one sees")
        self.text, self.memory = text, memory
        self.same_length = memory if same_length else 0
        self.softmax = _adaptive(text, cutoffs, div) if cutoffs else None
        self._kept: Memory | None = None
        self._ends: Tensor | None = None

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        about, length = self.text.about(info), self.text.length
        if about.last - about.first != length or about.total < about.last + 1:
            reason = (
                f"{about.last - about.first} tokens, but a segment has {length} and one behind it: "
                "give a corpus in blocks (unit: block) as long as the task's segments"
            )
            raise MediaError(info.path, "plan", reason)
        span = (about.first, about.first + length + 1)
        return Plan(tokens=(span,), note=(about.first, about.bytes_per_token))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.tokens is not None
        first, size = sample.note
        return {
            "tokens": sample.tokens[:-1].clone(),
            "target": sample.tokens[1:].clone(),
            "first": torch.tensor(first),
            "bytes_per_token": torch.tensor(size),
        }

    def score(
        self, tokens: Tensor, target: Tensor, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor, Memory | None]:
        """Of segments [B, T]: the loss of each token in nats, the likeliest one, and the memory
        that the next segment sees."""
        encoder = self.text.encoder
        states = encoder.states(tokens, memory=memory, same_length=self.same_length)
        losses, guess = self._losses(states[-1].flatten(0, 1), target.flatten())
        kept = encoder.remember(memory, states, self.memory) if self.memory else None
        return losses.view_as(target), guess.view_as(target), kept

    def logits(self, states: Tensor) -> Tensor:
        """Scores [..., V] of the token behind each state [..., C]; logarithms with cutoffs."""
        if self.softmax is not None:
            return self.softmax.log_prob(states.flatten(0, -2)).unflatten(0, states.shape[:-1])
        return F.linear(states, self.text.encoder.embeddings.weight)

    def _losses(self, states: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        target = target.clamp_min(0)
        if self.softmax is None:
            logits = self.logits(states)
            return F.cross_entropy(logits, target, reduction="none"), logits.detach().argmax(1)
        with torch.no_grad():
            guess = self.softmax.predict(states)
        return -self.softmax(states, target).output, guess

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        tokens, target = batch["tokens"], batch["target"]
        memory = self._remembered(batch["first"]) if self.training else None
        losses, guess, kept = self.score(tokens, target, memory)
        if self.training:
            self._kept, self._ends = kept, batch["first"] + tokens.shape[1]
        return language_step(
            losses.flatten(),
            (guess == target).flatten(),
            (target >= 0).flatten(),
            batch["bytes_per_token"],
            lambda: guess_pictures(tokens, target, guess, self.text.words),
        )

    def _remembered(self, first: Tensor) -> Memory | None:
        """The memory of rows that go on where it ends; that of others cannot be seen."""
        if self._kept is None or self._ends is None or len(self._ends) != len(first):
            return None
        return Memory(self._kept.states, valid=self._ends == first)

    def carried(self) -> Batch:
        if self._kept is None or self._ends is None:
            return {}
        return {"states": torch.stack(list(self._kept.states), 1), "ends": self._ends}

    def carry(self, kept: Batch) -> None:
        self._kept = Memory(kept["states"].unbind(1)) if kept else None
        self._ends = kept.get("ends")

    def __getstate__(self) -> dict[str, Any]:
        # What travels to the workers of a loader needs no memory.
        return {**self.__dict__, "_kept": None, "_ends": None}


def _adaptive(
    text: TextInput, cutoffs: tuple[int, ...], div: float
) -> nn.AdaptiveLogSoftmaxWithLoss:
    rising = list(cutoffs) == sorted(set(cutoffs))
    if not rising or cutoffs[0] < 1 or cutoffs[-1] >= text.encoder.vocabulary:
        raise InputError(
            f"cutoffs rise between 1 and the vocabulary of {text.encoder.vocabulary}, got "
            f"{list(cutoffs)}"
        )
    sizes = text.encoder.dim, text.encoder.vocabulary
    return nn.AdaptiveLogSoftmaxWithLoss(*sizes, list(cutoffs), div_value=div)
