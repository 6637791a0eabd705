"""Make batches of training images, with the teacher's targets for each image."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcevae.images.splits import Posed
from mcevae.models.contract import Teacher


class PosedDataset(Dataset):
    """Gives whole batches of uint8 images, with their upright versions if they are known."""

    def __init__(self, posed: Posed, teacher: Teacher | None = None) -> None:
        self.own = {"pixels": posed.images.pixels}
        if posed.upright is not None:
            self.own["upright"] = posed.upright
        self.teacher = teacher

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """All columns by name, with the teacher's present columns."""
        return {**self.own, **self.teacher.columns} if self.teacher else self.own

    def __len__(self) -> int:
        """Number of images."""
        return len(self.own["pixels"])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Return some rows of all columns; images are (B, C, H, W) uint8."""
        rows = torch.tensor(indices)
        return {name: column[rows] for name, column in self.columns.items()}


def as_is(batch: Any) -> Any:
    """Return the batch unchanged, because `PosedDataset` gives whole batches."""
    return batch


def loader(posed: Posed, size: int, teacher: Teacher | None = None) -> DataLoader:
    """Make a loader of batches.

    Args:
        posed: the images.
        size: number of images in a batch.
        teacher: gives the targets; images are then shuffled, and only whole batches are made. None:
            images come in their order.
    """
    return DataLoader(
        PosedDataset(posed, teacher),
        size,
        shuffle=teacher is not None,
        drop_last=teacher is not None,
        collate_fn=as_is,
        generator=torch.Generator(),  # else it would take seeds from the noise
    )
