"""Batch norm over the batches of all ranks, so that N processes learn what one would.

On CUDA that is torch's `SyncBatchNorm`, which no other device has; elsewhere it is the class below.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Normalised(torch.autograd.Function):
    """x less its mean over its standard deviation, both of the batches of all ranks.

    The ranks meet once in either direction, over a few numbers a channel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "B C *rest"], eps: float
    ) -> tuple[Tensor, Float[Tensor, " C"], Float[Tensor, " C"]]:
        """What is normalised, mean and variance; the latter two have no gradients."""
        # Torch's own is the quickest way to both; what else it makes is left.
        _, own, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        own = own.double()  # squares are taken from each other
        mean, square = over_all(torch.stack([own, inverse.double() ** -2 - eps + own.square()]))
        variance = (square - mean.square()).float().clamp_min(0)
        scale = torch.rsqrt(variance + eps)
        mean, shift = mean.float(), (-mean * scale).float()
        ctx.save_for_backward(x, mean, variance, scale, shift)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return moved(x, scale, shift), mean, variance

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Float[Tensor, "B C *rest"], *_: Tensor
    ) -> tuple[Tensor, None]:
        """Of the mean of all ranks' losses, as `DistributedDataParallel` has it."""
        x, mean, variance, scale, shift = ctx.saved_tensors
        # As if mean and variance were given, with the sums over gradient times output and gradient.
        fixed, along, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, x, None, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        along, alone = over_all(torch.stack([along, alone]).double()) * len(mean) / x.numel()
        slope, level = -along * scale.square(), -scale * (alone + along * shift)
        return fixed + moved(x, slope.float(), level.float()), None


def over_all(values: Tensor) -> Tensor:
    """Mean over the ranks, the same bits on each."""
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def moved(
    x: Float[Tensor, "B C *rest"], scale: Float[Tensor, " C"], shift: Float[Tensor, " C"]
) -> Float[Tensor, "B C *rest"]:
    """Each channel times its scale, plus its shift."""
    shape = [-1, *[1] * (x.ndim - 2)]
    return torch.addcmul(shift.view(shape), x, scale.view(shape))


class RankBatchNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of all ranks' batches, of one size each."""

    def forward(self, input: Float[Tensor, "B C *rest"]) -> Float[Tensor, "B C *rest"]:
        """As `nn.BatchNorm2d`: running averages in evaluation, the batch's statistics else."""
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        normal, mean, variance = Normalised.apply(input.float(), self.eps)  # pyright: ignore[reportGeneralTypeIssues]
        if self.track_running_stats:
            self.follow(mean, variance, input.numel() // input.shape[1] * dist.get_world_size())
        return moved(normal, self.weight, self.bias).to(input.dtype)

    @torch.no_grad()
    def follow(self, mean: Float[Tensor, " C"], variance: Float[Tensor, " C"], count: int) -> None:
        """Move the running averages; the variance is that of the population, as torch has it."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / max(count - 1, 1), self.momentum)


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
