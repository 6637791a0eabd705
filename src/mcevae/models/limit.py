"""Limits on what a model takes: its size, before memory is used, and its work on images.

A stranger's run holds settings and weights. The weights are in its file, so they cannot be more
than the file holds. What the model does with an image is tried with one image first.
"""

import math
import weakref
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from mcevae.base.errors import UserError

FACTORIES = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.randint),
    *(torch.arange, torch.linspace, torch.eye),
}
"""The functions with which layers and models take memory."""
ROOM = 2**29
"""Bytes that the outputs of a model's steps may take at one time, when it infers images."""
STEP, PER_NUMBER = 5 * 2**27, 100_000
"""Bytes that a resumed training may take at one time: so many in all, or for each number of an
image, whichever are more. Batches of 200 large images take most of the latter."""


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
            self.left -= numbers_of(func, args, kwargs)
            if self.left < 0:
                raise UserError(
                    f"with these settings the model has more than {self.most:,} weights; use "
                    "smaller --hidden, --clusters, --angles or --filters."
                )
        return func(*args, **kwargs)


def numbers_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many numbers a function with which tensors are made is asked for, or an estimate."""
    if func is torch.linspace:
        return int(kwargs["steps"] if "steps" in kwargs else args[2])
    size = kwargs.get("size", next((one for one in args if isinstance(one, tuple | list)), args))
    count = math.prod(int(side) for side in size)
    return count**2 if func is torch.eye and len(size) == 1 else count


class Live(TorchDispatchMode):
    """Within this context, the bytes of all new tensors that are alive at one time are measured.

    Attributes:
        peak: the most bytes so far.
    """

    def __init__(self, most: float = math.inf, what: str = "") -> None:
        """Begin to measure.

        Args:
            most: how many bytes there may be.
            what: the sentence for more than that.
        """
        super().__init__()
        self.most, self.what = most, what
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a step, and note the memory of its results.

        Raises:
            UserError: there is too much now.
        """
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, Tensor):
                self.note(one.untyped_storage(), new=False)
        if self.most < math.inf and self.now + size_of(func, args, kwargs) > self.most:
            raise UserError(self.what)
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self.note(one.untyped_storage(), new=True)
        if self.now > self.most:
            raise UserError(self.what)
        return made

    def note(self, storage: torch.UntypedStorage, *, new: bool) -> None:
        """Count a storage that is new, until it is freed. Results may share an older one."""
        key, size = storage._cdata, storage.nbytes() if new else 0
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.free, key, size)

    def free(self, key: int, size: int) -> None:
        """Count a storage no longer."""
        self.known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Form:
    """How the arguments of a step are nested. Forms of one text are alike.

    Older versions of torch have forms that are no keys of a cache.
    """

    text: str
    spec: TreeSpec = field(compare=False)


def size_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> int:
    """Bytes that the results of a step will take, found without memory; 0 if they cannot be."""
    schema = getattr(func, "_schema", None)
    if schema is not None and not schema.returns:  # it only writes into its arguments
        return 0
    leaves, spec = tree_flatten((args, kwargs or {}))
    form, told = Form(str(spec), spec), tuple(map(_told, leaves))
    return _size_made(func, form, told, torch.get_default_dtype())


def _told(leaf: Any) -> tuple[Any, ...]:
    """What decides about the size of a step's results, of one of its arguments."""
    if isinstance(leaf, Tensor):
        return Tensor, leaf.shape, leaf.stride(), leaf.dtype
    return type(leaf), leaf  # True, 1 and 1.0 are equal, but make tensors of other types


@lru_cache(2**11)
def _size_made(func: Any, form: Form, told: tuple[Any, ...], _default: torch.dtype) -> int:
    """See `size_of`. Models take the same steps again and again, and one takes up to 20 ms here.

    Nothing is drawn from generators: tensors that are made on the device `meta` have no numbers.
    """
    leaves = [
        torch.empty_strided(*rest[:2], dtype=rest[2], device="meta") if kind is Tensor else rest[0]
        for kind, *rest in told
    ]
    args, named = tree_unflatten(leaves, form.spec)
    own = {one.untyped_storage()._cdata for one in leaves if isinstance(one, Tensor)}
    if not own:
        named = {**named, "device": "meta"}
    try:
        made = tree_leaves(func(*args, **named))
    except Exception:  # its results depend on values, or it works on some devices only
        return 0
    new = {one.untyped_storage()._cdata: one for one in made if isinstance(one, Tensor)}
    return sum(one.untyped_storage().nbytes() for key, one in new.items() if key not in own)


def while_training(shape: tuple[int, int, int]) -> Live:
    """The limit of a resumed training on images (C, H, W), whose settings can be a stranger's."""
    most = max(STEP, PER_NUMBER * math.prod(shape))
    return Live(
        most,
        f"with these settings training takes more than {most // 2**20} MiB at one time; if they "
        "are your own, give --batch-size as well, which may be the same number.",
    )


@torch.no_grad()  # in inference mode some steps would be hidden within others
def images_at_once(model: nn.Module, shape: tuple[int, int, int], most: int) -> int:
    """How many images a model can infer at one time within `ROOM`, 1 to `most`.

    Args:
        model: model in evaluation mode.
        shape: (C, H, W) of its images.
        most: the largest answer.

    Raises:
        UserError: a single image takes more than that.
    """
    device = next(model.parameters()).device
    blank = torch.zeros(1, *shape, device=device)
    with Live(ROOM, f"one image takes more than {ROOM // 2**20} MiB") as live:
        model(blank, sample=False)
    return max(1, min(most, ROOM // max(1, live.peak)))
