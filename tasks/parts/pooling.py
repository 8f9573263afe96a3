"""Means over parts of pictures."""

import functools

import torch
from torch import Tensor


def window_means(x: Tensor, rows: int | None, columns: int | None) -> Tensor:
    """Means over a grid of windows, those of `adaptive_avg_pool2d`.

    Two products of matrices: on one thread they take half the time of torch's pooling, which
    loaders call for every example.

    Args:
        x: float [..., H, W].
        rows, columns: of the grid; None: every line by itself.

    Returns:
        [..., rows, columns].
    """
    if columns is not None:
        x = x @ _windows(columns, x.shape[-1]).to(x).T
    return x if rows is None else _windows(rows, x.shape[-2]).to(x) @ x


@functools.lru_cache(64)
def _windows(count: int, size: int) -> Tensor:
    """The share of each of `size` places in each of `count` windows: [count, size]."""
    shares = torch.zeros(count, size)
    for k in range(count):
        first, end = k * size // count, -(-(k + 1) * size // count)
        shares[k, first:end] = 1 / (end - first)
    return shares
