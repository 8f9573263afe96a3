"""Layers that fill holes of maps, against a plain recursion, and the holes themselves."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.hole_attention import fill
from pretexto.tasks.parts.masks import Hole, around, cells_of, emptied, filled


def plain(x: Tensor, hole: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Cell by cell in raster order, with one cosine at a time; and every map's weights [N, P]."""
    made, weights = [], []
    for pixels, holes in zip(x, hole, strict=True):
        flat, open_ = pixels.flatten(1).T, holes.flatten().tolist()
        known = [k for k, inside in enumerate(open_) if not inside]
        cells, rows = list(flat), []
        row = torch.zeros(len(flat), dtype=x.dtype)
        before = None
        for at, inside in enumerate(open_):
            if not inside or not known:
                continue
            cosines = [F.cosine_similarity(flat[at], flat[k], dim=0) for k in known]
            best = max(range(len(known)), key=lambda k, c=cosines: float(c[k].detach()))
            chosen, alike = known[best], cosines[best].clamp_min(0)
            share = torch.zeros((), dtype=x.dtype)
            if before is not None:
                near = F.cosine_similarity(flat[at], before, dim=0).clamp_min(0)
                share = near / (near + alike).clamp_min(1e-8)
            row = share * row + (1 - share) * F.one_hot(torch.tensor(chosen), len(flat))
            before = flat[chosen] if before is None else share * before + (1 - share) * flat[chosen]
            cells[at] = before
            rows.append(row)
        made.append(torch.stack(cells, 1).view_as(pixels))
        weights.append(torch.stack(rows) if rows else torch.zeros(0, len(flat)))
    return torch.stack(made), weights


def maps(b: int = 3, c: int = 6, side: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(b, c, side, side, generator=rng, dtype=torch.float64).requires_grad_()


def holes(b: int = 3, side: int = 5) -> Tensor:
    """A square, strokes, and a single cell: unlike numbers in one batch."""
    hole = torch.zeros(b, side, side, dtype=torch.bool)
    hole[0, 1:4, 1:4] = True
    hole[1, 0, 2:] = hole[1, 1:4, 4] = True
    hole[2, 2, 2] = True
    return hole


def test_the_layer_equals_the_plain_recursion_in_output_and_gradient():
    x, hole = maps(), holes()
    made, (expected, _) = fill(x, hole, "coherent"), plain(x, hole)
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=0)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    (own,) = torch.autograd.grad((made * weight).sum(), x)
    (other,) = torch.autograd.grad((expected * weight).sum(), x)
    torch.testing.assert_close(own, other, atol=1e-12, rtol=0)
    assert float(own.abs().max()) > 0.1


def test_its_gradient_is_the_true_one():
    hole = torch.zeros(1, 4, 4, dtype=torch.bool)
    hole[0, 1:3, 1:3] = True
    assert torch.autograd.gradcheck(lambda x: fill(x, hole, "coherent"), maps(1, 3, 4))


def test_each_cell_is_a_mean_of_what_is_known():
    x, hole = maps(), holes()
    made, (_, weights) = fill(x, hole, "coherent"), plain(x, hole)
    for k in range(3):
        rows, inside = weights[k], hole[k].flatten()
        torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=rows.dtype))
        assert float(rows.detach().min()) >= 0
        assert float(rows.detach()[:, inside].abs().max()) == 0
        torch.testing.assert_close(made[k].flatten(1).T[inside], rows @ x[k].flatten(1).T)


@pytest.mark.parametrize("attention", ["coherent", "contextual", "shift", "none"])
def test_what_is_known_passes_bit_by_bit_and_a_constant_map_stays(attention):
    x, hole = maps().detach(), holes()
    made = fill(x, hole, attention)
    assert torch.equal(made.movedim(1, -1)[~hole], x.movedim(1, -1)[~hole])
    assert attention == "none" or not torch.equal(made, x)
    flat = torch.full_like(x, 0.7)
    torch.testing.assert_close(fill(flat, hole, attention), flat, atol=1e-12, rtol=0)
    for whole in (torch.zeros_like(hole), torch.ones_like(hole)):
        assert torch.equal(fill(x, whole, attention), x)


def test_shift_takes_the_most_alike_and_contextual_attention_a_softmax():
    x, hole = maps().detach(), holes()
    flat, inside = x[0].flatten(1).T.numpy(), hole[0].flatten().numpy()
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosine = unit[inside] @ unit[~inside].T
    shifted = fill(x, hole, "shift")[0].flatten(1).T[hole[0].flatten()].numpy()
    np.testing.assert_allclose(shifted, flat[~inside][cosine.argmax(1)])
    shares = np.exp(10 * cosine) / np.exp(10 * cosine).sum(1, keepdims=True)
    found = fill(x, hole, "contextual")[0].flatten(1).T[hole[0].flatten()].numpy()
    np.testing.assert_allclose(found, shares @ flat[~inside], rtol=1e-9)


@pytest.mark.slow
def test_the_layer_is_many_times_faster_than_the_plain_recursion():
    # Measured on one core, forwards and backwards: 0.21 s and 22.9 s, 107 times.
    x = torch.randn(1, 512, 32, 32, requires_grad=True)
    hole = torch.zeros(1, 32, 32, dtype=torch.bool)
    hole[:, 8:24, 8:24] = True
    spent, made = [], []
    for layer in (lambda: fill(x, hole, "coherent"), lambda: plain(x, hole)[0]):
        start = time.process_time()
        out = layer()
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        spent.append(time.process_time() - start)
        made.append((out.detach(), grad))
    torch.testing.assert_close(made[0][0], made[1][0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made[0][1], made[1][1], atol=1e-3, rtol=1e-3)
    assert spent[1] > 20 * spent[0]


def test_cells_count_as_holes_by_their_share():
    hole = torch.zeros(1, 8, 8, dtype=torch.bool)
    hole[0, :4, :2] = True  # 8 of 16 pixels of the first cell
    hole[0, 4:5, :4] = True  # 4 of 16 of the one below, less than 5 of 16
    assert cells_of(hole, (2, 2)).tolist() == [[[True, False], [False, False]]]


@pytest.mark.parametrize("kind", ["centre", "box", "irregular"])
def test_holes_are_drawn_and_something_stays(kind):
    found = torch.stack([Hole(kind, 0.25).draw(generator(0, 0, i), 32) for i in range(60)])
    share = found.float().mean((1, 2))
    assert 0 < float(share.min()) <= float(share.max()) < 0.8
    assert float(share.mean()) == pytest.approx(0.25 if kind == "centre" else 0.2, abs=0.12)
    assert len({x.numpy().tobytes() for x in found}) == (1 if kind == "centre" else 60)
    if kind == "centre":
        assert found[0].nonzero().amin(0).tolist() == [8, 8]
        assert found[0].nonzero().amax(0).tolist() == [23, 23]
    for bad in ({"kind": "round"}, {"share": 0.0}, {"share": 1.0}):
        with pytest.raises(InputError):
            Hole(**{"kind": kind, "share": 0.25, **bad})


def test_pictures_are_emptied_in_the_hole_and_filled_there_alone():
    rng = torch.Generator().manual_seed(0)
    x, made = torch.rand(2, 3, 1, 8, 8, generator=rng), torch.rand(2, 3, 8, 8, generator=rng)
    hole = torch.zeros(2, 8, 8, dtype=torch.bool)
    hole[:, 2:5, 3:6] = True
    empty = emptied(x, hole)[:, :, 0]
    outside = ~hole[:, None].expand_as(empty)
    assert torch.equal(empty[outside], x[:, :, 0][outside])
    torch.testing.assert_close(empty[0, :, 3, 4], torch.tensor([123.0, 104, 117]) / 255)
    whole = filled(x[:, :, 0], made, hole)
    assert torch.equal(whole[outside], x[:, :, 0][outside])
    assert torch.equal(whole[~outside], made[~outside])
    strip = around(hole, 1)
    assert int(strip[0].sum()) == 5 * 5 - 3 * 3
    assert not bool((strip & hole).any())
