"""Finds every task and encoder, builds them small, and makes batches of in-memory media."""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from helpers import audio_times
from torch import Tensor
from torch.utils.data import default_collate

import pretexto.encoders
import pretexto.tasks
from pretexto.encoders.encoder import Encoder
from pretexto.errors import InputError
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.task import Batch, Task

# What keeps an encoder cheap; one that is not named here is built with its defaults.
CHEAP: dict[str, dict[str, Any]] = {
    "TinyImage": {"width": 4},
    "TinyVideo": {"width": 4},
    "TinyAudio": {"width": 4},
    "TimmImage": {"name": "resnet10t"},
    "TimmAudio": {"name": "resnet10t"},
    "TorchvisionVideo": {"name": "mc3_18"},
    "VideoTransformer": {"width": 24, "depth": 2, "heads": 2},
    "AudioTransformer": {"width": 24, "depth": 2, "heads": 2},
    "SlowOnly": {"width": 4, "depth": (1, 1, 1, 1)},
    "X3D": {"width": 8, "depth": (1, 1, 1, 1)},
    "CNN14": {"width": 4},
    "TinyFlow": {"width": 4},
    "L3Image": {"width": 4},
    "SpectrogramCNN": {"width": 4},
}
# Values for what a task wants besides encoders, and what keeps it cheap, where it has such options.
OPTIONS: dict[str, Any] = {"classes": 4, "size": 32, "frames": 4}


def concrete(package: ModuleType, base: type) -> list[type]:
    """Every class derived from `base` that a module of the package defines, private ones not."""
    found = []
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = value.__module__ == module.name and not value.__name__.startswith("_")
            if own and issubclass(value, base) and not inspect.isabstract(value):
                found.append(value)
    return found


TASKS: list[type[Task]] = concrete(pretexto.tasks, Task)
ENCODERS: list[type[Encoder]] = concrete(pretexto.encoders, Encoder)
TINY = [e for e in ENCODERS if e.__name__.startswith("Tiny")]


def build_encoder(cls: type[Encoder]) -> Encoder:
    torch.manual_seed(0)
    return cls(**CHEAP.get(cls.__name__, {}))


def wanted(cls: type[Task]) -> list[str]:
    """The arguments of a task that take an encoder."""
    signature = inspect.signature(cls).parameters
    return [name for name, p in signature.items() if p.annotation in (Encoder, "Encoder")]


def build_task(cls: type[Task], encoders: dict[str, Encoder], **options: Any) -> Task:
    """A small task. Raises InputError where an encoder's modality does not fit."""
    names = inspect.signature(cls).parameters
    arguments = {k: v for k, v in OPTIONS.items() if k in names} | encoders | options
    torch.manual_seed(0)
    return cls(**arguments)


def fitting(cls: type[Task], pool: list[type[Encoder]]) -> Iterator[dict[str, type[Encoder]]]:
    """Combinations of encoders that the task accepts: each of the pool in each place once."""
    places = wanted(cls)
    tiny = {place: fit for place in places if (fit := _first_fit(cls, place, places))}
    for place in places:
        for encoder in pool:
            combination = {**tiny, place: encoder}
            if _accepts(cls, combination) and (place == places[0] or encoder != tiny[place]):
                yield combination


def _accepts(cls: type[Task], combination: dict[str, type[Encoder]]) -> bool:
    try:
        build_task(cls, {place: build_encoder(e) for place, e in combination.items()})
    except InputError:
        return False
    return True


def _first_fit(cls: type[Task], place: str, places: list[str]) -> type[Encoder] | None:
    others = [p for p in places if p != place]
    for encoder in TINY:
        for other in TINY:
            if _accepts(cls, {place: encoder, **dict.fromkeys(others, other)}):
                return encoder
    return None


def info(i: int = 0, **changes: Any) -> MediaInfo:
    """Medium i: eight seconds of video with sound, of one of several shapes."""
    height, width = ((48, 64), (64, 48), (40, 40), (37, 91))[i % 4]
    fields: dict[str, Any] = {
        "path": f"{i}.mp4", "kind": "video", "duration": 8.0, "fps": 25.0, "frames": 200,
        "height": height, "width": width, "audio_rate": 16000, "audio_channels": 1,
        "audio_duration": 8.0, "motion": (0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 1.0, 0.0),
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def media(i: int, plan: Plan) -> Sample:
    """What a reader would give of medium i: a texture of its own that drifts, and a tone of its own
    that rises and falls with it."""
    times = torch.tensor(plan.times, dtype=torch.float64)
    frames = _texture(i, plan) if plan.times else None
    seen = {} if frames is None else {"frames": frames, "times": times}
    if not plan.audio:
        return Sample(**seen)
    t = audio_times(plan)
    tone = 0.5 * torch.sin(2 * math.pi * 300 * 1.2 ** (i % 12) * (t - 0.5 * torch.cos(t)))
    return Sample(**seen, audio=tone[None].float(), audio_rate=plan.audio[0].rate)


def _texture(i: int, plan: Plan) -> Tensor:
    about = info(i)
    side = plan.short_side or min(about.height, about.width)
    scale = side / min(about.height, about.width)
    h, w = round(about.height * scale), round(about.width * scale)
    rng = np.random.default_rng(i)
    phase, tilt = rng.uniform(0, 6, 3), rng.uniform(2, 6, (3, 2))
    y, x = np.mgrid[0:h, 0:w] / side
    frames = [
        0.5 + 0.3 * np.sin(tilt[c, 0] * y + tilt[c, 1] * x + phase[c] + t) + 0.2 * y - 0.1
        for t in plan.times
        for c in range(3)
    ]
    pixels = torch.from_numpy(np.stack(frames).reshape(-1, 3, h, w) * 255)
    return pixels.clamp(0, 255).to(torch.uint8)


def example(task: Task, i: int, seed: int = 0) -> Batch:
    """Example i as the loader makes it."""
    rng = generator(seed, 0, i)
    made = task.example(media(i, task.plan(info(i), rng)), rng)
    return {**made, "index": torch.tensor(i), "label": torch.tensor(i % 4)}


def collate(examples: list[Batch]) -> dict[str, Tensor]:
    return default_collate(examples)


def batch(task: Task, count: int, seed: int = 0) -> dict[str, Tensor]:
    return collate([example(task, i, seed) for i in range(count)])
