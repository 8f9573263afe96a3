"""What all ranks can use of the steps ahead of them, and whether any of them wants to stop."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..tasks.task import Batch
from .data import Loaded, Lost
from .distributed import Processes
from .signals import Stop

MOST = 8  # steps agreed on at a time
DELAY = 2.0  # seconds that a signal may wait for the next agreement


@dataclass(slots=True)
class Arrival:
    """One step's batches, as all ranks have agreed on them.

    Attributes:
        step: its number.
        batches: this rank's parts of those that every rank can use.
        members: the examples in them.
        left_out: how many batches are left out.
        lost: of all ranks.
        mistake: a user's, on any rank; None: none.
        stopped: number of the signal that ends the run before this step; 0: none.
    """

    step: int
    batches: list[Batch]
    members: list[int]
    left_out: int
    lost: list[Lost]
    mistake: str | None
    stopped: int


class Agreement:
    """One rank's part in agreeing on the steps ahead.

    Ranks tell each other of a few steps at a time, of the fewer the longer a step takes, so that
    most steps need no message and a signal is still answered within seconds.

    Args:
        batch: examples per rank and batch, where all are there.
        stop: whether this rank wants to stop.
        workers: processes that load batches; they hold as many ready as are waited for together.
    """

    def __init__(self, batch: int, stop: Stop, *, workers: int):
        self.batch, self.stop = batch, stop
        # Of its own, for this happens in a thread beside the training.
        self.processes = Processes()
        self.most = min(MOST, 2 * workers) or MOST

    def arrivals(self, steps: Iterator[list[Loaded]]) -> Iterator[Arrival]:
        """Steps as every rank can use them, to the end or to the first one stopped before."""
        count = wanted = 1
        began = time.monotonic()
        while block := list(islice(steps, count)):
            agreed, wanted = self._agree(block, wanted)
            for arrival in agreed:
                yield arrival
                if arrival.stopped:
                    return
            now = time.monotonic()
            began, seconds = now, (now - began) / len(block)
            # Alone, nobody is asked, and nothing need be held back.
            count = wanted if self.processes.size > 1 else 1
            wanted = max(1, min(2 * count, self.most, int(DELAY / max(seconds, 1e-6))))

    def _agree(self, block: list[list[Loaded]], wanted: int) -> tuple[list[Arrival], int]:
        """What every rank can use of these steps, and how many all want to agree on next."""
        scarce = [int(self._scarce(part)) for parts in block for part in parts]
        told = [_told(parts) for parts in block]
        news = int(any(lost or mistake for lost, mistake in told))
        news, stopped, fewest, *scarce = self.processes.greatest(
            [news, self.stop.number, -wanted, *scarce]
        )
        everyone = self.processes.gather(told) if news else [told]
        flags = iter(scarce)
        agreed = [
            _arrival(parts, [next(flags) for _ in parts], list(of_all))
            for parts, of_all in zip(block, zip(*everyone, strict=True), strict=True)
        ]
        agreed[0].stopped = stopped
        return agreed, -fewest

    def _scarce(self, part: Loaded) -> bool:
        """Whether too little of a batch is left to learn from."""
        size = 0 if part.batch is None else len(part.batch["index"])
        return size < min(2, self.batch)


Told = tuple[list[Lost], str | None]  # what a rank has to say of a step: losses, a mistake


def _told(parts: list[Loaded]) -> Told:
    lost = [lost for part in parts for lost in part.lost]
    return lost, next((part.mistake for part in parts if part.mistake), None)


def _arrival(parts: list[Loaded], scarce: list[int], told: list[Told]) -> Arrival:
    usable = [
        part.batch
        for part, short in zip(parts, scarce, strict=True)
        if not short and part.batch is not None
    ]
    return Arrival(
        parts[0].step,
        usable,
        [i for batch in usable for i in batch["index"].tolist()],
        len(parts) - len(usable),
        [lost for losses, _ in told for lost in losses],
        next((mistake for _, mistake in told if mistake), None),
        stopped=0,
    )
