"""From what a user writes to a source: "synthetic", or the path of a folder or file."""

import difflib
from pathlib import Path

from ..errors import InputError
from ..modalities.decode.sandbox import Limits
from ..modalities.media import Kind
from .folder import Folder, nearest
from .packs.format import NAME as MANIFEST
from .packs.storage import is_url
from .public.by_name import is_published, open_published
from .source import Source, Subset
from .synthetic.source import Synthetic

SYNTHETIC = {"synthetic": "all", "synthetic:train": "train", "synthetic:test": "test"}


def open_source(
    spec: str,
    split: str | None = None,
    *,
    kind: Kind | None = None,
    table: str | None = None,
    fold: str | None = None,
    isolated: Limits | None = None,
) -> Source:
    """The source that a specification names.

    Args:
        spec: "synthetic", "synthetic:train", "synthetic:test", or a path: a folder of media, an
            index (.parquet), a folder of packs, also as a URL such as s3://bucket/packs; or
            a published data set, see `open_published`. A folder that is itself called so is
            written "./synthetic".
        split: take only the examples of this split or fold.
        kind, table, fold: of a folder; see `Folder`.
        isolated: decode the files of a folder or an index in a child process, under these limits.

    Raises:
        InputError: no such source or split, or an option that the source does not take.
    """
    source = _open(spec, kind, table, fold, isolated)
    return source if split is None else only_split(source, split, spec)


def _open(
    spec: str, kind: Kind | None, table: str | None, fold: str | None, isolated: Limits | None
) -> Source:
    given = [name for name, value in (("kind", kind), ("table", table), ("fold", fold)) if value]
    if given and (spec in SYNTHETIC or is_published(spec)):
        raise InputError(f"{spec}: {given[0]} applies to folders only; leave it out")
    if is_published(spec):
        return open_published(spec, isolated)
    if spec not in SYNTHETIC:
        path = Path(spec).expanduser()
        if is_url(spec) or (path / MANIFEST).is_file():
            return _packs(spec if is_url(spec) else path)
        if not path.exists():
            raise InputError(_unknown(spec, path))
        if path.suffix == ".parquet":
            from .index.source import Index

            return Index(path, isolated=isolated)
        return Folder(path, table, kind=kind, fold=fold, isolated=isolated)
    return Synthetic(SYNTHETIC[spec])  # pyright: ignore[reportArgumentType]


def _packs(path: str | Path) -> Source:
    from .packs.source import Packs

    return Packs(path)


def _unknown(spec: str, path: Path) -> str:
    close = difflib.get_close_matches(spec, SYNTHETIC, 1)
    if close:
        return f"{spec}: no such source; did you mean {close[0]}?"
    return f"{spec}: no such folder or file{nearest(path)} (or take {', '.join(SYNTHETIC)})"


def only_split(source: Source, split: str, spec: str = "data") -> Source:
    """The examples of one split or fold. Raises InputError, naming those that exist."""
    chosen = [i for i in range(len(source)) if source.split(i) == split]
    if chosen:
        return Subset(source, chosen)
    known = sorted({source.split(i) for i in range(len(source))} - {""})
    has = f"it has {', '.join(known)}" if known else "it names no splits"
    close = difflib.get_close_matches(split, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(f"{spec}: no split {split!r}; {has}{hint}")
