"""Fine-tuning: the whole network trained on labels, from the pretrained weights.

The measure in which video pretraining is mostly reported (Misra et al. 2016, arXiv:1603.08561,
section 4.1): random clips in training; in testing the class scores of several clips and crops of
a medium are averaged (Simonyan & Zisserman 2014, arXiv:1406.2199, section 5).

One learning rate does not suit a trained and a fresh network alike, and a comparison at one rate
says which suits it better. So each network, the one from scratch too, is trained at every rate of
a grid on the training part, side by side on the same batches, and again on training and
validation part together at the rate that was best on validation.
"""

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, as_float
from ..progress import progress
from .clip_dataset import ClipSet, loader
from .features import autocast
from .learning_rate import adamw, at_best_rate, check_rates, grid_text
from .metrics import Outcome, mean_probabilities, outcomes
from .splits import Split
from .training_clips import GAIN, TrainingClips, augment, training_loader

CLIPS = 10  # of each test medium, as Xu et al. 2019 (VCOP, CVPR) and most papers since take
RATES = (1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a network is fine-tuned.

    Args:
        epochs: passes over the training examples.
        batch_size: examples per step.
        lr: greatest learning rates of AdamW to pick from on the validation part; one is taken as
            it is. Reached after a tenth of the steps; then a cosine.
        weight_decay: of AdamW; biases and norms are not decayed.
        scale: least and greatest share of the area that a random crop keeps; of pictures only.
        flip: mirror left and right half of the time; turn it off where a class is a direction.

    Raises:
        InputError: a value that makes no sense.
    """

    epochs: int = 30
    batch_size: int = 16
    lr: float | tuple[float, ...] = RATES
    weight_decay: float = 1e-2
    scale: tuple[float, float] = (0.35, 1.0)
    flip: bool = True

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 2:
            raise InputError(
                f"fine-tuning needs at least 1 epoch and batches of 2, got {self.epochs} and "
                f"{self.batch_size}"
            )
        check_rates(self.rates)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to pick from, ascending."""
        return tuple(sorted(set(self.lr))) if isinstance(self.lr, Sequence) else (self.lr,)

    def recipe(self, modality: str) -> str:
        """The stamp: like stamps are comparable, unlike ones are not."""
        flip = "mirrored" if self.flip else "not mirrored"
        seen = f"crops of {self.scale[0]:g} … {self.scale[1]:g} of the area, {flip}"
        changes = {"audio": f"gain {1 - GAIN:g} … {1 + GAIN:g}", "text": "unchanged"}
        return (
            f"all weights, AdamW {grid_text(self.rates)}, decay {self.weight_decay:g}, warm-up and "
            f"cosine, {self.epochs} epochs of train+val, batch {self.batch_size}, random clips, "
            f"{changes.get(modality, seen)}, scores averaged"
        )


def finetune(
    encoder: Encoder,
    source: Source,
    spec: InputSpec,
    split: Split,
    classes: int,
    *,
    tuning: Tuning,
    seed: int = 0,
    clips: int = CLIPS,
    crops: int = 1,
    workers: int = 0,
    device: str = "cpu",
    shared: bool = False,
) -> list[Outcome]:
    """Top-1, mean per-class and (from ten classes on) top-5 accuracy on split.test.

    The encoder given is left as it was; global random states too.

    Args:
        split: numbers of examples in the source.
        seed: of the head's weights and of everything drawn in training.
        clips, crops: per test medium.
        shared: every process of torch.distributed makes this call, and tries rates of its own.
    """
    place = torch.device(device)
    tuner = _Tuner(encoder, source, spec, classes, tuning, seed, clips, crops, workers, place)
    labels = torch.tensor([source.label(i) for i in range(len(source))], device=place)
    model, picked = at_best_rate(tuning.rates, split, labels, tuner, shared)
    scores = tuner.scores(model, split.test)
    found = outcomes(scores, labels, split, classes, tuning.recipe(spec.modality))
    return [replace(o, **picked) for o in found]


@dataclass(frozen=True, slots=True)
class _Tuner:
    """What all trainings of one network on one source share."""

    encoder: Encoder
    source: Source
    spec: InputSpec
    classes: int
    tuning: Tuning
    seed: int
    clips: int
    crops: int
    workers: int
    device: torch.device

    def fit(self, examples: Sequence[int], rates: Sequence[float]) -> list[nn.Module]:
        """One network for each rate, alike but for it: first weights, batches, dropout."""
        torch.manual_seed(self.seed)
        head = nn.Linear(self.encoder.dim, self.classes)
        first = nn.Sequential(copy.deepcopy(self.encoder), head).to(self.device).train()
        models: list[nn.Module] = [first, *(copy.deepcopy(first) for _ in rates[1:])]
        learnt = Subset(self.source, examples)
        tuning = self.tuning
        clips = TrainingClips(learnt, self.spec, self.seed, tuning.scale, tuning.flip)
        pin = self.device.type == "cuda"
        batches = training_loader(clips, tuning.epochs, tuning.batch_size, self.workers, pin)
        steps = len(batches)
        tuned = [
            adamw(m, r, tuning.weight_decay, steps) for m, r in zip(models, rates, strict=True)
        ]
        lost: list[str] = []
        for step, (batch, failed) in enumerate(progress(batches, steps, "fine-tuning")):
            lost += failed
            # Batch norm cannot learn from a single example.
            if batch is not None and len(batch["label"]) > 1:
                there = {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}
                x = augment(there, self.spec.size)
                for model, (optimizer, _) in zip(models, tuned, strict=True):
                    torch.manual_seed(self.seed + step)
                    self._step(model, optimizer, x, there["label"])
            for _, schedule in tuned:
                schedule.step()
        if lost:
            warnings.warn(f"fine-tuning missed {len(lost)} clips, first {lost[0]}", stacklevel=2)
        return models

    def _step(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor
    ) -> None:
        with autocast(self.device):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def scores(self, model: nn.Module, examples: Sequence[int]) -> Tensor:
        """Logarithms [n, K] of class probabilities, averaged over clips and crops."""
        clips = ClipSet(Subset(self.source, examples), self.spec, self.clips, self.crops)
        model.eval()
        with torch.inference_mode():
            found = list(self._averages(model, clips))
        read = torch.tensor([i for numbers, _ in found for i in numbers], device=self.device)
        return torch.cat([averages for _, averages in found])[read.argsort()]

    def _averages(self, model: nn.Module, clips: ClipSet) -> Iterator[tuple[list[int], Tensor]]:
        size, pin = self.tuning.batch_size, self.device.type == "cuda"
        batches = loader(clips, size, self.workers, pin)
        for numbers, counts, stack, failed in progress(batches, len(batches), "testing"):
            if failed:
                number, reason = failed[0]
                raise InputError(f"{clips.source.name(number)} cannot be read any more: {reason}")
            with autocast(self.device):
                parts = [
                    model(as_float(part.to(self.device))).float() for part in stack.split(size)
                ]
            lengths = torch.tensor(counts, device=self.device)
            yield numbers, mean_probabilities(torch.cat(parts), lengths)
