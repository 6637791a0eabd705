"""Settings that all parts share, as frozen dataclasses.

Every flag of ``mcevae fit`` is a field of one of these classes or of `models.config`, and the
docstring of the field is the help text of the flag. Importing this module is fast, because it does
not import torch.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from mcevae.base.channels import asked_channels
from mcevae.base.colours import asked_colours
from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import SettingError
from mcevae.base.flags import FLAGS, flag_of
from mcevae.base.names import as_setting

MOST_IMAGES = 10**9
MOST_MINUTES = 10_000_000
MOST_WEIGHT = 1_000_000
"""Largest weight of a term of the loss."""
BUILT_IN = ("mnist-mini", "mnist", "fashion-mnist", "digits")  # image sets by name


def ensure(condition: bool, sentence: str) -> None:
    """Refuse a setting.

    Raises:
        SettingError: the condition does not hold; it says the sentence.
    """
    if not condition:
        raise SettingError(sentence)


def ensure_range(settings: Any, **ranges: tuple[float, float]) -> None:
    """Refuse settings that lie outside their ranges; None and "auto" lie in every range.

    Every number that decides memory or work has a range, since settings can be a stranger's.

    Args:
        settings: an object whose attributes are settings.
        ranges: the smallest and the largest value, by the name of the setting.

    Raises:
        SettingError: a setting is too small or too large.
    """
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        ensure(
            value in (None, "auto") or least <= value <= most,
            f"--{flag_of(name)} is {value}; use {least} to {most}",
        )


Isolate = Literal["auto", "no", "yes", "middle"]
Mode = Literal["unsupervised", "supervised"]


@dataclass(frozen=True, kw_only=True)
class FilesConfig(CuttingConfig):
    """Which images to use, and how to read their files."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")] = "mnist-mini"
    """The images: the name of a built-in set (see `mcevae data`), a folder of image files (PNG,
    JPEG, WebP, BMP, TIFF, .npy, .npz, MRC, Parquet, HDF5, FITS, MATLAB, DICOM, Zarr), one such file
    (data.h5:/path for an array in it), a .txt file with a path on each line, a STAR or .cs file of
    particles, or a pack (`mcevae pack`)."""
    links: bool = False
    """Whether to follow links to files and folders below a folder. If not, they are counted."""
    axes: str | None = None
    """Axes of .npy, .npz and TIFF files in order, one letter each: N (images), C (channels), H or Y
    (height), W or X (width); T, Z and all other letters number images, too. If not given: what the
    file says, or what its shape suggests."""
    channels: str | None = None
    """Channels to take, with commas between: numbers, from 0 (0,3), names of the file (DAPI,GFP),
    both (0=DAPI,3=GFP), or names for all channels in their order. Each is normalised by itself. If
    not given: three channels are colours, unless the file has names for them, and of two, or of
    four to 16, all are taken."""
    colours: Annotated[str | None, tyro.conf.arg(name=FLAGS["colours"])] = None
    """Colours in which pages and pictures show channels, with commas between: names such as cyan,
    or #ff8800. If not given: colours that are easy to tell apart."""
    sections: Literal["auto", "each", "middle", "sum"] = "auto"
    """How to read MRC files. each: every section is an image. middle, sum: one image for each
    volume, its middle section or the sum of its sections. auto: each, and it is said if the header
    says volume."""
    animation: Literal["first", "all"] = "first"
    """Which frames of animated pictures (GIF, PNG, WebP, AVIF) to read."""
    background: float | None = None
    """Value outside the image, which moves in when the image is moved: 0 (black) to 1 (white). If
    not given: black for built-in sets, and the median of the images' borders for files."""
    size: int | None = None
    """Side of the square that images from files are fitted into, 16 to 256 pixels. If not given:
    images keep their size if all have the same one, of 16 to 64 pixels a side (to 256 in .npy and
    .npz files); otherwise 64."""
    fit: Literal["pad", "crop"] = "pad"
    """How to fit an image into the square. pad: show the whole image, with background beside it.
    crop: fill the whole square, and cut off the ends of the longer side."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """Colours of images from files. auto: rgb if any image has colours, otherwise grey. (Images
    with other --channels are neither, but rgb takes three of them for colours.)"""
    normalise: Literal["auto", "none", "set", "image"] = "auto"
    """How to scale intensities of images from files. none: use the whole range of the number type
    (for floats 0 to 1). set: stretch all images alike, from percentile 0.1 to 99.9 of all of them.
    image: stretch each image by itself. auto: none for floats from 0 to 1, for 8 bits, and for
    floats that look like 8 bits, if any number is 32 or more; otherwise set."""
    levels: tuple[float, ...] | None = None
    """Black and white for --normalise set, as shares of the range of the number type; of --channels
    two numbers for all of them, or for each. If not given: measured from the images."""
    white: float | None = None
    """Number that counts as white, before --normalise. If not given: the largest of the number
    type, 1 for floats, or 255 for floats that are whole numbers from 0 to 255."""
    phase_flip: bool = False
    """Whether to flip phases of particles where the CTF reverses their contrast, by the defocus,
    voltage and so on of their STAR or .cs file, before anything else."""
    stretch: Literal["linear", "asinh", "zscale"] = "linear"
    """Stretches of astronomy, after --normalise. asinh: shows what is faint beside what is bright.
    zscale: stretches each image by itself between the limits of IRAF's zscale (needs pip install
    'mcevae[astronomy]')."""
    invert: bool = False
    """Whether to exchange dark and light, as the last step of --normalise."""
    numbers: Annotated[str | None, tyro.conf.Suppress] = None
    """Kind of the numbers in the images of the training, such as uint8, as the run recorded it."""
    seen: Annotated[tuple[float, float] | None, tyro.conf.Suppress] = None
    """Least and largest of these numbers, but for single pixels, as the run recorded them."""
    mask: str | None = None
    """Which pixels of images from files count; all others become background. circle: the disc that
    touches the nearer borders. alpha: pixels that are not transparent. Or an image file, whose
    light pixels count in all images. If not given: all pixels."""
    mask_bits: Annotated[str | None, tyro.conf.Suppress] = None
    """The mask of all images, packed, as the run recorded it."""
    flatten: Literal["auto", "yes", "no"] = "auto"
    """Whether to even out backgrounds of images from files: a plane is fitted to the border of each
    image, and replaced by --background. auto: if half of the images have another background than
    the others, or one that slopes."""
    isolate: Isolate = "auto"
    """Whether to take other things out of images from files. yes: what differs from the background,
    reaches the border, and is apart from the thing in the middle. middle: all that is far from the
    middle, by a soft mask. auto: yes if a quarter of the images shows such parts."""
    labels: str | None = None
    """Labels, which are used for scores only: the word folders (the folder of a file is its label),
    or a table with a row for each file, its columns parted by commas, semicolons or tabs; or a .npy
    with a label for each image, in the order of the source. If not given: labels of the source, if
    it has any. Images without a label are left out of scores."""
    label_column: str | None = None
    """Column of the table of --labels that holds the labels. If not given: the one called label,
    class, category, target or kind, or the only one that is not the files'. Without --labels: a
    column of the table of --boxes, or of the STAR or .cs file, which has a label in each row."""
    file_column: str | None = None
    """Column of the table of --labels that holds paths or names of files. If not given: the one
    with the most names of images."""
    on_error: Literal["skip", "stop"] = "skip"
    """What to do with files that cannot be used. skip: leave them out and name them. stop: stop
    with an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("source", "labels", "features", "hints", "mask"):  # as text, to be shown
            if value := getattr(self, name, None):
                object.__setattr__(self, name, as_setting(value))
        level = self.background_level
        ensure(0 <= level <= 1, f"--background is {level}; use 0 to 1")
        ensure_range(self, size=(16, 256), white=(0, 1e38))
        for text, read in ((self.channels, asked_channels), (self.colours, asked_colours)):
            try:
                _ = text is None or read(text)
            except ValueError as error:
                raise SettingError(str(error)) from None
        ensure(
            self.mask is None or self.is_file,
            f"--mask is for images from files, and {self.source} is a built-in set; leave it out",
        )
        levels = (0.0, 1.0) if self.levels is None else self.levels
        ensure(len(levels) in range(2, 33, 2), f"--levels has {len(levels)} numbers; give pairs")
        ensure(self.white is None or self.white > 0, f"--white is {self.white}; use more than 0")
        ensure(
            self.labels not in (None, "folders") or not self.file_column,
            "--file_column is of a table; give it with --labels",
        )
        ensure(
            self.labels != "folders" or not self.label_column,
            "--label_column is of a table; give it with --labels in place of folders",
        )
        ensure(
            self.stretch != "zscale" or self.normalise in ("auto", "image"),
            f"--normalise is {self.normalise}, but --stretch zscale stretches each image by "
            "itself; leave out one of them",
        )
        for low, high in zip(levels[::2], levels[1::2], strict=True):
            ensure(low < high, f"--levels are {low:g} and {high:g}; give the darker one first")

    @property
    def is_file(self) -> bool:
        """Whether the images are the user's files and not a built-in set."""
        return self.source not in BUILT_IN

    @property
    def background_level(self) -> float:
        """The background value; black if it is not known."""
        return self.background or 0.0


@dataclass(frozen=True, kw_only=True)
class DataConfig(FilesConfig):
    """Which images to use, how to move them, and how to split them."""

    pose: Literal["auto", "none", "so2", "se2", "sim2", "aff2"] = "auto"
    """For tests only: move every image at random before training, so that the true poses are
    known. Leave it alone for your own images. auto: moves built-in sets only, in the model's
    group. With --mirror, half of the images are mirrored as well."""
    split: Literal["standard", "paper", "all"] = "standard"
    """standard: use the set's own test images. paper: put all images together and split them
    6:1. all: keep no test images, so that all but one in twelve are learned from; those that
    choose the model are also scored."""
    limit: int | None = None
    """Number of training images to use, from the first on. If not given: all."""
    window: int | None = None
    """Number of images of a pack (`mcevae pack`) to hold in memory at one time; this many make an
    epoch. If not given: 100,000, or as many as 512 MiB hold."""
    kept: Annotated[str | None, tyro.conf.Suppress] = None
    """Which images of the source the run is made from, packed, as a run of --from recorded it."""
    blocks: Annotated[tuple[int, ...], tyro.conf.Suppress] = ()
    """Places in the source at which new images begin, as `mcevae extend` recorded them."""
    features: str | None = None
    """A .npy file with one row of numbers for each image of the source, in its order, such as
    features of a pretrained network (preset default). They join the neighbour graph."""
    hints: str | None = None
    """A table of what you know of a few images (preset default or quick): columns file and label,
    or file and same or different with another file. Clusters follow it and are named by it."""
    data_seed: int = 0
    """Seed of the random poses of built-in sets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure_range(self, limit=(2, MOST_IMAGES), window=(2, MOST_IMAGES), data_seed=(0, 2**60))


@dataclass(frozen=True, kw_only=True)
class SupportConfig:
    """How far images may be moved: the support of rho(M) in eq. (6), and of --pose."""

    rotation: float = 90.0
    """Largest rotation in each direction, in degrees, 0 to 180."""
    shift: float = 0.25
    """Largest shift along x and along y, as a share of the image side, 0 to 1."""
    scale: float = 1.4
    """Largest magnification; 1.4 allows 1/1.4 to 1.4. Only for groups sim2 and aff2."""
    strain: float = 0.2
    """Largest stretch and shear, as natural logarithms. Only for group aff2."""

    def __post_init__(self) -> None:
        ensure(0 <= self.rotation <= 180, f"--rotation is {self.rotation}; use 0 to 180 degrees")
        ensure(0 <= self.shift <= 1, f"--shift is {self.shift}; use 0 to 1 of the image side")
        ensure_range(self, scale=(1, 100), strain=(0, 5))

    def half_widths(self, group: Any) -> tuple[float, ...]:
        """Half-widths of the support, one for each parameter of the group.

        Args:
            group: a `MatrixGroup`. It is not in the signature, since its module imports torch.

        Returns:
            Radians for the rotation, image sides for shifts, natural logarithms for the rest.
        """
        return group.support(
            rotation_deg=self.rotation, shift=self.shift, scale=self.scale, strain=self.strain
        )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised: the negative ELBO of eq. (7) plus alpha times the invariance term."""

    mode: Annotated[Mode, tyro.conf.arg(name=FLAGS["mode"])] = "unsupervised"
    """unsupervised: eq. (8), from the images alone. supervised: canonical images are compared with
    the upright images, which must be known."""
    alpha: float = 1.0
    """Weight of the invariance term, eq. (6)."""
    beta: float = 1.0
    """Weight of the KL terms of the ELBO; the paper has 1. For beta-tcvae: weight of the total
    correlation only."""
    draws: Annotated[int, tyro.conf.arg(name=FLAGS["draws"])] = 1
    """Number of random elements M for each image and step, eq. (6)."""
    invariance_noise: Literal["shared", "own"] = "shared"
    """Noise of the canonical images that eq. (8) compares. shared: the same noise for x and Mx.
    own: independent noise for each."""
    likelihood: Literal["bce", "mse"] = "bce"
    """Reconstruction term: binary cross-entropy (bce) or squared error (mse)."""

    def __post_init__(self) -> None:
        ensure_range(self, alpha=(0, MOST_WEIGHT), beta=(0, MOST_WEIGHT), draws=(1, 100))
        ensure(
            self.mode == "unsupervised" or self.draws == 1,
            f"--pose-draws is {self.draws}, but supervised mode draws no M; leave it out",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long to train, and with which steps."""

    epochs: int | Literal["auto"] = "auto"
    """Number of passes over the training images. auto: 24, or more if the images are few, to make
    at least 750 steps."""
    minutes: float | None = None
    """Minutes of training, with first poses, clusters, validation and saving; it stops at the end
    of a step. Reading images before, and scores and report after it, are not counted. The default
    preset plans as many epochs as fit, and ends as preset quick if too few do to be of use."""
    batch_size: int | Literal["auto"] = "auto"
    """Number of images for each step and device. auto: 200, or fewer (at least 50) if the images
    are few."""
    lr: float = 2e-3
    """Learning rate of the Adam optimiser."""
    seed: int = 0
    """Seed of initial weights, noise and the order of images. On a CPU, the same seed gives the
    same numbers again, with as many threads (OMP_NUM_THREADS)."""
    schedule: Literal["constant", "one-cycle"] = "one-cycle"
    """Learning rate during training. constant: always --lr. one-cycle: in cycles, up to --lr and
    down to zero."""
    weight_decay: float = 1e-3
    """Weight decay, separate from the gradient (AdamW)."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Precision of the networks: no (float32), bf16 or fp16. auto: bf16 on a CPU that multiplies in
    bfloat16, where it is faster; otherwise no. Poses always stay in float32."""
    checkpoint_minutes: float = 5.0
    """Minutes between saved states. The state is also saved at the end of every epoch."""

    def __post_init__(self) -> None:
        ensure(
            0 <= self.weight_decay < 1,
            f"--weight-decay is {self.weight_decay}; use 0 or more, and less than 1",
        )
        for name in ("minutes", "lr", "checkpoint_minutes"):
            value = getattr(self, name)
            flag = f"--{flag_of(name)}"
            ensure(value is None or value > 0, f"{flag} is {value}; use more than 0")
        ensure_range(self, epochs=(1, 1_000_000), seed=(0, 2**32 - 1))
        ensure_range(self, minutes=(0, MOST_MINUTES), checkpoint_minutes=(0, MOST_MINUTES))
        ensure_range(self, batch_size=(2, 2**16))  # batch norm needs 2
        ensure_range(self, lr=(0, 1e38))  # of a float32


@dataclass(frozen=True, kw_only=True)
class PlannedTrain(TrainConfig):
    """The loop, with numbers in place of "auto"; the defaults are those of many images."""

    epochs: int = 24
    batch_size: int = 200
    precision: Literal["no", "bf16", "fp16"] = "no"
