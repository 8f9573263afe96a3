"""Fine-tuning: the whole network trained on labels, from the pretrained weights.

The measure in which video pretraining is mostly reported (Misra et al. 2016, arXiv:1603.08561,
section 4.1): random clips in training; in testing the class scores of several clips and crops of
a medium are averaged (Simonyan & Zisserman 2014, arXiv:1406.2199, section 5).
"""

import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, as_float
from ..progress import progress
from .clip_dataset import GAIN, ClipSet, Readings, loader, training_loader
from .metrics import Outcome, outcomes
from .splits import Split

CLIPS = 10  # of each test medium, as Xu et al. 2019 (VCOP, CVPR) and most papers since take


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a network is fine-tuned. Nothing is picked on validation examples: all are learnt from.

    Args:
        epochs: passes over the training examples.
        batch_size: examples per step.
        lr: greatest learning rate of AdamW, reached after a tenth of the steps; then a cosine.
        weight_decay: of AdamW.
        scale: least and greatest share of the area that a random crop keeps; of pictures only.
        flip: mirror left and right half of the time; turn it off where a class is a direction.

    Raises:
        InputError: a value that makes no sense.
    """

    epochs: int = 30
    batch_size: int = 16
    lr: float = 1e-3
    weight_decay: float = 1e-2
    scale: tuple[float, float] = (0.35, 1.0)
    flip: bool = True

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 2:
            raise InputError(
                f"fine-tuning needs at least 1 epoch and batches of 2, got {self.epochs} and "
                f"{self.batch_size}"
            )
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"the learning rate must be above 0, got {self.lr}")

    def recipe(self, modality: str) -> str:
        """The stamp: like stamps are comparable, unlike ones are not."""
        flip = "mirrored" if self.flip else "not mirrored"
        seen = f"crops of {self.scale[0]:g} … {self.scale[1]:g} of the area, {flip}"
        heard = f"gain {1 - GAIN:g} … {1 + GAIN:g}"
        return (
            f"all weights, AdamW lr {self.lr:g} decay {self.weight_decay:g}, warm-up and cosine, "
            f"{self.epochs} epochs of train+val, batch {self.batch_size}, random clips, "
            f"{heard if modality == 'audio' else seen}, scores averaged"
        )


def finetune(
    encoder: Encoder,
    source: Source,
    view: InputSpec,
    split: Split,
    classes: int,
    *,
    tuning: Tuning,
    seed: int = 0,
    clips: int = CLIPS,
    crops: int = 1,
    workers: int = 0,
    device: str = "cpu",
) -> list[Outcome]:
    """Top-1, mean per-class and (from ten classes on) top-5 accuracy on split.test.

    The encoder given is left as it was; global random states too.

    Args:
        split: numbers of examples in the source.
        seed: of the head's weights and of everything drawn in training.
        clips, crops: per test medium.
    """
    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        model = nn.Sequential(copy.deepcopy(encoder), nn.Linear(encoder.dim, classes)).to(place)
        learnt = Subset(source, sorted(split.train + split.val))
        _train(model, Readings(learnt, view, seed, tuning.scale, tuning.flip), tuning, workers)
    tested = ClipSet(Subset(source, list(split.test)), view, clips, crops)
    scores = _scores(model, tested, tuning.batch_size, workers)
    labels = torch.tensor([source.label(i) for i in range(len(source))], device=place)
    return outcomes(scores, labels, split, classes, tuning.recipe(view.modality))


def _train(model: nn.Module, readings: Readings, tuning: Tuning, workers: int) -> None:
    batches = training_loader(readings, tuning.epochs, tuning.batch_size, workers)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=tuning.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, tuning.lr, total_steps=len(batches), pct_start=0.1, cycle_momentum=False
    )
    place, lost = next(model.parameters()).device, []
    model.train()
    for x, y, failed in progress(batches, len(batches), "fine-tuning"):
        lost += failed
        # Batch norm cannot learn from a single example.
        if len(y) > 1:
            loss = F.cross_entropy(model(as_float(x.to(place))), y.to(place))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    if lost:
        warnings.warn(f"fine-tuning missed {len(lost)} readings, first {lost[0]}", stacklevel=2)


def _scores(model: nn.Module, tested: ClipSet, batch_size: int, workers: int) -> Tensor:
    """Class probabilities [N, K] of each medium, averaged over its clips and crops."""
    model.eval()
    with torch.inference_mode():
        return torch.cat(list(_averages(model, tested, batch_size, workers)))


def _averages(model: nn.Module, tested: ClipSet, batch_size: int, workers: int) -> Iterator[Tensor]:
    place = next(model.parameters()).device
    batches = loader(tested, batch_size, workers, pin=place.type == "cuda")
    for _, counts, stack, failed in progress(batches, len(batches), "testing"):
        if failed:
            number, reason = failed[0]
            raise InputError(f"{tested.source.name(number)} cannot be read any more: {reason}")
        parts = [model(as_float(part.to(place))).softmax(1) for part in stack.split(batch_size)]
        yield torch.stack([part.mean(0) for part in torch.cat(parts).split(counts)])
