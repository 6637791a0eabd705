"""Batch norm over the batches of all ranks, so that N processes learn the same as one process.

On CUDA this is torch's `SyncBatchNorm`, which works only there; elsewhere it is the class below.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Normalised(torch.autograd.Function):
    """Computes (x - mean) / standard deviation, both over the batches of all ranks.

    The ranks exchange a few numbers for each channel, once forward and once backward.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "B C *rest"], eps: float
    ) -> tuple[Tensor, Float[Tensor, " C"], Float[Tensor, " C"]]:
        """Return normalised x, mean and variance; mean and variance have no gradients."""
        # Torch's function is the fastest way to both; its other results are not used.
        _, own, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        own = own.double()  # because squares are subtracted
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
        """Return the gradient of the mean loss of all ranks, as `DistributedDataParallel` does."""
        x, mean, variance, scale, shift = ctx.saved_tensors
        # As if mean and variance were given, with the sums over gradient times output and gradient.
        fixed, along, alone = torch.ops.aten.native_batch_norm_backward(
            gradient, x, None, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        along, alone = over_all(torch.stack([along, alone]).double()) * len(mean) / x.numel()
        slope, level = -along * scale.square(), -scale * (alone + along * shift)
        return fixed + moved(x, slope.float(), level.float()), None


def over_all(values: Tensor) -> Tensor:
    """Return the mean over the ranks, with the same bits on each rank."""
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def moved(
    x: Float[Tensor, "B C *rest"], scale: Float[Tensor, " C"], shift: Float[Tensor, " C"]
) -> Float[Tensor, "B C *rest"]:
    """Multiply each channel by its scale and add its shift."""
    shape = [-1, *[1] * (x.ndim - 2)]
    return torch.addcmul(shift.view(shape), x, scale.view(shape))


class RankBatchNorm(_BatchNorm):
    """Batch norm with mean and variance over the batches of all ranks, which have equal sizes."""

    def forward(self, input: Float[Tensor, "B C *rest"]) -> Float[Tensor, "B C *rest"]:
        """Normalise as `nn.BatchNorm2d` does: by the batch in training, else by the averages."""
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
        """Update the running averages, with the unbiased variance, as torch does."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / max(count - 1, 1), self.momentum)


def over_ranks(model: nn.Module, device: torch.device) -> None:
    """Make every batch norm of a model use the statistics of all ranks; weights keep names."""
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if not isinstance(layer, _BatchNorm):
                continue
            kind = nn.SyncBatchNorm if device.type == "cuda" else RankBatchNorm
            new = kind(layer.num_features, layer.eps, layer.momentum)
            new.load_state_dict(layer.state_dict())
            setattr(module, name, new)
