"""Evaluate a pretrained encoder on labelled media, beside the same network untrained.

    pretexto evaluate linear --encoder runs/shuffle --data my_videos
    pretexto evaluate linear knn retrieval --encoder runs/shuffle --data my_videos

Media with `train` and `test` splits use them; named folds are cross-validated; anything else is
cut into group-disjoint folds. Rows are appended to RUN/results.jsonl.

    pretexto evaluate linear --encoder runs/shuffle --data my_videos --confusion confusion.png
    pretexto evaluate linear --encoder runs/rgb --fuse runs/flow --data my_videos
    pretexto evaluate kmeans_segmentation --encoder runs/flow --data synthetic --picture seen.png
    pretexto evaluate linear_segmentation --encoder runs/flow --data voc:VOCdevkit/VOC2012
    torchrun --nproc-per-node 4 -m pretexto.cli evaluate linear --encoder runs/shuffle --data D
"""

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..evaluation.methods import CONFUSED, DENSE, METHODS
from .options import count, data_options, least_two, open_data, seed, whole


def arguments(parser) -> None:
    every = (*METHODS, *DENSE)
    parser.add_argument(
        "methods", nargs="+", choices=every, metavar="METHOD", help=" | ".join(every)
    )
    parser.add_argument("--encoder", required=True, help="run folder")
    data_options(parser, required=True)
    parser.add_argument("--modality", help="which encoder of the run; default: its main one")
    parser.add_argument(
        "--fuse",
        metavar="RUN",
        help="late fusion: the run of a second encoder, as one of flow; linear probes of each and "
        "of both together",
    )
    parser.add_argument("--fuse-modality", help="which encoder of that run; default: its main one")
    parser.add_argument("--out", help="rows are appended here; default: RUN/results.jsonl")
    parser.add_argument(
        "--confusion", metavar="FILE.png", help="draw which class is taken for which"
    )
    parser.add_argument(
        "--picture", metavar="FILE.png", help="segmentation: draw true segments and those found"
    )
    parser.add_argument(
        "--embedding",
        action="store_true",
        help="segmentation: look at the embedding of pixels that a run of flow_similarity has "
        "learned, not at the encoder's levels",
    )
    parser.add_argument(
        "--segments",
        type=least_two,
        help="kmeans_segmentation: so many of each picture; default: as many as it truly has",
    )
    parser.add_argument(
        "--clips",
        type=count,
        help="clips per medium (default 3; 10 where finetune tests; 1 for segmentation)",
    )
    parser.add_argument("--crops", type=int, default=1, choices=(1, 3), help="crops per clip")
    parser.add_argument("--size", type=count, help="pixels; default: as in pretraining")
    parser.add_argument("--frames", type=count, help="frames per clip; default: as in pretraining")
    parser.add_argument(
        "--frame-interval", type=float, help="seconds between frames; default likewise"
    )
    parser.add_argument("--seconds", type=float, help="length of a segment of sound; likewise")
    parser.add_argument("--length", type=count, help="tokens of a span of text; likewise")
    parser.add_argument("--levels", action="store_true", help="also probe every layer")
    parser.add_argument("--epochs", type=int, default=30, help="of finetune (default 30)")
    parser.add_argument(
        "--lr",
        type=float,
        nargs="+",
        metavar="LR",
        help="of finetune: one, or several of which the best on validation is taken "
        "(default 0.0001 0.0003 0.001 0.003)",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="of finetune (default 16)")
    parser.add_argument("--no-flip", action="store_true", help="finetune without mirroring")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--workers", type=whole, default=2)
    parser.add_argument("--device", default="auto")


def run(args) -> int:
    from ..encoders.store import read_card
    from ..evaluation.distributed import launched, rank
    from ..evaluation.finetune import RATES, Tuning
    from ..modalities.input_spec import InputSpec

    _check_options(args)
    if args.fuse:
        return _fuse(args)
    tuning = Tuning(
        epochs=args.epochs,
        lr=tuple(args.lr or RATES),
        batch_size=args.batch_size,
        flip=not args.no_flip,
    )
    changes = ("size", "frames", "frame_interval", "seconds", "length")
    spec = {k: v for k in changes if (v := getattr(args, k)) is not None}
    card = read_card(Path(args.encoder), args.modality)
    replace(InputSpec(**card["spec"]), **spec)  # refused before any data is looked at
    out = Path(args.out or Path(args.encoder) / "results.jsonl")
    methods, dense = ([m for m in args.methods if m in known] for known in (METHODS, DENSE))
    data = open_data(args.data, kind=args.kind, unique=args.unique)
    with launched() as shared:
        if dense and not (shared and rank()):
            _segment(args, dense, data, spec, out)
        if not methods:
            return 0
        evaluate_run(
            Path(args.encoder),
            methods,
            data=data,
            out=out,
            modality=args.modality,
            spec_changes=spec,
            seed=args.seed,
            clips=args.clips,
            crops=args.crops,
            levels=args.levels,
            workers=args.workers,
            device=args.device,
            tuning=tuning,
            confusion=Path(args.confusion) if args.confusion else None,
            shared=shared,
        )
    return 0


def _segment(args, methods, data, spec_changes, out: Path) -> None:
    """Rows on masks of a run's encoder, of the same untrained, and of the floor beneath both."""
    from ..encoders.store import load_encoder, read_card
    from ..evaluation.baselines import PIXEL_FLOOR, PixelFloor, random_init
    from ..evaluation.evaluate import print_rows, write_rows
    from ..evaluation.masked_set import check_dense
    from ..evaluation.segmentation import evaluate_segmentation
    from ..modalities.input_spec import InputSpec
    from ..visualization.segments import draw_segments

    run = Path(args.encoder)
    card, encoder = read_card(run, args.modality), load_encoder(run, args.modality)
    spec = replace(InputSpec(**card["spec"]), **spec_changes)
    check_dense(encoder, spec, data)
    untrained = random_init(encoder, seed=args.seed)
    if args.embedding:
        encoder, untrained = _embeddings(run, args.seed)
    floor = PIXEL_FLOOR[spec.modality]
    asked = {
        card["task"]: (encoder, card, run),
        "random-init": (untrained, None, None),
        floor: (PixelFloor(modality=spec.modality), {"task": floor}, None),
    }
    rows, drawn = [], {}
    for name, (network, about, folder) in asked.items():
        rows += evaluate_segmentation(
            methods,
            network,
            data,
            spec,
            card=about,
            run=folder,
            levels=args.levels and name != floor,
            segments=args.segments,
            watch=drawn.setdefault(name, []).append if args.picture else None,
            **{k: getattr(args, k) for k in ("seed", "clips", "workers", "device")},
        )
    write_rows(rows, out)
    print_rows(rows)
    print(f"rows: {out}")
    if args.picture:
        draw_segments(drawn, Path(args.picture))
        print(f"segments: {args.picture}")


def _embeddings(run: Path, seed: int):
    """The pixels' embedding of a run of flow similarity, trained and as it was before."""
    from ..tasks.flow_similarity import FlowSimilarity
    from ..tasks.parts.embedded_pixels import EmbeddedPixels
    from .run_task import trained_task, untrained_task

    both = trained_task(str(run)), untrained_task(str(run), seed)
    found = [task for task in both if isinstance(task, FlowSimilarity)]
    if len(found) < 2:
        raise InputError(
            f"--embedding: {type(both[0]).__name__} embeds no pixels; name a run of flow_similarity"
        )
    return tuple(EmbeddedPixels(task.video, task.columns) for task in found)


_OWN_INPUT = ("size", "frames", "frame_interval", "seconds", "length", "levels", "confusion")


def _fuse(args) -> int:
    """Rows of two runs' encoders and of both together, beside the same untrained."""
    from ..encoders.store import load_encoder, read_card
    from ..evaluation.baselines import random_init
    from ..evaluation.distributed import launched, rank
    from ..evaluation.evaluate import print_rows, write_rows
    from ..evaluation.fusion import Stream, evaluate_fusion
    from ..modalities.input_spec import InputSpec

    if args.methods != ["linear"]:
        raise InputError("--fuse joins linear probes: name linear alone")
    for option in _OWN_INPUT:
        if getattr(args, option):
            name = option.replace("_", "-")
            raise InputError(f"--fuse takes inputs as in pretraining: leave --{name} out")
    trained, untrained = [], []
    for folder, modality in ((args.encoder, args.modality), (args.fuse, args.fuse_modality)):
        card = read_card(Path(folder), modality)
        encoder, spec = load_encoder(Path(folder), modality), InputSpec(**card["spec"])
        trained.append(Stream(encoder, spec, card, Path(folder)))
        untrained.append(Stream(random_init(encoder, seed=args.seed), spec))
    how = {k: getattr(args, k) for k in ("seed", "clips", "crops", "workers", "device")}
    with launched() as shared:
        data = open_data(args.data, kind=args.kind, unique=args.unique)
        rows = [row for streams in (trained, untrained)
                for row in evaluate_fusion(streams, data, shared=shared, **how)]  # fmt: skip
        if shared and rank():
            return 0
    out = Path(args.out or Path(args.encoder) / "results.jsonl")
    write_rows(rows, out)
    print_rows(rows)
    print(f"rows: {out}")
    return 0


def _check_options(args) -> None:
    """Refuses a picture that could not be drawn, or what no method takes, before anything is
    computed."""
    for option in ("confusion", "picture"):
        name = getattr(args, option)
        if name and not name.endswith(".png"):
            raise InputError(f"--{option} {name}: name a .png file")
    named = ", ".join(args.methods)
    if args.confusion and not set(args.methods) & set(CONFUSED):
        raise InputError(f"--confusion: {named} names no classes; add {' or '.join(CONFUSED)}")
    if args.picture and not set(args.methods) & set(DENSE):
        raise InputError(f"--picture: {named} makes no segments; add {' or '.join(DENSE)}")
    if args.embedding and not set(args.methods) <= set(DENSE):
        raise InputError(f"--embedding is of pixels: name {' or '.join(DENSE)} alone")
    if args.segments and "kmeans_segmentation" not in args.methods:
        raise InputError("--segments is of kmeans_segmentation: name it too, or leave this out")
    if args.crops > 1 and set(args.methods) & set(DENSE):
        raise InputError("--crops: segmentation looks at whole pictures; leave it out")


def evaluate_run(
    run: Path,
    methods,
    *,
    data,
    out: Path,
    modality=None,
    spec_changes=None,
    seed=0,
    confusion: Path | None = None,
    **how,
) -> None:
    """Evaluates a run's encoder and its untrained twin; prints the table, appends the rows.

    Encoders of sound also stand beside the log-mel floor. Where several processes share the work,
    the first one prints and writes.

    Args:
        confusion: a PNG of which class is taken for which is written here.
        how: see `evaluation.evaluate.evaluate`; `shared` is among them.
    """
    from ..encoders.store import load_encoder, read_card
    from ..evaluation.baselines import FLOOR, LogMelFloor, floor_methods
    from ..evaluation.distributed import rank
    from ..evaluation.evaluate import evaluate, print_rows, random_init, write_rows
    from ..modalities.input_spec import InputSpec

    card = read_card(run, modality)
    encoder = load_encoder(run, modality)
    spec = replace(InputSpec(**card["spec"]), **(spec_changes or {}))
    how["cache"] = run / "features"
    control = random_init(encoder, seed=seed)
    rows = evaluate(methods, encoder, data, spec, card=card, run=run, seed=seed, **how)
    rows += evaluate(methods, control, data, spec, card=None, run=None, seed=seed, **how)
    if spec.modality == "audio":
        floor, how["levels"] = LogMelFloor(rate=spec.rate), False
        plain = floor_methods(methods)
        rows += evaluate(plain, floor, data, spec, card={"task": FLOOR}, seed=seed, **how)
    if how.get("shared") and rank():
        return
    write_rows(rows, out)
    print_rows(rows)
    print(f"rows: {out}")
    if confusion:
        from ..visualization.confusion import draw_confusions

        draw_confusions(rows, confusion)
        print(f"confusions: {confusion}")
