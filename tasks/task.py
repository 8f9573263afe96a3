"""Task: the seam between media and training. Every pretext task is one final subclass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Generator, Tensor, nn

from ..encoders.encoder import Encoder
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample

Batch = dict[str, Tensor]


class Progress(NamedTuple):
    """How far training has come: for schedules and curricula that keep no state.

    Attributes:
        step: steps done.
        total: steps of the whole run.
    """

    step: int
    total: int

    @property
    def share(self) -> float:
        """Done of the whole, 0 … 1."""
        return min(self.step / max(self.total, 1), 1.0)


START = Progress(0, 1)


@dataclass(frozen=True, slots=True)
class Phase:
    """One of several alternating optimisations, as of a critic and a generator.

    Attributes:
        name: as `forward` is told it.
        steps: optimiser steps in a row, all on one batch.
        optimizer: fields of the run's optimiser recipe that differ here, such as {"lr": 1e-4}.
    """

    name: str
    steps: int = 1
    optimizer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Picture:
    """One example as a person can look at it.

    Attributes:
        images: float [3, H, W] in [0, 1] each, left to right (a spectrogram is an image too).
        captions: one below each image.
        answer: what the task asks for here.
        prediction: what the model says.
    """

    images: list[Tensor]
    captions: list[str]
    answer: str
    prediction: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one forward pass gives.

    Attributes:
        loss: scalar with gradient.
        metrics: scalars to log, detached; the first is the pretext metric of the progress line.
        pictures: makes a few Pictures of this batch; called only when somebody looks.
    """

    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    pictures: Callable[[], list[Picture]] | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """A counter-measure against a shortcut.

    Attributes:
        name: of the constructor's switch that turns it off.
        cue: the shortcut it removes, in words.
        enabled: whether it is on in this task.
        probe: from a batch (after `augment`) the cue alone, [B, F]; a linear classifier on it
            must stay at chance while the guard is on.
    """

    name: str
    cue: str
    enabled: bool
    probe: Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Audit:
    """A shortcut that a task cannot take away, because all that it reads of a file has it.

    Attributes:
        name: a word for it.
        cue: the shortcut, in words.
        remedy: what can be done about the data, in words.
        probe: from a batch (after `augment`) the cue alone, [B, F] or [P, F].
    """

    name: str
    cue: str
    remedy: str
    probe: Callable[[Batch], Tensor]


class Task(nn.Module, ABC):
    """A pretext task: what to read, the puzzle made of it, and the loss.

    `plan` and `example` run in loader workers, are pure, and take every random number from the
    generator they are given. `augment` and `forward` run on the device; `augment` draws nothing:
    it applies what `example` drew. The loader adds "index" and "label" to every example; only
    the supervised control may look at the label.

    `plan`, `example` and `forward` may take a further argument `progress`: how far training has
    come, for schedules and curricula.

    Attributes:
        phases: alternating optimisations, each with its own optimiser; empty for the ordinary
            case.
        guards: the shortcut counter-measures, on or off.
        audits: shortcuts without a counter-measure, to be looked for in the data.
    """

    phases: tuple[Phase, ...] = ()
    guards: tuple[Guard, ...] = ()
    audits: tuple[Audit, ...] = ()

    @property
    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders that the run exports, by modality; the first is the main one."""

    @property
    @abstractmethod
    def views(self) -> dict[str, InputSpec]:
        """What each of them looks at, by the same names."""

    @abstractmethod
    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        """Which times of which streams to read. Raises MediaError if the medium cannot serve."""

    @abstractmethod
    def example(self, sample: Sample, rng: Generator) -> Batch:
        """The puzzle and its answer, without batch axis; equal shapes for every example."""

    def augment(self, batch: Batch) -> Batch:
        """Applies on the device what `example` drew."""
        return batch

    @abstractmethod
    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        """Loss and metrics of an augmented batch."""

    def param_groups(self, phase: str | None = None) -> list[dict[str, Any]]:
        """What the optimiser (of that phase) moves.

        Returns:
            groups with "params", and where they differ from the recipe "lr_scale" (times its
            rate) and "weight_decay"; default: one group of everything.
        """
        return [{"params": list(self.parameters())}]

    def after_step(self, phase: str | None = None, progress: Progress = START) -> None:
        """Called after each optimiser step: EMA teachers, queues."""
