"""Batch normalisation over the batches of all processes, on processors too.

torch's SyncBatchNorm works on CUDA alone. Where it replaces a layer of timm that also activates,
torch's own conversion leaves the activation out; timm's does not.
"""

import torch
import torch.distributed as dist
from lightning.pytorch.plugins import LayerSync
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """BatchNorm of any dimension whose statistics are those of the rows of all processes.

    Processes may hold unlike numbers of rows. In evaluation, and where there is one process, it is
    torch's.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch norm takes [N, C, …], got {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        shared = self.training and dist.is_initialized() and dist.get_world_size() > 1
        if not shared:
            return super().forward(input)
        self._check_input_dim(input)
        mean, variance, count = self._statistics(input)
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach(), count)
        shape = (1, -1) + (1,) * (input.ndim - 2)
        y = (input - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        return y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean [C] and biased variance [C] over all processes, and how many numbers those are."""
        axes = [k for k in range(x.ndim) if k != 1]
        # Half precision is too coarse for sums.
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        own = x.new_tensor([x.numel() / x.shape[1]])
        sums = all_reduce(torch.cat([x.sum(axes), own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean.view(1, -1, *[1] * (x.ndim - 2))
        # A second sum, of squares about the mean, loses no digits to their difference.
        return mean, all_reduce(centred.square().sum(axes)) / count, count

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        unbiased = variance * count / (count - 1).clamp_min(1)
        self.running_mean += share * (mean - self.running_mean)
        self.running_var += share * (unbiased - self.running_var)


class _WithActivation(SharedBatchNorm):
    """timm's batch norm layers drop and activate as well."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


class SharedStatistics(LayerSync):
    """Lightning's hook: makes all batch norms of a model those of the whole batch.

    Args:
        cuda: whether the model trains on CUDA, where torch has a kernel for it.
    """

    def __init__(self, *, cuda: bool):
        self.cuda = cuda

    def apply(self, model: nn.Module) -> nn.Module:
        if not self.cuda:
            return synchronised(model)
        from timm.layers.norm_act import convert_sync_batchnorm

        return convert_sync_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Leaves them: with one process, or in evaluation, they are ordinary ones."""
        return model


def synchronised(model: nn.Module) -> nn.Module:
    """Replaces every batch norm inside a model by one over all processes, in place.

    Parameters, buffers and their names stay; so do those of an optimiser that was made before.

    Returns:
        the model, or what stands for it where it is a batch norm itself.
    """
    if isinstance(model, _BatchNorm) and not isinstance(model, SharedBatchNorm):
        return _shared(model)
    for name, child in model.named_children():
        setattr(model, name, synchronised(child))
    return model


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    more = {name: getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)}
    kind = _WithActivation if more else SharedBatchNorm
    made = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made.weight, made.bias = norm.weight, norm.bias
    made.running_mean, made.running_var = norm.running_mean, norm.running_var
    made.num_batches_tracked = norm.num_batches_tracked
    for name, module in more.items():
        setattr(made, name, module)
    made.train(norm.training)
    return made
