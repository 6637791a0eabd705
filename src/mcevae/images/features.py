"""Numbers that somebody else computed for each image, such as features of a pretrained network.

They come as a .npy with one row for each image of a source, in the order of the source. Images that
cannot be used have a row too, which is left out with them. So rows never shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.base.files import check_regular
from mcevae.base.names import path_of
from mcevae.images.arrays import require

MOST_COLUMNS = 2**16
"""Features of an image, at most."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of the images of a source.

    Attributes:
        name: what errors call them, such as their path.
        values: (n, D), a row for each image; a file stays on disk.
    """

    name: str
    values: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> "Features":
        """Open a .npy file.

        Raises:
            UserError: it cannot be read, or is not a table of numbers.
        """
        try:
            file = path_of(str(path))
            check_regular(file, follow=True)
            values = np.load(file, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UserError(f"{path}: there is no such file; give a .npy with features.") from None
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{path}: cannot be read as features ({error}); save them with numpy.save."
            ) from error
        if not isinstance(values, np.ndarray):
            raise UserError(f"{path}: holds several arrays; save one array with numpy.save.")
        return cls.of(values, str(path))

    @classmethod
    def of(cls, values: np.ndarray, name: str) -> "Features":
        """Take an array.

        Args:
            values: (n, D) numbers.
            name: what errors call them.

        Raises:
            UserError: it has another shape, more than 65,536 columns, or holds no numbers.
        """
        require(
            values.ndim == 2 and values.shape[1] > 0 and values.dtype.kind in "buif",
            f"{name}: has shape {values.shape} of type {values.dtype}; give numbers of shape "
            "(images, features), one row for each image.",
        )
        require(
            values.shape[1] <= MOST_COLUMNS,
            f"{name}: has {values.shape[1]} features for each image; use at most {MOST_COLUMNS}.",
        )
        return cls(name=name, values=values)

    @property
    def columns(self) -> int:
        """D, the number of features of an image."""
        return self.values.shape[1]

    def check_columns(self, columns: int) -> None:
        """Refuse features of another kind than those that a run was trained with.

        Raises:
            UserError: there are more or fewer of them.
        """
        require(
            self.columns == columns,
            f"{self.name}: has shape {self.values.shape}, {self.columns} features for each image, "
            f"but the run was trained with {columns}; make them in the same way.",
        )

    def check_count(self, images: int, source: str) -> None:
        """Refuse another number of rows than a source has images.

        Args:
            images: number of images, with those that cannot be used.
            source: what errors call the source.

        Raises:
            UserError: they differ.
        """
        require(
            len(self.values) == images,
            f"{self.name}: has shape {self.values.shape}, {len(self.values)} rows, but {source} "
            f"has {images} images; give one row for each image, in the order of the source, also "
            "for images that cannot be used.",
        )

    def rows(self, places: Sequence[int] | np.ndarray, source: str) -> Float[Tensor, "m D"]:
        """Read the rows of some images.

        Args:
            places: number of each image in the source, from 0.
            source: what errors call the source.

        Raises:
            UserError: there are too few rows, or a value is not finite.
        """
        wanted = np.asarray(places, np.int64)
        if len(wanted) and wanted.max() >= len(self.values):
            self.check_count(int(wanted.max()) + 1, source)
        chosen = np.asarray(self.values[wanted], np.float32)
        wrong = np.flatnonzero(~np.isfinite(chosen).all(1))
        if len(wrong):
            raise UserError(
                f"{self.name}: row {wanted[wrong[0]]} has a value that is not finite; correct it."
            )
        return torch.from_numpy(chosen)
