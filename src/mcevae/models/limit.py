"""A limit on the size of a model, checked before memory is taken."""

import math
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mcevae.base.errors import UserError

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.arange}
"""What layers and models take memory by."""


class AtMost(TorchFunctionMode):
    """Within it, tensors can be made of so many numbers in all."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.left = most, most

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count what is made, before it is."""
        kwargs = kwargs or {}
        if func in FACTORIES:
            size = kwargs.get("size", args[0] if args and isinstance(args[0], tuple) else args)
            self.left -= math.prod(int(side) for side in size)
            if self.left < 0:
                raise UserError(
                    f"the model of these settings would have more than {self.most:,} weights; use "
                    "fewer --hidden units, --clusters, --rotations or --channels."
                )
        return func(*args, **kwargs)
