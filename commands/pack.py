"""Transcode an index into packs: JPEG frames and sound that load without a video decoder.
With --tokenizer, pack text as tokens.

    pretexto pack my_videos.parquet --out my_videos_packed
    pretexto pack my_videos.parquet --out my_videos_packed --flow dis --interval 0.08
    pretexto pack --verify my_videos_packed
    pretexto pack corpus.txt --tokenizer bpe:8192 --documents blank --out corpus_packed

Interrupted, the same command goes on after the last finished shard.
"""

import os


def arguments(parser) -> None:
    parser.add_argument(
        "index", nargs="?", help="made by `pretexto index`; or text, with --tokenizer"
    )
    parser.add_argument("--out", help="folder to write")
    parser.add_argument("--verify", metavar="DIR", help="only check every byte of a pack")
    parser.add_argument(
        "--short-side", type=int, default=128, help="pixels of the shorter side (default 128)"
    )
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs, 1-100 (default 90)")
    parser.add_argument(
        "--chroma", choices=("420", "422", "444"), default="420", help="default 420"
    )
    parser.add_argument(
        "--audio-rate", type=int, default=16000, help="Hz, 0: no sound (default 16000)"
    )
    parser.add_argument("--fps", default="all", help="frames per second to keep, or all (default)")
    parser.add_argument(
        "--flow",
        metavar="METHOD",
        help="also store optical flow: dis, dis-fast, dis-ultrafast, farneback, tvl1, "
        "raft_small:FILE.safetensors or :download, raft_large likewise (docs/motion.md)",
    )
    parser.add_argument(
        "--interval", type=float, default=0.08, help="seconds that flow is over (default 0.08)"
    )
    parser.add_argument(
        "--flow-bits", type=int, choices=(8, 16), default=16, help="of its values (default 16)"
    )
    parser.add_argument("--flow-backward", action="store_true", help="also flow back in time")
    parser.add_argument("--strict", action="store_true", help="leave out damaged files")
    parser.add_argument("--unique", action="store_true", help="leave out copies of other files")
    parser.add_argument("--shard-size", type=int, default=256, help="megabytes (default 256)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument(
        "--time-limit", type=float, default=600.0, help="seconds per file (default 600)"
    )
    parser.add_argument(
        "--memory-limit", type=int, default=4096, help="megabytes per file (default 4096)"
    )
    _text_arguments(parser)


def _text_arguments(parser) -> None:
    parser.add_argument(
        "--tokenizer",
        help="pack text, as tokens of: bytes, bpe:SIZE or wordpiece:SIZE (trained on it), or of a "
        "tokenizer.json",
    )
    parser.add_argument(
        "--documents",
        choices=("line", "blank", "file"),
        help="one a line (default), between blank lines, or one a file",
    )
    for name in ("text", "label", "split"):
        parser.add_argument(
            f"--{name}-column", metavar="NAME", help=f"of a table of text (default {name})"
        )


def run(args) -> int:
    from ..errors import InputError

    if args.verify:
        return _verify(args.verify)
    if args.tokenizer:
        return _pack_text(args)
    for name in ("documents", "text_column", "label_column", "split_column"):
        if getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')} is for text: give --tokenizer too")
    if not (args.index and args.out):
        raise InputError("pack needs INDEX and --out DIR, or --verify DIR")
    fps = _checked(args)
    from ..datasets.packs.transcode import PackSettings
    from ..datasets.packs.write import pack
    from ..modalities.decode.sandbox import Limits

    settings = PackSettings(
        short_side=args.short_side,
        quality=args.quality,
        chroma=args.chroma,
        audio_rate=args.audio_rate,
        fps=fps,
        flow=args.flow,
        flow_interval=args.interval,
        flow_bits=args.flow_bits,
        flow_backward=args.flow_backward,
    )
    manifest = pack(
        args.index,
        args.out,
        settings,
        jobs=args.jobs,
        limits=Limits(args.time_limit, args.memory_limit),
        strict=args.strict,
        unique=args.unique,
        shard_bytes=args.shard_size * 2**20,
    )
    for entry in manifest.quarantine:
        print(f"  left out: {entry['path']}: {entry['stage']}: {entry['reason']}")
    size = sum(file.bytes for file in manifest.shards) / 2**20
    if flow := manifest.flow:
        kind = f"{flow['method']} ({flow['preset']}) over {flow['interval']:g} s"
        print(f"flow: {kind}: {flow['pairs']} pairs of frames", end="")
        print(f"; clips without any: {n}" if (n := flow["clips_without"]) else "")
    left = f", {len(manifest.quarantine)} files left out" if manifest.quarantine else ""
    print(f"packs: {args.out}: {len(manifest.shards)} shards, {size:.1f} MiB{left}")
    return 0


def _pack_text(args) -> int:
    from functools import partial

    from ..datasets.text.documents import Columns, read_documents
    from ..datasets.text.write import pack_text, tokenizer_for
    from ..errors import InputError
    from ..progress import progress

    if not (args.index and args.out):
        raise InputError("pack --tokenizer needs the text and --out DIR")
    if not args.shard_size > 0:
        raise InputError("--shard-size must be more than 0")
    named = {name: getattr(args, f"{name}_column") for name in ("text", "label", "split")}
    columns = Columns(**{name: value for name, value in named.items() if value})
    read = partial(read_documents, args.index, args.documents or "line", columns)
    tokenizer = tokenizer_for(args.tokenizer, read)
    pieces = progress(read(), 0, "packing")
    made = pack_text(pieces, args.out, tokenizer, shard_bytes=args.shard_size * 2**20)
    print(
        f"text: {args.out}: {made.documents} documents, {made.tokens} tokens of "
        f"{made.vocabulary}, {made.bytes_per_token:.2f} bytes each"
    )
    return 0


def _checked(args) -> float | None:
    """The frame rate wanted, None for all; refuses what makes no sense."""
    from ..errors import InputError

    for option in ("short_side", "interval", "jobs", "time_limit", "memory_limit", "shard_size"):
        if not getattr(args, option) > 0:
            raise InputError(f"--{option.replace('_', '-')} must be more than 0")
    if not 1 <= args.quality <= 100:
        raise InputError("--quality must be 1 … 100")
    if args.audio_rate < 0:
        raise InputError("--audio-rate must be a rate in Hz, or 0 for no sound")
    if args.fps == "all":
        return None
    try:
        fps = float(args.fps)
    except ValueError:
        fps = 0.0
    if not 0 < fps < 1e6:
        raise InputError(f"--fps {args.fps}: give a number of frames per second, or all")
    return fps


def _verify(folder: str) -> int:
    from pathlib import Path

    from ..datasets.packs.format import verify
    from ..datasets.text.format import MANIFEST as TEXT
    from ..datasets.text.format import verify as verify_text
    from ..progress import progress

    if (Path(folder) / TEXT).is_file():
        wrong = verify_text(Path(folder))
        print("\n".join(f"{folder}/{name}: {fault}" for name, fault in wrong.items()))
        print(f"{folder}: {len(wrong) or 'no'} damaged files")
        return 1 if wrong else 0
    faults = 0
    count = 0
    for name, fault in progress(verify(Path(folder)), 0, "verifying"):
        count += 1
        if fault:
            faults += 1
            print(f"{folder}/{name}: {fault}")
    print(f"{folder}: {count} files, {faults or 'none'} damaged")
    return 1 if faults else 0
