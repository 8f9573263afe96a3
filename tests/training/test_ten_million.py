"""Ten million examples: from the call to the first step within a minute and two gigabytes."""

import os
import subprocess
import sys

import pytest
from large_index import write_many

SCRIPT = """
import sys, time
import psutil, torch
from pretexto.datasets.index import Index
from pretexto.encoders.image import TinyImage
from pretexto.modalities.media import Sample
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.rotation import Rotation
from pretexto.training.pretrain import TrainerArgs, pretrain

class Readable(Index):
    def read(self, i, plan):
        frames = torch.zeros(len(plan.times), 3, plan.short_side, plan.short_side)
        times = torch.tensor(plan.times, dtype=torch.float64)
        return Sample(frames=frames.to(torch.uint8), times=times, note=plan.note)

class FirstStep(Rotation):
    def after_step(self, *how, **more):
        # Processor time, which does not depend on what else the machine does.
        # Not `ru_maxrss`: that knows of the process which this one was forked from.
        peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
        children = psutil.Process().children(recursive=True)
        held = [child.memory_full_info() for child in children]
        print("first step", time.process_time() + sum(sum(c.cpu_times()[:2]) for c in children))
        print("own peak", peak / 2**20, "workers", sum(m.pss for m in held) / 2**30)
        sys.exit()

torch.set_num_threads(1)
task = FirstStep(ClipInput(TinyImage(width=2), size=16))
arguments = TrainerArgs(steps=2, batch_size=8, workers=2, accelerator="cpu")
pretrain(task, Readable(sys.argv[1], root="."), sys.argv[2], trainer=arguments)
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [300_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_the_first_step_comes_within_a_minute_and_two_gigabytes(count, tmp_path):
    write_many(tmp_path / "many.parquet", count)
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, tmp_path / "many.parquet", tmp_path / "run"],
        env={**os.environ, "PRETEXTO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    (seconds,) = (float(words[2]) for words in lines if words[:2] == ["first", "step"])
    (own, workers) = next((float(w[2]), float(w[4])) for w in lines if w[:2] == ["own", "peak"])
    print(f"{count} examples: {seconds:.0f} s of processor time, {own:.2f} + {workers:.2f} GiB")
    assert seconds <= 60
    assert own + workers <= 2
