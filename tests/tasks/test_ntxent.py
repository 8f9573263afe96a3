"""NT-Xent against independent formulations, exact values, and itself across processes."""

import math
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import two_processes
from torch import Tensor

from pretexto.tasks.parts.losses import nt_xent

# The loss computes in float32 at least; float64 stays float64.
TIGHT = {"atol": 1e-12, "rtol": 0}


def pairs(n: int, dim: int, seed: int = 0, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    first = torch.randn(n, dim, generator=rng, dtype=dtype)
    return first, first + torch.randn(n, dim, generator=rng, dtype=dtype)


def by_hand(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Equation 1 of the paper, one pair at a time."""
    z = [row / row.norm() for row in torch.cat([first, second])]
    n, losses = len(first), []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = [torch.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        losses.append(-torch.log(torch.exp(z[i] @ z[j] / temperature) / sum(others)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equals_the_papers_equation(temperature):
    first, second = pairs(7, 5)
    loss, _ = nt_xent(first, second, temperature)
    torch.testing.assert_close(loss, by_hand(first, second, temperature), **TIGHT)


def test_gradient_equals_that_of_the_equation():
    first, second = (x.requires_grad_() for x in pairs(6, 4))
    got = torch.autograd.grad(nt_xent(first, second, 0.2)[0], (first, second))
    want = torch.autograd.grad(by_hand(first, second, 0.2), (first, second))
    torch.testing.assert_close(got, want, **TIGHT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_lightlys(dtype):
    lightly = pytest.importorskip("lightly.loss")
    first, second = pairs(32, 16, dtype=dtype)
    want = lightly.NTXentLoss(temperature=0.2)(first, second)
    got, _ = nt_xent(first, second, 0.2)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(got, want, atol=tolerance, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_metric_learnings(dtype):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    first, second = pairs(32, 16, dtype=dtype)
    want = losses.SelfSupervisedLoss(losses.NTXentLoss(temperature=0.2))(first, second)
    got, _ = nt_xent(first, second, 0.2)
    tolerance = 2e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(got, want, atol=tolerance, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_collapsed_vectors_cost_the_logarithm_of_the_choices(n):
    same = torch.ones(n, 8, dtype=torch.float64)
    loss, _ = nt_xent(same, 3 * same, 0.1)
    assert float(loss) == pytest.approx(math.log(2 * n - 1), abs=1e-12)


def test_aligned_orthonormal_vectors_have_the_known_least_loss():
    n, t = 6, 0.3
    basis = torch.eye(n, dtype=torch.float64)
    loss, found = nt_xent(basis, basis, t)
    want = -1 / t + math.log(math.exp(1 / t) + 2 * n - 2)
    assert float(loss) == pytest.approx(want, abs=1e-12)
    assert float(found) == 1


def test_order_side_and_length_do_not_matter():
    first, second = pairs(9, 5)
    base = nt_xent(first, second, 0.2)[0]
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    scale = torch.rand(9, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    for a, b in (
        (first[order], second[order]),
        (second, first),
        (first * scale, second / scale),
    ):
        torch.testing.assert_close(nt_xent(a, b, 0.2)[0], base, **TIGHT)


def test_swapped_partners_cost_more():
    first, _ = pairs(8, 16)
    good = nt_xent(first, first, 0.2)
    bad = nt_xent(first, first.roll(1, 0), 0.2)
    assert good[0] < bad[0]
    assert float(good[1]) == 1
    assert float(bad[1]) == 0


def test_half_precision_vectors_are_compared_in_full():
    first, second = pairs(16, 8, dtype=torch.float32)
    plain = nt_xent(first, second, 0.1)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(first, second, 0.1)[0], plain)


def test_two_processes_with_gathered_negatives_equal_one(tmp_path: Path):
    two_processes.in_two(two_processes.run, tmp_path)
    first, second, weight = two_processes.batch()
    for name, contrast in two_processes.LOSSES.items():
        loss, _ = contrast(first @ weight, second @ weight, 0.2)
        (grad,) = torch.autograd.grad(loss, weight)
        assert grad.abs().max() > 1e-3
        for k, rank in product(range(len(two_processes.SIZES)), range(2)):
            got = torch.load(tmp_path / f"{name}-{k}-{rank}.pt", weights_only=True)
            torch.testing.assert_close(got["loss"][0], loss.detach(), **TIGHT)
            torch.testing.assert_close(got["grad"], grad, **TIGHT)


def test_local_negatives_would_fail_the_two_process_test():
    """The comparison above has teeth: losses over each half alone differ visibly."""
    first, second = pairs(8, 5)
    halves = [nt_xent(first[s], second[s], 0.2)[0] for s in (slice(0, 4), slice(4, 8))]
    assert abs(sum(halves) / 2 - nt_xent(first, second, 0.2)[0]) > 0.1


def test_cross_entropy_formulation():
    """The same number from a masked similarity matrix and torch's own cross-entropy."""
    first, second = pairs(10, 6)
    z = F.normalize(torch.cat([first, second]), dim=1)
    logits = (z @ z.T / 0.5).masked_fill(torch.eye(20, dtype=torch.bool), -torch.inf)
    want = F.cross_entropy(logits, torch.arange(20).roll(10))
    torch.testing.assert_close(nt_xent(first, second, 0.5)[0], want, **TIGHT)
