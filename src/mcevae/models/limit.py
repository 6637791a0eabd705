"""A limit on the size of a model, checked before memory is used."""

import math
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mcevae.base.errors import UserError

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.arange}
"""The functions with which layers and models take memory."""


class AtMost(TorchFunctionMode):
    """Within this context, all new tensors together may have at most this many numbers."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.left = most, most

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count the numbers of a tensor before it is made.

        Raises:
            UserError: there are too many.
        """
        kwargs = kwargs or {}
        if func in FACTORIES:
            size = kwargs.get("size", args[0] if args and isinstance(args[0], tuple) else args)
            self.left -= math.prod(int(side) for side in size)
            if self.left < 0:
                raise UserError(
                    f"with these settings the model has more than {self.most:,} weights; use "
                    "smaller --hidden, --clusters, --rotations or --channels."
                )
        return func(*args, **kwargs)
