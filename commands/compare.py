"""Compare tasks on the same media with the same budget, into a report.

    pretexto compare --config four_tasks --data my_videos --out runs/comparison

Random-init and supervised controls always stand beside the tasks. Interrupted, the same command
goes on where it was.
"""

from pathlib import Path
from typing import Any

from ..build import Tree, build, load_tree

TAKES_KEYS = True


def arguments(parser) -> None:
    parser.add_argument("--config", required=True, help="YAML file or shipped recipe")
    parser.add_argument("--data", help="folder or `synthetic`; default: the config's")
    parser.add_argument("--out", help="folder of the comparison; default: runs/CONFIG")
    parser.add_argument("--seeds", type=int, help="runs per task; default: the config's")
    parser.add_argument("--tasks", help="only these, comma-separated")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: half the cores")


def run(args) -> int:
    tree = load_tree(args.config, args.overrides)
    for key in ("data", "seeds"):
        if getattr(args, key) is not None:
            tree[key] = getattr(args, key)
    if args.tasks:
        tree["tasks"] = _only(tree["tasks"], args.tasks.split(","))
    out = Path(args.out or Path("runs") / Path(args.config).stem)
    return compare_from(tree, args.config, out, args.jobs)


def schema() -> dict[str, Any]:
    """The keys of a comparison config and their types."""
    from ..datasets.source import Source
    from ..encoders.encoder import Encoder
    from ..modalities.view import View
    from ..tasks.task import Task
    from ..training.optim import OptimizerArgs
    from ..training.pretrain import TrainerArgs

    return {
        "tasks": dict[str, Task],
        "encoder": Encoder,
        "view": View,
        "data": str | Source,
        "protocols": list[str],
        "seeds": int,
        "clips": int,
        "trainer": TrainerArgs,
        "optimizer": OptimizerArgs,
    }


def make_task(tree: Tree):
    """Builds one task anew; called in the process that trains it, after seeding."""
    from ..tasks.task import Task

    return build({"task": tree}, {"task": Task}, "task")["task"]


def _only(tasks: Tree, wanted: list[str]) -> Tree:
    from ..cli import suggest
    from ..errors import InputError

    for name in wanted:
        if name not in tasks:
            raise InputError(f"--tasks: the config has no task {name!r}{suggest(name, tasks)}")
    return {name: tasks[name] for name in wanted}
