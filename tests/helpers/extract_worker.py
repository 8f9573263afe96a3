"""What each of two gloo processes runs for tests/evaluation/test_distributed.py."""

import os

import evaluation_fakes as fakes
import torch

from pretexto.evaluation.distributed import launched
from pretexto.evaluation.features import Features, extract

LABELS = [0, 1, 0, 1, 0]


def source() -> fakes.Clock:
    """Five films that tell the time; the last is as short as one clip, one cannot be read."""

    class Films(fakes.Clock):
        def info(self, i):
            info = super().info(i)
            return info if i < 4 else fakes.MediaInfo(self.name(i), "video", duration=0.2)

        def read(self, i, plan):
            if i == 1:
                raise fakes.MediaError(self.name(i), "decode", "planted damage")
            return super().read(i, plan)

    return Films(LABELS, duration=2.301, width=17)


def extracted(media: fakes.Clock, cache=None, *, shared: bool) -> Features:
    """Everything that extraction gives, of the same encoder in every process."""
    torch.manual_seed(0)
    how = {"clips": 2, "crops": 3, "levels": True, "tokens": True, "batch_size": 2}
    return extract(fakes.ClipColour(), media, fakes.VIDEO, cache=cache, shared=shared, **how)


def run(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), **place}
    with launched() as several:
        assert several
        media = source()
        found = extracted(media, shared=True)
        own = len(media.plans)
        # A cache that only the first process has must not leave the other one waiting.
        cache = f"{folder}/cache-{rank}"
        if rank == 0:
            extracted(source(), cache, shared=False)
        again = extracted(source(), cache, shared=True)
        assert all(torch.equal(again.vectors[k], x) for k, x in found.vectors.items())
        assert found.tokens is not None
        told = {**found.vectors, "tokens": found.tokens, "counts": found.counts}
        told |= {"labels": found.labels, "indices": found.indices, "own": torch.tensor(own)}
        told["failed"] = torch.tensor(found.unreadable_indices)
        torch.save(told, f"{folder}/{rank}.pt")
