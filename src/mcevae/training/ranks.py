"""The processes that train together: how they agree, share values, and draw random numbers.

`torchrun` and `accelerate launch` start the processes, number them by rank, and end all of them
when one dies. This file exchanges small values in the memory of the host, through a process group
of its own, so that no device waits. `DistributedDataParallel` exchanges gradients, and `batchnorm`
exchanges the statistics of batches.
"""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor

from mcevae.base.errors import TrainingError

T = TypeVar("T")
PATIENCE = timedelta(hours=2)
"""How long ranks wait for rank 0, which makes new targets alone, or for a rank that hangs."""


class Ranks:
    """All processes of a training; there may be only one.

    Attributes:
        index: rank of this process.
        count: number of processes.
        first: whether this is rank 0, the only one that writes files and prints.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.index, self.count = accelerator.process_index, accelerator.num_processes
        self.first = accelerator.is_main_process
        self.group: dist.ProcessGroup | None = None
        if self.count > 1:
            group = dist.new_group(backend="gloo", timeout=PATIENCE)
            assert isinstance(group, dist.ProcessGroup)  # as every rank is in it
            self.group = group

    def most(self, *values: float) -> list[float]:
        """Return the largest of each value over all ranks, so that all of them act alike."""
        if self.group is None:
            return list(values)
        agreed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(agreed, dist.ReduceOp.MAX, group=self.group)
        return agreed.tolist()

    def any(self, condition: object) -> bool:
        """Return whether the condition is true on any rank."""
        return bool(self.most(bool(condition))[0])

    def said(self, value: T) -> T:
        """Return the value that rank 0 has."""
        if self.group is None:
            return value
        held = [value]
        dist.broadcast_object_list(held, 0, group=self.group)
        return held[0]

    def copy(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return rank 0's tensors, on the host. All ranks need tensors of equal shape and type."""
        if self.group is None:
            return tensors
        host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        for tensor in host.values():
            dist.broadcast(tensor, 0, group=self.group)
        return host

    def all(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        if self.group is None:
            return [value]
        held: list[T | None] = [None] * self.count
        dist.all_gather_object(held, value, group=self.group)
        return held  # pyright: ignore[reportReturnType]

    def seed(self, *entropy: int) -> None:
        """Seed this rank's noise, which differs from that of other ranks.

        The same `entropy` gives the same noise. Rank 0 is not changed, so that it draws the same
        numbers as a single process.
        """
        if self.index:
            state = np.random.SeedSequence([*entropy, self.index]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0] >> np.uint64(1)))


@contextmanager
def told_of_losses() -> Iterator[None]:
    """Turn the errors of a lost connection into one sentence: another rank has ended.

    Raises:
        TrainingError: ranks could not exchange values.
    """
    try:
        with warnings.catch_warnings():
            # Kernels of a single channel have two names for one layout in memory.
            warnings.filterwarnings("ignore", "Grad strides do not match")
            yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        with suppress(ValueError):  # not the main thread
            # The launcher ends all ranks when one is gone; what this one has to say comes first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TrainingError(
            "another process of this training has ended or does not answer; see what it printed "
            "last. `mcevae resume` goes on from the last checkpoint, on any number of processes."
        ) from error
