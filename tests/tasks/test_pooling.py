"""Means over windows are those of torch's pooling."""

import pytest
import torch
import torch.nn.functional as F

from pretexto.tasks.parts.pooling import window_means


@pytest.mark.parametrize("size", [(16, 16), (73, 98), (5, 3), (64, 17)])
@pytest.mark.parametrize("grid", [(16, 16), (None, 8), (8, None), (1, 1)])
def test_they_are_those_of_adaptive_pooling(size, grid):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    wanted = F.adaptive_avg_pool2d(x, grid)
    got = window_means(x, *grid)
    assert got.shape == wanted.shape
    # Shares are kept in single precision.
    assert torch.allclose(got, wanted, atol=1e-6)
    assert torch.allclose(window_means(x.float(), *grid), wanted.float(), atol=1e-6)
