"""Group mathematics in float32 or better, also where a network runs in half precision."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision(function: Function) -> Function:
    """Run `function` outside autocast, its half-precision tensors widened to float32.

    At least one argument must be a tensor: the first one says whose autocast is switched off.
    """

    def widen(value: Any) -> Any:
        half = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
        return value.float() if half else value

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        first = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        kind = first.device.type
        able = torch.amp.is_autocast_available(kind)  # not the meta device, for one
        with torch.autocast(kind, enabled=False) if able else contextlib.nullcontext():
            return function(*map(widen, args), **{k: widen(v) for k, v in kwargs.items()})

    return cast(Function, run)
