"""Training on packs behind S3: each shard once per rank and epoch, within the cache's bound."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from dataset_kit import without_children
from filelock import FileLock
from PIL import Image
from torch import nn

from pretexto.datasets.index import build as indexing
from pretexto.datasets.packs import write as packing
from pretexto.datasets.packs.order import window_within
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.storage import RemoteFolder
from pretexto.datasets.source import Shards
from pretexto.modalities.media import Plan
from pretexto.training.data import Examples, make_loader
from pretexto.training.sampler import Schedule

SHARDS, EACH, RANKS, WORKERS, EPOCHS = 64, 10, 2, 4, 2


class Look(nn.Module):
    """A stand-in for a task: the mean of each picture."""

    def plan(self, info, rng) -> Plan:
        return Plan((0.0,))

    def example(self, sample, rng) -> dict:
        return {"mean": sample.frames.float().mean()}


class Remote(NamedTuple):
    """A pack on S3 and the same one here; a cache a quarter of its size."""

    url: str
    options: dict
    here: Path
    limit: int

    def packs(self, cache: Path) -> Packs:
        return Packs(self.url, cache=cache, cache_bytes=self.limit, options=self.options)


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """Pictures of one size in shards of `EACH`, behind a server of S3's interface."""
    import s3fs
    from moto.server import ThreadedMotoServer

    root, out = (tmp_path_factory.mktemp(name) for name in ("pictures", "packs"))
    rng = np.random.default_rng(0)
    for k in range(SHARDS * EACH):
        pixels = rng.integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{k:04}.bmp")
    server = ThreadedMotoServer(port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        indexing.scan(root, out / "index.parquet")
        found = packing.pack(out / "index.parquet", out / "pack", shard_bytes=EACH * 1800)
        assert len(found.shards) == SHARDS
        server.start()
        host, port = server.get_host_and_port()
        options = {"endpoint_url": f"http://{host}:{port}", "use_listings_cache": False}
        system = s3fs.S3FileSystem(**options)
        system.mkdir("bucket")
        system.put(str(out / "pack"), "bucket/pack", recursive=True)
        size = sum(file.bytes for file in (found.index, *found.shards))
        yield Remote("s3://bucket/pack", options, out / "pack", size // 4)
        server.stop()


def shards_of(packs: Packs) -> Shards:
    """Those of one of the two processes on one machine."""
    shards = packs.shards()
    assert shards is not None
    return shards.shared(RANKS)


def schedule_of(packs: Packs, rank: int) -> Schedule:
    """As a run of these processes has it."""
    shards = shards_of(packs)
    schedule = Schedule(
        len(packs), 2, 1, seed=5, rank=rank, ranks=RANKS,
        shards=shards.numbers, window=window_within(shards.room),
    )  # fmt: skip
    return replace(schedule, total=EPOCHS * schedule.per_epoch)


def train(remote: Remote, rank: int, cache: Path, log: Path, together) -> None:
    """One rank: reads its part of the epochs, and notes what is fetched and what is read."""
    real = RemoteFolder._download

    def noted(self, name, path, file):
        if name.startswith("shard"):
            note(log / f"fetched-{rank}", name)
        real(self, name, path, file)

    RemoteFolder._download = noted
    packs = remote.packs(cache)
    schedule = schedule_of(packs, rank)
    loader = make_loader(
        Examples(packs, Look(), 5), schedule, workers=WORKERS, shards=shards_of(packs)
    )
    for loaded in loader:
        assert loaded.batch is not None
        assert not loaded.lost
        index, mean = int(loaded.batch["index"][0]), float(loaded.batch["mean"][0])
        note(log / f"read-{rank}", f"{index} {mean}")
        together.wait(60)  # as ranks do that share their gradients


def note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def start(remote: Remote, cache: Path, log: Path) -> list:
    """Both ranks, each in a process group of its own."""
    log.mkdir()
    context = multiprocessing.get_context("fork")
    together = context.Barrier(RANKS)

    def alone(rank: int) -> None:
        os.setsid()
        train(remote, rank, cache, log, together)

    ranks = [context.Process(target=alone, args=(rank,)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    return ranks


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def taken(cache: Path) -> int:
    """Bytes of the copies and of what is being downloaded, at one moment."""
    sizes = {}
    with FileLock(str(cache / "room.lock")):  # nobody makes room meanwhile
        for path in cache.iterdir():
            if path.suffix in (".arrow", ".parquet", ".part"):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    sizes[found.st_ino] = found.st_size  # a download that ends is renamed
    return sum(sizes.values())


@pytest.mark.slow  # two processes with four more each, three times over
@pytest.mark.timeout(600)
def test_each_rank_fetches_each_shard_once_an_epoch_in_a_bounded_cache(remote, tmp_path):
    cache, most, done = tmp_path / "cache", [0], threading.Event()
    cache.mkdir()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], taken(cache))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        killed = start(remote, cache, tmp_path / "killed")
        while len(lines(tmp_path / "killed" / "read-0")) < 30:
            assert all(process.is_alive() for process in killed)
            time.sleep(0.05)
        for process in killed:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        ranks = start(remote, cache, tmp_path / "log")
        for process in ranks:
            process.join()
            assert process.exitcode == 0
    finally:
        done.set()
        watcher.join()
    check_reading(remote, tmp_path / "log")
    check_fetching(remote, tmp_path / "log")
    assert remote.limit // 2 < most[0] <= remote.limit
    assert not [path for path in cache.iterdir() if path.suffix in (".part", ".claim")]


def check_reading(remote: Remote, log: Path) -> None:
    """Every example came once an epoch, from one rank, with its own pixels."""
    here = Packs(remote.here)
    read = [[line.split() for line in lines(log / f"read-{rank}")] for rank in range(RANKS)]
    half = len(here) // RANKS
    for epoch in range(EPOCHS):
        part = [int(i) for mine in read for i, _ in mine[epoch * half : (epoch + 1) * half]]
        assert sorted(part) == list(range(len(here)))
    for i, mean in read[0][:: 3 * EACH]:
        frames = here.read(int(i), Plan((0.0,))).frames
        assert frames is not None
        assert float(mean) == float(frames.float().mean())


def check_fetching(remote: Remote, log: Path) -> None:
    """No rank fetched a shard more often than it had epochs that need it."""
    packs = Packs(remote.here, by_shard=True)
    shards = shards_of(packs)
    needed: Counter = Counter()
    for rank in range(RANKS):
        schedule = replace(schedule_of(packs, rank), window=1)
        for epoch in range(EPOCHS):
            needed.update(np.unique(shards.numbers[schedule.part(epoch)[:, 0]]).tolist())
    names = [line for rank in range(RANKS) for line in lines(log / f"fetched-{rank}")]
    fetched = Counter(int(name[6:11]) for name in names)
    assert fetched.keys() <= needed.keys()
    assert all(fetched[shard] <= needed[shard] for shard in needed)
    # Two epochs of 64 shards, a quarter of which may lie in the cache when the second begins.
    assert sum(fetched.values()) > EPOCHS * SHARDS * 0.7
