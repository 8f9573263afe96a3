"""What a trained run can make: colours for a grey picture or film, the inside of a hole, order.

    pretexto apply --encoder runs/colorization --data grey.jpg --out coloured
    pretexto apply --encoder runs/chroma_gan --data film.mp4 --out coloured
    pretexto apply --encoder runs/context_encoder --data photo.png --hole mask.png --out filled
    pretexto apply --encoder runs/context_encoder --data photo.png --box 40 30 64 64 --out filled
    pretexto apply --encoder runs/jigsaw --data photos --out solved
    pretexto apply --encoder runs/causal_language --prompt "To be" --tokens 200 --temperature 0.8
    pretexto apply --encoder runs/masked_language --prompt "To be or not to [MASK]"

A text is printed, and with --out written to results.jsonl there.

Each medium is written to OUT under its own name, and results.jsonl says of each what was made.
Where a medium has colours of its own, or --truth names the whole pictures, L1, PSNR and SSIM (and
LPIPS, with --lpips alexnet.safetensors) tell how near it comes. Without --hole and --box holes are
drawn as in training.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .options import count, data_options, given, open_data, seed
from .run_task import trained_task

if TYPE_CHECKING:
    from ..datasets.source import Source
    from ..tasks.task import Task
    from ..visualization.lpips import Lpips

Row = dict[str, Any]
# Options of one kind of task; given for another they are refused.
_DRAWS = ("tokens", "temperature", "top_k", "top_p")
_OWN = ("hole", "box", "truth", "shuffled", "steady", "lpips", "prompt", *_DRAWS)
_MEDIA = ("split", "kind", "unique", "count")


def arguments(parser) -> None:
    parser.add_argument("--encoder", required=True, help="run folder: its trained task is applied")
    data_options(parser)
    parser.add_argument("--split", help="use only this split or fold of the data")
    parser.add_argument("--out", help="folder to write to")
    parser.add_argument("--count", type=count, help="so many of the media; default: all")
    parser.add_argument(
        "--hole",
        metavar="PATH",
        help="inpainting: a picture that is white in the hole, or a folder of them by name",
    )
    parser.add_argument(
        "--box",
        type=int,
        nargs=4,
        metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"),
        help="inpainting: the hole in pixels",
    )
    parser.add_argument(
        "--truth", metavar="PATH", help="inpainting: the whole picture, or a folder of them by name"
    )
    parser.add_argument(
        "--shuffled", action="store_true", help="jigsaw: the pictures are shuffled already"
    )
    parser.add_argument(
        "--steady",
        type=float,
        metavar="SHARE",
        help="colourisation: of the frame before in a film's colours, 0 … 1 (default 0.8)",
    )
    parser.add_argument(
        "--lpips",
        metavar="FILE",
        help="colourisation, inpainting: tell LPIPS too (of 31 pixels or more), by torchvision's "
        "AlexNet in .safetensors",
    )
    _text_arguments(parser)
    parser.add_argument("--seed", type=seed, default=0, help="of all that is drawn")


def _text_arguments(parser) -> None:
    parser.add_argument(
        "--prompt",
        metavar="TEXT",
        help="text: what is continued, or filled where [MASK] stands; or --data FILE of text",
    )
    parser.add_argument("--tokens", type=count, help="text: how many more (default 100 at most)")
    parser.add_argument(
        "--temperature", type=float, help="text: of the draws; 0: the likeliest (default)"
    )
    parser.add_argument(
        "--top-k", type=count, help="text: draw from so many; of masks: candidates (default 5)"
    )
    parser.add_argument("--top-p", type=float, help="text: draw from this share of probability")


def run(args) -> int:
    import torch

    _check(args)
    if args.data and args.out:
        _keep_apart(Path(args.data), Path(args.out))
    task = trained_task(args.encoder)
    if "text" in task.specs:
        return _apply_to_text(task, args)
    make = maker(task, args)
    for name, what in (("data", "the pictures or films"), ("out", "the folder to write to")):
        if not getattr(args, name):
            raise InputError(f"--{name}: {type(task).__name__} needs {what}")
    source = open_data(args.data, args.split, args.kind, args.unique)
    with torch.inference_mode():
        rows, failed = _applied(make, source, Path(args.out), args.count)
    for line in summary(rows):
        print(line)
    return 1 if failed else 0


def _check(args) -> None:
    if args.hole and args.box:
        raise InputError("--hole and --box: each says where the hole is; give one")
    if args.truth and not (args.hole or args.box):
        raise InputError(
            "--truth: holes that are drawn have the picture itself for truth; leave it"
        )
    if args.steady is not None and not 0 <= args.steady <= 1:
        raise InputError(f"--steady is a share, 0 … 1, got {args.steady:g}")
    if args.box and (min(args.box) < 0 or min(args.box[2:]) < 1):
        raise InputError(
            f"--box {' '.join(map(str, args.box))}: a hole has 1 pixel or more each way"
        )


def _keep_apart(data: Path, out: Path) -> None:
    """Refuses to write where the media lie, which could be written over."""
    if out.resolve() in (data.resolve(), data.resolve().parent if data.is_file() else None):
        raise InputError(f"--out {out}: there lie the media themselves; choose another folder")


def maker(task: "Task", args) -> Callable[["Source", int, Path], Row]:
    """What this kind of task makes of example i of a source: a file of that name, and a row.

    Raises:
        InputError: a task that makes nothing, or an option that it does not take.
    """
    from ..tasks.jigsaw import Jigsaw
    from ..tasks.parts.painting import ColorizationTask, InpaintingTask

    if isinstance(task, ColorizationTask):
        from ..visualization.colorize import colorize

        own = _own(task, args, "steady", "lpips")
        return partial(colorize, task, **own | {"lpips": _lpips(args)})
    if isinstance(task, InpaintingTask):
        from ..visualization.inpaint import inpaint

        own = _own(task, args, "hole", "box", "truth", "lpips")
        truth = partial(_picture_of, args.truth, "--truth") if "truth" in own else None
        more = {"truth": truth, "lpips": _lpips(args), "seed": args.seed}
        return partial(inpaint, task, holes=_holes(args), **more)
    if isinstance(task, Jigsaw):
        from ..visualization.unshuffle import unshuffle

        return partial(unshuffle, task, seed=args.seed, **_own(task, args, "shuffled"))
    raise InputError(
        f"{type(task).__name__} makes nothing that could be applied; give a run of colorization, "
        "chroma_gan, context_encoder, coherent_semantic_attention or jigsaw"
    )


def _lpips(args) -> "Lpips | None":
    from ..visualization.lpips import Lpips

    return Lpips(args.lpips) if args.lpips else None


def _apply_to_text(task: "Task", args) -> int:
    """Prints what a run on text makes of the prompt, and keeps it in OUT."""
    from ..datasets.cache import write_text
    from ..modalities.rng import generator
    from ..tasks.causal_language import CausalLanguage
    from ..tasks.masked_language import MaskedLanguage
    from ..tasks.segment_recurrence import SegmentRecurrence
    from ..training.run_dir import run_tokenizer
    from ..visualization.complete import complete, fill_masks

    if strange := list(given(args, *_MEDIA)):
        raise InputError(
            f"--{strange[0]} does not apply to text; give --prompt TEXT, or --data FILE"
        )
    if isinstance(task, MaskedLanguage):
        own = _own(task, args, "prompt", "top_k")
        words, prompt = run_tokenizer(args.encoder), _prompt(args)
        row = fill_masks(task, words, prompt, most=own.get("top_k", 5))
    elif isinstance(task, CausalLanguage | SegmentRecurrence):
        own = _own(task, args, "prompt", *_DRAWS)
        words, prompt = run_tokenizer(args.encoder), _prompt(args)
        draws = {name: value for name, value in own.items() if name in _DRAWS}
        if ("top_k" in draws or "top_p" in draws) and not draws.get("temperature"):
            raise InputError("--top-k and --top-p narrow draws: give --temperature above 0 too")
        row = complete(task, words, prompt, rng=generator(args.seed, 0, 0), **draws)
    else:
        raise InputError(f"{type(task).__name__} makes no text; give a run of a language task")
    for line in _text_lines(row):
        print(line)
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        write_text(Path(args.out) / "results.jsonl", json.dumps(row, ensure_ascii=False) + "\n")
    return 0


def _text_lines(row: Row) -> list[str]:
    if "masks" not in row:
        n = row["left_out"]
        note = f"left out: the first {n} tokens of the prompt, for which the context has no room"
        return [*([note] if n else []), row["prompt"] + row["text"]]
    found = [
        f"mask {k}: " + ", ".join(f"{c['token']!r} {100 * c['probability']:.1f} %" for c in mask)
        for k, mask in enumerate(row["masks"], 1)
    ]
    return [row["text"], *found]


def _prompt(args) -> str:
    """What --prompt says, or the file that --data names."""
    if args.prompt is not None and args.data:
        raise InputError("--prompt and --data: each is the text; give one")
    if args.prompt is not None:
        return args.prompt
    if not args.data:
        raise InputError("--prompt: a run on text needs one, or --data with a file of text")
    try:
        return Path(args.data).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(
            f"--data {args.data}: no text ({why}), but the run is one on text; give --prompt TEXT "
            "or a file of text"
        ) from None


def _own(task: "Task", args, *taken: str) -> dict[str, Any]:
    options = given(args, *_OWN)
    if strange := [name for name in options if name not in taken]:
        takes, name = (
            ", ".join(f"--{name.replace('_', '-')}" for name in names)
            for names in (taken, strange[:1])
        )
        raise InputError(f"{name} does not apply to {type(task).__name__}; it takes {takes}")
    return options


def _holes(args) -> Callable | None:
    if args.box:
        return partial(_box, args.box)
    return partial(_mask, args.hole) if args.hole else None


def _box(box: list[int], name: str, size: tuple[int, int]):
    import torch

    left, top, wide, high = box
    if top + high > size[0] or left + wide > size[1]:
        raise InputError(f"{name}: the box leaves its {size[1]}×{size[0]} pixels; give another")
    hole = torch.zeros(size, dtype=torch.bool)
    hole[top : top + high, left : left + wide] = True
    return hole


def _mask(path: str, name: str, size: tuple[int, int]):
    mask = _picture_of(path, "--hole", name)
    if tuple(mask.shape[1:]) != size:
        raise InputError(
            f"--hole {path}: {mask.shape[2]}×{mask.shape[1]} pixels, {name} has "
            f"{size[1]}×{size[0]}; give a mask of the same size"
        )
    return mask.float().mean(0) > 127.5


def _picture_of(path: str, option: str, name: str):
    """uint8 [3, H, W]: the file itself, or the one of the same name, whatever its suffix."""
    from ..modalities.decode.reader import read
    from ..modalities.media import Plan

    file = Path(path)
    if file.is_dir():
        beside = sorted((file / name).parent.glob(f"{Path(name).stem}.*"))
        if not beside:
            raise InputError(f"{option} {path}: holds nothing called {Path(name).stem}.*")
        file = beside[0]
    if not file.is_file():
        raise InputError(f"{option} {path}: no such file or folder")
    frames = read(str(file), Plan(times=(0.0,))).frames
    assert frames is not None
    return frames[0]


def _applied(make, source: "Source", out: Path, most: int | None) -> tuple[list[Row], int]:
    """Rows of what was made, each written as it comes, and how many media could not be read."""
    import sys

    from ..datasets.paths import leaves_folder
    from ..modalities.media import MediaError
    from ..progress import progress

    out.mkdir(parents=True, exist_ok=True)
    total, rows, failed = min(len(source), most or len(source)), [], 0
    used: set[Path] = set()
    with open(out / "results.jsonl", "w", encoding="utf-8") as file:
        for i in progress(range(total), total, "applying"):
            name = source.name(i)
            if leaves_folder(name):
                raise InputError(f"{name}: the name leads out of --out")
            where = out / Path(name).with_suffix("")
            # Of a.jpg and a.png the second is written as a.png.png.
            where = out / name if where in used else where
            used.add(where)
            try:
                row = {"name": name, **make(source, i, where)}
            except MediaError as error:
                print(f"FAILED {error}", file=sys.stderr)
                failed += 1
                continue
            row["file"] = str((where.parent / row["file"]).relative_to(out))
            file.write(f"{json.dumps(row, ensure_ascii=False)}\n")
            file.flush()
            rows.append(row)
    return rows, failed


def summary(rows: list[Row]) -> list[str]:
    """The means of all rows, by the hole's share of the picture where there are holes."""
    from ..visualization.fidelity import by_share, means

    if not rows:
        return ["nothing was made"]
    parts = by_share(rows) if all("hole" in row for row in rows) else {"all": rows}
    lines = []
    for name, part in parts.items():
        values = {key: value for key, value in means(part).items() if key != "hole"}
        told = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        what = f"hole {name}" if name != "all" else name
        lines.append(f"{what} ({len(part)}): {told or 'written'}")
    return lines
