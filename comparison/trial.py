"""One trial of a comparison: pretrain on the training part, evaluate on the test part.

    python -m pretexto.comparison.trial RUN/job.json

A process of its own does it, so that Lightning may start further ones by the same command.
"""

import atexit
import gc
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock

from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..encoders.store import load_encoder, read_card, save_encoder
from ..errors import InputError
from ..evaluation.baselines import FLOOR, LogMelFloor, floor_methods, random_init
from ..evaluation.evaluate import evaluate, labelled
from ..evaluation.finetune import Tuning
from ..evaluation.splits import Fold, Split, splits
from ..evaluation.stamp import Row as Result
from ..modalities.input_spec import InputSpec
from ..tasks.task import Task
from ..training.args import TrainerArgs
from ..training.distributed import first_process
from ..training.optim import OptimizerArgs
from ..training.run_dir import load_task, snapshot
from .cost import save_cost
from .executor import devices_of
from .grid import Entry, Run, build_encoder, main_encoder, seeded
from .plain import from_plain
from .rows import PROBE, Row, read_json, save_failure, save_rows, settled

# (run folder, encoder, trained task or None, source, split, view, how features are extracted, what
# builds the task untrained)
Evidence = Callable[
    [
        Path,
        Encoder,
        Task | None,
        Source,
        Split,
        InputSpec,
        Mapping[str, Any],
        Callable[[], Task],
    ],
    None,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that one trial needs to know.

    Attributes:
        out: folder of the comparison.
        run: which entry, split and seed.
        entry: what that entry is.
        source: opens the media.
        view: what every encoder is evaluated with.
        protocols: evaluation methods.
        clips, crops: per medium and per clip, in evaluation.
        levels: evaluate every level of the encoders.
        probe_at: steps of pretraining after which the encoders are evaluated too, by the first
            protocol.
        tuning: how to fine-tune, where that is a protocol.
        trainer, optimizer: of entries that bring none of their own.
        evidence: keeps what a report shows besides numbers; None: not of this trial.
        alone: no other trial of its comparison has run at the same time: its times can be trusted.
    """

    out: Path
    run: Run
    entry: Entry
    source: Callable[[], Source]
    view: InputSpec
    protocols: tuple[str, ...]
    clips: int
    crops: int
    levels: bool
    probe_at: tuple[int, ...]
    tuning: Tuning
    trainer: TrainerArgs
    optimizer: OptimizerArgs
    evidence: Evidence | None = None
    alone: bool = False

    @property
    def folder(self) -> Path:
        return self.run.folder(self.out)

    @property
    def methods(self) -> list[str]:
        """Those of its protocols that suit the entry."""
        floor = self.entry.kind == "floor"
        return floor_methods(self.protocols) if floor else list(self.protocols)


def work(trial: Trial) -> None:
    """Does one trial, except for what an earlier call has evaluated, and writes its rows."""
    source = labelled(trial.source())
    split = next(s for s in splits(source) if s.name == trial.run.split)
    encoder, task, card = _encoder(trial, source, split)
    # Who has seen lightness alone is shown that.
    colour = (card or {}).get("spec", {}).get("colour", "rgb")
    view = replace(trial.view, colour=colour)
    kept = settled(trial.folder, trial.levels)
    missing = [method for method in trial.methods if method not in kept]
    evaluation = {
        "clips": trial.clips,
        "crops": trial.crops,
        "workers": trial.trainer.workers_per_device,
        "levels": trial.levels and trial.entry.kind != "floor",
        "cache": trial.folder / "features",
    }
    ask = partial(
        evaluate,
        source=Fold(source, split),
        spec=view,
        run=trial.entry.pretrained(trial.run, trial.out),
        seed=trial.run.seed,
        tuning=trial.tuning,
        **evaluation,
    )
    rows = _named(trial, ask(missing, encoder, card=card), card)
    if trial.protocols[0] in missing:
        rows += _on_the_way(trial, partial(ask, trial.protocols[0], levels=False))
    if trial.run.seed == 0:
        save_cost(trial.folder, encoder, task, Subset(source, split.train))
    if trial.evidence is not None:
        untrained = partial(_task, trial)
        trial.evidence(trial.folder, encoder, task, source, split, view, evaluation, untrained)
    shutil.rmtree(trial.folder / "features", ignore_errors=True)
    save_rows(trial.run, trial.out, [*(row for same in kept.values() for row in same), *rows])


def _on_the_way(trial: Trial, ask: Callable[..., list[Result]]) -> list[Row]:
    """Rows of the encoder as it was after each of the steps `probe_at` that its run has kept."""
    folder, modality = trial.entry.pretrained(trial.run, trial.out), trial.view.modality
    if folder is None or trial.entry.kind == "start":
        return []
    last, rows = read_card(folder, modality).get("steps"), []
    for step in trial.probe_at:
        kept = snapshot(folder, step)
        if step == last or not (kept / "encoder.json").exists():
            continue
        card = read_card(kept, modality)
        found = _named(trial, ask(encoder=load_encoder(kept, modality), card=card), card)
        rows += [{**row, "status": PROBE} for row in found]
    return rows


def _named(trial: Trial, rows: list[Result], card: Mapping[str, Any] | None) -> list[Row]:
    """The rows as a comparison keeps them, with the step of pretraining that they are of."""
    about = {"levels": trial.levels, "step": (card or {}).get("steps", 0)}
    # Folds are told apart by name, as evaluating the whole source would.
    named = [replace(row, stamp=replace(row.stamp, split=trial.run.split)) for row in rows]
    return [{**row.to_dict(), **about} for row in named]


def _encoder(
    trial: Trial, source: Source, split: Split
) -> tuple[Encoder, Task | None, dict[str, Any] | None]:
    """The encoder to evaluate, the trained task where there is one, and the encoder's card."""
    entry, run, modality = trial.entry, trial.run, trial.view.modality
    if entry.runs:
        folder = entry.runs[run.seed]
        return load_encoder(folder, modality), None, read_card(folder, modality)
    if entry.kind in ("task", "supervised"):
        task = _trained(trial, Subset(source, split.train))
        return load_encoder(trial.folder, modality), task, read_card(trial.folder, modality)
    encoder, name = _untrained(trial)
    card = {"task": name, "steps": 0, "seed": run.seed}
    save_encoder(trial.folder, encoder, trial.view, card)
    kept = read_card(trial.folder, modality)
    return encoder, None, None if entry.kind == "random" else kept


def _untrained(trial: Trial) -> tuple[Encoder, str]:
    """The encoder of a control that does not train, and what its card calls it."""
    entry, seed = trial.entry, trial.run.seed
    if entry.kind == "floor":
        return LogMelFloor(rate=trial.view.rate), FLOOR
    encoder = build_encoder(entry.build, trial.view, seed)
    if entry.kind == "start":
        return encoder.eval(), "starting weights, untouched"
    return random_init(encoder, seed=seed), "random-init"


def _task(trial: Trial) -> Task:
    """Its task, untrained."""
    task = seeded(trial.entry.build, trial.run.seed)
    assert isinstance(task, Task)
    return task


def _trained(trial: Trial, source: Source) -> Task:
    # Lightning takes seconds to load, and a control that is not trained needs none.
    from ..training.pretrain import pretrain

    entry, task = trial.entry, _task(trial)
    main_encoder(task, trial.view)
    pretrain(
        task,
        source,
        trial.folder,
        trainer=entry.trainer or trial.trainer,
        optimizer=entry.optimizer or trial.optimizer,
        seed=trial.run.seed,
        config=None,
        keep_at=trial.probe_at,
    )
    _leave_the_others()
    # A run that was finished by an earlier call has left this task untrained.
    load_task(task, trial.folder)
    return task


def _leave_the_others() -> None:
    """The processes of a run on several devices have ended with its training; none may be
    waited for in evaluation."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def run_job(job: Path) -> int:
    """Does the trial that a job file describes; returns 0, or 1 after writing down why not."""
    trial: Trial = from_plain(read_json(job))
    if not first_process():
        work(trial)  # never comes back: this process was started for the training alone
        return 0
    # A trial of a comparison that was killed a moment ago may not have ended yet.
    with FileLock(trial.folder / ".trial.lock", timeout=60):
        try:
            work(trial)
        except Exception as error:
            save_failure(trial.run, trial.out, *explain(error))
            traceback.print_exc()
            return 1
    return 0


def explain(error: Exception) -> tuple[str, str]:
    """A failure in one line for the table, and its traceback for the run's folder."""
    text = " ".join(str(error).split()) or "no message"
    reason = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
    shortened = reason if len(reason) <= 300 else reason[:297] + "…"
    return shortened, "".join(traceback.format_exception(error))


def serve() -> None:
    """Starts one process per job file that arrives on stdin; writes how each ended to stdout."""
    # Ctrl-C is for the trials: pretraining answers it with a checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load_what_every_trial_needs()
    parent = os.getppid()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _end(_in_child(Path(line.strip())))
        with suppress(BrokenPipeError):  # the comparison was killed just now
            print(_wait(child, parent), flush=True)


def _load_what_every_trial_needs() -> None:
    """Takes seconds; what is loaded is no garbage, and looking for some in it takes a third more
    here, and in every child that copies the pages for it."""
    gc.disable()
    import sklearn.model_selection  # noqa: F401

    from ..training import pretrain  # noqa: F401

    gc.freeze()
    gc.enable()


def _end(code: int) -> NoReturn:
    """Ends a forked process without taking apart what its parent has loaded, which takes longer
    than a small trial."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _in_child(job: Path) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (job.parent / "log.txt").open("a") as log, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    if devices_of(from_plain(read_json(job)).trainer) > 1:
        # Lightning starts the other processes by the command line of this one.
        os.execv(sys.executable, [sys.executable, "-m", f"{__package__}.trial", str(job)])
    return run_job(job)


def _wait(child: int, parent: int) -> int:
    """Its exit code. A killed comparison must not leave trials that write into runs which its
    successor repeats: then all of this process's group is killed."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.02)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(run_job(Path(sys.argv[1])))
