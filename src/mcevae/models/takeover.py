"""Let a model begin with the weights of another one of its kind, which may have fewer clusters."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mcevae.models.contract import Model

BATCH_NORM = {"running_mean", "running_var"}
"""Buffers that are learned; all others follow from settings."""


@torch.no_grad()
def take_over(model: Model, weights: Mapping[str, Tensor]) -> int:
    """Copy weights whose names and shapes agree; return how many numbers were copied.

    Of tensors that grow with the number of clusters (`Model.grows`) the entries of the old clusters
    are copied. All others stay as they are, as does the number of clusters in use.

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
        if new.shape == old.shape:
            new.copy_(old)
        elif name in model.grows and (axis := grown_axis(old, new)) is not None:
            tail = model.grows[name]
            first = old.shape[axis] - tail
            new.narrow(axis, 0, first).copy_(old.narrow(axis, 0, first))
            if tail:
                last = new.shape[axis] - tail
                new.narrow(axis, last, tail).copy_(old.narrow(axis, first, tail))
        else:
            continue
        copied += old.numel()
    return copied


def grown_axis(old: Tensor, new: Tensor) -> int | None:
    """The only axis on which shapes differ, and on which the new one is larger; None: there is
    no such axis."""
    differ = [i for i, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)) if a != b]
    return differ[0] if len(differ) == 1 and old.shape[differ[0]] < new.shape[differ[0]] else None
