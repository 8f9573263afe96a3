"""Whether a device computes what the CPU does: loss and gradient of a recipe, side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from pretexto.datasets.synthetic.source import Synthetic
from pretexto.tasks.task import Batch, Task

from .device_kit import examples, moved, recipe

CPU = torch.device("cpu")
# In full precision sums are made in another order; bfloat16 has 8 bits.
LOSS_FULL, GRADIENT_FULL, LOSS_HALF, COSINE_HALF = 1e-4, 1e-2, 5e-2, 0.9


def equality(name: str, device: torch.device, *, toy: bool) -> dict[str, Any]:
    """Loss and gradient of a recipe on the device, full and half precision, beside the CPU.

    `rounding_loss` and `rounding_gradient` are what the CPU itself makes of inputs that differ by
    a millionth, the most of three draws. They bound nothing; where they are large, the network
    enlarges rounding, and a device that differs need not be wrong.
    """
    task = recipe(name, size=32 if toy else 0)
    for part in task.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # which units fall out depends on the device
    batch = examples(task, Synthetic("train", train_scenes=2, test_scenes=1), 4 if toy else 8)
    expected = differentiated(task, batch, CPU)
    draws = [_apart(differentiated(task, batch, CPU, rounding=k), expected) for k in (1, 2, 3)]
    with _exact():
        full = differentiated(task, batch, device)
        half = differentiated(task, batch, device, half=True)
    full_loss, full_gradient = _apart(full, expected)
    half_loss, _ = _apart(half, expected)
    cosine = torch.cosine_similarity(half[1], expected[1], dim=0).item()
    return {
        "loss": expected[0],
        "full_loss": full_loss,
        "full_gradient": full_gradient,
        "rounding_loss": max(loss for loss, _ in draws),
        "rounding_gradient": max(gradient for _, gradient in draws),
        "half_loss": half_loss,
        "half_cosine": cosine,
        "equal": full_loss < LOSS_FULL
        and full_gradient < GRADIENT_FULL
        and half_loss < LOSS_HALF
        and cosine > COSINE_HALF,
    }


def differentiated(
    task: Task, batch: Batch, device: torch.device, *, half: bool = False, rounding: int = 0
) -> tuple[float, Tensor]:
    """Sum of the losses of all phases and its gradient, flat, float64 on the CPU.

    Args:
        half: in bfloat16.
        rounding: seed of a noise of one part in a million on what the networks are given; 0: none.
    """
    there = deepcopy(task).to(device).train()
    torch.manual_seed(0)
    inputs = there.augment(moved(batch, device))
    if rounding:
        inputs = {key: _rounded(value, rounding) for key, value in inputs.items()}
    losses = []
    for phase in there.phases or (None,):
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            losses.append(there(inputs, phase.name).loss if phase else there(inputs).loss)
    loss = torch.stack([part.float() for part in losses]).sum()
    loss.backward()
    flat = [p.grad if p.grad is not None else torch.zeros_like(p) for p in there.parameters()]
    return loss.item(), torch.cat([g.detach().double().cpu().flatten() for g in flat])


def _rounded(x: Tensor, seed: int) -> Tensor:
    """Media with every value off by about a millionth; answers and weights as they are."""
    if not x.is_floating_point() or x.ndim < 3:
        return x
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return x * (1 + 1e-6 * noise)


def _apart(one: tuple[float, Tensor], other: tuple[float, Tensor]) -> tuple[float, float]:
    """How far losses and gradients differ, as shares of the other's."""
    loss = abs(one[0] - other[0]) / max(abs(other[0]), 1e-6)
    return loss, ((one[1] - other[1]).norm() / other[1].norm()).item()


@contextmanager
def _exact() -> Iterator[None]:
    """Full precision is full: no TF32 in products and convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
