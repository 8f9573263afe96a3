"""The main job on the embedded synthetic world: pretrain four tasks, compare them, report.

    pretexto demo

Writes real video files once, pretrains every task with a few seeds, evaluates each on action
recognition beside random-init and supervised controls, and writes report.html. Interrupted, the
same command goes on where it was.
"""

from pathlib import Path


def arguments(parser) -> None:
    parser.add_argument("--out", default="pretexto-demo", help="folder (default pretexto-demo)")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: one per core, at most 2")


def run(args) -> int:
    from ..build import load_tree
    from .compare import compare_from

    return compare_from(load_tree("demo"), "demo", Path(args.out), args.jobs)
