"""Compare tasks with the same media, encoder and budget, beside untrained and supervised."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..evaluation.evaluate import METHODS, count_classes, labelled
from ..evaluation.features import check_clips
from ..evaluation.finetune import Tuning
from ..evaluation.splits import splits
from ..evaluation.stamp import environment
from ..modalities.input_spec import InputSpec
from ..progress import Progress
from ..tasks.task import Task
from ..training.args import TrainerArgs
from ..training.optim import OptimizerArgs
from .executor import Begun, Ended, Executor, cores, run_trials, slots
from .grid import Entry, Run, runs_of, with_controls
from .plain import to_plain
from .plan_file import Plan, complete, describe, endings, grow, planned
from .rows import Row, collect, ran_alone, read_json, save_failure
from .trial import Evidence, Trial

__all__ = ["Comparison", "Entry", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        out: its folder, with plan.json, results.jsonl and every run.
        rows: all rows, failures among them.
        failed: the runs that failed, with the reason; empty if all went well.
    """

    out: Path
    rows: list[Row]
    failed: dict[Run, str]


def compare(
    entries: Mapping[str, Entry],
    source: Callable[[], Source],
    out: str | Path,
    *,
    view: InputSpec,
    trainer: TrainerArgs,
    optimizer: OptimizerArgs | None = None,
    seeds: int = 3,
    protocols: Sequence[str] = ("linear", "knn", "retrieval"),
    clips: int = 3,
    crops: int = 1,
    levels: bool = False,
    probe_at: Sequence[int] = (),
    tuning: Tuning | None = None,
    jobs: int | None = None,
    supervised: Callable[[Encoder, int], Task] | None = None,
    command: str = "",
    evidence: Evidence | None = None,
    on_trial: Callable[[Path], object] = lambda out: None,
    executor: Executor | None = None,
) -> Comparison:
    """Pretrains and evaluates every entry, on every split, with every seed, beside the controls.

    Each run pretrains on the training part of a split and is evaluated on its test part, in a
    process of its own. What is finished is never repeated: interrupted and called again, this goes
    on where it was, and called with more entries, seeds, protocols or levels it adds those. A
    failed run is reported, the others go on; the next call tries it again.

    Args:
        entries: recipes by name.
        source: opens the media, of which the labelled ones take part. It and all functions here
            are functions of modules or `functools.partial` of these, as other processes call them.
        out: folder of the comparison.
        view: what every encoder is evaluated with.
        trainer: budget of every entry and of the supervised control.
        optimizer: likewise.
        seeds: runs per entry and split, with seeds 0, 1, …
        protocols: evaluation methods, see `evaluate`.
        clips: per medium, in evaluation.
        crops: per clip, 1 or 3, in evaluation.
        levels: evaluate every level of the encoders, not only their output.
        probe_at: steps of pretraining after which the encoders are evaluated too, by the first
            protocol: how accuracy grows, beside the table.
        tuning: how the protocol "finetune" trains; None: as `Tuning` has it. The untrained control
            under it is training from scratch with the labels, for as long as the others are tuned.
        jobs: runs at a time; None: as many as there are devices for, two on a CPU.
        supervised: makes the supervised control, see `with_controls`.
        command: how to call this again, for the report.
        evidence: keeps pictures and the like of the first split's first run of every entry.
        on_trial: called with `out` after every run and at the end: what shows the state so far.
        executor: runs the trials; None: `run_trials` on this machine.

    Raises:
        InputError: an unlabelled source, a wrong entry, or a folder with another comparison.
    """
    out = Path(out)
    _check(entries, protocols, seeds, jobs, probe_at)
    check_clips(view, clips, crops)
    environments = slots(trainer, jobs)
    media = source()
    kept = labelled(media)
    parts = {split.name: split for split in splits(kept)}
    classes = count_classes(kept)
    everything = with_controls(entries, classes, view, supervised=supervised, known=endings(out))
    first = next(iter(everything))
    trial = Trial(
        out=out.resolve(),
        run=Run(first, next(iter(parts)), 0),
        entry=everything[first],
        source=source,
        view=view,
        protocols=tuple(protocols),
        clips=clips,
        crops=crops,
        levels=levels,
        probe_at=tuple(sorted(set(probe_at))),
        tuning=tuning or Tuning(),
        trainer=_shared_machine(trainer, len(environments)),
        optimizer=optimizer or OptimizerArgs(),
        evidence=evidence,
        alone=len(environments) == 1,
    )
    wanted = describe(replace(trial, trainer=trainer), kept, parts, everything, seeds)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out), _terminable():
        plan = grow(out, wanted)
        trial = replace(trial, protocols=tuple(plan["protocols"]), levels=plan["levels"])
        runs = runs_of({name: e.seeds(seeds) for name, e in everything.items()}, parts)
        execute = executor or partial(run_trials, environments=environments)
        about = {"command": command, "jobs": len(environments)}
        failed = _run_all(trial, everything, runs, plan, execute, about, on_trial)
        rows = collect(planned(plan), out)
        on_trial(out)
    return Comparison(out, rows, failed)


def _check(
    entries: Mapping[str, Entry],
    protocols: Sequence[str],
    seeds: int,
    jobs: int | None,
    probe_at: Sequence[int],
) -> None:
    if not entries:
        raise InputError("there is nothing to compare: name at least one task")
    for name in entries:
        if not all(c.isalnum() or c in "-_." for c in name) or not name[:1].isalnum():
            raise InputError(f"entry {name!r}: use letters, digits, - _ . only; it names a folder")
    for name in protocols:
        if name not in METHODS:
            raise InputError(f"no protocol {name!r}: take {', '.join(METHODS)}")
    if not protocols:
        raise InputError(f"there is nothing to measure: take protocols of {', '.join(METHODS)}")
    for name, value in (("seeds", seeds), ("jobs", jobs)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if wrong := [step for step in probe_at if step < 1]:
        raise InputError(f"probe_at: {wrong[0]} is no step of pretraining; they count from 1")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second call out of the folder as long as this one works there."""
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"{out}: another process is at work there; wait for its end") from error


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does, with the trials' checkpoints written, but with code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_all(
    trial: Trial,
    entries: Mapping[str, Entry],
    runs: list[Run],
    plan: Plan,
    execute: Executor,
    about: Mapping[str, Any],
    on_trial: Callable[[Path], object],
) -> dict[Run, str]:
    out, folds = trial.out, len(plan["splits"]) > 1
    todo = {_write_job(trial, run, entries): run for run in runs if not complete(run, out, plan)}
    failed: dict[Run, str] = {}
    with Progress(len(runs), len(runs) - len(todo), alive=True) as progress:
        try:
            with closing(execute(list(todo))) as events:
                for event in events:
                    run = todo[event.job]
                    if isinstance(event, Begun):
                        progress.begin(run.words(folds=folds))
                        continue
                    if reason := _failure(run, event, out):
                        failed[run] = reason
                    rows = collect(planned(plan), out)
                    progress.end(run.words(folds=folds), _outcome(run, reason, rows))
                    on_trial(out)
        finally:
            collect(planned(plan), out)
            _save_about(out, about, progress.seconds)
    return failed


def _write_job(trial: Trial, run: Run, entries: Mapping[str, Entry]) -> Path:
    """The file that tells a process what this trial is."""
    shown = (run.split, run.seed) == (trial.run.split, 0)
    evidence = trial.evidence if shown else None
    own = replace(trial, run=run, entry=entries[run.entry], evidence=evidence)
    job = own.folder / "job.json"
    # One that goes on now may have begun beside others.
    begun = (own.folder / "run.json").exists()
    own = replace(own, alone=trial.alone and (not begun or ran_alone(own.folder)))
    write_json(job, to_plain(own))
    return job


def _shared_machine(trainer: TrainerArgs, jobs: int) -> TrainerArgs:
    """Loader workers for one of several runs at a time, unless the user has said how many."""
    if trainer.workers is not None or jobs == 1:
        return trainer
    return replace(trainer, workers=max(1, cores() // jobs))


def _failure(run: Run, event: Ended, out: Path) -> str:
    """Why a trial failed, "" if it did not; written down where it could not do so itself."""
    if event.code == 0:
        return ""
    file = run.folder(out) / "failure.json"
    if event.code == 1 and file.exists():
        return read_json(file)["reason"]
    how = f"signal {-event.code}" if event.code < 0 else f"code {event.code}"
    reason = f"its process ended with {how} (killed, or out of memory?); see log.txt of its folder"
    save_failure(run, out, reason, "")
    return reason


def _outcome(run: Run, failure: str, rows: list[Row]) -> str:
    """What a trial came to, in one line: each protocol's first number, of the encoder's output."""
    if failure:
        return f"failed: {failure}"
    firsts: dict[str, str] = {}
    for row in rows:
        place = (row["entry"], row["fold"], row["run_seed"])
        own = row["status"] == "done" and place == (run.entry, run.split, run.seed)
        if own and row["level"] == "embedding":
            text = f"{row['stamp']['method']} {100 * row['value']:.1f} %"
            firsts.setdefault(row["stamp"]["method"], text)
    return ", ".join(firsts.values())


def _save_about(out: Path, about: Mapping[str, Any], seconds: float) -> None:
    commit, versions = environment()
    full = {
        **about,
        "commit": commit,
        "versions": dict(versions),
        "seconds_of_last_call": round(seconds, 1),
        "written": time.strftime("%Y-%m-%d %H:%M %Z"),
    }
    write_json(out / "about.json", full)
