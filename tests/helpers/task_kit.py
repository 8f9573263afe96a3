"""Finds every task and encoder, builds them small, and makes batches of in-memory media."""

import copy
import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import fields as fields_of
from dataclasses import is_dataclass, replace
from types import ModuleType
from typing import Any, get_args, get_type_hints

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
from pretexto.modalities.text import TextInfo, Vocabulary
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.flow_input import FlowInput
from pretexto.tasks.parts.input import Input
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.parts.transforms import Colour
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
    "FlowImage": {"name": "tiny"},
    "L3Image": {"width": 4},
    "AlexNet": {"width": 4},
    "NetworkInNetwork": {"width": 8},
    "SpectrogramCNN": {"width": 4},
    "TextTransformer": {"width": 16, "depth": 2, "heads": 2, "context": 16, "vocabulary": 40},
}
# Values for what a task wants besides inputs, where it has such options.
OPTIONS: dict[str, Any] = {"classes": 4}


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
# The transformer of text is tiny by its sizes.
TINY = [e for e in ENCODERS if e.__name__.startswith(("Tiny", "TextTransformer"))]


def build_encoder(cls: type[Encoder]) -> Encoder:
    """A small encoder of seed 0; leaves torch's generator as building it does."""
    built, state = _built(cls)
    torch.set_rng_state(state)
    return copy.deepcopy(built)


@functools.cache
def _built(cls: type[Encoder]) -> tuple[Encoder, Tensor]:
    """An encoder that nobody changes: large ones take ten times longer to build than to copy."""
    torch.manual_seed(0)
    return cls(**CHEAP.get(cls.__name__, {})), torch.get_rng_state()


@functools.cache
def _weightless(cls: type[Encoder]) -> Encoder:
    return build_encoder(cls).to("meta")


def wanted(cls: type[Task]) -> dict[str, list[type[Input]]]:
    """The arguments of a task that take an input, with the classes that they accept."""
    found = {}
    for name, kind in get_type_hints(cls.__init__).items():
        inputs = [k for k in get_args(kind) or (kind,) if isinstance(k, type)]
        inputs = [k for k in inputs if issubclass(k, Input)]
        if inputs:
            found[name] = inputs
    return found


KINDS = (ClipInput, AudioInput, FlowInput, TextInput)


def build_input(encoder: Encoder, kinds: Iterable[type[Input]] = KINDS) -> Input:
    """A small input around an encoder. Raises InputError where none of the kinds takes it."""
    options: dict[type[Input], dict[str, Any]] = {
        ClipInput: {"size": 32, "frames": 4},
        AudioInput: {"seconds": 1.0},
        FlowInput: {"size": 32},
        TextInput: {"length": 16},
    }
    refused: InputError | None = None
    for kind in kinds:
        try:
            return kind(encoder, **options[kind])
        except InputError as error:
            refused = error
    raise refused or AssertionError("no kind of input")


def build_task(cls: type[Task], encoders: dict[str, Encoder], **options: Any) -> Task:
    """A small task. Raises InputError where an encoder's modality does not fit."""
    names = inspect.signature(cls).parameters
    arguments = {k: v for k, v in OPTIONS.items() if k in names} | options
    for name, kinds in wanted(cls).items():
        arguments.setdefault(name, build_input(encoders[name], kinds))
    # Of the processor alone: torch.manual_seed formats the stack for devices that are not there.
    torch.default_generator.manual_seed(0)
    return cls(**arguments)


def make_task(cls: type[Task], *encoders: Encoder, **options: Any) -> Task:
    """A task around encoders, with the fields of its inputs, crop and guards given side by side.

    `colour=0.2` stands for a jitter of that strength, and 0 for none.
    """
    given: dict[str, Any] = {}
    taken: set[str] = set()
    for (name, kinds), encoder in zip(wanted(cls).items(), encoders, strict=True):
        kind = {"audio": AudioInput, "flow": FlowInput, "text": TextInput}.get(
            encoder.modality, ClipInput
        )
        assert kind in kinds
        fields = inspect.signature(kind).parameters.keys() & options.keys()
        given[name] = kind(encoder, **{field: options[field] for field in fields})
        taken |= fields
    options = {name: value for name, value in options.items() if name not in taken}
    parameters = inspect.signature(cls).parameters
    for name, parameter in parameters.items():
        default = parameter.default
        if name == "colour" and isinstance(options.get(name), float | int):
            s = options[name]
            options[name] = Colour(s, s, s, s / 4)
        if name not in options and is_dataclass(default):
            # `colour` is SimCLR's own option before it is a switch of its guards.
            names = {field.name for field in fields_of(default)} - parameters.keys()
            known = names & options.keys()
            options[name] = replace(default, **{field: options.pop(field) for field in known})
    return cls(**given, **options)


def fitting(cls: type[Task], pool: list[type[Encoder]]) -> Iterator[dict[str, type[Encoder]]]:
    """Combinations of encoders that the task accepts: each of the pool in each place once."""
    places = tuple(wanted(cls))
    tiny = {place: fit for place in places if (fit := _first_fit(cls, place, places))}
    for place in places:
        for encoder in pool:
            combination = {**tiny, place: encoder}
            if _accepts(cls, **combination) and (place == places[0] or encoder != tiny[place]):
                yield combination


@functools.cache
def _accepts(cls: type[Task], **combination: type[Encoder]) -> bool:
    if not all(_suits(tuple(kinds), combination[place]) for place, kinds in wanted(cls).items()):
        return False
    # Without weights: whether they fit is a matter of shapes. Tasks set what a text's encoder
    # attends to, and nothing of the others, of which a copy would take as long as all the rest.
    encoders = {place: _weightless(e) for place, e in combination.items()}
    encoders = {k: copy.deepcopy(e) if e.modality == "text" else e for k, e in encoders.items()}
    try:
        build_task(cls, encoders)
    except InputError:
        return False
    return True


@functools.cache
def _suits(kinds: tuple[type[Input], ...], encoder: type[Encoder]) -> bool:
    try:
        build_input(_weightless(encoder), kinds)
    except InputError:
        return False
    return True


@functools.cache
def _first_fit(cls: type[Task], place: str, places: tuple[str, ...]) -> type[Encoder] | None:
    others = [p for p in places if p != place]
    for encoder in TINY:
        for other in TINY:
            if _accepts(cls, **{place: encoder, **dict.fromkeys(others, other)}):
                return encoder
    return None


WORDS = Vocabulary(40, end=0, cls=1, sep=2, mask=3)


def info(i: int = 0, **changes: Any) -> MediaInfo:
    """Medium i: eight seconds of video with sound, of one of several shapes, and a text."""
    height, width = ((48, 64), (64, 48), (40, 40), (37, 91))[i % 4]
    fields: dict[str, Any] = {
        "path": f"{i}.mp4", "kind": "video", "duration": 8.0, "fps": 25.0, "frames": 200,
        "height": height, "width": width, "audio_rate": 16000, "audio_channels": 1,
        "audio_duration": 8.0, "motion": (0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 1.0, 0.0),
        "text": TextInfo(16 * i, 16 * i + 16, 400, WORDS, 3.5),
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def media(i: int, plan: Plan) -> Sample:
    """What a reader would give of medium i: a texture of its own that moves, and a tone of its own
    that rises and falls with it."""
    times = torch.tensor(plan.times, dtype=torch.float64)
    frames = _texture(i, plan) if plan.times else None
    seen: dict[str, Any] = {"note": plan.note}
    if frames is not None:
        seen |= {"frames": frames, "times": times}
    if plan.flow:
        seen |= {"flow": _flow(i, plan)}
    if plan.tokens:
        at = torch.cat([torch.arange(*span) for span in plan.tokens]) % 400
        # In words of two tokens; each one tells which is the next.
        tokens = 4 + 5 * at % 36
        seen |= {"tokens": tokens, "word_starts": at % 2 == 0}
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
    y, x = np.mgrid[0:h, 0:w] / side
    # Waves that each run their own way: no light or focus makes one moment of another.
    waves = [(rng.uniform(0, 6, 3), *rng.uniform(-20, 20, 2), rng.uniform(2, 6)) for _ in range(8)]
    frames = [
        0.5 + 0.1 * sum(np.sin(down * y + across * x + phase[c] + speed * t)
                        for phase, down, across, speed in waves)
        for t in plan.times
        for c in range(3)
    ]  # fmt: skip
    pixels = torch.from_numpy(np.stack(frames).reshape(-1, 3, h, w) * 255)
    return pixels.clamp(0, 255).to(torch.uint8)


def _flow(i: int, plan: Plan) -> Tensor:
    """How the medium's halves move against each other, faster and slower over time."""
    about = info(i)
    side = plan.short_side or min(about.height, about.width)
    scale = side / min(about.height, about.width)
    h, w = round(about.height * scale), round(about.width * scale)
    y, x = torch.meshgrid(torch.arange(h) / side, torch.arange(w) / side, indexing="ij")
    rng = np.random.default_rng(100 + i)
    down, across, turn = rng.uniform(2, 6, 3)
    fields = []
    for begin, end in plan.flow:
        far = side / 10 * (end - begin) * (2 + math.sin(begin + i))
        half = torch.sin(down * y + across * x).sign()
        fields.append(far * torch.stack([half * math.cos(turn), half * math.sin(turn) + y]))
    return torch.stack(fields).float()


def example(task: Task, i: int, seed: int = 0) -> Batch:
    """Example i as the loader makes it."""
    rng = generator(seed, 0, i)
    made = task.example(media(i, task.plan(info(i), rng)), rng)
    return {**made, "index": torch.tensor(i), "label": torch.tensor(i % 4)}


def collate(examples: list[Batch]) -> dict[str, Tensor]:
    return default_collate(examples)


def augmented(task: Task, examples: list[Batch]) -> dict[str, Tensor]:
    """What `augment` makes of many examples of a task that asks one question of each.

    Done by twenties, which fit a processor's cache: half the time, and the same to the last bit.
    """
    parts = [task.augment(collate(examples[at : at + 20])) for at in range(0, len(examples), 20)]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def batch(task: Task, count: int, seed: int = 0) -> dict[str, Tensor]:
    return collate([example(task, i, seed) for i in range(count)])
