"""Attentive probe: learns which positions of the frozen encoder's deepest map to look at.

Where a mean over positions is the wrong summary, because what matters is small or because the
encoder was never trained to have a meaningful mean (masked prediction), a linear probe asks too
little. One learnt query attends over the tokens of a clip, and a linear layer classifies what it
has gathered (Bardes et al. 2024, V-JEPA, arXiv:2404.08471, section 4; Lee et al. 2019, Set
Transformer, arXiv:1810.00825, section 3.2). The encoder takes no part in it: its tokens are
arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..modalities.rng import generator, permutation
from .learning_rate import adamw, at_best_rate, grid_text
from .linear import rows_of_examples
from .metrics import Outcome, mean_probabilities, outcomes
from .splits import Split

EPOCHS, STEPS, BATCH = 20, 500, 32  # as many epochs, or as many steps, whatever is more
RATES = (1e-3, 3e-3, 1e-2)
DECAY = 0.05
HEADS = 8
CHUNK = 256  # clips whose tokens are held in full precision at a time


class AttentiveProbe(nn.Module):
    """Tokens [B, P, C] → logits [B, K] by cross-attention from one learnt query.

    The query begins at zero, and with it all positions weigh the same: the probe starts as a
    linear classifier of the mean.

    Args:
        mean, scale: float32 [C], by which tokens are standardised.
        classes: number of classes K.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, classes: int):
        super().__init__()
        dim = len(mean)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        heads = next(h for h in range(min(HEADS, dim), 0, -1) if dim % h == 0)
        self.query = nn.Parameter(torch.zeros(1, 1, dim))
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.head = nn.Linear(dim, classes)

    def pool(self, tokens: Tensor) -> Tensor:
        """What the query gathers, [B, C]."""
        z = ((tokens.float() - self.mean) / self.scale).nan_to_num()
        query, nothing = self.query.expand(len(z), -1, -1), tokens[:, :, 0].isnan()
        found, _ = self.attention(query, z, z, key_padding_mask=nothing, need_weights=False)
        return found[:, 0]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.pool(tokens))


def attentive(
    tokens: Tensor, y: Tensor, split: Split, classes: int, *, counts: Tensor, seed: int
) -> list[Outcome]:
    """Top-1, mean per-class and (from ten classes on) top-5 accuracy on split.test.

    Every clip and crop of an example is learnt from; its probabilities are averaged over them.

    Args:
        tokens: [V, P, C], clip after clip; NaN where there is none.
        y: labels int64 [N] on the same device.
        split: numbers of examples.
        counts: int64 [N], how many of the V belong to each example.
        seed: of the probe's weights and of the order of its batches.

    Raises:
        InputError: fewer than two classes to learn.
    """
    if len(y[torch.tensor(split.train)].unique()) < 2:
        raise InputError(f"split {split.name}: the training part holds fewer than two classes")
    probing = _Probing(tokens, y, classes, counts, seed)
    probe, picked = at_best_rate(RATES, split, y, probing)
    recipe = (
        "one learnt query attends over the deepest map's positions, linear on what it gathers, "
        f"AdamW {grid_text(RATES)}, decay {DECAY:g}, {EPOCHS} epochs of train+val, at least "
        f"{STEPS} steps, batch {BATCH}, probabilities averaged"
    )
    found = outcomes(probing.scores(probe, split.test), y, split, classes, recipe)
    return [replace(o, **picked) for o in found]


@dataclass(frozen=True, slots=True)
class _Probing:
    """What all probes of one set of tokens share."""

    tokens: Tensor
    y: Tensor
    classes: int
    counts: Tensor
    seed: int

    def fit(self, examples: Sequence[int], rates: Sequence[float]) -> list[AttentiveProbe]:
        """One probe for each rate, alike but for it."""
        rows, sizes = rows_of_examples(self.tokens, examples, self.counts)
        labels = self.y[torch.tensor(examples)].repeat_interleave(sizes)
        # Each example weighs the same, however many clips it has; the mean weight is 1.
        weights = (len(rows) / (len(sizes) * sizes.float())).repeat_interleave(sizes)
        mean, scale = _moments(self.tokens, rows)
        torch.manual_seed(self.seed)
        probes = [AttentiveProbe(mean, scale, self.classes).to(rows.device)]
        probes += [AttentiveProbe(mean, scale, self.classes).to(rows.device) for _ in rates[1:]]
        for probe in probes[1:]:
            probe.load_state_dict(probes[0].state_dict())
        size = min(BATCH, len(rows))
        per_epoch = len(rows) // size
        epochs = max(EPOCHS, -(-STEPS // per_epoch))
        tuned = [adamw(p, r, DECAY, epochs * per_epoch) for p, r in zip(probes, rates, strict=True)]
        for epoch in range(epochs):
            order = permutation(generator(self.seed, epoch, 0), len(rows)).to(rows.device)
            for part in order[: per_epoch * size].split(size):
                x = self.tokens[rows[part]]
                for probe, (optimizer, schedule) in zip(probes, tuned, strict=True):
                    each = F.cross_entropy(probe(x), labels[part], reduction="none")
                    optimizer.zero_grad()
                    (each * weights[part]).mean().backward()
                    optimizer.step()
                    schedule.step()
        return probes

    def scores(self, probe: AttentiveProbe, examples: Sequence[int]) -> Tensor:
        """Logarithms [n, K] of class probabilities, averaged over clips and crops."""
        rows, sizes = rows_of_examples(self.tokens, examples, self.counts)
        with torch.inference_mode():
            logits = torch.cat([probe(self.tokens[part]) for part in rows.split(CHUNK)])
        return mean_probabilities(logits, sizes)


def _moments(tokens: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel over all tokens that there are in these rows."""
    chunks = rows.split(CHUNK)
    count = torch.stack([(~tokens[c, :, 0].isnan()).sum() for c in chunks]).sum()
    mean = torch.stack([tokens[c].double().nansum((0, 1)) for c in chunks]).sum(0) / count
    squares = [(tokens[c].double() - mean).square().nansum((0, 1)) for c in chunks]
    scale = (torch.stack(squares).sum(0) / count).sqrt()
    # A channel that is constant up to rounding carries nothing; dividing would blow up the noise.
    scale = torch.where(scale > 1e-6 * (mean.abs() + 1e-12), scale, torch.ones_like(scale))
    return mean.float(), scale.float()
