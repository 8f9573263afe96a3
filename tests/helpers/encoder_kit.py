"""Finds every encoder, builds it small, and makes inputs for it."""

import copy
import functools
import importlib
import inspect
import pkgutil

import torch
from torch import Tensor

import pretexto.encoders
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.text import TextTransformer

Case = tuple[type[Encoder], dict[str, object]]


def found() -> list[type[Encoder]]:
    """Every final encoder of the package."""
    kinds = set()
    for entry in pkgutil.iter_modules(pretexto.encoders.__path__):
        module = importlib.import_module(f"pretexto.encoders.{entry.name}")
        kinds |= {k for _, k in inspect.getmembers(module, inspect.isclass) if _is_final(k)}
    return sorted(kinds, key=lambda kind: kind.__name__)


def _is_final(kind: type) -> bool:
    own = kind.__module__.startswith("pretexto.encoders")
    return own and issubclass(kind, Encoder) and not inspect.isabstract(kind)


_VIT = {"width": 24, "depth": 2, "heads": 2}
# Arguments that keep a large network small, and variants that take other paths through the code.
ARGUMENTS: dict[str, list[dict[str, object]]] = {
    "AlexNet": [{"width": 4}, {"width": 4, "stride": 2}],
    "AudioResNet": [{}, {"front": "mfcc"}],
    "AudioTransformer": [_VIT],
    "CNN14": [{"width": 2, "rate": 16000}],
    "FlowImage": [{"name": "tiny"}, {"name": "vit_tiny", "fields": 2}],
    "FlowVideo": [{"name": "tiny"}, {"name": "r2plus1d_18"}, {"name": "vit_tiny"}],
    "FlowResNet": [{}, {"fields": 10}],
    "L3Image": [{"width": 4}],
    "NetworkInNetwork": [{"width": 8}],
    "SlowOnly": [{"width": 4, "depth": (1, 2, 1, 1)}],
    "SpectrogramCNN": [{"width": 4}],
    "TinyAudio": [{}, {"front": "mfcc"}],
    "TinyFlow": [{}, {"fields": 3}],
    "TimmAudio": [{"name": "test_efficientnet"}, {"name": "test_vit"}],
    "TimmImage": [
        {"name": "test_resnet"},
        {"name": "test_vit", "size": 32},
        {"name": "test_efficientnet"},
        {"name": "test_convnext"},
    ],
    "TextTransformer": [
        {"width": 16, "depth": 2, "heads": 2, "context": 12},
        {"width": 16, "depth": 2, "heads": 2, "context": 12, "causal": True, "norm": "post"},
        {
            "width": 16,
            "depth": 2,
            "heads": 2,
            "context": 12,
            "positions": "learned",
            "segments": 2,
            "norm": "post",
        },
    ],
    "TorchvisionImage": [{}, {"small_input": True}],
    "TorchvisionVideo": [{"name": "r2plus1d_18"}, {"name": "s3d"}, {"name": "swin3d_t"}],
    "VideoTransformer": [{**_VIT, "patch": 8}],
    "X3D": [{"width": 8, "depth": (1, 2, 1, 1)}],
}
CASES: list[Case] = [
    (kind, options) for kind in found() for options in ARGUMENTS.get(kind.__name__, [{}])
]
# 8 frames: on 5, torch 2.11 corrupts memory in s3d's backward pass on CPUs with AVX-512.
SHAPES = {"image": (3, 32, 32), "video": (3, 8, 20, 20), "flow": (2, 32, 32)}


def form(encoder: Encoder) -> str:
    """How messages name what it takes."""
    if encoder.modality == "flow":
        return "[B, 2, H, W]" if encoder.fields == 1 else "[B, 2, T, H, W]"
    forms = {"image": "[B, 3, H, W]", "video": "[B, 3, T, H, W]", "audio": "[B, 1, N]"}
    return {**forms, "text": "[B, T]"}[encoder.modality]


def axes(encoder: Encoder) -> str:
    """Whose sizes it takes: those of pictures, of clips or of sounds."""
    if encoder.modality == "flow":
        return "image" if encoder.fields else "video"
    return encoder.modality


def case_name(case: Case) -> str:
    return "-".join((case[0].__name__, *map(str, case[1].values())))


def fresh(case: Case) -> Encoder:
    """The case's encoder; large ones take longer to build than to copy."""
    return copy.deepcopy(_built(CASES.index(case)))


def patch(case: Case) -> tuple[int, ...]:
    """The size of its tokens; empty where it has none."""
    return _built(CASES.index(case)).patch


@functools.cache
def _built(index: int) -> Encoder:
    kind, options = CASES[index]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(**options)


def inputs(
    encoder: Encoder, batch: int = 2, seed: int = 0, size: tuple[int, ...] | None = None
) -> Tensor:
    """Random inputs; `size` is that of all axes behind the channels."""
    rng = torch.Generator().manual_seed(seed)
    if encoder.modality == "audio":
        return torch.rand(batch, 1, *(size or (encoder.rate // 4,)), generator=rng) * 2 - 1
    if isinstance(encoder, TextTransformer):
        (length,) = size or (encoder.context,)
        return torch.randint(encoder.vocabulary, (batch, length), generator=rng)
    channels, *usual = SHAPES[axes(encoder)]
    if encoder.modality == "flow":
        channels, usual = 2, [*[encoder.fields] * (encoder.fields > 1), *(size or usual)]
        return 8 * torch.rand(batch, channels, *usual, generator=rng) - 4
    return torch.rand(batch, channels, *(size or usual), generator=rng)
