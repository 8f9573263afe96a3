"""Features on disk: a second evaluation of the same encoder reads them instead of the media."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..modalities.view import View
from .loading import ClipSet

if TYPE_CHECKING:
    from .features import Features

FORMAT = 2
PEEKED = 8
_PER_EXAMPLE = ("counts", "labels", "indices")


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


def cache_file(
    folder: Path,
    encoder: Encoder,
    source: Source,
    view: View,
    clips: int,
    crops: int,
    levels: bool,
) -> Path:
    """Where the features of exactly this encoder, data and protocol belong."""
    key = [FORMAT, weights_hash(encoder), asdict(view), clips, crops, levels]
    key += [source.fingerprint(), _peek(ClipSet(source, view, 1, 1))]
    return Path(folder) / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.safetensors"


def _peek(reading: ClipSet) -> str:
    """A hash of what a few examples look like: a fingerprint holds names, not content."""
    digest = hashlib.sha256()
    step = max(1, len(reading) // PEEKED)
    for i in range(0, len(reading), step):
        _, value = reading[i]
        digest.update(b"unreadable" if isinstance(value, str) else value.numpy().tobytes())
    return digest.hexdigest()


def save_features(file: Path, features: "Features") -> None:
    """Writes the file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"level/{k}": v.contiguous() for k, v in features.vectors.items()}
    tensors |= {name: getattr(features, name) for name in _PER_EXAMPLE}
    failed = [
        [i, *why] for i, why in zip(features.unreadable_indices, features.unreadable, strict=True)
    ]
    notes = {"levels": json.dumps(list(features.vectors)), "unreadable": json.dumps(failed)}
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=notes)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def load_features(file: Path, reading: ClipSet) -> dict[str, Any] | None:
    """The fields of Features, or None if they are not there or a dropped file reads by now."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as stored:
            notes = stored.metadata()
            levels = json.loads(notes["levels"])
            vectors = {k: stored.get_tensor(f"level/{k}") for k in levels}
            others = {name: stored.get_tensor(name) for name in _PER_EXAMPLE}
            failed = json.loads(notes["unreadable"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError):
        return None
    if any(isinstance(reading[i][1], Tensor) for i, _, _ in failed):
        return None
    return {
        "vectors": vectors,
        **others,
        "unreadable": tuple((name, reason) for _, name, reason in failed),
        "unreadable_indices": tuple(i for i, _, _ in failed),
    }
