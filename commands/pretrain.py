"""Pretrain an encoder with one task on your media.

    pretexto pretrain --config rotation --data my_images --out runs/rotation
    pretexto pretrain --config shuffle_learn --data my_videos --out runs/shuffle --probe linear

The config is a YAML file or the name of a shipped recipe. Any of its values can be set with
--key.path value, for example --task.video.size 96 --trainer.steps 2000 --optimizer.lr 0.001.
The same command again continues an interrupted run.
"""

from pathlib import Path
from typing import Any

from ..build import Tree, build, load_tree, resolved
from ..evaluation.methods import METHODS
from .options import KINDS, SEEDS, open_data, seed

TAKES_KEYS = True


def arguments(parser) -> None:
    parser.add_argument("--config", required=True, help="YAML file or shipped recipe")
    parser.add_argument("--encoder", help="short name (docs/encoders.md), or a run to start from")
    parser.add_argument("--data", help="folder, file or `synthetic`; default: the config's")
    parser.add_argument("--split", help="use only this split or fold of the data")
    parser.add_argument("--kind", choices=KINDS, help="of a folder that holds several kinds")
    parser.add_argument("--out", help="run folder; default: runs/CONFIG")
    parser.add_argument("--seed", type=seed, help="default: the config's")
    parser.add_argument(
        "--probe",
        choices=METHODS,
        help="evaluate afterwards on the same labelled data, beside random-init",
    )


def run(args) -> int:
    tree = load_tree(args.config, args.overrides, args.encoder)
    for key in ("data", "split", "kind", "seed"):
        if getattr(args, key) is not None:
            tree[key] = getattr(args, key)
    out = Path(args.out or Path("runs") / Path(args.config).stem)
    folder = pretrain_from(tree, args.config, out)
    from ..training.distributed import first_process

    if not first_process():  # the others have helped to train
        return 0
    print(f"encoder: {folder / 'encoder.safetensors'}")
    if args.probe:
        from .evaluate import evaluate_run

        named = {key: tree.get(key) for key in ("data", "kind")}
        objects = build(named, {key: schema()[key] for key in named}, args.config)
        data = open_data(objects["data"], kind=objects["kind"])
        evaluate_run(folder, [args.probe], data=data, out=folder / "results.jsonl")
    return 0


def schema() -> dict[str, Any]:
    """The keys of a pretraining config and their types."""
    from jsonargparse.typing import restricted_number_type

    from ..datasets.source import Source
    from ..modalities.media import Kind
    from ..tasks.task import Task
    from ..training.args import TrainerArgs
    from ..training.optim import OptimizerArgs

    return {
        "task": Task,
        "data": str | Source,
        "split": str | None,
        "kind": Kind | None,
        "trainer": TrainerArgs,
        "optimizer": OptimizerArgs,
        "seed": restricted_number_type(
            "Seed", int, [(">=", 0), ("<", SEEDS)], docstring="a whole number from 0 to 2**63 - 1"
        ),
    }


def pretrain_from(tree: Tree, origin: str, out: Path) -> Path:
    """Builds what the tree says and trains it into the folder `out`."""
    import torch

    from ..training.pretrain import pretrain

    tree.setdefault("data", "synthetic:train")
    tree.setdefault("seed", 0)
    config = resolved(tree, schema(), origin)
    # The initial weights are part of the run: they follow from its seed.
    torch.manual_seed(config["seed"])
    objects = build(tree, schema(), origin)
    return pretrain(
        objects["task"],
        open_data(objects["data"], objects["split"], objects["kind"]),
        out,
        trainer=objects["trainer"],
        optimizer=objects["optimizer"],
        seed=objects["seed"],
        config=config,
    )
