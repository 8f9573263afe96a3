"""Features: each example's vectors, extracted once, so that every probe is arithmetic on arrays."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, as_float
from ..progress import progress
from .clip_dataset import ClipSet, loader

if TYPE_CHECKING:
    pass


EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Features:
    """What an encoder makes of a source.

    Attributes:
        vectors: by level, shallow to deep, float32 [V, D]: one row for each clip and crop, example
            after example. The last is "embedding", the encoder's output; the others are means
            over positions.
        counts: int64 [N], how many rows each example has.
        labels: int64 [N], -1 without label.
        indices: int64 [N], the examples' numbers in the source, ascending.
        unreadable: (name, reason) of each example that was dropped.
        unreadable_indices: their numbers in the source, in the same order.
    """

    vectors: dict[str, Tensor]
    counts: Tensor
    labels: Tensor
    indices: Tensor
    unreadable: tuple[tuple[str, str], ...] = ()
    unreadable_indices: tuple[int, ...] = ()

    @property
    def values(self) -> dict[str, Tensor]:
        """By level float32 [N, D], the mean over each example's clips and crops."""
        sizes = self.counts.tolist()
        return {
            level: torch.stack([part.mean(0) for part in x.split(sizes)])
            for level, x in self.vectors.items()
        }

    def to(self, device: str | torch.device) -> "Features":
        """The same on another device, but for the numbers of the examples."""
        vectors = {level: x.to(device) for level, x in self.vectors.items()}
        counts, labels = self.counts.to(device), self.labels.to(device)
        return replace(self, vectors=vectors, counts=counts, labels=labels)


def extract(
    encoder: Encoder,
    source: Source,
    view: InputSpec,
    *,
    clips: int = 1,
    crops: int = 1,
    batch_size: int = 32,
    workers: int = 0,
    device: str = "auto",
    levels: bool = False,
    cache: Path | None = None,
) -> Features:
    """Encodes every readable example of a source; the encoder is left exactly as it was.

    Args:
        clips: evenly spaced clips (stretches of sound) per medium; images have one.
        crops: 1 (centre) or 3 (along the longer side) squares per clip.
        batch_size: encoder inputs per pass.
        workers: processes that read files; 0 reads in this one.
        device: "auto" takes the GPU if there is one.
        levels: also the globally averaged map of every level but the deepest, where that one's
            average is the embedding anyway.
        cache: folder in which features are kept, keyed by weights, view, clips, crops and source.

    Raises:
        InputError: encoder and view do not fit, nothing could be read, or a feature is not finite.
    """
    check_fit(encoder, view, clips, crops)
    file = cache and cache_file(cache, encoder, source, view, clips, crops, levels)
    reading = ClipSet(source, view, clips, crops)
    found = file and load_features(file, reading)
    if found:
        return Features(**found)
    place = _device(device)
    with frozen(encoder, place):
        features = _extract(encoder, reading, batch_size, workers, place, levels)
    if file:
        save_features(file, features)
    return features


def check_fit(encoder: Encoder, view: InputSpec, clips: int, crops: int) -> None:
    """Raises InputError, in words for the user, if these cannot go together."""
    if view.modality not in ("image", "video", "audio"):
        raise InputError(
            f"{view.modality} encoders cannot be evaluated yet: use image, video, audio"
        )
    if encoder.modality != view.modality:
        raise InputError(
            f"the encoder is for {encoder.modality}, the view for {view.modality}: give the view "
            "that the encoder was trained with"
        )
    if view.modality == "audio" and encoder.rate != view.rate:
        raise InputError(f"the encoder expects {encoder.rate} Hz, the view gives {view.rate} Hz")
    check_looks(view, clips, crops)


def check_looks(view: InputSpec, clips: int, crops: int) -> None:
    """Raises InputError if a medium cannot be looked at so many times."""
    if clips < 1:
        raise InputError(f"clips is {clips}: at least one clip per medium is needed")
    if crops not in (1, 3):
        raise InputError(f"crops is {crops}: take 1 (centre) or 3 (along the longer side)")
    if crops > 1 and view.modality == "audio":
        raise InputError("sound has no crops: leave crops at 1")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def frozen(encoder: Encoder, device: torch.device) -> Iterator[None]:
    """The encoder on the device in eval mode without gradients; afterwards as it was before."""
    modes = [(module, module.training) for module in encoder.modules()]
    home = next((t.device for t in _tensors(encoder)), device)
    encoder.eval().to(device)
    try:
        with torch.inference_mode():
            yield
    finally:
        encoder.to(home)
        for module, mode in modes:
            module.training = mode


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _extract(
    encoder: Encoder,
    reading: ClipSet,
    batch_size: int,
    workers: int,
    device: torch.device,
    levels: bool,
) -> Features:
    batches = loader(reading, batch_size, workers, pin=device.type == "cuda")
    indices: list[int] = []
    sizes: list[int] = []
    parts: dict[str, list[Tensor]] = {}
    failed: list[tuple[int, str]] = []
    for numbers, counts, stack, failures in progress(batches, len(batches), "features"):
        failed += failures
        if stack is None:
            continue
        indices += numbers
        sizes += counts
        for level, x in encode(encoder, stack, batch_size, device, levels).items():
            parts.setdefault(level, []).append(x.cpu())
    source = reading.source
    if not indices:
        first = f"; the first: {source.name(failed[0][0])}: {failed[0][1]}" if failed else ""
        raise InputError(f"none of {len(source)} examples could be read{first}")
    return Features(
        vectors={level: _finite(torch.cat(xs), level) for level, xs in parts.items()},
        counts=torch.tensor(sizes),
        labels=torch.tensor([source.label(i) for i in indices]),
        indices=torch.tensor(indices),
        unreadable=tuple((source.name(i), reason) for i, reason in failed),
        unreadable_indices=tuple(i for i, _ in failed),
    )


def encode(
    encoder: Encoder, stack: Tensor, batch_size: int, device: torch.device, levels: bool
) -> dict[str, Tensor]:
    """Vectors float32 [V, D] by level of the inputs [V, …], `batch_size` at a time."""
    out: dict[str, list[Tensor]] = {}
    for chunk in stack.split(batch_size):
        x = as_float(chunk.to(device, non_blocking=True))
        for level, value in _vectors(encoder, x, levels).items():
            out.setdefault(level, []).append(value.float())
    return {level: torch.cat(values) for level, values in out.items()}


def _vectors(encoder: Encoder, x: Tensor, levels: bool) -> dict[str, Tensor]:
    if not levels:
        return {EMBEDDING: encoder(x)}
    pooled = _pooled_maps(encoder, x)
    if _embeds_by_default(encoder):
        # The embedding is the deepest map's average: neither a second pass nor the row twice.
        return {**dict(list(pooled.items())[:-1]), EMBEDDING: list(pooled.values())[-1]}
    return {**pooled, EMBEDDING: encoder(x)}


def _embeds_by_default(encoder: Encoder) -> bool:
    cls = type(encoder)
    return cls.embed is Encoder.embed and cls.forward is Encoder.forward


def _pooled_maps(encoder: Encoder, x: Tensor) -> dict[str, Tensor]:
    """Each level's map averaged over its positions, and over frames where those go in alone."""
    per_frame = encoder.modality == "image" and x.ndim == 5
    count = x.shape[2] if per_frame else 1
    maps = encoder.maps(x.transpose(1, 2).flatten(0, 1) if per_frame else x)
    pooled = {k: m.flatten(2).mean(2) if m.ndim > 2 else m for k, m in maps.items()}
    return {k: p.unflatten(0, (-1, count)).mean(1) for k, p in pooled.items()}


def _finite(x: Tensor, level: str) -> Tensor:
    if not torch.isfinite(x).all():
        raise InputError(f"features of level {level} are not finite: is this encoder trained?")
    return x


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
    view: InputSpec,
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
