"""Optimisers against transcriptions of their papers; the rate against its formula."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pretexto.errors import InputError
from pretexto.training.optim import OptimizerArgs, make_optimizer, rate, set_rate


def lars_by_the_paper(w, grads, *, lr, m, beta, eta):
    """Algorithm 1 of arXiv:1708.03888 for one layer, in NumPy."""
    w, v = w.astype(np.float64), np.zeros_like(w, dtype=np.float64)
    for g in grads:
        local = eta * np.linalg.norm(w) / (np.linalg.norm(g) + beta * np.linalg.norm(w))
        v = m * v + lr * local * (g + beta * w)
        w = w - v
    return w


def steps(optimizer, parameter, grads):
    for g in grads:
        parameter.grad = torch.from_numpy(g).float()
        optimizer.step()


def test_lars_follows_its_paper():
    rng = np.random.default_rng(0)
    w, grads = rng.normal(size=(5, 7)), rng.normal(size=(6, 5, 7))
    parameter = nn.Parameter(torch.from_numpy(w).float())
    args = OptimizerArgs(name="lars", lr=0.7, weight_decay=0.03, momentum=0.8)
    steps(make_optimizer([{"params": [parameter]}], args), parameter, grads)
    expected = lars_by_the_paper(w, grads, lr=0.7, m=0.8, beta=0.03, eta=1e-3)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=2e-5, atol=1e-6)


def test_lars_takes_plain_momentum_steps_on_biases_and_norms():
    rng = np.random.default_rng(1)
    w, grads = rng.normal(size=4), rng.normal(size=(5, 4))
    parameter = nn.Parameter(torch.from_numpy(w).float())
    args = OptimizerArgs(name="lars", lr=0.2, weight_decay=0.5, momentum=0.9)
    steps(make_optimizer([{"params": [parameter]}], args), parameter, grads)
    v = np.zeros(4)
    for g in grads:
        v = 0.9 * v + 0.2 * g
        w = w - v
    np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("zero", ["weights", "gradient"])
def test_lars_takes_a_plain_step_where_the_trust_ratio_has_no_meaning(zero):
    weight = torch.zeros(2, 2) if zero == "weights" else torch.ones(2, 2)
    gradient = torch.zeros(2, 2) if zero == "gradient" else torch.ones(2, 2)
    parameter = nn.Parameter(weight.clone())
    args = OptimizerArgs(name="lars", lr=0.1, weight_decay=0.5)
    optimizer = make_optimizer([{"params": [parameter]}], args)
    parameter.grad = gradient
    optimizer.step()
    torch.testing.assert_close(parameter.data, weight - 0.1 * (gradient + 0.5 * weight))


def test_lars_adapts_layers_that_are_not_decayed():
    parameter = nn.Parameter(torch.full((2, 2), 3.0))
    args = OptimizerArgs(name="lars", lr=0.1, weight_decay=0.0)
    optimizer = make_optimizer([{"params": [parameter]}], args)
    parameter.grad = torch.full((2, 2), 100.0)
    optimizer.step()
    # The gradient is brought to a thousandth of the weights' length: 3 / 1000 in each place.
    torch.testing.assert_close(parameter.data, torch.full((2, 2), 3.0 - 0.1 * 3e-3))


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_a_step_takes_a_few_calls_however_many_parameters_there_are(name):
    def calls(layers):
        model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(layers)])
        groups = [{"params": model.parameters()}]
        optimizer = make_optimizer(groups, OptimizerArgs(name=name))
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
        with Counted() as counted:
            optimizer.step()
        return counted.calls

    # LARS still divides one scalar per layer: the ratios; a step by single tensors takes 8 more.
    assert calls(20) - calls(10) <= (40 if name == "lars" else 0)


class Counted(TorchDispatchMode):
    """Counts what is called on tensors."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def test_groups_keep_their_own_rate_and_decay():
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    groups = [
        {"params": layers[0].parameters(), "lr_scale": 0.1},
        {"params": layers[1].parameters(), "weight_decay": 0.5},
    ]
    optimizer = make_optimizer(groups, OptimizerArgs(name="sgd", lr=1.0, weight_decay=0.2))
    set_rate(optimizer, 0.5)
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    expected = [(0.05, 0.2), (0.05, 0.0), (0.5, 0.5), (0.5, 0.0)]
    assert [found[id(p)] for layer in layers for p in layer.parameters()] == expected


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_only_weights_of_layers_are_decayed(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    args = OptimizerArgs(name=name, lr=0.1, weight_decay=0.25)
    decayed = {
        id(p): group["weight_decay"]
        for group in make_optimizer([{"params": model.parameters()}], args).param_groups
        for p in group["params"]
    }
    for key, p in model.named_parameters():
        assert decayed[id(p)] == (0.25 if p.ndim > 1 else 0.0), key


def test_frozen_parameters_are_left_alone():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimizer = make_optimizer([{"params": model.parameters()}], OptimizerArgs())
    assert [p is model.weight for g in optimizer.param_groups for p in g["params"]] == [True]
    model.weight.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter"):
        make_optimizer([{"params": model.parameters()}], OptimizerArgs())


def test_the_rate_warms_up_and_falls_along_a_cosine():
    args = OptimizerArgs(lr=2.0, warmup=0.1, final=0.25)
    rates = [rate(args, k, 100) for k in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx((2.0 + 0.5) / 2)  # half way down
    assert rates[100] == pytest.approx(0.5)
    quarter = 10 + 90 / 3  # cos(60°) = 1/2, so three quarters of the way up
    assert rate(args, int(quarter), 100) == pytest.approx(0.5 + 1.5 * 0.75)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_the_rate_without_warm_up_begins_at_its_greatest():
    args = OptimizerArgs(lr=3.0, warmup=0.0)
    assert rate(args, 0, 7) == 3.0
    assert rate(OptimizerArgs(lr=1.0, warmup=1.0), 4, 5) == 1.0


@pytest.mark.parametrize(
    "mistake",
    [{"lr": -1.0}, {"lr": math.nan}, {"momentum": 1.5}, {"warmup": -0.1}, {"name": "adam"}],
)
def test_senseless_values_are_refused_by_name(mistake):
    (name,) = mistake
    with pytest.raises(InputError, match=f"optimizer.{name}"):
        OptimizerArgs(**mistake)
