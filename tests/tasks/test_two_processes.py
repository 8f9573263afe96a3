"""Every task on two gloo processes against itself on one: loss, metrics, gradients, statistics."""

from itertools import product

import pytest
import torch
import two_processes
from torch import Tensor

CASES = two_processes.cases()
# In float64; weights, counts and metrics are float32.
TOLERANCE = {"atol": 1e-6, "rtol": 1e-5}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[dict[str, Tensor]]:
    """What each of two processes found, all cases one after another."""
    folder = tmp_path_factory.mktemp("processes")
    for name in CASES:
        two_processes.examples(name)
    two_processes.in_two(two_processes.pretext, folder)
    return [torch.load(folder / f"pretext-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(found, name):
    task = CASES[name]()
    if task.traits.within_process:
        pytest.skip("part of its puzzle is made within a process")
    one = two_processes.step(task, two_processes.examples(name))
    assert max(float(g.abs().max()) for g in one["grads"].values()) > 1e-4
    for rank, k in product(range(2), range(len(two_processes.PARTS))):
        for kind, values in one.items():
            begin = f"{k}/{name}/{kind}/"
            got = {key.removeprefix(begin): x for key, x in found[rank].items() if begin in key}
            assert got.keys() == values.keys()
            for key, value in values.items():
                where = f"{kind} {key}, process {rank}, parts {two_processes.PARTS[k]}"
                torch.testing.assert_close(
                    got[key],
                    value,
                    **TOLERANCE,
                    check_dtype=False,
                    msg=lambda m, w=where: f"{w}: {m}",
                )
