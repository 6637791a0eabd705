"""A list of image files that a program has, such as the X of an estimator."""

import os
from collections.abc import Sequence
from pathlib import Path

from mcevae.base.config import DataConfig
from mcevae.base.names import as_text
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.listing import Listing


class PathsSource(FileSource):
    """Files by their paths. The list has no name or path, so code must create this source itself.

    The name of an image is its path as it was given.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], settings: DataConfig, name: str = "X"
    ) -> None:
        """Take the paths.

        Args:
            paths: of the files.
            settings: how they are read.
            name: what errors call the source.
        """
        self.given = [Path(path) for path in paths]
        super().__init__(name, settings)

    @classmethod
    def takes(cls, name: str) -> bool:
        """No name is of this kind."""
        return False

    def listed(self) -> Listing:
        """See `FileSource.listed`."""
        return Listing(paths=self.given)

    def called(self, path: Path) -> str:
        """See `FileSource.called`."""
        return as_text(path.as_posix())
