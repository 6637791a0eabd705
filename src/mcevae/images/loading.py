"""Load all images of a source, or load, split and pose them for training."""

from collections.abc import Sequence

from mcevae.base.config import DataConfig
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import Images, ImageSet, require
from mcevae.images.kept import within
from mcevae.images.posing import pose, pose_seed
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Posed, Splits


def load(source: str, settings: DataConfig | None = None, track: Track = iter) -> ImageSet:
    """Load a built-in set (see `DATASETS`) or your own files.

    Files can be a folder of images, one image file, a .txt that lists image files, a .npy, or a
    .npz. A .npz has one array of images (and `labels`), or `x_train`, `x_test` (and `y_train`,
    `y_test`).
    See `readers` and `recipe` for how files are read.

    Args:
        source: name of the set, or path.
        settings: how to read files. None: chosen from the files.
        track: wraps the list of files, for example to show a progress bar.

    Raises:
        UserError: the name is unknown, the download failed, or files are missing, damaged or do
            not fit.
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
    """Load and split images, and move them if `posed`, for training and scoring.

    Args:
        source: the opened source of the images.
        group: Lie group of the poses.
        support: half-widths of the poses, as ``group.support(...)`` returns them.
        posed: whether to move the images by random poses.
        split: standard or paper, as in `split_images`.
        limit: keep only this many training images. They are shuffled, so this is a fair sample.
        seed: seed of the poses. Each seed and split has its own random stream.
        background: brightness of what comes in from outside the image, 0 (black) to 1 (white).
        track: wraps the list of files, for example to show a progress bar.

    Raises:
        UserError: as in `load` and `split_images`, or `limit` is below 2.
    """
    require(limit is None or limit > 1, f"limit is {limit}; use 2 or more.")

    def place(images: Images, stream: str, window: int = 0) -> Posed:
        if not posed:
            return Posed(images=images)
        own = pose_seed(seed + window, stream)
        return pose(images, group, support, own, background=background)

    splits = source.splits(place, split=split, limit=limit, track=track)
    return within(splits, source.settings.kept)
