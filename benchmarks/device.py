"""What a GPU makes of this suite in nine minutes; the first thing to run where there is one.

    python benchmarks/device.py --out device.json [--cifar DATA] [--clips PACKS] [--minutes 9]
    python benchmarks/device.py --toy            # the same on a CPU with tiny networks

1. Equality: loss and gradient of every shipped recipe on one batch of the synthetic world, on the
   device in full precision and in bfloat16, beside the CPU.
2. Speed: examples per second, share of the card's peak (model FLOPs, Chowdhery et al. 2022,
   arXiv:2204.02311, appendix B) and share of time in which the card had nothing to do, of rotation
   with ResNet-50, R3D-18, R(2+1)D-18 and ViT-B, and of GPT-2: through the trainer, and the same
   step in a plain loop on one batch that stays on the card; eager and compiled. Media come from
   memory, so that what is measured is the way to the card and the work there, not decoding.
3. Time: SimCLR with ResNet-18 on CIFAR-10 (--cifar: whatever --data takes) and rotation of clips
   with R3D-18 on packs (--clips, say J-HMDB), each for a part of the minutes and without the test
   part where there is one, then a linear probe and neighbours beside the network untrained.

What was compiled is measured last, as far as the time goes. Every result is written when it is
there; what fails is named with its reason, and the rest goes on. The exit code is 1 where something
failed or was unequal.
"""

import argparse
import json
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from parts.device_kit import (
    Clock,
    Noise,
    Words,
    examples,
    moved,
    peak_of,
    recipe,
    recipes,
    settings,
)
from parts.equality import equality
from parts.results import about_run
from torch.utils.flop_counter import FlopCounterMode

from pretexto.comparison.executor import cores
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source
from pretexto.encoders.store import load_encoder, read_card
from pretexto.errors import InputError
from pretexto.evaluation.baselines import random_init
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.splits import without_test
from pretexto.modalities.input_spec import InputSpec
from pretexto.tasks.task import Batch, Task
from pretexto.training.optim import OptimizerArgs, make_optimizer
from pretexto.training.pretrain import TrainerArgs, pretrain

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Model:
    """A network of the speed table: recipe, short name, pixels (of text: tokens), frames, examples
    per step."""

    recipe: str
    encoder: str
    size: int
    frames: int
    batch: int


MODELS = (
    Model("rotation", "resnet50", 224, 1, 256),
    Model("rotation_clips", "r3d_18", 112, 16, 64),
    Model("rotation_clips", "r2plus1d_18", 112, 16, 48),
    Model("rotation", "vit_base", 224, 1, 128),
    Model("causal_language", "gpt2", 1024, 0, 16),
)
TOYS = (
    Model("rotation", "tiny", 32, 1, 4),
    Model("rotation_clips", "tiny", 32, 4, 4),
    Model("causal_language", "tiny", 16, 0, 4),
)


@dataclass
class Bench:
    """What all measurements share.

    Attributes:
        device: where it is measured.
        out: the JSON file, written anew after every result.
        until: monotonic time after which nothing new is begun.
        toy: tiny networks, few steps.
        results: what the file holds.
    """

    device: torch.device
    out: Path
    until: float
    toy: bool
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def note(self, section: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measures and writes one result, or why there is none."""
        began = time.monotonic()
        if began > self.until:
            found: dict[str, Any] = {"skipped": "no time left"}
        else:
            try:
                found = measure()
            except Exception as error:
                # One fault must not cost the minutes of all that went well.
                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}"}
        found["took_seconds"] = round(time.monotonic() - began, 1)
        self.results.setdefault(section, {})[name] = found
        self.out.write_text(json.dumps(self.results, indent=1) + "\n")
        print(f"{section}: {name}: {json.dumps(found)}", flush=True)

    def autocast(self, half: bool = True) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)


# 2. Speed


def speed(bench: Bench, model: Model, through: str, compiled: bool) -> dict[str, Any]:
    """One line of the table."""
    task = recipe(model.recipe, model.encoder, model.size, model.frames)
    clock = Clock(bench.device, *((1, 2, 1) if bench.toy else (20 if compiled else 10, 30, 10)))
    source = noise(model, task)
    flops = step_flops(bench, task, examples(task, source, 2)) / 2
    (trainer_loop if through == "trainer" else plain_loop)(
        bench, task, source, clock, model, compiled
    )
    rate = clock.timed * model.batch / clock.seconds
    return {
        "examples_per_second": round(rate, 1),
        "flops_per_example": flops,
        "mfu": round(flops * rate / peak, 4) if (peak := peak_of(bench.device)) else None,
        "idle_share": None if clock.idle is None else round(clock.idle, 4),
        "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if bench.cuda else None,
    }


def noise(model: Model, task: Task) -> Source:
    """Media from memory that a network of the table reads."""
    count, side = 4 * model.batch, round(model.size * 8 / 7)
    if "text" in task.specs:
        return Words(count, model.size, task.text.encoder.vocabulary)  # type: ignore[union-attr]
    return Noise(count, "image" if model.frames == 1 else "video", side, model.frames)


def table(bench: Bench, models: Sequence[Model], *, compiled: bool) -> None:
    """Every network in a plain loop and through the trainer."""
    for model in models:
        for through in ("plain", "trainer"):
            line = f"{model.recipe}, {model.encoder}, {through}" + ", compiled" * compiled
            bench.note("speed", line, partial(speed, bench, model, through, compiled))


def step_flops(bench: Bench, task: Task, batch: Batch) -> float:
    """Floating-point operations of one step forwards and backwards."""
    there = task.to(bench.device).train()
    with FlopCounterMode(display=False) as counter:
        there(there.augment(moved(batch, bench.device))).loss.backward()
    there.zero_grad()
    return float(counter.get_total_flops())


def watched(task: Task, clock: Clock) -> Task:
    """The task with a clock in its `augment`, which the trainer calls once a step."""
    augment = task.augment

    def ticking(batch: Batch) -> Batch:
        clock.tick()
        return augment(batch)

    task.augment = ticking  # type: ignore[method-assign]
    return task


def trainer_loop(
    bench: Bench, task: Task, source: Source, clock: Clock, model: Model, compiled: bool
) -> None:
    """`pretrain` on media that cost nothing to read."""
    arguments = TrainerArgs(
        steps=clock.steps,
        batch_size=model.batch,
        accelerator=bench.device.type,
        devices=1,
        compile=compiled,
        workers=0 if bench.toy else max(1, cores() - 1),
        checkpoint_every=10**6,
    )
    with tempfile.TemporaryDirectory() as folder:
        pretrain(watched(task, clock), source, Path(folder) / "run", trainer=arguments)


def plain_loop(
    bench: Bench, task: Task, source: Source, clock: Clock, model: Model, compiled: bool
) -> None:
    """The same step by hand on one batch that stays on the device."""
    there = task.to(bench.device).train()
    for p in there.parameters() if bench.cuda else ():
        layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(p.ndim)
        p.data = p.data if layout is None else p.data.contiguous(memory_format=layout)
    batch = moved(examples(there, source, model.batch), bench.device)
    optimizer = make_optimizer(there.param_groups(), OptimizerArgs())
    forward = torch.compile(there) if compiled else there
    for _ in range(clock.steps):
        clock.tick()
        inputs = there.augment(batch)
        with bench.autocast(bench.cuda):
            loss = forward(inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# 3. By time


def by_time(bench: Bench, name: str, data: str, seconds: float) -> dict[str, Any]:
    """Pretrains for about so many seconds without the test part, then probes, beside untrained.

    Args:
        name: of the recipe, which says the optimiser and the batch size too.
    """
    source = open_source(data)
    seen = without_test(source) or source
    trainer, optimizer = settings(name)
    trainer = replace(
        trainer,
        epochs=None,
        accelerator=bench.device.type,
        devices=1,
        workers=0 if bench.toy else max(1, cores() - 1),
    )
    batch = min(trainer.batch_size, len(seen))
    with tempfile.TemporaryDirectory() as temporary:
        clock = Clock(bench.device, *((1, 1, 0) if bench.toy else (20, 60, 20)))
        trial = replace(trainer, steps=clock.steps)
        pretrain(watched(recipe(name), clock), seen, Path(temporary) / "trial", trainer=trial)
        steps = 2 if bench.toy else max(1, round(seconds * clock.timed / clock.seconds))
        folder = Path(temporary) / "run"
        began = time.monotonic()
        trainer = replace(trainer, steps=steps)
        pretrain(recipe(name), seen, folder, trainer=trainer, optimizer=optimizer)
        trained = time.monotonic() - began
        encoder = load_encoder(folder)
        spec = InputSpec(**read_card(folder)["spec"])
        values = {
            entry: probes(bench, one, source, spec, folder if entry == "trained" else None)
            for entry, one in (("trained", encoder), ("untrained", random_init(encoder)))
        }
    return {
        "steps": steps,
        "epochs": round(steps * batch / len(seen), 2),
        "seconds": round(trained, 1),
        # Of the whole run: the timed steps may have been read ahead.
        "examples_per_second": round(steps * batch / trained, 1),
        "idle_share": None if clock.idle is None else round(clock.idle, 4),
        **values,
    }


def probes(bench: Bench, encoder: Any, source: Source, spec: InputSpec, run: Path | None):
    """Top-1 by method on the test part, or the mean over folds; how many test files were seen."""
    how = {"clips": 1 if bench.toy else 3, "device": str(bench.device), "run": run}
    rows = evaluate(["linear", "knn"], encoder, source, spec, workers=0 if bench.toy else 8, **how)
    found: dict[str, Any] = {
        row.stamp.method: round(row.value, 4) for row in rows if row.stamp.metric == "top1"
    }
    return found | {"seen_test_files": rows[-1].seen_in_pretraining}


# All together


def about(device: torch.device) -> dict[str, Any]:
    """Commit, command, card and versions."""
    run = about_run()
    cuda = device.type == "cuda"
    return {
        **run,
        "card": torch.cuda.get_device_name(device) if cuda else platform.processor() or "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "versions": {**run["versions"], "python": platform.python_version()},
        "written": time.strftime("%Y-%m-%d %H:%M %Z"),
    }


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("device.json"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--cifar", help="CIFAR-10, as --data takes it")
    parser.add_argument("--clips", help="packs of labelled clips, as --data takes them")
    parser.add_argument("--recipes", nargs="*", help="check the equality of these only")
    parser.add_argument("--toy", action="store_true", help="tiny networks and few steps")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    args = parsed(words)
    device = torch.device(args.device)
    # Nothing is begun in the last minute: what is under way then must end in time.
    until = time.monotonic() + 60 * (args.minutes - 1)
    bench = Bench(device, args.out, until, args.toy or args.device == "cpu")
    bench.results["about"] = about(device)
    for name in recipes() if args.recipes is None else args.recipes:
        bench.note("equality", name, partial(equality, name, device, toy=bench.toy))
    models = TOYS if bench.toy else MODELS
    table(bench, models, compiled=False)
    share = max(20.0, (bench.until - time.monotonic()) / 4)
    for section, data, own in (
        ("cifar10", args.cifar, "simclr"),
        ("clips", args.clips, "rotation_clips"),
    ):
        if data:
            name = own if bench.toy else str(HERE / f"device_{section}.yaml")
            bench.note(section, own, partial(by_time, bench, name, data, share))
    if not bench.toy:
        table(bench, models, compiled=True)
    lines = [line for section in bench.results.values() for line in section.values()]
    bad = [x for x in lines if isinstance(x, dict) and ("failed" in x or x.get("equal") is False)]
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
