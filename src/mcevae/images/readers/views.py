"""Images that are not in memory, of which windows are read: those that crops are cut from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class View:
    """An image in an open file.

    Attributes:
        shape: (H, W), or (H, W, C).
        read: gives the pixels of some rows and columns, both slices with a start and a stop. It
            works as long as the reader that gave the view is not ended.
        pictured, names: as `channels.held` takes them.
        held: bytes of it that are in memory; 0: it is read from the file, window by window.
    """

    shape: tuple[int, ...]
    read: Callable[[slice, slice], np.ndarray]
    pictured: bool = True
    names: tuple[str, ...] = ()
    held: int = 0

    @classmethod
    def of(cls, pixels: np.ndarray) -> "View":
        """An image that is in memory."""
        return cls(
            shape=pixels.shape,
            read=lambda rows, columns: pixels[rows, columns],
            held=pixels.nbytes,
        )

    def whole(self) -> np.ndarray:
        """All of its pixels."""
        return self.read(slice(0, self.shape[0]), slice(0, self.shape[1]))
