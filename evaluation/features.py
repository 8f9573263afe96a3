"""Features: each example's vectors, extracted once, so that every probe is arithmetic on arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, as_float
from ..progress import progress
from .clip_dataset import ClipSet, loader
from .distributed import gather, gather_rows, own_part, rank
from .feature_cache import TOKENS, cache_file, load_features, save_features, stored
from .text_fit import check_text

EMBEDDING = "embedding"
HELD = 2**28  # bytes of results that a device holds before they are brought to the host
VALUES = 2**26  # input values of one pass on a GPU: 445 pictures of 224 pixels
WIDTH = 768  # numbers that a token of text is taken to be
MOST_TOKENS = 2**33  # bytes of tokens that are kept in memory


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
        tokens: bfloat16 [V, P, C], the deepest map at each of its P positions, no numbers (NaN)
            behind the end of a text; None if not asked.
    """

    vectors: dict[str, Tensor]
    counts: Tensor
    labels: Tensor
    indices: Tensor
    unreadable: tuple[tuple[str, str], ...] = ()
    unreadable_indices: tuple[int, ...] = ()
    tokens: Tensor | None = None

    @property
    def values(self) -> dict[str, Tensor]:
        """By level float32 [N, D], the mean over each example's clips and crops."""
        return {
            level: torch.segment_reduce(x, "mean", lengths=self.counts, axis=0)
            for level, x in self.vectors.items()
        }

    def to(self, device: str | torch.device) -> "Features":
        """The same on another device, but for the numbers of the examples."""
        vectors = {level: x.to(device) for level, x in self.vectors.items()}
        counts, labels = self.counts.to(device), self.labels.to(device)
        tokens = None if self.tokens is None else self.tokens.to(device)
        return replace(self, vectors=vectors, counts=counts, labels=labels, tokens=tokens)


def extract(
    encoder: Encoder,
    source: Source,
    spec: InputSpec,
    *,
    clips: int = 1,
    crops: int = 1,
    batch_size: int | None = None,
    workers: int = 0,
    device: str = "auto",
    levels: bool = False,
    tokens: bool = False,
    cache: Path | None = None,
    shared: bool = False,
) -> Features:
    """Encodes every readable example of a source; the encoder is left exactly as it was.

    On CUDA the encoder computes in bfloat16 where that is safe (autocast).

    Args:
        clips: evenly spaced clips (segments of sound, spans of text) per medium; images have one.
        crops: 1 (centre) or 3 (along the longer side) squares per clip.
        batch_size: encoder inputs per pass; None: 32 on a CPU, what a GPU holds with ease there.
        workers: processes that read files; 0 reads in this one.
        device: "auto" takes the GPU if there is one.
        levels: also the globally averaged map of every level but the deepest, where that one's
            average is the embedding anyway.
        tokens: also the deepest map at each of its positions, for the attentive probe.
        cache: folder in which features are kept, keyed by weights, spec, clips, crops and source.
        shared: every process of torch.distributed makes this call; each encodes its part, and all
            get the whole.

    Raises:
        InputError: encoder and spec do not fit, nothing could be read, a feature is not finite,
            or tokens fill the memory.
    """
    check_fit(encoder, spec, clips, crops)
    if spec.modality == "text":
        check_text(encoder, spec, source)
    clip_set, place = ClipSet(source, spec, clips, crops), device_of(device)
    file = cache and cache_file(cache, encoder, clip_set, precision(place))
    there, has_tokens = stored(file) if file else ([], False)
    found = None
    if file and there and (len(there) > 1 or not levels) and (has_tokens or not tokens):
        found = load_features(file, clip_set, there if levels else [EMBEDDING], tokens)
    # What one process of several lacks, all of them make anew together.
    if all(gather(found is not None)) if shared else found is not None:
        return Features(**found)  # type: ignore[arg-type]
    batch_size = batch_size or default_batch(spec, place)
    wanted = {"levels": levels or len(there) > 1, "tokens": tokens or has_tokens}
    with frozen(encoder, place):
        features = _Extraction(clip_set, batch_size, place, **wanted).run(encoder, workers, shared)
    if file and not (shared and rank()):
        save_features(file, {f.name: getattr(features, f.name) for f in fields(features)})
    return _only_asked(features, levels, tokens)


def _only_asked(features: Features, levels: bool, tokens: bool) -> Features:
    """Without what was only kept because an earlier call had asked for it."""
    vectors = features.vectors if levels else {EMBEDDING: features.vectors[EMBEDDING]}
    return replace(features, vectors=vectors, tokens=features.tokens if tokens else None)


def default_batch(spec: InputSpec, device: torch.device) -> int:
    """Encoder inputs per pass."""
    if device.type != "cuda":
        return 32
    pixels = 3 * max(spec.frames, 1) * spec.size**2
    values = pixels or round(spec.seconds * spec.rate) or WIDTH * (spec.length or 0)
    return max(1, min(1024, VALUES // values))


def precision(device: torch.device) -> str:
    """What the encoder computes in: "bf16" on CUDA, "32" elsewhere."""
    return "bf16" if device.type == "cuda" else "32"


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision with bfloat16 on CUDA, full precision elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == "bf16")


def check_fit(encoder: Encoder, spec: InputSpec, clips: int, crops: int) -> None:
    """Raises InputError, in words for the user, if these cannot go together."""
    if encoder.modality != spec.modality:
        raise InputError(
            f"the encoder is for {encoder.modality}, the input asked for is {spec.modality}: give "
            "the input spec that the encoder was trained with"
        )
    if spec.modality == "audio" and encoder.rate != spec.rate:
        raise InputError(
            f"the encoder expects {encoder.rate} Hz, the input spec gives {spec.rate} Hz"
        )
    check_clips(spec, clips, crops)


def check_clips(spec: InputSpec, clips: int, crops: int) -> None:
    """Raises InputError if no medium gives so many clips and crops."""
    if clips < 1:
        raise InputError(f"clips is {clips}: at least one clip per medium is needed")
    if crops not in (1, 3):
        raise InputError(f"crops is {crops}: take 1 (centre) or 3 (along the longer side)")
    if crops > 1 and spec.modality in ("audio", "text"):
        what = "sound" if spec.modality == "audio" else "text"
        raise InputError(f"{what} has no crops: leave crops at 1")


def device_of(name: str) -> torch.device:
    """The device that a user means; "auto" is the GPU if there is one."""
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


class _Extraction:
    """One pass over this process's part of a set of clips, and the meeting of all parts."""

    def __init__(
        self, clips: ClipSet, batch_size: int, device: torch.device, *, levels: bool, tokens: bool
    ):
        self.clips, self.batch_size, self.device = clips, batch_size, device
        self.levels, self.tokens = levels, tokens
        self.indices: list[int] = []
        self.sizes: list[int] = []
        self.failed: list[tuple[int, str]] = []
        self.results = _Results()

    def run(self, encoder: Encoder, workers: int, shared: bool) -> Features:
        """Encodes this process's part and, where shared, brings in the others'."""
        part = own_part(len(self.clips), shared)
        several = len(part) < len(self.clips)
        pin = self.device.type == "cuda"
        batches = loader(self.clips, self.batch_size, workers, pin, part)
        for numbers, counts, stack, failures in progress(batches, len(batches), "features"):
            self.failed += failures
            if stack is None:
                continue
            self.indices += numbers
            self.sizes += counts
            self.results.add(self._encode(encoder, stack))
            self._check_memory(len(self.clips))
        tensors = self._in_order(self.results.on_host())
        if several:
            tensors = self._meet(tensors)
        return self._features(tensors)

    def _in_order(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """All that was found by ascending numbers of the examples, however they were read."""
        self.failed.sort()
        order = sorted(range(len(self.indices)), key=self.indices.__getitem__)
        if order == list(range(len(order))):
            return tensors
        rows = torch.arange(sum(self.sizes)).split(self.sizes)
        moved = torch.cat([rows[k] for k in order])
        self.indices = [self.indices[k] for k in order]
        self.sizes = [self.sizes[k] for k in order]
        return {name: x[moved] for name, x in tensors.items()}

    def _encode(self, encoder: Encoder, stack: Tensor) -> dict[str, Tensor]:
        """By level float32 [V, D], and tokens, of the inputs [V, …]."""
        out: dict[str, list[Tensor]] = {}
        for chunk in stack.split(self.batch_size):
            x = as_float(chunk.to(self.device, non_blocking=True))
            with autocast(self.device):
                found = describe(encoder, x, self.levels, self.tokens)
            for name, value in found.items():
                out.setdefault(name, []).append(value)
        return {name: torch.cat(values) for name, values in out.items()}

    def _check_memory(self, examples: int) -> None:
        tokens = self.results.bytes_of(TOKENS)
        if tokens and tokens / len(self.indices) * examples > MOST_TOKENS:
            share = tokens / len(self.indices) * examples / MOST_TOKENS
            raise InputError(
                f"the tokens of {examples} examples take {share:.1f} times the "
                f"{MOST_TOKENS >> 30} GiB that are kept in memory: take fewer clips or a smaller "
                "size, or another method than attentive"
            )

    def _meet(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        told = gather((self.indices, self.sizes, self.failed, _shapes(tensors)))
        self.indices = [i for indices, *_ in told for i in indices]
        self.sizes = [size for _, sizes, *_ in told for size in sizes]
        self.failed = [one for *_, failed, _ in told for one in failed]
        shapes = next((shapes for *_, shapes in told if shapes), {})
        # A process that could read nothing takes part with no rows.
        return {
            name: gather_rows(tensors.get(name, torch.empty(0, *shape, dtype=dtype)))
            for name, (shape, dtype) in shapes.items()
        }

    def _features(self, tensors: dict[str, Tensor]) -> Features:
        source = self.clips.source
        if not self.indices:
            name, reason = (source.name(self.failed[0][0]), self.failed[0][1])
            raise InputError(
                f"none of {len(source)} examples could be read; the first: {name}: {reason}"
            )
        tokens = tensors.pop(TOKENS, None)
        return Features(
            vectors={level: _finite(x, level) for level, x in tensors.items()},
            counts=torch.tensor(self.sizes),
            labels=torch.tensor([source.label(i) for i in self.indices]),
            indices=torch.tensor(self.indices),
            unreadable=tuple((source.name(i), reason) for i, reason in self.failed),
            unreadable_indices=tuple(i for i, _ in self.failed),
            tokens=tokens,
        )


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (x.shape[1:], x.dtype) for name, x in tensors.items()}


class _Results:
    """Results of many batches by name: brought to the host together, for each copy is a wait."""

    def __init__(self):
        self._here: dict[str, list[Tensor]] = {}
        self._host: dict[str, list[Tensor]] = {}
        self._held = 0
        self._bytes: dict[str, int] = {}

    def add(self, found: dict[str, Tensor]) -> None:
        """Keeps one batch's results."""
        for name, x in found.items():
            self._here.setdefault(name, []).append(x)
            self._held += x.nbytes
            self._bytes[name] = self.bytes_of(name) + x.nbytes
        if self._held > HELD:
            self._bring()

    def bytes_of(self, name: str) -> int:
        """Size of all results of this name so far."""
        return self._bytes.get(name, 0)

    def on_host(self) -> dict[str, Tensor]:
        """All results by name, batch after batch."""
        self._bring()
        return {name: torch.cat(parts) for name, parts in self._host.items()}

    def _bring(self) -> None:
        for name, parts in self._here.items():
            self._host.setdefault(name, []).append(torch.cat(parts).cpu())
        self._here, self._held = {}, 0


def describe(encoder: Encoder, x: Tensor, levels: bool, tokens: bool) -> dict[str, Tensor]:
    """Vectors float32 [V, D] by level and, if asked, tokens bfloat16 [V, P, C] of inputs [V, …]."""
    if not (levels or tokens):
        return {EMBEDDING: encoder(x).float()}
    maps, count = _maps(encoder, x)
    out: dict[str, Tensor] = {}
    pooled = {k: _pooled(encoder.average(m, x), count) for k, m in maps.items()}
    # The embedding may be the deepest map's average: neither a second pass nor the row twice.
    last = list(pooled)[-1]
    own = pooled.pop(last) if _embeds_by_default(encoder) else encoder(x)
    if levels:
        out = {k: p.float() for k, p in pooled.items()}
    out[EMBEDDING] = own.float()
    if tokens:
        out[TOKENS] = _tokens(maps[last], x, count).bfloat16()
    return out


def _embeds_by_default(encoder: Encoder) -> bool:
    cls = type(encoder)
    return cls.embed is Encoder.embed and cls.forward is Encoder.forward


def _maps(encoder: Encoder, x: Tensor) -> tuple[dict[str, Tensor], int]:
    """The maps by level, and how many frames of each input went in alone."""
    per_frame = encoder.per_frame and x.ndim == 5
    count = x.shape[2] if per_frame else 1
    return encoder.maps(x.transpose(1, 2).flatten(0, 1) if per_frame else x), count


def _pooled(mean: Tensor, count: int) -> Tensor:
    """Averages over positions, averaged over `count` frames that went in alone too: [V, C]."""
    return mean.unflatten(0, (-1, count)).mean(1)


def _tokens(m: Tensor, x: Tensor, count: int) -> Tensor:
    """A map at each of its positions, frame after frame where those went in alone: [V, P, C]."""
    if x.dtype == torch.int64:
        m = m.masked_fill((x < 0).unsqueeze(1), torch.nan)
    return m.reshape(*m.shape[:2], -1).transpose(1, 2).unflatten(0, (-1, count)).flatten(1, 2)


def _finite(x: Tensor, level: str) -> Tensor:
    if not torch.isfinite(x).all():
        raise InputError(f"features of level {level} are not finite: is this encoder trained?")
    return x
