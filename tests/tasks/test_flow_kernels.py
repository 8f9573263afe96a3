"""Cross-pixel similarity losses against transcriptions, bounds and invariances."""

import math

import pytest
import torch
from torch import Tensor

from pretexto.tasks.parts.flow_kernels import (
    LOSSES,
    cosine_kernel,
    flow_kernel,
    kernel_cross_entropy,
    off_diagonal,
    pair_auc,
)

M = 9


def pixels(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Flow [2, M, 2] and embeddings [2, M, 5] of M pixels of two pictures, in float64."""
    rng = torch.Generator().manual_seed(seed)
    flow = torch.randn(2, M, 2, generator=rng, dtype=torch.float64)
    return flow, torch.randn(2, M, 5, generator=rng, dtype=torch.float64)


def kernels(flow: Tensor, embeddings: Tensor, sigma: float | Tensor = 0.7) -> tuple[Tensor, Tensor]:
    """Both, of each pixel with all others."""
    by_flow, by_embedding = flow_kernel(flow, flow, sigma), cosine_kernel(embeddings, embeddings)
    return off_diagonal(by_flow), off_diagonal(by_embedding)


def loss(flow: Tensor, embeddings: Tensor, name: str = "cross_entropy", sigma: float = 0.7):
    return LOSSES[name](*kernels(flow, embeddings, sigma))


def transcribed(flow: Tensor, embeddings: Tensor, sigma: float = 0.7) -> float:
    """The paper's formulas, pair by pair, for one picture."""
    count, total = len(flow), 0.0
    for q in range(count):
        others_of_q = [p for p in range(count) if p != q]
        by_flow, by_embedding = [], []
        for p in others_of_q:
            apart = sum((float(a) - float(b)) ** 2 for a, b in zip(flow[p], flow[q], strict=True))
            by_flow.append(math.exp(-apart / (2 * sigma**2)))
            product = float(embeddings[p] @ embeddings[q])
            lengths = float(embeddings[p].norm()) * float(embeddings[q].norm())
            by_embedding.append(product / lengths / 4)
        flow_sum = sum(map(math.exp, by_flow))
        log_sum = math.log(sum(map(math.exp, by_embedding)))
        for k, s in zip(by_flow, by_embedding, strict=True):
            total -= math.exp(k) / flow_sum * (s - log_sum)
    return total / count


def entropy(flow: Tensor, sigma: float = 0.7) -> Tensor:
    """Mean entropy of flow's own distributions: [B]."""
    share = off_diagonal(flow_kernel(flow, flow, sigma)).softmax(2)
    return -torch.xlogy(share, share).sum(2).mean(1)


def test_cross_entropy_is_that_of_the_paper():
    flow, embeddings = pixels()
    got = loss(flow, embeddings)
    want = [transcribed(f, e) for f, e in zip(flow, embeddings, strict=True)]
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name):
    flow, embeddings = pixels()
    embeddings.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: loss(flow, e, name), (embeddings,))


def test_a_width_that_is_learned_has_the_right_gradient():
    flow, embeddings = pixels()
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s: kernel_cross_entropy(*kernels(flow, embeddings, s)), (sigma,)
    )


def test_no_embeddings_are_better_than_the_entropy_of_flow():
    for seed in range(20):
        flow, embeddings = pixels(seed)
        assert (loss(flow, embeddings) >= entropy(flow) - 1e-12).all()


def test_constant_flow_and_equal_embeddings_give_the_logarithm_of_the_others():
    same = torch.ones(1, M, 2, dtype=torch.float64), torch.ones(1, M, 5, dtype=torch.float64)
    assert float(loss(*same)) == pytest.approx(math.log(M - 1), abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_what_must_not_matter_does_not(name):
    flow, embeddings = pixels()
    want = loss(flow, embeddings, name)
    c, s = math.cos(1), math.sin(1)
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    rng = torch.Generator().manual_seed(5)
    orthogonal, _ = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.float64))
    order = torch.randperm(M, generator=rng)
    changed = {
        "a vector added to all flow": (flow + torch.tensor([3.0, -7.0]).double(), embeddings),
        "a turn of flow": (flow @ turn, embeddings),
        "an orthogonal map of embeddings": (flow, embeddings @ orthogonal),
        "their length": (flow, embeddings * torch.linspace(0.1, 9, M).double()[:, None]),
        "the order of pixels": (flow[:, order], embeddings[:, order]),
    }
    for what, (f, e) in changed.items():
        torch.testing.assert_close(loss(f, e, name), want, atol=1e-12, rtol=0, msg=what)
    assert (loss(flow.flip(1), embeddings, name) - want).abs().min() > 1e-4


@pytest.mark.parametrize("name", LOSSES)
def test_two_motions_separate(name):
    """Eight pixels go right and eight left; their embeddings are free."""
    flow = torch.tensor([[1.0, 0.0]] * 8 + [[-1.0, 0.0]] * 8).double()[None]
    rng = torch.Generator().manual_seed(0)
    free = torch.randn(1, 16, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss(flow, free, name, sigma=0.5).sum().backward()
        optimizer.step()
    cosine = cosine_kernel(free[0].detach(), free[0].detach())
    within = torch.cat([cosine[:8, :8], cosine[8:, 8:]])
    between = cosine[:8, 8:].mean()
    assert within.mean() > 0.98
    # Linear alignment gives no reason to drive unlike pixels apart, squared error wants them at 0.
    assert between < {"cross_entropy": -0.95, "alignment": 1.01, "squared_error": 0.1}[name]


def test_off_the_diagonal_is_all_else_in_its_order():
    kernel = torch.arange(32).view(2, 4, 4)
    want = [
        [[k for j, k in enumerate(row) if j != i] for i, row in enumerate(m)]
        for m in kernel.tolist()
    ]
    assert off_diagonal(kernel).tolist() == want


def test_kernels_compare_those_that_ask_with_others():
    flow, embeddings = pixels()
    asking, other = slice(0, 3), slice(3, M)
    both = flow_kernel(flow, flow, 0.7), cosine_kernel(embeddings, embeddings)
    some = flow_kernel(flow[:, asking], flow[:, other], 0.7)
    torch.testing.assert_close(some, both[0][:, asking, other])
    some = cosine_kernel(embeddings[:, asking], embeddings[:, other])
    torch.testing.assert_close(some, both[1][:, asking, other])


def test_auc_counts_pairs_in_the_right_order():
    """As often as a pair that moves alike stands before one that does not, of all such pairs."""
    rng = torch.Generator().manual_seed(0)
    by_flow, said = (torch.rand(3, 8, 8, generator=rng) for _ in range(2))
    by_flow[2] = 0.9
    auc, possible = pair_auc(by_flow, said)
    assert possible.tolist() == [True, True, False]
    for i in range(2):
        kernel, score = by_flow[i, :4, -4:].flatten(), said[i, :4, -4:].flatten()
        yes, no = score[kernel > 0.5], score[kernel <= 0.5]
        want = (yes[:, None] > no).float().mean()
        assert float(auc[i]) == pytest.approx(float(want))
