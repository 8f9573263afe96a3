"""What a comparison compares: named recipes, and the controls that stand beside them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..evaluation.baselines import LogMelFloor
from ..evaluation.finetune import Tuning
from ..evaluation.splits import Split
from ..modalities.input_spec import InputSpec
from ..tasks.parts.audio_input import AudioInput
from ..tasks.parts.clip_input import ClipInput
from ..tasks.supervised import Supervised
from ..tasks.task import Task
from ..training.args import TrainerArgs
from ..training.optim import OptimizerArgs

RANDOM, SUPERVISED, FLOOR = "random-init", "supervised", "log-mel-floor"


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe of a comparison.

    Attributes:
        build: makes the task anew; called after seeding, so that each seed has weights of its
            own. A function of a module or a `functools.partial` of one, because it travels to
            worker processes.
        kind: "task", or which control it is; a "random" entry is evaluated without training, and
            a "floor" is statistics of the sound in place of its encoder.
        trainer: in place of the comparison's, for this entry alone.
        optimizer: likewise.
        config: class_path and init_args of the task, as the report shows them; may be None.
        reference: name of the untrained control with the same encoder.
    """

    build: Callable[[], Task]
    kind: Literal["task", "supervised", "random", "floor"] = "task"
    trainer: TrainerArgs | None = None
    optimizer: OptimizerArgs | None = None
    config: Mapping[str, Any] | None = None
    reference: str = RANDOM

    def describe(self) -> dict[str, Any]:
        """Everything about it that the numbers depend on, as plain values."""
        return {
            "kind": self.kind,
            "reference": self.reference,
            "recipe": _plain(self.config) if self.config is not None else _recipe(self.build),
            "trainer": None if self.trainer is None else asdict(self.trainer),
            "optimizer": None if self.optimizer is None else asdict(self.optimizer),
        }


def main_encoder(task: Task, view: InputSpec) -> Encoder:
    """The task's encoder that looks at this view. Raises InputError if it has none."""
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
) -> dict[str, Entry]:
    """The entries, and for each different encoder among them the two controls.

    Sound has a third one, the log-mel floor.

    Args:
        classes: number of labels.
        view: what every encoder is evaluated with.
        supervised: makes the supervised control of a fresh encoder and the number of classes;
            None: `Supervised` on the comparison's view.

    Raises:
        InputError: a name that is taken, or an entry without an encoder of the view's modality.
    """
    kinds: dict[str, tuple[str, Entry]] = {}
    found: dict[str, Entry] = {}
    for name, entry in entries.items():
        if name.startswith((RANDOM, SUPERVISED, FLOOR)):
            raise InputError(f"entry {name!r}: that name belongs to a control; choose another")
        try:
            encoder = build_encoder(entry.build, view)
        except InputError as error:
            raise InputError(f"entry {name}: {error}") from error
        kind = f"{type(encoder).__module__}.{type(encoder).__qualname__} {encoder.arguments!r}"
        suffix = kinds.setdefault(kind, (_suffix(kinds, encoder), entry))[0]
        found[name] = replace(entry, reference=RANDOM + suffix)
    make = supervised or partial(_supervised, view=view)
    for suffix, entry in kinds.values():
        # No argument of an entry's own: a control has the comparison's budget.
        control = Entry(partial(_control, entry.build, view, classes, make), "supervised")
        if view.modality in ("image", "video", "audio"):
            found[SUPERVISED + suffix] = replace(control, reference=RANDOM + suffix)
        found[RANDOM + suffix] = Entry(entry.build, "random", reference=RANDOM + suffix)
    if view.modality == "audio":
        what = {"class_path": f"{LogMelFloor.__module__}.{LogMelFloor.__qualname__}"}
        first = next(iter(entries.values()))
        found[FLOOR] = Entry(first.build, "floor", config=what)
    return found


def seeded(build: Callable[[], Task], seed: int) -> Task:
    """A task whose initial weights follow from the seed; the global random state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def build_encoder(build: Callable[[], Task], view: InputSpec) -> Encoder:
    """The encoder of a freshly built task."""
    return main_encoder(seeded(build, 0), view)


def _suffix(known: Mapping[str, Any], encoder: Encoder) -> str:
    """Empty for the first encoder; others are named, and numbered where names repeat."""
    return f"-{type(encoder).__name__}-{len(known) + 1}" if known else ""


def _control(
    build: Callable[[], Task], view: InputSpec, classes: int, make: Callable[[Encoder, int], Task]
) -> Task:
    encoder = main_encoder(build(), view)
    return make(type(encoder)(**encoder.arguments), classes)


def _supervised(encoder: Encoder, classes: int, *, view: InputSpec) -> Task:
    if view.modality == "audio":
        return Supervised(AudioInput(encoder, seconds=view.seconds), classes)
    clip = {"size": view.size, "frames": view.frames, "frame_interval": view.frame_interval}
    return Supervised(ClipInput(encoder, **clip), classes)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _recipe(build: Any) -> Any:
    """What a builder does, without addresses in memory, which differ from call to call."""
    if isinstance(build, partial):
        words = {"call": _recipe(build.func), "arguments": [_recipe(a) for a in build.args]}
        return words | {str(k): _recipe(v) for k, v in build.keywords.items()}
    if isinstance(build, Mapping):
        return {str(k): _recipe(v) for k, v in build.items()}
    if isinstance(build, InputSpec):
        return asdict(build)
    if hasattr(build, "__qualname__"):
        return f"{build.__module__}.{build.__qualname__}"
    return _plain(build)


# (setting, split, run folder, encoder, trained task or None, how features are extracted)
Evidence = Callable[["Setting", Split, Path, Encoder, Task | None, Mapping[str, Any]], None]
Description = dict[str, Any]
# What was done before there was a choice: plans of that time do not say it.
_BEFORE = {"crops": 1}


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


def runs_of(entries: Iterable[str], splits: Iterable[str], seeds: int) -> list[Run]:
    """All runs, every entry once before any gets its second seed.

    So a comparison that is interrupted early already compares everything.
    """
    names, splits = list(entries), list(splits)
    return [Run(e, s, seed) for seed in range(seeds) for s in splits for e in names]


def claim(out: Path, description: Description) -> None:
    """Writes OUT/plan.json, or checks that the one there says the same.

    Raises:
        InputError: the folder holds a comparison with another plan; the differences are named.
    """
    path = out / "plan.json"
    wanted = json.loads(json.dumps(description))
    if not path.exists():
        if out.is_dir() and (out / "runs").exists():
            raise InputError(f"{out}: holds runs but no plan.json; give another --out")
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    before = {key: value for key, value in _BEFORE.items() if key in wanted}
    there = before | json.loads(path.read_text())
    different = list(differences(there, wanted))
    if different:
        shown = "; ".join(different[:3]) + (" …" if len(different) > 3 else "")
        raise InputError(
            f"{out}: holds a comparison with another plan: {shown}; give another --out"
        )


def differences(there: Any, here: Any, where: str = "") -> Iterator[str]:
    """In words, every value that differs between two trees of plain values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            dotted = f"{where}.{key}" if where else str(key)
            if key not in here:
                yield f"{dotted} is there but not in this plan"
            elif key not in there:
                yield f"{dotted} is new in this plan"
            else:
                yield from differences(there[key], here[key], dotted)
    elif there != here:
        yield f"{where} was {_short(there)}, is now {_short(here)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a comparison share; it travels to worker processes.

    Attributes:
        out: folder of the comparison.
        source: labelled media.
        splits: by name.
        entries: by name, controls included.
        view: what every encoder is evaluated with.
        protocols: evaluation methods.
        clips, crops: per medium and per clip, in evaluation.
        levels: evaluate every level of the encoders.
        tuning: how to fine-tune, where that is a protocol.
        trainer, optimizer: of entries that bring none of their own.
        evidence: keeps what a report shows besides numbers.
        shown: of which split and seed it is kept.
    """

    out: Path
    source: Source
    splits: Mapping[str, Split]
    entries: Mapping[str, Entry]
    view: InputSpec
    protocols: tuple[str, ...]
    clips: int
    crops: int
    levels: bool
    tuning: Tuning
    trainer: TrainerArgs
    optimizer: OptimizerArgs
    evidence: Evidence | None
    shown: tuple[str, int]
