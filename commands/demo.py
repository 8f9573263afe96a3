"""The main job on the embedded synthetic world: pretrain four tasks, compare them, report.

    pretexto demo

Writes real video files once, pretrains every task with a few seeds, evaluates each on action
recognition beside random-init and supervised controls, and writes report.html. Interrupted, the
same command goes on where it was.
"""

import os
from pathlib import Path

from .options import count

# Pixels in which the tasks of the recipe take 40-pixel crops, so that nothing is resized again.
SHORT_SIDE = 46


def arguments(parser) -> None:
    parser.add_argument("--out", default="pretexto-demo", help="folder (default pretexto-demo)")
    parser.add_argument(
        "--jobs", type=count, help="runs at a time; default: one per GPU, two on a CPU"
    )


def run(args) -> int:
    from ..build import load_tree
    from .compare import compare_from

    tree, out = load_tree("demo"), Path(args.out)
    tree["data"] = str(packed_world(out))
    return compare_from(tree, "demo", out, args.jobs)


def packed_world(out: Path) -> Path:
    """The synthetic world, indexed and packed as any folder of videos would be."""
    from ..datasets.index.build import scan
    from ..datasets.packs.transcode import PackSettings
    from ..datasets.packs.write import pack
    from ..datasets.synthetic.source import Synthetic

    world, index, packs = Synthetic(), out / "world.parquet", out / "synthetic world"
    jobs = os.cpu_count() or 1
    if not index.exists():
        scan(world.folder, index, jobs=jobs)
    pack(index, packs, PackSettings(short_side=SHORT_SIDE, flow="dis"), jobs=jobs)
    return packs
