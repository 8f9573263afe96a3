"""One run of a comparison: pretrain on the training part, evaluate on the test part."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..datasets.source import Subset
from ..encoders.store import load_encoder, read_card, save_encoder
from ..evaluation.baselines import FLOOR, LogMelFloor, floor_methods, random_init
from ..evaluation.evaluate import evaluate
from ..evaluation.splits import Fold
from ..training.run_dir import load_task
from .grid import Run, Setting, main_encoder, seeded
from .results import save_rows


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
    if setting.evidence is not None and (run.split, run.seed) == setting.shown:
        if trained:
            # A run that was finished by an earlier call has left this task untrained.
            load_task(task, folder)
        setting.evidence(setting, split, folder, encoder, task if trained else None, evaluation)
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
