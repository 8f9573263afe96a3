"""A bounded store of what was used last, shared by the threads of a process."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key; beyond the bounds, those unused for longest are given back.

    Args:
        weigh: what a value counts towards `most`.
        most: greatest sum of weights.
        count: greatest number of values; None: no bound but `most`.
        least: how many values are kept whatever they weigh.
    """

    def __init__(
        self, weigh: Callable[[V], int], most: int, count: int | None = None, *, least: int = 0
    ):
        self._weigh, self._most, self._count, self._least = weigh, most, count, least
        self._values: OrderedDict[tuple, V] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            # A thread of the parent may hold the lock while another one forks.
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._total = sum(map(self._weigh, self._values.values()))

    def get(self, key: tuple) -> V | None:
        """The value of this key, which is now the one used last; None if there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def pop(self, key: tuple) -> V | None:
        """Takes the value of this key out."""
        with self._lock:
            return self._take(key)

    def put(self, key: tuple, value: V) -> list[V]:
        """Keeps a value; returns those that had to go, an older one of this key among them."""
        gone = []
        with self._lock:
            older = self._take(key)
            gone += [] if older is None else [older]
            self._values[key] = value
            self._total += self._weigh(value)
            while len(self._values) > self._least and self._too_much():
                _, oldest = self._values.popitem(last=False)
                self._total -= self._weigh(oldest)
                gone.append(oldest)
        return gone

    def clear(self) -> list[V]:
        """Takes everything out."""
        with self._lock:
            gone = list(self._values.values())
            self._values.clear()
            self._total = 0
        return gone

    def _take(self, key: tuple) -> V | None:
        value = self._values.pop(key, None)
        self._total -= 0 if value is None else self._weigh(value)
        return value

    def _too_much(self) -> bool:
        crowded = self._count is not None and len(self._values) > self._count
        return crowded or self._total > self._most
