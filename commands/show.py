"""Draw what a task sees and asks, and with --encoder what the trained model answers.

pretexto show --config rotation --data my_images --out puzzle.png
pretexto show --encoder runs/rotation --out answers.png
pretexto show --motion film.mp4 --out motion.png   # its flow, and what a task chooses there
pretexto show --sound runs/audio_visual --data my_videos --out where.png   # where a sound is
pretexto show --matches runs/audio_visual --data my_videos --out found.png   # sound → clips
pretexto show --attention runs/causal_language --out far.png   # how far it looks in a text
"""

from pathlib import Path

from ..errors import InputError
from .options import count, data_options, given, seed

TAKES_KEYS = True


def arguments(parser) -> None:
    parser.add_argument("--config", help="YAML file or shipped recipe; default: the run's own")
    parser.add_argument("--encoder", help="run folder: its trained task predicts")
    parser.add_argument(
        "--motion",
        metavar="FILE",
        help="draw this video's optical flow, its motion and the windows chosen in it "
        "(config: shuffle_learn)",
    )
    parser.add_argument(
        "--sound", metavar="RUN", help="draw where in the picture this run finds each sound"
    )
    parser.add_argument(
        "--matches", metavar="RUN", help="draw the clips that this run finds for each sound"
    )
    parser.add_argument(
        "--attention", metavar="RUN", help="draw how far this run on text looks, block by block"
    )
    data_options(parser)
    parser.add_argument("--split", help="use only this split or fold of the data")
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--count", type=count, default=4, help="examples to draw (default 4)")
    parser.add_argument("--seed", type=seed, default=0, help="which examples and draws")


def run(args) -> int:
    _check(args)
    if args.motion and not args.encoder:
        args.config = args.config or "shuffle_learn"
    if named := args.sound or args.matches or args.attention:
        args.encoder = named
    if not (args.config or args.encoder):
        raise InputError(
            "show needs --config RECIPE, --encoder RUN, --motion FILE, --sound RUN, --matches RUN "
            "or --attention RUN"
        )
    config = args.config or str(Path(args.encoder) / "config.yaml")
    if args.motion:
        from ..visualization.motion import draw_motion

        draw_motion(args.motion, _task(args, config)[0], Path(args.out), seed=args.seed)
        print(args.out)
        return 0
    task, source = _task_and_source(args, config)
    if args.attention:
        from ..visualization.attention import draw_reach, in_words, reach

        found = reach(task, source)
        draw_reach(found, Path(args.out))
        print(f"{in_words(found)}\n{args.out}")
        return 0
    if args.sound or args.matches:
        from ..visualization.sound_plots import draw_matches, draw_sounds

        draw = draw_sounds if args.sound else draw_matches
        draw(task, source, Path(args.out), count=args.count, seed=args.seed)
        print(args.out)
        return 0
    from ..visualization.puzzles import draw_pictures, puzzles

    draw_pictures(
        puzzles(
            task,
            source,
            count=args.count,
            seed=args.seed,
            predict=bool(args.encoder),
            untrained=lambda: _task(args, config, trained=False)[0],
        ),
        Path(args.out),
    )
    print(args.out)
    return 0


def _check(args) -> None:
    """Refuses what makes no sense, or would be ignored."""
    if not Path(args.out).suffix == ".png":
        raise InputError(f"--out {args.out}: name a .png file")
    for option in given(args, "data", "split", "kind", "unique", "sound", "matches", "attention"):
        if args.motion:
            raise InputError(
                f"--motion draws the one file that it names; leave out --{option}, or --motion"
            )
    named = [
        f"--{name}" for name in ("sound", "matches", "attention", "encoder") if getattr(args, name)
    ]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)}: each names the run of another picture; give one")


def _task_and_source(args, config: str):
    from .options import open_objects

    task, objects = _task(args, config)
    return task, open_objects(objects)


def _task(args, config: str, trained: bool = True):
    """The task, with the run's weights or without, and everything else that the recipe names."""
    import torch

    from ..build import build, load_tree
    from .pretrain import schema

    tree = load_tree(config, args.overrides)
    tree.setdefault("data", "synthetic:train")
    tree |= given(args, "data", "split", "kind", "unique")
    torch.manual_seed(args.seed)
    objects = build(tree, schema(), config)
    if args.encoder and trained:
        from ..training.run_dir import load_task

        load_task(objects["task"], Path(args.encoder))
    return objects["task"], objects
