"""Let a model begin with the weights of another one of its kind, which may have other clusters."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mcevae.models.contract import Model

BATCH_NORM = {"running_mean", "running_var"}
"""Buffers that are learned; all others follow from settings."""


@torch.no_grad()
def take_over(model: Model, weights: Mapping[str, Tensor]) -> int:
    """Copy weights whose names and shapes agree; return how many numbers were copied.

    Of tensors that grow with the number of clusters (`Model.grows`) the entries of the clusters
    that both have are copied. All others stay as they are, as does the number of clusters in use.

    Args:
        model: the model that is to be trained.
        weights: of the other model, by name.
    """
    statistics = {k: v for k, v in model.named_buffers() if k.rpartition(".")[2] in BATCH_NORM}
    own, copied = {**dict(model.named_parameters()), **statistics}, 0
    for name, old in weights.items():
        new = own.get(name)
        if new is None or new.dtype != old.dtype or new.dim() != old.dim():
            continue
        differ = [
            i
            for i, sides in enumerate(zip(old.shape, new.shape, strict=True))
            if len(set(sides)) > 1
        ]
        if not differ:
            new.copy_(old)
            copied += old.numel()
        elif len(differ) == 1 and name in model.grows:
            copied += copy_ends(old, new, differ[0], model.grows[name])
    return copied


def copy_ends(old: Tensor, new: Tensor, axis: int, tail: int) -> int:
    """Copy both ends of a tensor into one that is longer or shorter; return the copied numbers.

    Args:
        old, new: the tensors.
        axis: where they differ.
        tail: number of entries at the end that are copied to the end.
    """
    sides = old.shape[axis], new.shape[axis]
    first = min(sides) - tail
    if first < 0:
        return 0
    new.narrow(axis, 0, first).copy_(old.narrow(axis, 0, first))
    new.narrow(axis, sides[1] - tail, tail).copy_(old.narrow(axis, sides[0] - tail, tail))
    return old.numel() // sides[0] * (first + tail)
