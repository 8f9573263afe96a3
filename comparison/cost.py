"""What a run costs and on what it was computed: RUN/cost.json."""

import copy
import platform
import traceback
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..modalities.media import MediaError
from ..tasks.task import Batch, Task
from ..training.data import Examples, fitted
from .rows import read_json

_EXAMPLES, _TRIES = 2, 32


def save_cost(folder: Path, encoder: Encoder, task: Task | None, source: Source) -> None:
    """Writes down the encoder's parameters, the machine and, of a trained task, its operations.

    Args:
        folder: the run's.
        encoder: the evaluated one.
        task: what trained it, if anything did.
        source: what it was trained on.
    """
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "hardware": hardware(),
    }
    try:
        if task is not None:
            found["flops_per_example"] = training_flops(task, source)
    except Exception:
        # A number beside the results, which a finished run is not given up for.
        traceback.print_exc()
    write_json(folder / "cost.json", found)


def read_cost(folder: Path) -> dict[str, Any]:
    """What `save_cost` has written into a run's folder, empty where it has not."""
    path = folder / "cost.json"
    return read_json(path) if path.exists() else {}


def hardware() -> str:
    """The processor that trains and evaluates here."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def training_flops(task: Task, source: Source) -> float:
    """Floating-point operations of a step forwards and backwards, per example, on a small batch.

    Products and convolutions count, as PyTorch counts them. What grows with the square of the
    batch, as similarities of all with all do, is left out nearly whole.
    """
    from torch.utils.flop_counter import FlopCounterMode

    there, batch = copy.deepcopy(task).cpu().train(), _batch(task, source)
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        for phase in there.phases or (None,):
            with FlopCounterMode(display=False) as counter:
                inputs = there.augment(batch)
                step = there(inputs, phase.name) if phase else there(inputs)
                step.loss.backward()
            total += counter.get_total_flops() * (phase.steps if phase else 1)
    return total / len(batch["index"])


def _batch(task: Task, source: Source) -> Batch:
    """The first examples of the source that the task can use."""
    source = fitted(source, task)
    examples, made = Examples(source, task, 0), []
    for i in range(min(len(source), _TRIES)):
        try:
            made.append(examples.example(0, i))
        except MediaError:
            continue
        if len(made) == _EXAMPLES:
            break
    return default_collate(made)
