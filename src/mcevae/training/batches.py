"""Batches of training images, with what the teacher has for each image."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcevae.images.splits import Posed
from mcevae.models.contract import Teacher


class PosedDataset(Dataset):
    """Whole batches of uint8 images at once, with their upright versions where they exist."""

    def __init__(self, posed: Posed, teacher: Teacher | None = None) -> None:
        self.own = {"pixels": posed.images.pixels}
        if posed.upright is not None:
            self.own["upright"] = posed.upright
        self.teacher = teacher

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """All columns by name; the teacher's are those it has now."""
        return {**self.own, **self.teacher.columns} if self.teacher else self.own

    def __len__(self) -> int:
        """Number of images."""
        return len(self.own["pixels"])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Rows of all columns; images are (B, C, H, W) uint8."""
        rows = torch.tensor(indices)
        return {name: column[rows] for name, column in self.columns.items()}


def as_is(batch: Any) -> Any:
    """Collate nothing: `PosedDataset` yields whole batches."""
    return batch


def loader(posed: Posed, size: int, teacher: Teacher | None = None) -> DataLoader:
    """Batches of images.

    Args:
        posed: the images.
        size: of a batch.
        teacher: what they are trained with, shuffled and in whole batches; None: they are shown in
            their order.
    """
    return DataLoader(
        PosedDataset(posed, teacher),
        size,
        shuffle=teacher is not None,
        drop_last=teacher is not None,
        collate_fn=as_is,
        generator=torch.Generator(),  # of its own, or its seeds would be taken from the noise's
    )
