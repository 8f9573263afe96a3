"""What a folder of packed text holds: its manifest, checked before anything is read."""

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ...errors import InputError
from ...modalities.tokenizer import Tokenizer, load_tokenizer
from ..cache import sha256, write_json

MANIFEST, TOKENIZER, INDEX = "text.json", "tokenizer.json", "documents.parquet"
_FORMAT = "pretexto-text-1"
_SHARD = re.compile(r"tokens-\d{5}\.bin")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of tokens: name within the folder, tokens, SHA-256."""

    name: str
    tokens: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TextManifest:
    """What a folder of packed text holds.

    Attributes:
        dtype: of a token on disk, "uint16" or "uint32", little-endian.
        vocabulary: size of the tokenizer's.
        tokenizer: SHA-256 of tokenizer.json.
        documents: how many.
        tokens: of all of them, the one that ends each included.
        bytes: of UTF-8 that they stand for.
        classes: names of the labels, in the order of their numbers; empty without labels.
        splits: names of the splits, likewise.
        shards: files of tokens, in their order; one document may lie in two of them.
    """

    dtype: str
    vocabulary: int
    tokenizer: str
    documents: int
    tokens: int
    bytes: int
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    shards: tuple[Shard, ...]

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(self.tokens, 1)

    def write(self, folder: Path) -> None:
        """Puts it into the folder, whole or not at all."""
        write_json(folder / MANIFEST, {"format": _FORMAT, **asdict(self)})


def read_manifest(folder: Path) -> TextManifest:
    """Reads and checks a manifest; files of tokens must have the size that it says.

    Raises:
        InputError: none there, a damaged one, or files that are missing or cut off.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError(f"of another format, {values['format']}")
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        for name in ("classes", "splits"):
            values[name] = tuple(map(str, values[name]))
        manifest = TextManifest(**{f.name: values[f.name] for f in fields(TextManifest)})
        _check(manifest)
    except OSError as error:
        raise InputError(f"{folder}: no packed text: {MANIFEST} {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); pack again") from None
    for shard in manifest.shards:
        _check_size(folder / shard.name, shard.tokens * width(manifest))
    return manifest


def width(manifest: TextManifest) -> int:
    """Bytes of a token on disk."""
    return 2 if manifest.dtype == "uint16" else 4


def _check(manifest: TextManifest) -> None:
    if manifest.dtype not in ("uint16", "uint32"):
        raise ValueError(f"tokens of the type {manifest.dtype}")
    for shard in manifest.shards:
        if not _SHARD.fullmatch(shard.name):
            raise ValueError(f"a shard named {shard.name!r}")
    if sum(shard.tokens for shard in manifest.shards) != manifest.tokens:
        raise ValueError("its shards do not hold as many tokens as it says")


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        has = "is missing" if found is None else f"has {found} bytes instead of {size}"
        raise InputError(f"{path}: {has}; pack again")


def read_tokenizer(folder: Path, manifest: TextManifest) -> Tokenizer:
    """The tokenizer that the text was packed with.

    Raises:
        InputError: another one, or one of another vocabulary size.
    """
    tokenizer = load_tokenizer(folder / TOKENIZER)
    if tokenizer.vocabulary.size != manifest.vocabulary:
        raise InputError(
            f"{folder / TOKENIZER}: a vocabulary of {tokenizer.vocabulary.size} tokens, but the "
            f"text was packed with one of {manifest.vocabulary}; pack again"
        )
    if tokenizer.vocabulary.sha256 != manifest.tokenizer:
        raise InputError(
            f"{folder / TOKENIZER}: not the tokenizer that the text was packed with; pack again"
        )
    return tokenizer


def verify(folder: Path) -> dict[str, str]:
    """What is wrong with which file of tokens; reads every byte."""
    manifest = read_manifest(folder)
    return {
        shard.name: "has other content than was written"
        for shard in manifest.shards
        if sha256(folder / shard.name) != shard.sha256
    }
