"""Images by the name or path of their source: all of them, or split and posed."""

from collections.abc import Sequence

from mcevae.base.config import DataConfig
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import Images, ImageSet, require
from mcevae.images.posing import pose, pose_seed
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Posed, Splits


def load(source: str, settings: DataConfig | None = None, track: Track = iter) -> ImageSet:
    """Load a named set (see `DATASETS`) or a user's files.

    Files are a folder of images, one image file, a .txt that lists some, a .npy, or a .npz. A .npz
    has `images` (and `labels`), or `x_train`, `x_test` (and `y_train`, `y_test`). `readers` and
    `recipe` say how they are read.

    Args:
        source: name or path.
        settings: how files are read; None: as the files suggest.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: Unknown name, failed download, or files that are missing, damaged or unfit.
    """
    return open_source(source, settings).load(track)


def prepare(
    source: Source,
    *,
    group: MatrixGroup,
    support: Sequence[float],
    posed: bool,
    split: str = "standard",
    limit: int | None = None,
    seed: int = 0,
    background: float = 0.0,
    track: Track = iter,
) -> Splits:
    """Load, split and, if `posed`, move images: all that training and scoring need.

    Args:
        source: of the images, opened.
        group: Lie group of the poses.
        support: half-widths of the poses, as ``group.support(...)`` gives them.
        posed: whether images are moved; otherwise they are taken as they lie.
        split: standard or paper, as in `split_images`.
        limit: keep only the first so many training images: a fair sample, since they are shuffled.
        seed: of the poses; every seed and split has a random stream of its own.
        background: what comes in from outside the frame, 0 (black) to 1 (white).
        track: wraps the files, a progress bar say.

    Raises:
        UserError: As in `load` and `split_images`, or `limit` below 2.
    """
    require(limit is None or limit > 1, f"limit is {limit}; use 2 or more.")

    def place(images: Images, stream: str, window: int = 0) -> Posed:
        if not posed:
            return Posed(images=images)
        own = pose_seed(seed + window, stream)
        return pose(images, group, support, own, background=background)

    return source.splits(place, split=split, limit=limit, track=track)
