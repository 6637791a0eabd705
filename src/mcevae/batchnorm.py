"""Batch norm over the batches of all ranks, so that N processes learn what one would.

On CUDA that is torch's `SyncBatchNorm`, which no other device has; elsewhere it is the class below.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Mean(torch.autograd.Function):
    """Mean of a tensor over the ranks. The derivative of a mean of losses is the same mean."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The mean, the same bits on every rank."""
        total = value.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The mean of the gradients."""
        return Mean.forward(ctx, gradient.contiguous())


class RankBatchNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of all ranks' batches, of one size each."""

    def forward(self, input: Float[Tensor, "B C *rest"]) -> Float[Tensor, "B C *rest"]:
        """As `nn.BatchNorm2d`: running averages in evaluation, the batch's statistics else."""
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        x = input.float()
        axes = [0, *range(2, x.ndim)]
        mean: Tensor = Mean.apply(x.mean(axes, keepdim=True))  # pyright: ignore[reportAssignmentType]
        apart = x - mean
        variance: Tensor = Mean.apply(apart.square().mean(axes, keepdim=True))  # pyright: ignore[reportAssignmentType]
        if self.track_running_stats:
            self.follow(mean, variance, x.numel() // x.shape[1] * dist.get_world_size())
        shape = [-1, *[1] * (x.ndim - 2)]
        scale = torch.rsqrt(variance + self.eps) * self.weight.view(shape)
        return (apart * scale + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running averages; the variance is that of the population, as torch has it."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.flatten(), self.momentum)
        self.running_var.lerp_(variance.flatten() * count / max(count - 1, 1), self.momentum)


def over_ranks(model: nn.Module, device: torch.device) -> None:
    """Give every batch norm of a model the statistics of all ranks; names of weights are kept."""
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if not isinstance(layer, _BatchNorm):
                continue
            kind = nn.SyncBatchNorm if device.type == "cuda" else RankBatchNorm
            new = kind(layer.num_features, layer.eps, layer.momentum)
            new.load_state_dict(layer.state_dict())
            setattr(module, name, new)
