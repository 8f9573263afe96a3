"""Which kernels compute a run: memory layout, precision of products and weights, determinism."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..tasks.task import Task


@contextmanager
def fast_kernels() -> Iterator[None]:
    """TF32 for products of float32 on CUDA, as convolutions have it anyway, while a run lasts.

    Also takes back at its end what Lightning sets for a deterministic run.
    """
    products = torch.get_float32_matmul_precision()
    exact = torch.are_deterministic_algorithms_enabled()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.use_deterministic_algorithms(exact)


def channels_last(task: Task) -> None:
    """Lays out convolution weights as tensor cores want them; activations follow.

    Not on CPUs: a step of ResNet-18 takes 1.15 times as long there at 32 pixels, as long at 112.
    """
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for p in task.parameters():
        if p.ndim in layouts:
            p.data = p.data.contiguous(memory_format=layouts[p.ndim])


def half_weights(task: Task) -> None:
    """Layers' weights as bfloat16, for a run in which autocast computes in it anyway.

    Vectors (biases, norms), statistics and weights that no optimiser moves stay as they are: a
    moving average whose steps are smaller than a 256th of its value would stand still.
    """
    for p in task.parameters():
        if p.requires_grad and p.ndim > 1 and p.dtype == torch.float32:
            p.data = p.data.to(torch.bfloat16)
