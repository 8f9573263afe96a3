"""Compare tasks with the same media, encoder and budget, beside untrained and supervised."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..evaluation.evaluate import METHODS, count_classes, labelled
from ..evaluation.features import check_looks
from ..evaluation.finetune import Tuning
from ..evaluation.splits import Split, splits
from ..evaluation.stamp import environment
from ..modalities.input_spec import InputSpec
from ..progress import Progress
from ..tasks.task import Task
from ..training.args import TrainerArgs
from ..training.optim import OptimizerArgs
from .executor import Ended, cores, run_jobs
from .grid import Entry, Evidence, Run, Setting, claim, runs_of, with_controls
from .results import Row, collect, finished, save_failure
from .trial import work

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
    source: Source,
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
    tuning: Tuning | None = None,
    jobs: int = 1,
    supervised: Callable[[Encoder, int], Task] | None = None,
    command: str = "",
    evidence: Evidence | None = None,
    on_trial: Callable[[Path], object] = lambda out: None,
) -> Comparison:
    """Pretrains and evaluates every entry, on every split, with every seed, beside the controls.

    Each run pretrains on the training part of a split and is evaluated on its test part. A run
    that is finished is never repeated: interrupted and called again, this goes on where it was.
    A failed run is reported, the others go on; the next call tries it again.

    Args:
        entries: recipes by name.
        source: media, of which the labelled ones take part.
        out: folder of the comparison.
        view: what every encoder is evaluated with.
        trainer: budget of every entry and of the supervised control.
        optimizer: likewise.
        seeds: runs per entry and split, with seeds 0, 1, …
        protocols: evaluation methods, see `evaluate`.
        clips: per medium, in evaluation.
        crops: per clip, 1 or 3, in evaluation.
        levels: evaluate every level of the encoders, not only their output.
        tuning: how the protocol "finetune" trains; None: as `Tuning` has it. The untrained control
            under it is training from scratch with the labels, for as long as the others are tuned.
        jobs: runs at a time, each in a process of its own if more than one.
        supervised: makes the supervised control, see `with_controls`.
        command: how to call this again, for the report.
        evidence: keeps pictures and the like of the first split's first run of every entry.
        on_trial: called with `out` after every run and at the end: what shows the state so far.

    Raises:
        InputError: an unlabelled source, a wrong entry, or a folder with another comparison.
    """
    out = Path(out)
    _check(entries, protocols, seeds, jobs)
    check_looks(view, clips, crops)
    kept = labelled(source)
    cuts = {split.name: split for split in splits(kept)}
    everything = with_controls(entries, count_classes(kept), view, supervised=supervised)
    first = next(iter(cuts))
    setting = Setting(
        out=out,
        source=kept,
        splits=cuts,
        entries=everything,
        view=view,
        protocols=tuple(protocols),
        clips=clips,
        crops=crops,
        levels=levels,
        tuning=tuning or Tuning(),
        trainer=trainer,
        optimizer=optimizer or OptimizerArgs(),
        evidence=evidence,
        shown=(first, 0),
    )
    claim(out, describe(setting, seeds))
    runs = runs_of(everything, cuts, seeds)
    failed = _run_all(setting, runs, jobs, command, on_trial)
    rows = collect(runs, out)
    on_trial(out)
    return Comparison(out, rows, failed)


def describe(setting: Setting, seeds: int) -> dict[str, Any]:
    """The plan as plain values: whatever the numbers depend on, and names for the report."""
    source = setting.source
    tuned = {"tuning": asdict(setting.tuning)} if "finetune" in setting.protocols else {}
    return {
        "data": {
            "name": source.title or type(source).__name__,
            "fingerprint": source.fingerprint(),
            "examples": len(source),
            "classes": list(source.classes),
        },
        "splits": {name: _sizes(split, source) for name, split in setting.splits.items()},
        "seeds": seeds,
        "protocols": list(setting.protocols),
        "view": asdict(setting.view),
        "clips": setting.clips,
        "crops": setting.crops,
        "levels": setting.levels,
        **tuned,
        "trainer": _budget(setting.trainer),
        "optimizer": asdict(setting.optimizer),
        "entries": {name: entry.describe() for name, entry in setting.entries.items()},
    }


def _sizes(split: Split, source: Source) -> dict[str, Any]:
    sizes = {part: len(getattr(split, part)) for part in ("train", "val", "test")}
    return {**sizes, "hash": split.fingerprint(source)}


def _budget(trainer: TrainerArgs) -> dict[str, Any]:
    """Without what changes the time a run takes but not its result."""
    machine = {"workers", "checkpoint_every", "log_every"}
    return {key: value for key, value in asdict(trainer).items() if key not in machine}


def _check(entries: Mapping[str, Entry], protocols: Sequence[str], seeds: int, jobs: int) -> None:
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
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")


def _run_all(
    setting: Setting, runs: list[Run], jobs: int, command: str, on_trial: Callable[[Path], object]
) -> dict[Run, str]:
    out, folds = setting.out, len(setting.splits) > 1
    todo = [run for run in runs if not finished(run, out)]
    setting = replace(setting, trainer=_shared_machine(setting.trainer, jobs))
    failed: dict[Run, str] = {}
    with Progress(len(runs), len(runs) - len(todo), alive=jobs > 1) as progress:
        try:
            for event in run_jobs(work, setting, todo, parallel=jobs):
                words = event.job.words(folds=folds)
                if not isinstance(event, Ended):
                    progress.begin(words)
                    continue
                if event.failure:
                    failed[event.job] = event.failure[0]
                    save_failure(event.job, out, *event.failure)
                rows = collect(runs, out)
                progress.end(words, _outcome(event, rows))
                on_trial(out)
        finally:
            _save_about(out, command, progress.seconds)
    return failed


def _shared_machine(trainer: TrainerArgs, jobs: int) -> TrainerArgs:
    """Loader workers for one of several runs at a time, unless the user has said how many."""
    if trainer.workers is not None or jobs == 1:
        return trainer
    return replace(trainer, workers=max(1, cores() // jobs))


def _outcome(event: Ended[Run], rows: list[Row]) -> str:
    if event.failure:
        return f"failed: {event.failure[0]}"
    run = event.job
    own = [
        r
        for r in rows
        if (r["entry"], r["fold"], r["run_seed"]) == (run.entry, run.split, run.seed)
    ]
    firsts: dict[str, str] = {}
    for row in own:
        text = f"{row['stamp']['method']} {100 * row['value']:.1f} %"
        firsts.setdefault(row["stamp"]["method"], text)
    return ", ".join(firsts.values())


def _save_about(out: Path, command: str, seconds: float) -> None:
    commit, versions = environment()
    about = {
        "command": command,
        "commit": commit,
        "versions": dict(versions),
        "seconds_of_last_call": round(seconds, 1),
        "written": time.strftime("%Y-%m-%d %H:%M %Z"),
    }
    write_json(out / "about.json", about)
