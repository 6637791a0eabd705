"""The forms in which an estimator takes images, and the source that each of them becomes."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from mcevae.base.config import DataConfig
from mcevae.exporting.pretrained import Pretrained
from mcevae.images.forms import as_numbers
from mcevae.images.readers.channels import framed, held
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.sources.contract import Source
from mcevae.images.sources.memory import MemorySource
from mcevae.images.sources.paths import PathsSource
from mcevae.images.sources.registry import open_source

LEAST = 4
"""Smallest number of images that `fit` accepts."""
PATHS = (str, os.PathLike)


class Taking(Pretrained):
    """Takes images as arrays, tensors, Pillow images, paths of files, or a folder.

    Attributes:
        image_shape: as `MCEVAE` was given it.
        image_shape_, n_features_in_: see `MCEVAE`.
    """

    image_shape: Sequence[int] | None
    image_shape_: tuple[int, ...] | None
    n_features_in_: int

    def _source(self, X: Any, settings: DataConfig, *, reset: bool) -> Source:
        """Return X as a source of images. An image that cannot be used is an error when it is read.

        Args:
            X: the images, in any form that `MCEVAE` names.
            settings: how they are read.
            reset: whether the shape of the images becomes that of the estimator.

        Raises:
            ValueError: X has a wrong shape, too few images or values that are not numbers.
            UserError: there are no such files.
        """
        settings = replace(settings, on_error="stop")
        files = [X] if isinstance(X, PATHS) else X
        if isinstance(files, list | tuple) and len(files) and isinstance(files[0], PATHS):
            odd = [one for one in files if not isinstance(one, PATHS)]
            if odd:
                raise ValueError(f"X has paths and a {type(odd[0]).__name__}; give paths only")
            if reset:
                self._forget_shape()
            if files is not X:
                return open_source(os.fspath(X), replace(settings, source=os.fspath(X)))
            return PathsSource(files, settings)
        return MemorySource(self._frames(X, settings, reset=reset), settings)

    def _frames(self, X: Any, settings: DataConfig, *, reset: bool) -> list[Frame]:
        """Return images in memory one by one, after the checks that scikit-learn asks for.

        Args:
            X, settings, reset: as for `_source`.

        Raises:
            ValueError: as for `_source`.
        """
        try:
            X = as_numbers(X)
        except Unreadable as error:
            raise ValueError(f"X {error}") from error
        if isinstance(X, list) and len(X) and isinstance(X[0], np.ndarray) and X[0].ndim > 1:
            if len({(one.shape, one.dtype) for one in X}) > 1:
                return self._of_many_sizes(X, settings, reset=reset)
            X = np.stack(X)
        array = self._checked(X, reset=reset)
        if reset:
            self.image_shape_ = tuple(array.shape[1:])
        elif self.image_shape_ is not None and array.shape[1:] != self.image_shape_:
            raise ValueError(
                f"X has images of shape {array.shape[1:]}; use {self.image_shape_}, as for `fit`"
            )
        return framed_by(settings, array)

    def _of_many_sizes(
        self, X: list[np.ndarray], settings: DataConfig, *, reset: bool
    ) -> list[Frame]:
        """Return images of a list that differ in size or in the kind of their numbers.

        Raises:
            ValueError: there are too few, or one has a wrong shape.
        """
        if reset and len(X) < LEAST:
            raise ValueError(f"X has {len(X)} images; give at least {LEAST}")
        for i, one in enumerate(X):
            if one.ndim not in (2, 3) or one.dtype.kind not in "buif":
                raise ValueError(
                    f"X[{i}] has shape {one.shape} of {one.dtype}; use numbers (H, W) or (H, W, C)"
                )
        if reset:
            self._forget_shape()
        return framed_by(settings, X)

    def _checked(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """Return an array of images (n, H, W) or (n, H, W, C).

        Raises:
            ValueError: X is none, has too few images or values that are not numbers.
        """
        array: Any = check_array(
            X,
            dtype=None,  # pyright: ignore[reportArgumentType]
            allow_nd=True,
            ensure_min_samples=LEAST if reset else 1,
            estimator=self,
            input_name="X",
        )
        if array.ndim == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)  # counts and names features
            array = self._laid_out(array)
        elif reset:
            self.n_features_in_ = int(np.prod(array.shape[1:]))
        if array.dtype.kind not in "buif":
            array = array.astype(np.float64)
        if array.ndim not in (3, 4):
            raise ValueError(
                f"X has shape {array.shape}; use (n, H, W), (n, H, W, C), (n, C, H, W) or "
                "(n, features)"
            )
        return array

    def _laid_out(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Reshape flat rows to images.

        Raises:
            ValueError: the number of features does not fit the shape.
        """
        side = round(flat.shape[1] ** 0.5)
        shape = tuple(self.image_shape) if self.image_shape is not None else (side, side)
        if int(np.prod(shape)) != flat.shape[1]:
            raise ValueError(
                f"X has {flat.shape[1]} features, which do not make an image; give the image_shape"
            )
        return flat.reshape(len(flat), *shape)

    def _forget_shape(self) -> None:
        """Forget the shape of an image of X: from now on images of any shape are taken."""
        self.image_shape_ = None
        vars(self).pop("n_features_in_", None)


def framed_by(settings: DataConfig, images: Iterable[np.ndarray]) -> list[Frame]:
    """Return images as frames, with the channels that settings ask for.

    Raises:
        ValueError: an image does not have them.
    """
    reading = Reading.by(settings)
    try:
        each = (held(image, pictured=True) for image in images)
        return [framed(f"X[{i}]", image, reading) for i, image in enumerate(each)]
    except Unreadable as error:
        raise ValueError(f"X {error}") from error
