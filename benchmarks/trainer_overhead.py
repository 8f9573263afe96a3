"""What the trainer costs beside a plain PyTorch loop: both take turns, step by step.

    python benchmarks/trainer_overhead.py --out benchmarks/results/trainer_overhead.json

Whenever `pretrain` begins a step, a plain loop takes one of its own first: the same task with the
same weights, the same examples from a DataLoader with as many workers, the same optimiser; no logs,
no checkpoints, no checks. So both meet the same load of the machine, whatever it is.

Counted is processor time of this process: of its main thread for each loop, and of all other
threads (which fetch ahead) for the trainer. Workers are the same for both. The ratio is plain ÷
trainer, 1 where the trainer costs nothing: the median over blocks of steps, and an interval in
which 95 % of the medians of resampled blocks lie. Wall-clock time is given beside it.

Pictures: ResNet-18 at 32 pixels, from memory. Clips: R3D-18, from packs (--packs, or those of the
demo's synthetic world, which are made first). Both with the task of rotation. Text: GPT-2's network
of 124 M with its own task, spans of 128 tokens from memory. One thread.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts.device_kit import Noise, Words, recipe

from pretexto.commands.demo import packed_world
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source
from pretexto.errors import InputError
from pretexto.evaluation.stamp import environment
from pretexto.tasks.task import Batch, Task
from pretexto.training.data import Examples, make_loader
from pretexto.training.optim import OptimizerArgs, make_optimizer
from pretexto.training.pretrain import TrainerArgs, pretrain
from pretexto.training.sampler import Schedule

BLOCKS, RESAMPLED = 10, 10_000


@dataclass
class Turns:
    """Seconds of each step of both loops, by clock: "processor" of the main thread, and "wall"."""

    plain: dict[str, list[float]] = field(default_factory=lambda: {"processor": [], "wall": []})
    trainer: dict[str, list[float]] = field(default_factory=lambda: {"processor": [], "wall": []})
    others: float = 0.0


def now() -> dict[str, float]:
    return {"processor": time.thread_time(), "wall": time.perf_counter()}


def note(seconds: dict[str, list[float]], since: dict[str, float]) -> None:
    for clock, value in now().items():
        seconds[clock].append(value - since[clock])


def plain_steps(task: Task, source: Source, args: TrainerArgs) -> Generator[None]:
    """The loop that anybody would write; one step each time it is asked."""
    assert args.steps is not None
    schedule = Schedule(len(source), args.batch_size, args.steps)
    loader = make_loader(Examples(source, task, 0), schedule, workers=args.workers_per_device)
    optimizer = make_optimizer(task.param_groups(), OptimizerArgs())
    task.train()
    for loaded in loader:
        loss = task(task.augment(loaded.batch)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def take_turns(task: Task, source: Source, args: TrainerArgs, warm: int) -> Turns:
    """Both loops, `args.steps` each; the first `warm` steps are not counted."""
    plain, turns, augment = plain_steps(deepcopy(task), source, args), Turns(), task.augment
    since: dict[str, float] = {}
    used = 0.0
    steps = 0

    def other_turn(batch: Batch) -> Batch:
        nonlocal since, used, steps
        if steps > warm:
            note(turns.trainer, since)
        if steps == warm:
            used = time.process_time() - time.thread_time()
        since = now()
        with torch.enable_grad():  # pixels are augmented without
            next(plain)
        if steps >= warm:
            note(turns.plain, since)
        steps += 1
        turns.others = time.process_time() - time.thread_time() - used
        since = now()
        return augment(batch)

    task.augment = other_turn  # type: ignore[method-assign]
    # Closed, or its loader's worker, which outlives the first SIGTERM, would outlive this process.
    with closing(plain), tempfile.TemporaryDirectory() as folder:
        pretrain(task, source, Path(folder) / "run", trainer=args)
    return turns


def ratio(turns: Turns, clock: str) -> dict[str, Any]:
    """Plain ÷ trainer: the median over blocks of steps, and its interval."""
    count = len(turns.trainer[clock])
    trainer = np.array(turns.trainer[clock])
    if clock == "processor":
        trainer = trainer + turns.others / count
    blocks = np.array_split(np.stack([np.array(turns.plain[clock][:count]), trainer]), BLOCKS, 1)
    quotients = np.array([block[0].sum() / block[1].sum() for block in blocks if block.size])
    drawn = np.random.default_rng(0).choice(quotients, (RESAMPLED, len(quotients)))
    low, high = np.quantile(np.median(drawn, 1), [0.025, 0.975])
    return {
        "ratio": round(float(np.median(quotients)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "plain_ms": round(1000 * float(np.median(turns.plain[clock])), 2),
        "trainer_ms": round(1000 * float(np.median(trainer)), 2),
    }


def measured(task: Task, source: Source, args: argparse.Namespace, batch: int) -> dict[str, Any]:
    trainer = TrainerArgs(
        steps=args.warm + args.steps + 1,
        batch_size=batch,
        workers=args.workers,
        accelerator="cpu",
        checkpoint_every=10**6,
    )
    turns = take_turns(task, source, trainer, args.warm)
    found = {clock: ratio(turns, clock) for clock in ("processor", "wall")}
    return {"batch": batch, "steps": args.steps, "workers": args.workers, **found}


def of_pictures(args: argparse.Namespace, encoder: str, batch: int) -> dict[str, Any]:
    source = Noise(4 * batch, "image", 37, 1)
    return {"size": 32, **measured(recipe("rotation", encoder, 32), source, args, batch)}


def of_clips(args: argparse.Namespace, encoder: str, batch: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        packs = open_source(args.packs or str(packed_world(Path(folder))))
        task = recipe("rotation_clips", encoder, args.size, args.frames)
        found = measured(task, packs, args, batch)
    return {"size": args.size, "frames": args.frames, **found}


def of_text(args: argparse.Namespace, encoder: str, batch: int) -> dict[str, Any]:
    task = recipe("causal_language", encoder, 128)
    source = Words(4 * batch, 128, task.text.encoder.vocabulary)  # type: ignore[union-attr]
    return {"length": 128, **measured(task, source, args, batch)}


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("trainer_overhead.json"))
    parser.add_argument("--only", choices=("pictures", "clips", "text"))
    parser.add_argument("--encoders", nargs=3, default=("resnet18", "r3d_18", "gpt2"))
    parser.add_argument("--batches", nargs=3, type=int, default=(64, 4, 1))
    parser.add_argument("--packs", help="of clips, as --data takes them")
    parser.add_argument("--size", type=int, default=64, help="pixels of clips")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warm", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    args = parsed(words)
    torch.set_num_threads(1)
    commit, versions = environment()
    results: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit,
        "versions": dict(versions),
    }
    cases = {"pictures": of_pictures, "clips": of_clips, "text": of_text}
    for (name, case), encoder, batch in zip(
        cases.items(), args.encoders, args.batches, strict=True
    ):
        if args.only in (None, name):
            results[name] = {"encoder": encoder, **case(args, encoder, batch)}
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
