"""What a comparison compares: named recipes, and the controls that stand beside them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from ..encoders.encoder import Encoder, Modality
from ..encoders.store import load_encoder
from ..errors import InputError
from ..evaluation.baselines import LogMelFloor
from ..modalities.input_spec import InputSpec
from ..tasks.parts.audio_input import AudioInput
from ..tasks.parts.clip_input import ClipInput
from ..tasks.parts.flow_input import FlowInput
from ..tasks.parts.text_input import TextInput
from ..tasks.supervised import Supervised
from ..tasks.task import Task
from ..training.args import TrainerArgs
from ..training.optim import OptimizerArgs
from .plain import to_plain

RANDOM, SUPERVISED, FLOOR = "random-init", "supervised", "log-mel-floor"
# What an entry that starts from weights is compared with: those weights as they are.
START = "starting-weights"
Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe of a comparison.

    Attributes:
        build: makes the task anew; called after seeding, so that each seed has weights of its
            own. A function of a module or a `functools.partial` of one with plain arguments,
            because other processes call it.
        kind: "task", or which control it is; a "random" and a "start" entry are evaluated without
            training, freshly initialised and as the tasks start; a "floor" is statistics of the
            sound in place of its encoder.
        trainer: in place of the comparison's, for this entry alone.
        optimizer: likewise.
        config: class_path and init_args of the task, as the report shows them; may be None.
        reference: name of the control that it has to beat: the same encoder as it was before.
        runs: folders of finished runs, one per seed, that are evaluated in place of a training;
            see `of_runs`.
    """

    build: Callable[[], Task | Encoder]
    kind: Literal["task", "supervised", "random", "start", "floor"] = "task"
    trainer: TrainerArgs | None = None
    optimizer: OptimizerArgs | None = None
    config: Mapping[str, Any] | None = None
    reference: str = RANDOM
    runs: Sequence[Path] = ()

    def seeds(self, wanted: int) -> int:
        """How many seeds it has where `wanted` are asked for."""
        return len(self.runs) or wanted

    def pretrained(self, run: "Run", out: Path) -> Path | None:
        """The folder of the pretraining behind a run, None where there was none."""
        if self.runs:
            return self.runs[run.seed]
        if self.kind == "start" and self.config is not None:
            return Path(self.config["starts_from"]).parent
        return run.folder(out) if self.kind in ("task", "supervised") else None

    def describe(self) -> dict[str, Any]:
        """Everything about it that the numbers depend on, as plain values."""
        found = {
            "kind": self.kind,
            "reference": self.reference,
            "recipe": to_plain(self.build if self.config is None else self.config),
            "trainer": None if self.trainer is None else asdict(self.trainer),
            "optimizer": None if self.optimizer is None else asdict(self.optimizer),
        }
        return found | ({"runs": [str(run) for run in self.runs]} if self.runs else {})


def of_runs(runs: Sequence[Path], modality: Modality) -> Entry:
    """Finished pretraining runs of one recipe, one per seed, as an entry."""
    folders = [run.resolve() for run in runs]
    return Entry(partial(load_encoder, folders[0], modality), runs=folders, config={})


def main_encoder(task: Task | Encoder, view: InputSpec) -> Encoder:
    """The task's encoder that looks at this view. Raises InputError if it has none."""
    if isinstance(task, Encoder):
        return task
    if view.modality not in task.encoders:
        raise InputError(
            f"{type(task).__name__} trains no {view.modality} encoder, only "
            f"{', '.join(task.encoders)}: all entries are evaluated with one view"
        )
    return task.encoders[view.modality]


def with_controls(
    entries: Mapping[str, Entry],
    classes: int,
    view: InputSpec,
    *,
    supervised: Callable[[Encoder, int], Task] | None = None,
    known: Mapping[str, str] | None = None,
) -> dict[str, Entry]:
    """The entries, and for each different encoder among them its controls.

    These are the same encoder untrained and trained with labels. Where it starts from weights,
    those weights untouched are a third one, which its entries are compared with. Sound has the
    log-mel floor besides.

    Args:
        classes: number of labels.
        view: what every encoder is evaluated with.
        supervised: makes the supervised control of a fresh encoder and the number of classes;
            None: `Supervised` on the comparison's view.
        known: what the names of the controls end in that are there already, by `kind_of` their
            encoder.

    Raises:
        InputError: a name that is taken, or an entry without an encoder of the view's modality.
    """
    endings, builders = dict(known or {}), dict[str, Callable[[], Task | Encoder]]()
    origins: dict[str, str | None] = {}
    found: dict[str, Entry] = {}
    for name, entry in entries.items():
        if name.startswith((RANDOM, START, SUPERVISED, FLOOR)):
            raise InputError(f"entry {name!r}: that name belongs to a control; choose another")
        try:
            encoder = build_encoder(entry.build, view)
            to_plain(entry)
        except InputError as error:
            raise InputError(f"entry {name}: {error}") from error
        kind = kind_of(encoder)
        ending = endings.setdefault(kind, _ending(len(endings), encoder))
        builders.setdefault(kind, entry.build)
        origins[kind] = encoder.starts_from
        found[name] = replace(entry, reference=(START if encoder.starts_from else RANDOM) + ending)
    make = supervised or partial(_supervised, view=view)
    for kind, build in builders.items():
        # No argument of an entry's own: a control has the comparison's budget.
        same, origin, ending = {"encoder": kind}, origins[kind], endings[kind]
        random, before = RANDOM + ending, (START if origin else RANDOM) + ending
        control = partial(_control, build, view, classes, make)
        name = SUPERVISED + ending
        found[name] = Entry(control, "supervised", config=same, reference=before)
        if origin:
            start = same | {"starts_from": origin}
            found[before] = Entry(build, "start", config=start, reference=random)
        found[random] = Entry(build, "random", config=same, reference=random)
    if view.modality == "audio":
        what = {"class_path": f"{LogMelFloor.__module__}.{LogMelFloor.__qualname__}"}
        first = next(iter(entries.values()))
        found[FLOOR] = Entry(first.build, "floor", config=what)
    return found


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """What it builds, its initial weights following from the seed; the global random state is
    restored."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def build_encoder(build: Callable[[], Task | Encoder], view: InputSpec, seed: int = 0) -> Encoder:
    """The encoder of a freshly built task."""
    return main_encoder(seeded(build, seed), view)


def kind_of(encoder: Encoder) -> str:
    """Its class, arguments and start, in words: what an encoder and its controls share."""
    origin = f" from {encoder.starts_from}" if encoder.starts_from else ""
    return f"{type(encoder).__module__}.{type(encoder).__qualname__} {encoder.arguments!r}{origin}"


def _ending(others: int, encoder: Encoder) -> str:
    """Empty for the first encoder; others are named, and numbered where names repeat."""
    return f"-{type(encoder).__name__}-{others + 1}" if others else ""


def _control(
    build: Callable[[], Task | Encoder],
    view: InputSpec,
    classes: int,
    make: Callable[[Encoder, int], Task],
) -> Task:
    encoder = main_encoder(build(), view)
    # A finished run's encoder has learned its task, and a control begins where the task began.
    fresh = encoder if encoder.starts_from else type(encoder)(**encoder.arguments)
    return make(fresh, classes)


def _supervised(encoder: Encoder, classes: int, *, view: InputSpec) -> Task:
    if view.modality == "audio":
        return Supervised(AudioInput(encoder, seconds=view.seconds), classes)
    if view.modality == "text":
        return Supervised(TextInput(encoder, length=view.length or 0), classes)
    clip = {"size": view.size, "frame_interval": view.frame_interval}
    if view.modality == "flow":
        flow = FlowInput(encoder, fields=view.frames, method=view.flow_method, **clip)
        return Supervised(flow, classes)
    clip["frames"] = view.frames
    return Supervised(ClipInput(encoder, **clip), classes)


@dataclass(frozen=True, slots=True)
class Run:
    """One entry, pretrained with one seed on the training part of one split."""

    entry: str
    split: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its files lie."""
        return out / "runs" / self.entry / f"fold-{self.split}" / f"seed-{self.seed}"

    def words(self, *, folds: bool) -> str:
        """As progress lines name it."""
        fold = f" · fold {self.split}" if folds else ""
        return f"{self.entry}{fold} · seed {self.seed}"


def runs_of(seeds: Mapping[str, int], splits: Iterable[str]) -> list[Run]:
    """All runs, every entry once before any gets its second seed.

    So a comparison that is interrupted early already compares everything.

    Args:
        seeds: how many each entry has, by name.
        splits: names of the splits.
    """
    splits, most = list(splits), max(seeds.values(), default=0)
    return [
        Run(entry, split, seed)
        for seed in range(most)
        for split in splits
        for entry, count in seeds.items()
        if seed < count
    ]
