"""One run of a comparison: pretrain on the training part, evaluate on the test part."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..datasets.source import Source, Subset
from ..encoders.store import load_encoder, read_card, save_encoder
from ..evaluation.control import random_init
from ..evaluation.evaluate import evaluate
from ..evaluation.finetune import Tuning
from ..evaluation.floor import FLOOR, LogMelFloor, floor_methods
from ..evaluation.splits import Split
from ..modalities.view import View
from ..training.args import TrainerArgs
from ..training.optim import OptimizerArgs
from ..training.run import load_task
from .entry import Entry, main_encoder, seeded
from .evidence import save_evidence
from .plan import Run
from .store import save_rows


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
        evidence: of which split and seed pictures and neighbours are kept.
    """

    out: Path
    source: Source
    splits: Mapping[str, Split]
    entries: Mapping[str, Entry]
    view: View
    protocols: tuple[str, ...]
    clips: int
    crops: int
    levels: bool
    tuning: Tuning
    trainer: TrainerArgs
    optimizer: OptimizerArgs
    evidence: tuple[str, int]


class Fold(Source):
    """A source that knows one split only; its fingerprint stays that of the whole."""

    def __init__(self, source: Source, split: Split):
        self.source, self.classes = source, source.classes
        self.title = source.title or type(source).__name__
        self.parts = {i: p for p in ("train", "val", "test") for i in getattr(split, p)}

    def __len__(self) -> int:
        return len(self.source)

    def name(self, i: int) -> str:
        return self.source.name(i)

    def info(self, i: int):
        return self.source.info(i)

    def read(self, i: int, plan):
        return self.source.read(i, plan)

    def label(self, i: int) -> int:
        return self.source.label(i)

    def group(self, i: int) -> str:
        return self.source.group(i)

    def split(self, i: int) -> str:
        return self.parts[i]

    def fingerprint(self) -> str:
        return self.source.fingerprint()


def work(setting: Setting, run: Run) -> None:
    """Does one run and writes its rows; what it prints goes into the run's log.txt."""
    folder = run.folder(setting.out)
    folder.mkdir(parents=True, exist_ok=True)
    with _logged(folder / "log.txt"):
        rows = _rows(setting, run, folder)
    save_rows(run, setting.out, rows)


def _rows(setting: Setting, run: Run, folder: Path) -> list[dict[str, Any]]:
    entry, split = setting.entries[run.entry], setting.splits[run.split]
    task = seeded(entry.build, run.seed)
    trained = entry.kind in ("task", "supervised")
    floor = entry.kind == "floor"
    if trained:
        # Lightning takes seconds to load, and a parent of workers never trains.
        from ..training.pretrain import pretrain

        pretrain(
            task,
            Subset(setting.source, split.train),
            folder,
            trainer=entry.trainer or setting.trainer,
            optimizer=entry.optimizer or setting.optimizer,
            seed=run.seed,
            config=None,
        )
        encoder = load_encoder(folder, setting.view.modality)
    else:
        encoder = random_init(main_encoder(task, setting.view), seed=run.seed)
        encoder = LogMelFloor(rate=setting.view.rate) if floor else encoder
        card = {"task": FLOOR if floor else "random-init", "steps": 0, "seed": run.seed}
        save_encoder(folder, encoder, setting.view, card)
    card = read_card(folder, setting.view.modality)
    cache = folder / "features"
    evaluation = {
        "clips": setting.clips,
        "crops": setting.crops,
        "workers": setting.trainer.workers_per_device,
        "levels": setting.levels and not floor,
        "cache": cache,
    }
    rows = evaluate(
        floor_methods(setting.protocols) if floor else setting.protocols,
        encoder,
        Fold(setting.source, split),
        setting.view,
        card=card if trained or floor else None,
        run=folder if trained else None,
        seed=run.seed,
        tuning=setting.tuning,
        **evaluation,
    )
    if (run.split, run.seed) == setting.evidence:
        if trained:
            # A run that was finished by an earlier call has left this task untrained.
            load_task(task, folder)
        save_evidence(setting, split, folder, encoder, task if trained else None, evaluation)
    shutil.rmtree(cache, ignore_errors=True)
    # Folds are told apart by name, as evaluating the whole source would.
    named = [replace(row, stamp=replace(row.stamp, split=split.name)) for row in rows]
    return [row.to_dict() for row in named]


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Sends stdout and stderr to a file; in a worker process that of its children too."""
    with path.open("a", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        if multiprocessing.parent_process() is not None:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        yield
