"""From what a user writes to a source: "synthetic", or the path of a folder or file."""

import difflib
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..modalities.decode.sandbox import Limits
from ..modalities.media import Kind
from .archive import IN_PLACE, Archive
from .flow_images import PREFIX as FLOW_IMAGES
from .flow_images import open_flow_images
from .folder import Folder, nearest
from .listed import is_list, open_list
from .lookup import check_kinds
from .masked import PREFIX as MASKS
from .masked import open_masks
from .packs.format import NAME as MANIFEST
from .packs.storage import is_url
from .public.by_name import is_published, open_published
from .source import Source, Subset
from .synthetic.source import Synthetic
from .text.format import MANIFEST as TEXT

SYNTHETIC = {"synthetic": "all", "synthetic:train": "train", "synthetic:test": "test"}
SYNTHETIC_TEXT = {"synthetic:text": "train", "synthetic:text-test": "test",
                  "synthetic:text-labelled": "labelled"}  # fmt: skip


def open_source(
    spec: str,
    split: str | None = None,
    *,
    kind: Kind | None = None,
    table: str | None = None,
    fold: str | None = None,
    isolated: Limits | None = None,
    unique: bool = False,
) -> Source:
    """The source that a specification names.

    Args:
        spec: "synthetic", "synthetic:train", "synthetic:test", "synthetic:text", or a path: a
            folder of media, an index (.parquet), a list (.csv, .tsv, .txt, .jsonl), also as
            LIST:FOLDER, an archive that is read in place (.zip, .tar), a folder of packs, also as
            a URL such as s3://bucket/packs, or of packed text; or a published data set, see
            `open_published`; or extracted flow, see `open_flow_images`; or pictures with masks, see
            `open_masks`. A folder that is itself called so is written "./synthetic".
        split: take only the examples of this split or fold.
        kind: of a folder, a list or an index: which media to take, where there are several kinds.
        table: of a folder; see `Folder`.
        fold: of a folder or a list: the column that names the splits.
        isolated: decode the files in a child process, under these limits.
        unique: of an index: of files with the same content leave out all but the first.

    Raises:
        InputError: no such source or split, or an option that the source does not take.
    """
    options = {"kind": kind, "table": table, "fold": fold, "isolated": isolated}
    options["unique"] = unique or None
    source = _open(spec, {name: value for name, value in options.items() if value is not None})
    return source if split is None else only_split(source, split, spec)


def _open(spec: str, options: dict[str, Any]) -> Source:
    if spec in SYNTHETIC:
        _check(spec, options, "the synthetic world")
        return Synthetic(SYNTHETIC[spec])  # pyright: ignore[reportArgumentType]
    if spec in SYNTHETIC_TEXT:
        _check(spec, options, "the synthetic world")
        from .synthetic.text import synthetic_text

        return synthetic_text(SYNTHETIC_TEXT[spec])  # pyright: ignore[reportArgumentType]
    if spec.startswith(FLOW_IMAGES):
        _check(spec, options, "images of flow", "table", "fold")
        return open_flow_images(spec, **options)
    if spec.startswith(MASKS):
        _check(spec, options, "pictures with masks", "isolated")
        return open_masks(spec, **options)
    if is_published(spec):
        _check(spec, options, "a published data set", "isolated")
        return open_published(spec, **options)
    path = Path(spec).expanduser()
    if is_url(spec) or (path / MANIFEST).is_file():
        _check(spec, options, "packs")
        from .packs.source import Packs

        return Packs(spec if is_url(spec) else path)
    if (path / TEXT).is_file():
        _check(spec, options, "packed text")
        from .text.source import Tokens

        return Tokens(path)
    if is_list(spec):
        _check(spec, options, "a list", "kind", "fold", "isolated")
        return open_list(spec, **options)
    if not path.exists():
        raise InputError(_unknown(spec, path))
    if path.suffix == ".parquet":
        _check(spec, options, "an index", "kind", "isolated", "unique")
        return _index(path, options)
    if path.suffix.lower() in IN_PLACE and path.is_file():
        _check(spec, options, "an archive", "kind")
        return Archive(path, **options)
    _check(spec, options, "a folder", "kind", "table", "fold", "isolated")
    return Folder(path, **options)


def _check(spec: str, options: dict[str, Any], what: str, *taken: str) -> None:
    """Raises InputError for options that this kind of source does not take."""
    if strange := [name for name in options if name not in taken]:
        remedy = "index it first" if strange[0] == "unique" and "table" in taken else "leave it out"
        raise InputError(f"{spec}: {strange[0]} does not apply to {what}; {remedy}")


def _index(path: Path, options: dict[str, Any]) -> Source:
    from .index.source import Index

    index = Index(path, **options)
    if "kind" not in options or not len(index):
        check_kinds(Index(path).kinds(), options.get("kind"), path)
    return index


def _unknown(spec: str, path: Path) -> str:
    close = difflib.get_close_matches(spec, [*SYNTHETIC, *SYNTHETIC_TEXT], 1)
    if close:
        return f"{spec}: no such source; did you mean {close[0]}?"
    return f"{spec}: no such folder or file{nearest(path)} (or take {', '.join(SYNTHETIC)})"


def only_split(source: Source, split: str, spec: str = "data") -> Source:
    """The examples of one split or fold. Raises InputError, naming those that exist."""
    chosen = source.rows_of_split(split)
    if len(chosen):
        return Subset(source, chosen)
    known = sorted(set(source.splits()) - {""})
    has = f"it has {', '.join(known)}" if known else "it names no splits"
    close = difflib.get_close_matches(split, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(f"{spec}: no split {split!r}; {has}{hint}")
