"""Batches brought to the device ahead of the step that takes them; how long the device starved."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from ..tasks.task import Batch

AHEAD = 2  # batches on the device, or ready for it, beside the one in use
_END = object()


class Carries(Protocol):
    """Anything with batches, which are replaced by their copies on the device."""

    batches: list[Batch]


class Prefetch:
    """Draws from an iterator in a thread of its own and copies batches on a stream of their own.

    Args:
        items: the iterator; its errors are raised where the items are taken.
        device: where the batches go.

    Attributes:
        waited: seconds in which no item was ready and the device had nothing left to do.
    """

    def __init__(self, items: Iterator[Any], device: torch.device):
        self.waited = 0.0
        self._items, self._device, self._busy = items, device, Busy
        self._ready: queue.Queue[Any] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        try:
            while (taken := self._take()) is not _END:
                if isinstance(taken, BaseException):
                    raise taken
                item, copied = taken
                if copied is not None:
                    self._adopt(item, copied)
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """Ends the thread, unless it waits for a worker that hangs."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _fill(self) -> None:
        try:
            for item in self._items:
                if not self._put((item, self._copy(item))):
                    return
        except BaseException as error:
            self._put(error)
        else:
            self._put(_END)

    def _put(self, thing: Any) -> bool:
        while not self._closed.is_set():
            try:
                self._ready.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _copy(self, item: Carries) -> Any:
        """Starts the copies; returns the event at their end, None where there is no stream."""
        if self._copies is None:
            return None
        with torch.cuda.stream(self._copies):
            item.batches = [
                {key: value.to(self._device, non_blocking=True) for key, value in batch.items()}
                for batch in item.batches
            ]
        return self._copies.record_event()

    def _adopt(self, item: Carries, copied: Any) -> None:
        """Makes the device's work wait for the copies, and memory wait for the work."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(copied)
        for batch in item.batches:
            for value in batch.values():
                value.record_stream(stream)

    def _take(self) -> Any:
        busy = self._busy(self._device)
        try:
            return self._ready.get_nowait()
        except queue.Empty:
            return self._starve(busy)

    def _starve(self, busy: Callable[[], bool]) -> Any:
        """Waits for an item; time counts from when the device has done what it was given."""
        idle_since = None
        while True:
            if idle_since is None and not busy():
                idle_since = time.perf_counter()
            try:
                taken = self._ready.get(timeout=0.001 if idle_since is None else None)
            except queue.Empty:
                continue
            if idle_since is not None:
                self.waited += time.perf_counter() - idle_since
            return taken


class Busy:
    """Whether a device still works on what it had been given when this was made."""

    def __init__(self, device: torch.device):
        self._event = torch.cuda.Event() if device.type == "cuda" else None
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(device))

    def __call__(self) -> bool:
        # The host itself is the device of a CPU run: it is here, so it is not at work.
        return self._event is not None and not self._event.query()
