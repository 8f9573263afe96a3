"""Which tokens were hidden? A text is read in both directions around them."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..errors import InputError
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import coin, integer, permutation
from ..modalities.text import NOTHING, TextInfo, Vocabulary
from .parts.across import shared_mean, weighted_mean
from .parts.check import check_share
from .parts.language import guess_pictures, language_step
from .parts.text_input import TextInput
from .task import Batch, Step, Task, Traits


class _Note(NamedTuple):
    """What an example has to know of its plan: how long the first text is, and whether the
    second one follows it."""

    vocabulary: Vocabulary
    first: int
    follows: bool
    bytes_per_token: float


class MaskedLanguage(Task):
    """BERT's pretraining (Devlin et al. 2019, arXiv:1810.04805, section 3.1).

    [CLS] text [SEP], or with `next_sentence` [CLS] A [SEP] B [SEP], where B follows A, or is in
    half of all cases from anywhere in the corpus. A is cut at a token, not at the end of a
    sentence as in the authors' code. Tokenizers without these special tokens do without them;
    [MASK] there must be.

    Args:
        text: what is pretrained; its length is that of a row with its special tokens.
        selection: "exact": so many tokens of each text, rounded, one at least (the authors' code);
            "bernoulli": each one by itself (Hugging Face's collator, for example).
        share: of the tokens that are asked for.
        most: tokens of a text that are asked for at most, 20 in the paper's runs; 0: no limit.
        masked: share of those that are replaced by [MASK].
        random: share of those that are replaced by any token; the rest stays as it is.
        whole_word: ask for whole words, so that no part of a word gives the other away.
        next_sentence: also ask whether the second text follows the first.
        short: share of texts that have a random length.
    """

    traits = Traits(unit_metrics=False)

    def __init__(
        self,
        text: TextInput,
        *,
        selection: Literal["exact", "bernoulli"] = "exact",
        share: float = 0.15,
        most: int = 0,
        masked: float = 0.8,
        random: float = 0.1,
        whole_word: bool = False,
        next_sentence: bool = False,
        short: float = 0.1,
    ):
        super().__init__(text=text)
        check_share(share=share, masked=masked, random=random, short=short)
        if masked + random > 1 + 1e-9 or not share:
            raise InputError("share is above 0, and masked and random are 1 together at most")
        if selection not in ("exact", "bernoulli"):
            raise InputError(f"no selection {selection!r}; take exact or bernoulli")
        text.encoder.set_causal(False)
        if text.length < 8:
            raise InputError(f"a text with its special tokens has 8 or more, got {text.length}")
        self.text, self.selection, self.share, self.most = text, selection, share, most
        self.masked, self.random, self.short = masked, random, short
        self.whole_word, self.next_sentence = whole_word, next_sentence
        width, eps = text.dim, text.encoder.arguments["eps"]
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps))
        self.bias = nn.Parameter(torch.zeros(text.encoder.vocabulary))
        if next_sentence:
            self.pooler = nn.Sequential(nn.Linear(width, width), nn.Tanh())
            self.follows = nn.Linear(width, 2)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        about = self.text.about(info)
        words = about.vocabulary
        if words.mask < 0:
            raise InputError(
                f"{info.path}: its tokenizer has no [MASK]; pack with one that has, for example "
                "--tokenizer wordpiece:8192"
            )
        ends = self.next_sentence + 1 if words.sep >= 0 else 0
        room = self.text.length - (words.cls >= 0) - ends
        length = min(room, about.total)
        if length < 1 + self.next_sentence:
            raise MediaError(info.path, "plan", f"a text of {about.total} tokens is too short")
        if coin(rng, self.short):
            least = min(2, length)
            length = least + integer(rng, length - least + 1)
        start = self.text.random_start(about, length, rng)
        if not self.next_sentence:
            note = _Note(words, length, True, about.bytes_per_token)
            return Plan(tokens=((start, start + length),), past_end="repeat", note=note)
        return self._two_texts(info, about, start, length, rng)

    def _two_texts(
        self, info: MediaInfo, about: TextInfo, start: int, length: int, rng: Generator
    ) -> Plan:
        first = 1 + integer(rng, length - 1)
        second = start + first
        follows = coin(rng)
        if not follows:
            if about.total < 2 * length:
                reason = f"{about.total} tokens: too few to draw another text from"
                raise MediaError(info.path, "plan", reason)
            # Anywhere but where either text lies.
            second = (second + length + integer(rng, about.total - 2 * length + 1)) % about.total
        spans = (start, start + first), (second, second + length - first)
        note = _Note(about.vocabulary, first, follows, about.bytes_per_token)
        return Plan(tokens=spans, past_end="wrap", note=note)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.tokens is not None
        assert sample.word_starts is not None
        note: _Note = sample.note
        words = note.vocabulary
        parts = [sample.tokens[: note.first], sample.tokens[note.first :]]
        starts = [sample.word_starts[: note.first], sample.word_starts[note.first :]]
        row, begins = _special(words.cls), [torch.ones(int(words.cls >= 0), dtype=torch.bool)]
        kinds = [torch.zeros(len(row), dtype=torch.int64)]
        rows = [row]
        for kind in range(1 + self.next_sentence):
            end = _special(words.sep)
            rows += [parts[kind], end]
            begins += [starts[kind], torch.ones(len(end), dtype=torch.bool)]
            kinds.append(torch.full((len(parts[kind]) + len(end),), kind))
        tokens, begin = torch.cat(rows), torch.cat(begins)
        target = torch.full_like(tokens, NOTHING)
        chosen = self._chosen(tokens, begin, words, rng)
        target[chosen] = tokens[chosen]
        tokens = self._hidden(tokens, chosen, words, rng)
        missing = self.text.length - len(tokens)
        return {
            "tokens": F.pad(tokens, (0, missing), value=NOTHING),
            "target": F.pad(target, (0, missing), value=NOTHING),
            "segments": F.pad(torch.cat(kinds), (0, missing)),
            "follows": torch.tensor(int(not note.follows)),
            "bytes_per_token": torch.tensor(note.bytes_per_token),
        }

    def _chosen(self, tokens: Tensor, begin: Tensor, words: Vocabulary, rng: Generator) -> Tensor:
        """Numbers of the tokens that are asked for, int64 [K]; special ones never are."""
        special = torch.tensor([*words.special, NOTHING])
        asked = (~torch.isin(tokens, special)).nonzero()[:, 0]
        if not len(asked):
            return asked
        # Of each candidate the number of its word, or of itself.
        word = begin.cumsum(0)[asked] if self.whole_word else torch.arange(len(asked))
        _, word = word.unique(return_inverse=True)
        count = int(word.max()) + 1
        if self.selection == "bernoulli":
            drawn = torch.rand(count, generator=rng) < self.share
            return asked[drawn[word]]
        wanted = max(1, round(self.share * len(asked)))
        wanted = min(wanted, self.most) if self.most else wanted
        sizes = word.bincount(minlength=count)
        taken, left = torch.zeros(count, dtype=torch.bool), wanted
        for k in permutation(rng, count).tolist():
            if sizes[k] <= left:
                taken[k], left = True, left - int(sizes[k])
            if not left:
                break
        return asked[taken[word]]

    def _hidden(self, tokens: Tensor, chosen: Tensor, words: Vocabulary, rng: Generator) -> Tensor:
        """The text with the chosen tokens replaced, most of them by [MASK]."""
        draw = torch.rand(len(chosen), generator=rng)
        other = torch.randint(words.size, (len(chosen),), generator=rng)
        shown = torch.where(draw < self.masked + self.random, other, tokens[chosen])
        shown[draw < self.masked] = words.mask
        tokens = tokens.clone()
        tokens[chosen] = shown
        return tokens

    def logits(self, states: Tensor) -> Tensor:
        """Scores [..., V] of the tokens in the places of states [..., C]."""
        table = self.text.encoder.embeddings.weight
        return F.linear(self.transform(states), table, self.bias)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        tokens, target = batch["tokens"], batch["target"]
        states = self.text.encoder.states(tokens, segments=self._segments(batch))[-1]
        asked = target >= 0
        logits = self.logits(states[asked])
        losses = F.cross_entropy(logits, target[asked], reduction="none")
        found = logits.detach().argmax(-1)
        guess = target.clone()
        guess[asked] = found
        step = language_step(
            losses,
            found == target[asked],
            torch.ones_like(found, dtype=torch.bool),
            batch["bytes_per_token"],
            lambda: guess_pictures(tokens, target, guess, self.text.words),
        )
        return self._with_next(step, states, batch) if self.next_sentence else step

    def _segments(self, batch: Batch) -> Tensor | None:
        return batch["segments"] if self.text.encoder.segments is not None else None

    def _with_next(self, step: Step, states: Tensor, batch: Batch) -> Step:
        scores = self.follows(self.pooler(states[:, 0]))
        answer = batch["follows"]
        all_ = torch.ones(len(answer), device=scores.device)
        loss = weighted_mean(F.cross_entropy(scores, answer, reduction="none"), all_)
        right = (scores.detach().argmax(1) == answer).float()
        metrics = {**step.metrics, "next_accuracy": shared_mean(right, all_)}
        return Step(step.loss + loss, metrics, step.pictures)


def _special(token: int) -> Tensor:
    """A special token as a text; nothing where the tokenizer has none."""
    return torch.tensor([token] if token >= 0 else [], dtype=torch.int64)
