"""Random draws from an explicit generator: the only randomness that tasks may use."""

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError


def generator(seed: int, epoch: int, index: int) -> Generator:
    """A CPU generator that depends on these three numbers alone.

    So an example is the same with any number of workers, at any batch size, on any rank, before
    and after a resume.

    Raises:
        InputError: a negative seed.
    """
    if seed < 0:
        raise InputError(f"a seed is 0 or more, not {seed}")
    state = np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & 0x7FFF_FFFF_FFFF_FFFF)


def uniform(rng: Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64).item()


def integer(rng: Generator, n: int) -> int:
    """One of 0 … n-1."""
    return int(torch.randint(n, (), generator=rng))


def coin(rng: Generator, p: float = 0.5) -> bool:
    """True with probability p."""
    return uniform(rng) < p


def permutation(rng: Generator, n: int) -> Tensor:
    """A random order of 0 … n-1, int64 [n]."""
    return torch.randperm(n, generator=rng)


def weighted(rng: Generator, weights: Tensor) -> int:
    """An index drawn in proportion to non-negative weights [n]; uniformly if all are zero."""
    if not torch.any(weights > 0):
        return integer(rng, len(weights))
    return int(torch.multinomial(weights.double(), 1, generator=rng))
