"""What benchmarks/device.py measures with: recipes, media from memory, a clock, a card's peak."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import default_collate

from pretexto.build import SHIPPED, build, load_tree
from pretexto.commands.pretrain import schema
from pretexto.datasets.source import Source
from pretexto.encoders.by_name import replace_encoders
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.modalities.text import TextInfo, Vocabulary
from pretexto.tasks.task import Batch, Task
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs

# Dense bfloat16 products per second, from NVIDIA's data sheets of the SXM cards.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def recipe(name: str, encoder: str | None = None, size: int = 0, frames: int = 0) -> Task:
    """The task of a shipped recipe, its encoder and the size of its input exchanged where asked.

    The size is pixels, or tokens of a span.
    """
    tree = load_tree(name)
    tree = {"task": tree["task"]}
    if encoder:
        tree = replace_encoders(tree, encoder)
    for key in ("size", "length"):
        _set(tree, key, size)
    _set(tree, "frames", frames)
    torch.manual_seed(0)
    return build(tree, {"task": schema()["task"]}, name)["task"]


def settings(name: str) -> tuple[TrainerArgs, OptimizerArgs]:
    """How a recipe trains."""
    keys = ("trainer", "optimizer")
    tree = {key: value for key, value in load_tree(name).items() if key in keys}
    tree["trainer"].setdefault("steps", 1)
    found = build(tree, {key: schema()[key] for key in keys}, name)
    return found["trainer"], found["optimizer"]


def _set(node: Any, key: str, value: int) -> None:
    """Sets a key wherever it stands in a tree, if there is a value for it."""
    for child in node.values() if isinstance(node, dict) else ():
        _set(child, key, value)
    if value and isinstance(node, dict) and key in node:
        node[key] = value


def recipes() -> list[str]:
    """Every shipped recipe of a task, papers' own sizes left out."""
    names = sorted(p.stem for p in SHIPPED.glob("*.yaml") if not p.stem.endswith("_paper"))
    return [name for name in names if "task" in load_tree(name)]


def examples(task: Task, source: Source, count: int) -> Batch:
    """A batch without the loader: the first examples that the task can use."""
    made, refused = [], None
    for i in range(len(source)):
        rng = generator(0, 0, i)
        try:
            sample = source.read(i, task.plan(source.info(i), rng))
            made.append({**task.example(sample, rng), "label": torch.tensor(source.label(i))})
        except MediaError as error:
            refused = error
            continue
        made[-1]["index"] = torch.tensor(i)
        if len(made) == count:
            break
    if not made:
        raise refused or InputError("no media")
    return default_collate(made)


def moved(batch: Batch, device: torch.device) -> Batch:
    return {key: value.to(device) for key, value in batch.items()}


class Noise(Source):
    """Media of random pixels that cost nothing to read."""

    classes = ("noise",)

    def __init__(self, count: int, kind: str, side: int, frames: int):
        self.count, self.kind = count, kind
        rng = torch.Generator().manual_seed(0)
        shape = (max(frames, 1) + 8, 3, side, side * 4 // 3)
        self.frames = torch.randint(256, shape, generator=rng, dtype=torch.uint8)

    def __len__(self) -> int:
        return self.count

    def name(self, i: int) -> str:
        return f"{i:06}"

    def info(self, i: int) -> MediaInfo:
        side = self.frames.shape[-2]
        fields = {"duration": 8.0, "fps": 25.0, "frames": 200} if self.kind == "video" else {}
        return MediaInfo(self.name(i), self.kind, height=side, width=side * 4 // 3, **fields)  # type: ignore[arg-type]

    def read(self, i: int, plan: Plan) -> Sample:
        which = (torch.arange(len(plan.times)) + i) % len(self.frames)
        times = torch.tensor(plan.times, dtype=torch.float64)
        return Sample(frames=self.frames[which], times=times)

    def fingerprint(self) -> str:
        return f"noise-{self.count}-{self.kind}"


class Words(Source):
    """Documents of random tokens that cost nothing to read, each one longer than a span."""

    def __init__(self, count: int, length: int, vocabulary: int):
        self.count = count
        self.about = TextInfo(0, length, length + 1, Vocabulary(vocabulary))
        rng = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(vocabulary, (count, length + 1), generator=rng)

    def __len__(self) -> int:
        return self.count

    def name(self, i: int) -> str:
        return f"{i:06}"

    def info(self, i: int) -> MediaInfo:
        return MediaInfo(self.name(i), "text", text=self.about)

    def read(self, i: int, plan: Plan) -> Sample:
        ((first, last),) = plan.tokens
        return Sample(tokens=self.tokens[i, first:last], note=plan.note)

    def fingerprint(self) -> str:
        return f"words-{self.count}-{self.about.total}"


@dataclass
class Clock:
    """Times steps without making them wait: the device is asked at two of them only.

    Attributes:
        warm: steps before the first one timed; timed: steps timed; watched: steps after those, in
            which the profiler notes when the device is busy.
    """

    device: torch.device
    warm: int
    timed: int
    watched: int
    count: int = 0
    began: float = 0.0
    seconds: float = 0.0
    idle: float | None = None
    profiler: Any = None

    @property
    def steps(self) -> int:
        return self.warm + self.timed + self.watched + 1

    def tick(self) -> None:
        """At the beginning of every step."""
        if self.count == self.warm:
            self._wait()
            self.began = time.perf_counter()
        if self.count == self.warm + self.timed:
            self._wait()
            self.seconds = time.perf_counter() - self.began
            if self.device.type == "cuda":
                self.profiler = profile(activities=[ProfilerActivity.CUDA])
                self.profiler.start()
        if self.count == self.steps - 1 and self.profiler:
            self._wait()
            self.profiler.stop()
            self.idle = idle_share(busy_spans(self.profiler.events()))
        self.count += 1

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def busy_spans(events: list[FunctionEvent]) -> list[tuple[float, float]]:
    """Beginning and end of everything that the device did."""
    there = [e for e in events if e.device_type.name == "CUDA"]
    return [(e.time_range.start, e.time_range.end) for e in there]


def idle_share(spans: list[tuple[float, float]]) -> float | None:
    """The share of the time from the first beginning to the last end that no span covers."""
    if not spans:
        return None
    spans = sorted(spans)
    first, reached, busy = spans[0][0], spans[0][0], 0.0
    for begin, end in spans:
        busy += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return 1 - busy / (reached - first) if reached > first else None


def peak_of(device: torch.device) -> float | None:
    """Products of bfloat16 per second that the card is sold for; None of an unknown one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for card, peak in PEAKS.items() if card in name), None)
