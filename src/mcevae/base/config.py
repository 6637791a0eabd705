"""Settings that every part shares: frozen dataclasses. Imports no tensors, so it is quick.

Every flag of ``mcevae fit`` is a field of one of these classes or of `models.config`; its docstring
is the flag's help.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

BUILT_IN = ("mnist-mini", "mnist", "fashion-mnist", "digits")  # image sets by name


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """Which images, and how files of them are read."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")] = "mnist-mini"
    """Name of a built-in set (see `mcevae data`), a folder of images (PNG, JPEG, WebP, BMP, TIFF,
    .npy, .npz, MRC, Parquet), one such file, a .txt that lists some, or a pack (`mcevae pack`)."""
    background: float | None = None
    """What moves in from outside the frame, from 0 (black) to 1 (white). Unset: black for built-in
    sets, for files the median of the images' borders."""
    size: int | None = None
    """Fit files into squares of this side, 16 to 256. Unset: images keep their size if they are all
    alike and 16 to 64 pixels a side (256 in .npy and .npz); 64 otherwise."""
    fit: Literal["pad", "crop"] = "pad"
    """pad: the longer side of a file's image fills the square; crop: the shorter one does."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """Colours of files; auto: grey unless some image has colours."""
    normalise: Literal["auto", "none", "set", "image"] = "auto"
    """Intensities of files. none: the range of the numbers' kind (floats: 0 to 1); set: stretched
    between percentiles 0.1 and 99.9 of all images; image: of each image; auto: none for 8 bits and
    for floats from 0 to 1, else set."""
    levels: tuple[float, float] | None = None
    """Black and white of --normalise set, as shares of the range. Unset: found."""
    labels: str | None = None
    """For scoring only: folders (names of the folders in the source) or a .csv with columns file
    and label. Unset: those that come with the source, if any."""
    on_error: Literal["skip", "stop"] = "skip"
    """What to do about files that cannot be used: leave them out and name them, or refuse."""

    def __post_init__(self) -> None:
        level = self.background_level
        _require(0 <= level <= 1, f"background is {level}; use 0 to 1")
        _require(self.size is None or 16 <= self.size <= 256, f"size is {self.size}; use 16 to 256")
        low, high = self.levels or (0, 1)
        _require(low < high, f"levels are {low:g} and {high:g}; give the darker one first")

    @property
    def is_file(self) -> bool:
        """Whether the source is files of the user's rather than a built-in set."""
        return self.source not in BUILT_IN

    @property
    def background_level(self) -> float:
        """The background, black where it is not known."""
        return self.background or 0.0


@dataclass(frozen=True, kw_only=True)
class DataConfig(FilesConfig):
    """Which images, how they are posed and how they are split."""

    pose: Literal["auto", "none", "so2", "se2", "sim2", "aff2"] = "auto"
    """Move every image by a random element of this group first, which makes a benchmark with known
    poses out of upright images. auto: the model's group for built-in sets, none for files."""
    split: Literal["standard", "paper"] = "standard"
    """standard: the set's own test images; paper: all images pooled and split 6:1."""
    limit: int | None = None
    """Use only the first LIMIT training images."""
    window: int | None = None
    """Images of a pack (`mcevae pack`) that are in memory at once, and make an epoch. Unset:
    100,000, or what 512 MiB hold."""
    data_seed: int = 0
    """Seed of the poses of the data set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.limit is None or self.limit > 1, f"limit is {self.limit}; use 2 or more")
        _require(self.window is None or self.window > 1, f"window is {self.window}; use 2 or more")
        _require(0 <= self.data_seed < 2**60, f"data-seed is {self.data_seed}; use 0 to 2**60")


@dataclass(frozen=True, kw_only=True)
class SupportConfig:
    """How far images may be moved: the finite support of rho(M) in eq. (6) and of posed data."""

    rotation: float = 90.0
    """Largest rotation either way, degrees, 0 to 180."""
    shift: float = 0.25
    """Largest shift along x and along y, as a fraction of the image side."""
    scale: float = 1.4
    """Largest magnification (1.4: between 1/1.4 and 1.4); for the groups sim2 and aff2."""
    strain: float = 0.2
    """Largest stretch and shear, natural log units; for the group aff2."""

    def __post_init__(self) -> None:
        _require(0 <= self.rotation <= 180, f"rotation is {self.rotation}; use 0 to 180 degrees")
        _require(0 <= self.shift <= 1, f"shift is {self.shift}; use 0 to 1 of the image side")
        _require(1 <= self.scale <= 100, f"scale is {self.scale}; use 1 to 100")
        _require(0 <= self.strain <= 5, f"strain is {self.strain}; use 0 to 5")

    def half_widths(self, group: Any) -> tuple[float, ...]:
        """Half-widths of the support in the parameters of a `MatrixGroup` (radians, sides, logs).

        (The group's class would bring torch into this module.)
        """
        return group.support(
            rotation_deg=self.rotation, shift=self.shift, scale=self.scale, strain=self.strain
        )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised: the negative ELBO of eq. (7) plus alpha times the invariance term."""

    mode: Literal["unsupervised", "supervised"] = "unsupervised"
    """unsupervised: eq. (8); supervised: the upright image is the canonical image's target."""
    alpha: float = 1.0
    """Weight of the invariance term, eq. (6)."""
    beta: float = 1.0
    """Weight of the KL terms of the ELBO; 1 is the paper. Of the total correlation alone
    (beta-tcvae)."""
    draws: int = 1
    """Monte-Carlo draws of M per image and step, eq. (6)."""
    invariance_noise: Literal["shared", "own"] = "shared"
    """Noise of the canonical images that eq. (8) compares: the same for x and Mx, or its own."""
    likelihood: Literal["bce", "mse"] = "bce"
    """Reconstruction term: binary cross-entropy, or squared error."""

    def __post_init__(self) -> None:
        _require(self.alpha >= 0, f"alpha is {self.alpha}; use 0 or more")
        _require(self.beta >= 0, f"beta is {self.beta}; use 0 or more")
        _require(self.draws >= 1, f"draws is {self.draws}; use 1 or more")
        _require(
            self.mode == "unsupervised" or self.draws == 1,
            f"draws is {self.draws}, but supervised mode draws no M; leave it out",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop."""

    epochs: int | Literal["auto"] = 60
    """Passes over the training images; auto: 24, or as many as make 750 steps of few images."""
    minutes: float | None = None
    """Stop at the end of the step that passes this many minutes of training. The default preset
    plans as many epochs as fit, up to --epochs."""
    batch_size: int | Literal["auto"] = 100
    """Images per step and device; auto: 200, or down to 50 where these are few."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    seed: int = 0
    """Seed of initial weights, noise and batch order; a rerun on a CPU gives the same numbers."""
    schedule: Literal["constant", "one-cycle"] = "constant"
    """Learning rate over the run: constant, or in cycles up to --lr and down to zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; poses stay in float32."""
    checkpoint_minutes: float = 5.0
    """Save the last state this often, besides at the end of every epoch."""

    def __post_init__(self) -> None:
        _require(
            self.epochs == "auto" or self.epochs >= 1, f"epochs is {self.epochs}; use 1 or more"
        )
        _require(self.minutes is None or self.minutes > 0, f"minutes is {self.minutes}; use > 0")
        _require(
            self.batch_size == "auto" or self.batch_size >= 2,
            f"batch-size is {self.batch_size}; batch norm needs 2",
        )
        _require(0 < self.lr < float("inf"), f"lr is {self.lr}; use a positive number")
        _require(0 <= self.seed < 2**32, f"seed is {self.seed}; use 0 to {2**32 - 1}")
        _require(self.checkpoint_minutes > 0, "checkpoint-minutes must be positive")
