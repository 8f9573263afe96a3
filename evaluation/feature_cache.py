"""Features on disk: one file for each encoder, data set and way of looking at it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..encoders.encoder import Encoder
from .clip_dataset import ClipSet

FORMAT = 3
PEEKED = 8
PER_EXAMPLE = ("counts", "labels", "indices")
TOKENS = "tokens"


def weights_hash(encoder: Encoder) -> str:
    """Sha-256 over an encoder's class, arguments, and named weights and buffers."""
    cls = type(encoder)
    digest = hashlib.sha256(f"{cls.__module__}.{cls.__qualname__}".encode())
    digest.update(repr(sorted(encoder.arguments.items())).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
        digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def cache_file(folder: Path, encoder: Encoder, clips: ClipSet, precision: str) -> Path:
    """Where the features of exactly this encoder, data and protocol belong.

    Levels and tokens have no file of their own: one that holds more answers for less.
    """
    source = clips.source
    key = [FORMAT, weights_hash(encoder), clips.spec.plain(), clips.clips, clips.crops, precision]
    key += [source.fingerprint(), _peek(ClipSet(source, clips.spec, 1, 1))]
    return Path(folder) / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.safetensors"


def _peek(clips: ClipSet) -> str:
    """A hash of what a few examples look like: a fingerprint holds names, not content."""
    digest = hashlib.sha256()
    step = max(1, len(clips) // PEEKED)
    for i in range(0, len(clips), step):
        _, value = clips[i]
        digest.update(b"unreadable" if isinstance(value, str) else value.numpy().tobytes())
    return digest.hexdigest()


def save_features(file: Path, fields: Mapping[str, Any]) -> None:
    """Writes the fields of Features whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {
        f"level/{k}": v.contiguous() for k, v in fields["vectors"].items()
    }
    tensors |= {name: fields[name] for name in PER_EXAMPLE}
    if fields[TOKENS] is not None:
        tensors[TOKENS] = fields[TOKENS].contiguous()
    failed = [
        [i, *why] for i, why in zip(fields["unreadable_indices"], fields["unreadable"], strict=True)
    ]
    notes = {"levels": json.dumps(list(fields["vectors"])), "unreadable": json.dumps(failed)}
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=notes)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def stored(file: Path) -> tuple[list[str], bool]:
    """Which levels a file holds, and whether tokens; none where it is missing or damaged."""
    try:
        with safe_open(file, "pt") as tensors:
            return json.loads(tensors.metadata()["levels"]), TOKENS in tensors.keys()  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError):
        return [], False


def load_features(
    file: Path, clips: ClipSet, levels: list[str], tokens: bool
) -> dict[str, Any] | None:
    """The fields of Features, or None if the file is damaged or a dropped example reads by now."""
    try:
        with safe_open(file, "pt") as tensors:
            failed = json.loads(tensors.metadata()["unreadable"])
            vectors = {level: tensors.get_tensor(f"level/{level}") for level in levels}
            fields = {name: tensors.get_tensor(name) for name in PER_EXAMPLE}
            parts = tensors.get_tensor(TOKENS) if tokens else None
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError):
        return None
    if any(isinstance(clips[i][1], Tensor) for i, _, _ in failed):
        return None
    return {
        "vectors": vectors,
        TOKENS: parts,
        **fields,
        "unreadable": tuple((name, reason) for _, name, reason in failed),
        "unreadable_indices": tuple(i for i, _, _ in failed),
    }
