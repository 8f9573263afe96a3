"""Opens or loads many files and prints, as JSON, what that did to memory and descriptors.

A process of its own, whose memory nothing else uses.
"""

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from fakes import FakeTask, fake_task

from pretexto.datasets.folder import Folder
from pretexto.modalities import rng as draw
from pretexto.modalities.decode import packet_index
from pretexto.modalities.decode.origin import origin_of
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import AudioSpan, MediaError, Plan
from pretexto.training.data import Examples, make_loader
from pretexto.training.sampler import Schedule

BATCH = 5


class ClipTask(FakeTask):
    """Four frames from anywhere in the clip, and the sound beside them."""

    made = 0

    def plan(self, info, rng):
        start = draw.uniform(rng, 0.0, max(info.duration - 0.2, 0.01))
        times = tuple(start + k / 20 for k in range(4))
        span = AudioSpan(start, 0.2, 16_000) if info.has_audio else ()
        return Plan(times, span, short_side=32, past_end="repeat")

    def example(self, sample, rng):
        self.made += 1
        if self.made % 100 == 0:
            give_back()
        return {"frames": sample.frames[..., :32, :32]}


def give_back() -> None:
    """Has the C library hand back what it holds in store: what is left is in use."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def held(process: psutil.Process) -> tuple[float, int]:
    """Resident MB and open descriptors."""
    return process.memory_info().rss / 2**20, process.num_fds()


def opens(files: list[str], count: int) -> Iterator[list[tuple[float, int]]]:
    """Probes and reads files in turn, as if each were new; what the process holds after each."""
    me = psutil.Process()
    for k in range(count):
        path = files[k % len(files)]
        packet_index.forget(packet_index.identity(origin_of(path), None, None))
        try:
            info = probe(path)
            start = draw.uniform(draw.generator(0, 0, k), 0.0, info.duration)
            times = (start, start + 0.1) if info.has_video else ()
            span = AudioSpan(start, 0.3, 16_000) if info.has_audio else ()
            read(path, Plan(times, span, past_end="repeat"))
        except MediaError:
            pass
        if (k + 1) % (count // 4) == 0:
            give_back()
        yield [held(me)]


def clips(folder: str, count: int, workers: int, batch: int) -> Iterator[list[tuple[float, int]]]:
    """Loads clips as training does; what this process and each worker hold after each batch."""
    task = ClipTask(fake_task().encoder)
    source = Folder(folder, kind="video")
    schedule = Schedule(len(source), batch, count // batch)
    me = psutil.Process()
    for loaded in make_loader(Examples(source, task, 0), schedule, workers=workers):
        assert not loaded.lost, loaded.lost
        assert loaded.batch is not None
        assert len(loaded.batch["frames"]) == batch
        yield [held(p) for p in (me, *me.children())]


def report(states: Iterator[list[tuple[float, int]]], count: int) -> None:
    """Prints the memory of each process at a quarter, half and the end, and most descriptors."""
    found, most = [], 0
    for k, state in enumerate(states, 1):
        most = max(most, *(files for _, files in state))
        if k in (count // 4, count // 2, count):
            found.append([round(memory, 1) for memory, _ in state])
    print(json.dumps({"megabytes": found, "descriptors": most}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for what, place, number in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3], strict=True):
        count = int(number)
        if what == "opens":
            names = sorted(str(p) for p in Path(place).rglob("*") if p.is_file())
            report(opens(names, count), count)
        else:
            report(clips(place, count, 2, BATCH), count // BATCH)
