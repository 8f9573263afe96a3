"""What the spectrograms of a batch cost, as a share of a training step with tiny encoders.

    python benchmarks/spectrograms.py [--steps 20] [--batch 32]

One step is augmentation, forward pass, backward pass and optimiser on a batch that lies ready;
reading files is not part of it. Spectrograms are timed inside the same steps. All times are of
the processor on one thread, so that other work on the machine slows both alike; the share is the
median over steps, with the quartiles beside it. Results go to benchmarks/results/spectrograms.json.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from parts.results import RESULTS, about_run, write_result

os.environ.setdefault("OMP_NUM_THREADS", "1")
WARM = 3  # steps that are not counted


def tasks() -> dict[str, Callable]:
    """The shipped recipes that listen, each with tiny encoders."""
    from pretexto.build import build, load_tree
    from pretexto.commands.pretrain import schema

    def made(name: str):
        tree = {"task": load_tree(name)["task"]}
        return lambda: build(tree, {"task": schema()["task"]}, name)["task"]

    recipes = ("audio_simclr", "cola", "audio_visual", "synchrony", "cross_modal")
    return {name: made(name) for name in recipes}


def batch_of(task, size: int):
    """Noise in the form of the task's examples; a spectrogram takes as long for any sound."""
    import torch
    from torch.utils.data import default_collate

    from pretexto.modalities.media import MediaInfo, Sample
    from pretexto.modalities.rng import generator

    info = MediaInfo(
        "x.mp4", "video", duration=8.0, fps=25, frames=200, height=96, width=128,
        audio_rate=16000, audio_channels=1, audio_duration=8.0,
    )  # fmt: skip
    made = []
    for i in range(size):
        rng = generator(0, 0, i)
        plan = task.plan(info, rng)
        side = plan.short_side or 1
        frames = torch.randint(0, 256, (max(len(plan.times), 1), 3, side, side), generator=rng)
        times = torch.tensor(plan.times or (0.0,), dtype=torch.float64)
        samples = sum(span.samples for span in plan.audio)
        sound = 0.1 * torch.randn(1, samples, generator=rng)
        sample = Sample(frames.byte(), times, sound, plan.audio[0].rate, note=plan.note)
        made.append({**task.example(sample, rng), "index": torch.tensor(i)})
    return default_collate(made)


def measure(task, size: int, steps: int) -> dict:
    """Processor milliseconds of a step and of its spectrograms."""
    import torch

    from pretexto.encoders.spectrogram import LogMel

    encoder = task.encoders["audio"]
    spent: list[float] = []
    heard: list[float] = []

    def before(_, inputs) -> None:
        heard.append(inputs[0].shape[0] * inputs[0].shape[-1] / encoder.rate)
        spent.append(-time.process_time())

    spectrogram = next(m for m in encoder.modules() if isinstance(m, LogMel))
    spectrogram.register_forward_pre_hook(before)
    spectrogram.register_forward_hook(lambda *_: spent.append(time.process_time()))
    optimizer = torch.optim.AdamW(task.parameters())
    batch = batch_of(task, size)
    whole, inside = [], []
    for _ in range(WARM + steps):
        spent.clear(), heard.clear()
        start = time.process_time()
        loss = task(task.augment(batch)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        whole.append(1000 * (time.process_time() - start))
        inside.append(1000 * sum(spent))
    shares = [i / w for i, w in zip(inside[WARM:], whole[WARM:], strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    return {
        "step_ms": round(statistics.median(whole[WARM:]), 1),
        "spectrograms_ms": round(statistics.median(inside[WARM:]), 2),
        "share": round(middle, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "seconds_of_sound": round(sum(heard), 1),
        "rate": encoder.rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, default=RESULTS / "spectrograms.json")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    results = {}
    for name, make in tasks().items():
        torch.manual_seed(0)
        results[name] = measure(make(), args.batch, args.steps)
        print(f"{name}: {results[name]}", flush=True)
    report = {
        **about_run(),
        "batch": args.batch,
        "steps": args.steps,
        "threads": 1,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "load": [round(x, 1) for x in os.getloadavg()],
        "tasks": results,
    }
    write_result(args.out, report)


if __name__ == "__main__":
    main()
