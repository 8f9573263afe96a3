"""Pretrain an encoder with one task on your media.

    pretexto pretrain --config rotation --data my_images --out runs/rotation
    pretexto pretrain --config shuffle_learn --data my_videos --out runs/shuffle --probe linear

With --probe the test part of the data is held out of pretraining, where there is one.
The config is a YAML file or the name of a shipped recipe. Any of its values can be set with
--key.path value, for example --task.video.size 96 --trainer.steps 2000 --optimizer.lr 0.001.
The same command again continues an interrupted run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..build import Tree, build, load_tree, resolved
from ..evaluation.methods import METHODS
from .options import SEEDS, data_options, given, open_objects, seed

if TYPE_CHECKING:
    from ..datasets.source import Source

TAKES_KEYS = True


def arguments(parser) -> None:
    parser.add_argument("--config", required=True, help="YAML file or shipped recipe")
    parser.add_argument("--encoder", help="short name (docs/encoders.md), or a run to start from")
    data_options(parser)
    parser.add_argument("--split", help="use only this split or fold of the data")
    parser.add_argument("--out", help="run folder; default: runs/CONFIG")
    parser.add_argument("--seed", type=seed, help="default: the config's")
    parser.add_argument(
        "--probe",
        choices=METHODS,
        help="evaluate afterwards on the same labelled data, beside random-init",
    )
    parser.add_argument(
        "--holdout",
        choices=("true", "false"),
        help="pretrain without the test part of the data; default: true with --probe, else false",
    )


def run(args) -> int:
    tree = load_tree(args.config, args.overrides, args.encoder)
    tree |= given(args, "data", "split", "kind", "unique", "seed")
    out = Path(args.out or Path("runs") / Path(args.config).stem)
    if _holds_out(args, tree, out):
        tree["holdout"] = True
    folder = pretrain_from(tree, args.config, out)
    from ..training.distributed import first_process

    if not first_process():  # the others have helped to train
        return 0
    print(f"encoder: {folder / 'encoder.safetensors'}")
    if args.probe:
        from .evaluate import evaluate_run

        named = {key: tree.get(key) for key in ("data", "kind", "unique")}
        objects = build(named, {key: schema()[key] for key in named}, args.config)
        data = open_objects(objects)
        evaluate_run(folder, [args.probe], data=data, out=folder / "results.jsonl")
    return 0


def _holds_out(args, tree: Tree, out: Path) -> bool:
    """Whether to hold out the test part: as asked, as the run there does, or for a probe."""
    from ..training.run_dir import RunFolder

    if args.holdout is not None:
        return args.holdout == "true"
    if tree.get("holdout") is not None:
        return bool(tree["holdout"])
    if state := RunFolder(out).state():
        return bool(state["record"].get("holdout"))
    return bool(args.probe) and not tree.get("split")


def without_tested(source: "Source") -> "Source":
    """The source less what evaluation tests on, as far as that leaves anything; says what it did.

    Raises:
        InputError: no evaluation is possible, as of media without labels.
    """
    from ..evaluation.splits import without_test
    from ..training.distributed import first_process

    kept = without_test(source)
    count = 0 if kept is None else len(source) - len(kept)
    said = f"held out of pretraining: {count} test examples (--holdout false trains on them too)"
    if kept is None:
        said = (
            "nothing is held out: the data name no test split, so that every example is tested in "
            "some fold; pretraining sees them all, and the rows of the probe will say so"
        )
    if first_process():
        print(said, flush=True)
    return source if kept is None else kept


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
        "holdout": bool | None,
        "kind": Kind | None,
        "unique": bool | None,
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

    tree.setdefault("data", "synthetic" if tree.get("holdout") else "synthetic:train")
    tree.setdefault("seed", 0)
    config = resolved(tree, schema(), origin)
    # The initial weights are part of the run: they follow from its seed.
    torch.manual_seed(config["seed"])
    objects = build(tree, schema(), origin)
    source = open_objects(objects)
    return pretrain(
        objects["task"],
        without_tested(source) if objects["holdout"] else source,
        out,
        trainer=objects["trainer"],
        optimizer=objects["optimizer"],
        seed=objects["seed"],
        config=config,
    )
