"""Losses and metrics since the last row, kept on the device until somebody asks."""

import math
from typing import Any

import torch
from torch import Tensor


class NonFiniteLossError(Exception):
    """The loss of one step is no number. `number` is that of its batch, from 0."""

    def __init__(self, number: int, value: float):
        super().__init__(f"loss {value} in batch {number}")
        self.number, self.value = number, value


class Window:
    """Means over some steps. Adding costs the device no wait; asking for the means costs one."""

    def __init__(self):
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._sums: dict[str, list[float]] = {}

    def add(self, number: int, values: dict[str, Tensor]) -> None:
        """Notes one step's scalars, "loss" among them."""
        self._pending.append((number, {k: v.detach() for k, v in values.items()}))

    def settle(self) -> None:
        """Brings what was noted to the host. Raises NonFiniteLossError at the first bad loss."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        flat = [value.float().reshape(()) for _, values in pending for value in values.values()]
        numbers = iter(torch.stack(flat).tolist())
        for batch, values in pending:
            for name in values:
                value = next(numbers)
                if name == "loss" and not math.isfinite(value):
                    raise NonFiniteLossError(batch, value)
                total = self._sums.setdefault(name, [0.0, 0.0])
                total[0] += value
                total[1] += 1

    def sums(self) -> dict[str, list[float]]:
        """Sum and count of every name; the window is empty afterwards."""
        self.settle()
        sums, self._sums = self._sums, {}
        return sums

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next row to be the same after a resume."""
        self.settle()
        return {name: list(total) for name, total in self._sums.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state."""
        self._sums = {name: list(total) for name, total in state.items()}
