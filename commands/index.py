"""Scan a folder of media into an index; what cannot be read is quarantined with the reason.

    pretexto index my_videos --out my_videos.parquet
    pretexto index train.txt --out train.parquet               # a list: path and label a line
    pretexto index ucf101-1:data/ucf101 --out ucf101.parquet   # with its classes and splits

Every file is decoded once, in child processes with limits on time and memory. Interrupted, the
same command goes on where it was; later it scans only what changed.
"""

import os


def arguments(parser) -> None:
    parser.add_argument(
        "path", help="folder of media, a list of them, or a published set: ucf101-1:DIR, …"
    )
    parser.add_argument("--out", required=True, help="Parquet file to write")
    parser.add_argument("--table", help="CSV with path, class, group, split; default: groups.csv")
    parser.add_argument("--fold", help="column of the table that names the splits")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument(
        "--time-limit", type=float, default=60.0, help="seconds per file (default 60)"
    )
    parser.add_argument(
        "--memory-limit", type=int, default=2048, help="megabytes per file (default 2048)"
    )


def run(args) -> int:
    from ..errors import InputError

    for option in ("jobs", "time_limit", "memory_limit"):
        if not getattr(args, option) > 0:
            raise InputError(f"--{option.replace('_', '-')} must be more than 0")
    from ..datasets.index.build import scan
    from ..modalities.decode.sandbox import Limits

    limits = Limits(args.time_limit, args.memory_limit)
    how = {"jobs": args.jobs, "limits": limits, "table": args.table, "fold": args.fold}
    report = scan(args.path, args.out, **how)
    print("\n".join(report.lines()))
    return 0
