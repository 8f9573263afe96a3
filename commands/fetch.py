"""Download a published data set, check it, and unpack it into the layout that it is read in.

    pretexto fetch ucf101 --out data/ucf101
    pretexto fetch hmdb51 --out data/hmdb51

Interrupted, the same command goes on where it was. The archives are rar, for which `bsdtar` or
`unrar` must be installed; they stay in DIR/archives and may be deleted afterwards. Look at the
terms of use on the data set's own page first.
"""

from pathlib import Path


def arguments(parser) -> None:
    parser.add_argument("name", help="ucf101 (7 GB) or hmdb51 (2 GB)")
    parser.add_argument("--out", required=True, help="folder to fill")


def run(args) -> int:
    from ..cli import suggest
    from ..datasets.public.download import CATALOGUE, fetch
    from ..errors import InputError

    if args.name not in CATALOGUE:
        raise InputError(
            f"no data set {args.name!r} to fetch{suggest(args.name, CATALOGUE)}; there are "
            f"{', '.join(CATALOGUE)}"
        )
    print("\n".join(fetch(CATALOGUE[args.name], Path(args.out))))
    return 0
