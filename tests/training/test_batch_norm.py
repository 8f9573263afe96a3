"""Batch norm over two gloo processes against torch's over the whole batch."""

import copy

import pytest
import torch
import two_processes
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from pretexto.training.batch_norm import SharedBatchNorm, SharedStatistics, synchronised

TIGHT = {"atol": 1e-10, "rtol": 1e-10}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[dict[str, dict[str, Tensor]]]:
    """What each of two processes made of its rows, by the name of the norm."""
    folder = tmp_path_factory.mktemp("norms")
    two_processes.in_two(two_processes.normalise, folder)
    return [torch.load(folder / f"norms-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", two_processes.norms())
def test_two_processes_equal_one(found, name):
    norm, rows = two_processes.norms()[name], two_processes.rows(name).requires_grad_()
    for _ in range(2):
        out = norm(rows)
    two_processes.loss(out, 0).backward()
    assert rows.grad is not None
    halves = [rank[name] for rank in found]
    for part, whole in (("out", out), ("grad", rows.grad)):
        got = torch.cat([half[part] for half in halves])
        torch.testing.assert_close(got, whole.detach(), **TIGHT)
    for key, value in norm.state_dict().items():
        for half in halves:
            torch.testing.assert_close(half[key], value, **TIGHT)
    for key, parameter in norm.named_parameters():
        assert parameter.grad is not None
        got = sum(half[f"grad of {key}"] for half in halves)
        torch.testing.assert_close(got, parameter.grad, **TIGHT)


def test_each_half_alone_would_differ():
    """The comparison above has teeth."""
    norm, rows = two_processes.norms()["2d"], two_processes.rows("2d")
    apart = torch.cat([copy.deepcopy(norm)(part) for part in rows.split(two_processes.SIZES[1])])
    assert (apart - norm(rows)).abs().max() > 0.1


def test_a_model_keeps_its_parameters_their_names_and_what_it_says():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.Flatten(), nn.BatchNorm1d(4 * 9)
    )
    x, before, names = torch.rand(5, 3, 5, 5), copy.deepcopy(model), list(model.state_dict())
    parameters = list(model.parameters())
    same = synchronised(model)
    assert same is model
    assert all(isinstance(model[k], SharedBatchNorm) for k in (1, 3))
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    for training in (True, False):
        torch.testing.assert_close(model.train(training)(x), before.train(training)(x))
    assert (model[1](torch.randn(2, 4, 3, 3)) >= 0).all(), "the activation is gone"
    norm = model[3]
    assert synchronised(model)[3] is norm


@pytest.mark.parametrize("cuda", [False, True])
def test_layers_that_also_activate_still_do(cuda):
    """torch's own conversion makes plain norms of them, and a network without activations."""
    model = SharedStatistics(cuda=cuda).apply(nn.Sequential(BatchNormAct2d(4))).eval()
    assert isinstance(model[0], nn.SyncBatchNorm if cuda else SharedBatchNorm)
    assert (model(torch.randn(2, 4, 3, 3)) >= 0).all()
