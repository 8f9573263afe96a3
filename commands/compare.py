"""Compare tasks on the same media with the same budget, into a report.

    pretexto compare --config four_tasks --data my_videos --out runs/comparison

Random-init and supervised controls always stand beside the tasks. Interrupted, the same command
goes on where it was; with more seeds, tasks, protocols or levels it adds those. Pretraining runs
that are finished already take part by name, one per seed:

    pretexto compare --config four_tasks --run mine=runs/a --run mine=runs/b --out runs/comparison
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..build import Tree, build, load_tree, resolved
from ..errors import InputError
from .options import count, data_options, given, open_objects

TAKES_KEYS = True
_DATA = ("data", "kind", "unique")  # keys that say what is read
_LOOK = 16  # media, out of all, at which a comparison looks before its runs do
DEFAULTS = {
    "seeds": 3,
    "clips": 3,
    "crops": 1,
    "protocols": ["linear", "knn", "retrieval"],
    "levels": False,
    "probe_at": [],
}


def arguments(parser) -> None:
    parser.add_argument("--config", required=True, help="YAML file or shipped recipe")
    parser.add_argument("--encoder", help="short name (docs/encoders.md), or a run to start from")
    data_options(parser)
    parser.add_argument("--out", help="folder of the comparison; default: runs/CONFIG")
    parser.add_argument("--seeds", type=count, help="runs per task; default: the config's")
    parser.add_argument("--clips", type=count, help="per medium, in evaluation; default likewise")
    parser.add_argument(
        "--crops", type=int, choices=(1, 3), help="per clip, in evaluation; default likewise"
    )
    parser.add_argument("--tasks", help="only these of the config, comma-separated")
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="NAME=RUN",
        help="a finished pretraining run as an entry; repeat a name for its further seeds",
    )
    parser.add_argument("--protocols", help="of evaluation, comma-separated; default: the config's")
    parser.add_argument(
        "--jobs", type=count, help="runs at a time; default: one per GPU, two on a CPU"
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="also ask which trivial cues tell each task's answer, for the report",
    )


def run(args) -> int:
    tree = load_tree(args.config, args.overrides, args.encoder)
    tree |= given(args, "data", "kind", "unique", "seeds", "clips", "crops")
    if args.protocols:
        tree["protocols"] = args.protocols.split(",")
    if args.tasks:
        tree["tasks"] = _only(tree.get("tasks", {}), args.tasks.split(","))
    out = Path(args.out or Path("runs") / Path(args.config).stem)
    return compare_from(tree, args.config, out, args.jobs, _runs(args.run), audited=args.audit)


def compare_from(
    tree: Tree,
    origin: str,
    out: Path,
    jobs: int | None = None,
    runs: Mapping[str, Sequence[Path]] = MappingProxyType({}),
    *,
    audited: bool = False,
) -> int:
    """Runs the comparison that the tree says; returns 1 if some runs failed, else 0.

    Args:
        tree: the config.
        origin: its name, for messages.
        out: folder of the comparison.
        jobs: trials at a time; None: as many as there are devices for.
        runs: finished pretraining runs that take part, by name.
        audited: ask afterwards which cues tell each task's answer.
    """
    from ..comparison.compare import compare
    from ..comparison.grid import Entry, of_runs
    from ..reporting.html import write_report
    from ..visualization.examples import save_evidence

    tree = resolved({**DEFAULTS, "data": "synthetic", **tree}, schema(), origin)
    # Built once here so that a mistake in one task is told before the first run, not hours later.
    objects = build(tree, schema(), origin)
    if objects["clips"] < 1:
        raise InputError(f"clips is a number per medium, 1 or more, got {objects['clips']}")
    opened = open_objects(objects)
    _say_unmeasured(list(objects["tasks"].values()), opened)
    entries = {n: Entry(partial(make_task, t, origin), config=t) for n, t in tree["tasks"].items()}
    entries |= {name: of_runs(same, objects["view"].modality) for name, same in runs.items()}
    comparison = compare(
        entries,
        partial(make_source, {key: tree.get(key) for key in _DATA}, origin),
        out,
        view=objects["view"],
        trainer=objects["trainer"],
        optimizer=objects["optimizer"],
        seeds=objects["seeds"],
        protocols=objects["protocols"],
        clips=objects["clips"],
        crops=objects["crops"],
        levels=objects["levels"],
        probe_at=objects["probe_at"],
        tuning=objects["tuning"],
        jobs=jobs,
        command=shlex.join(["pretexto", *sys.argv[1:]]),
        evidence=save_evidence,
        on_trial=partial(write_report, source=opened),
    )
    if audited:
        _audit(tree["tasks"], origin, opened, out)
        write_report(out)
    print((out / "results.md").read_text())
    print(f"report: {out / 'report.html'}")
    for failed, reason in comparison.failed.items():
        print(f"FAILED {failed.words(folds=True)}: {reason}", file=sys.stderr)
    return 1 if comparison.failed else 0


def _audit(tasks: Tree, origin: str, source, out: Path) -> None:
    """Writes OUT/audit.jsonl, one row per cue of every task."""
    from ..comparison.audit import audit
    from .audit import with_guard, write_findings

    rows = []
    for name, tree in tasks.items():
        print(f"auditing {name}", flush=True)

        def switched(guard: str, on: bool, tree=tree):
            return make_task(with_guard(tree, guard, on), origin)

        rows += [(name, finding) for finding in audit(make_task(tree, origin), switched, source)]
    write_findings(out / "audit.jsonl", rows)


def _say_unmeasured(tasks: list, source) -> None:
    """One line where tasks choose by a motion that is not known; runs say it in their logs only."""
    from ..training.sanity_check import check_media, chooses_by_motion, motion_in_words

    if choosing := [task for task in tasks if chooses_by_motion(task)]:
        check = check_media(source, choosing[0], most=_LOOK, say=print)
        if text := motion_in_words(check, *choosing):
            print(text, flush=True)


def schema() -> dict[str, Any]:
    """The keys of a comparison config and their types."""
    from ..datasets.source import Source
    from ..evaluation.finetune import Tuning
    from ..modalities.input_spec import InputSpec
    from ..modalities.media import Kind
    from ..tasks.task import Task
    from ..training.args import TrainerArgs
    from ..training.optim import OptimizerArgs

    return {
        "tasks": dict[str, Task],
        "view": InputSpec,
        "data": str | Source,
        "kind": Kind | None,
        "unique": bool | None,
        "protocols": list[str],
        "seeds": int,
        "clips": int,
        "crops": int,
        "levels": bool,
        "probe_at": list[int],
        "tuning": Tuning,
        "trainer": TrainerArgs,
        "optimizer": OptimizerArgs,
    }


def make_task(tree: Tree, origin: str):
    """Builds one task anew; called in the process that trains it, after seeding."""
    from ..tasks.task import Task

    return build({"task": tree}, {"task": Task}, origin)["task"]


def make_source(tree: Tree, origin: str):
    """Opens the media; called in every process that needs them."""
    return open_objects(build(tree, {key: schema()[key] for key in _DATA}, origin))


def _runs(named: Sequence[str]) -> dict[str, list[Path]]:
    """NAME=RUN options by name."""
    found: dict[str, list[Path]] = {}
    for text in named:
        name, equals, run = text.partition("=")
        if not (equals and name and run):
            raise InputError(f"--run {text}: give a name and the folder of a run, as NAME=RUN")
        if not (Path(run) / "encoder.json").exists():
            raise InputError(f"--run {text}: {run} holds no encoder.json; name a finished run")
        found.setdefault(name, []).append(Path(run))
    return found


def _only(tasks: Tree, wanted: list[str]) -> Tree:
    from ..cli import suggest

    for name in wanted:
        if name not in tasks:
            raise InputError(f"--tasks: the config has no task {name!r}{suggest(name, tasks)}")
    return {name: tasks[name] for name in wanted}
