"""Task: the seam between media and training. Every pretext task is one final subclass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, NamedTuple

from torch import Generator, Tensor, nn

from ..encoders.encoder import Encoder, constructor_arguments
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.input import Input

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
        made: numbers of the images that the model made; nothing is asked in them.
    """

    images: list[Tensor]
    captions: list[str]
    answer: str
    prediction: str
    made: tuple[int, ...] = ()


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
    """A counter-measure against a shortcut: a transform or a filter, and a look at its cue.

    Attributes:
        name: the field of the task's `guards` that turns it off.
        cue: the shortcut it removes, in words.
        enabled: whether it is on in this task.
        probe: from a batch (after `augment`) the cue alone. [B, F]: the answer, batch["target"],
            must not follow from it. [B, 2, F]: the cue of both sides of B pairs; which belong
            together must not follow from it.
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
        probe: as a Guard's.
    """

    name: str
    cue: str
    remedy: str
    probe: Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Traits:
    """What a task does otherwise than most, as far as tests that all tasks must pass have to know.

    Attributes:
        overfits_to: share of its first loss below which the loss of one fixed batch falls in 150
            steps, the first metric reaching 1; None for losses without a floor that is known, as of
            a critic or of a moving teacher.
        unit_metrics: whether all metrics lie in [0, 1].
        not_pictures: names of tensors of an example with four or more axes that are no pictures,
            which would travel as bytes.
        within_process: whether some of the puzzle is made of the batch of one process alone, so
            that two processes with half a batch each do not train as one does.
        classes: how many classes of labels it learns from; 0: it looks at no label.
        draws: whether its examples differ from one epoch to the next.
    """

    overfits_to: float | None = 0.3
    unit_metrics: bool = True
    not_pictures: tuple[str, ...] = ()
    within_process: bool = False
    classes: int = 0
    draws: bool = True


class Task(nn.Module, ABC):
    """A pretext task: what to read, the puzzle made of it, and the loss.

    `plan` and `example` run in loader workers, are pure, and take every random number from the
    generator they are given. `augment` and `forward` run on the device; `augment` draws nothing:
    it applies what `example` drew. The loader adds "index" and "label" to every example; only
    the supervised control may look at the label.

    `plan`, `example` and `forward` may name one more argument, `progress`, and are then told how
    far training has come.

    Args:
        inputs: what encoders look at, by the names under which the task uses them; the first one
            is the main one.

    Attributes:
        phases: alternating optimisations; none for the ordinary case.
        guards: the shortcut counter-measures, on or off.
        audits: shortcuts without a counter-measure, to be looked for in the data.
        traits: what it does otherwise than most.
        consecutive: each row of a batch is to go on in the next one: the examples of a source are
            delivered in lanes, see `Schedule.lanes`.
        arguments: what it was constructed with, in plain values, so that a resumed run can tell
            whether it is the same task.
    """

    phases: tuple[Phase, ...] = ()
    guards: tuple[Guard, ...] = ()
    audits: tuple[Audit, ...] = ()
    traits: Traits = Traits()
    consecutive: bool = False
    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        given = constructor_arguments(self, args, kwargs)
        plain = {name: described(value) for name, value in given.items()}
        object.__setattr__(self, "arguments", plain)
        return self

    def __init__(self, **inputs: Input):
        super().__init__()
        self._inputs = tuple(inputs)
        for name, value in inputs.items():
            setattr(self, name, value)

    @property
    def inputs(self) -> dict[str, Input]:
        """The inputs by name."""
        return {name: getattr(self, name) for name in self._inputs}

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders that the run exports, by modality; the first is the main one."""
        return {value.modality: value.encoder for value in self.inputs.values()}

    @property
    def specs(self) -> dict[str, InputSpec]:
        """What each of them looks at, by the same names."""
        return {value.modality: value.spec for value in self.inputs.values()}

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
        """What an optimiser moves, in one phase or at all: the trainable parameters.

        Each group has "params", and may have "lr_scale", a factor of the recipe's learning rate,
        and "weight_decay" in place of the recipe's.
        """
        if phase is not None:
            raise NotImplementedError(f"{type(self).__name__} has phases but no groups of its own")
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def after_step(self, phase: str | None = None, progress: Progress = START) -> None:
        """Called after each optimiser step: EMA teachers, queues.

        What changes here, parameters and buffers, must change alike in all processes of a run:
        only gradients and the statistics of batch norms are evened out between them.
        """

    def carried(self) -> Batch:
        """What it keeps of the last batch for the next, each [B, …] with a row for each lane.

        Only for tasks that are `consecutive`: it stands in the checkpoint, of all processes.
        """
        return {}

    def carry(self, kept: Batch) -> None:
        """Goes on from what `carried` gave of this process's lanes."""


def configured(task: Task) -> dict[str, Any]:
    """The task as a config names it: of inputs what their constructors take."""
    inputs = {
        name: {"encoder": described(value.encoder), **value.arguments}
        for name, value in task.inputs.items()
    }
    kind = type(task)
    path = f"{kind.__module__}.{kind.__qualname__}"
    return {"class_path": path, "init_args": {**task.arguments, **inputs}}


def described(value: Any) -> Any:
    """A constructor's argument in plain values: inputs, encoders and dataclasses as mappings."""
    if isinstance(value, Input):
        return {"encoder": described(value.encoder), **value.spec.plain()}
    if isinstance(value, Encoder):
        kind = type(value)
        arguments = described(value.arguments)
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: described(item) for name, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    return value
