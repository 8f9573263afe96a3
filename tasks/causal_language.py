"""Which token comes next? Every token is predicted from those before it."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from .parts.language import guess_pictures, language_step
from .parts.text_input import TextInput
from .task import Batch, Step, Task, Traits


class CausalLanguage(Task):
    """GPT-2's language modelling (Radford et al. 2019, section 2,
    https://openai.com/research/better-language-models).

    A span starts anywhere in its example; in a corpus it may run on across the end of a document,
    which is a token of its own. The encoder must be causal. The output layer is the table of
    embeddings.

    Args:
        text: what is pretrained; it reads each span.
        smoothing: share of the answer that is spread over all tokens.
    """

    traits = Traits(unit_metrics=False)

    def __init__(self, text: TextInput, *, smoothing: float = 0.0):
        super().__init__(text=text)
        text.encoder.set_causal(True)
        self.text, self.smoothing = text, smoothing

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        about = self.text.about(info)
        if about.last - about.first < 2 and about.total < 2:
            raise MediaError(info.path, "plan", "one token alone: nothing follows it")
        start = self.text.random_start(about, self.text.length + 1, rng)
        span = (start, start + self.text.length + 1)
        return Plan(tokens=(span,), past_end="repeat", note=about.bytes_per_token)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.tokens is not None
        return {
            "tokens": sample.tokens[:-1].clone(),
            "target": sample.tokens[1:].clone(),
            "bytes_per_token": torch.tensor(sample.note),
        }

    def logits(self, states: Tensor) -> Tensor:
        """Scores [..., V] of the token behind each state [..., C]."""
        return F.linear(states, self.text.encoder.embeddings.weight)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        tokens, target = batch["tokens"], batch["target"]
        logits = self.logits(self.text.encoder.states(tokens)[-1])
        flat, asked = logits.flatten(0, 1), target.flatten() >= 0
        losses = F.cross_entropy(
            flat, target.flatten().clamp_min(0), reduction="none", label_smoothing=self.smoothing
        )
        guess = logits.detach().argmax(-1)
        return language_step(
            losses,
            guess.flatten() == target.flatten(),
            asked,
            batch["bytes_per_token"],
            lambda: guess_pictures(tokens, target, guess, self.text.words),
        )
