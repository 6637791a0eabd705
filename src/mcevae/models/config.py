"""Settings: frozen dataclasses, presets, and TOML in and out. Imports no tensors, so it is quick.

Every flag of ``mcevae fit`` is a field here; its docstring is the flag's help.
"""

import dataclasses
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tomli_w
import tyro

from mcevae.base.config import (
    DataConfig,
    ObjectiveConfig,
    SupportConfig,
    TrainConfig,
    _require,
)
from mcevae.base.errors import DAMAGE, UserError

Kind = Literal[
    "hypotheses",
    "mce-vae",
    "vae",
    "beta-vae",
    "beta-tcvae",
    "factor-vae",
    "spatial-vae",
    "affine-vae",
    "affine-vae-stn",
    "vade",
    "gmvae",
    "jrvae",
]
GroupName = Literal["so2", "se2", "sim2", "aff2"]
MOST_ASKED = 10_000  # clusters
MOST_CLUSTERS = 30  # that `--clusters auto` may find


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and components of the model; the defaults are section 4 of the paper."""

    group: GroupName = "se2"
    """Lie group of the pose: rotation (so2), with shift (se2), with scale (sim2), affine (aff2)."""
    kind: Annotated[Kind, tyro.conf.arg(name="model")] = "mce-vae"
    """hypotheses: the default preset's; mce-vae: the paper's; or a peer, with its own preset."""
    rotations: int = 72
    """Rotations of the grid of hypotheses, over the whole circle."""
    clusters: int | Literal["auto"] = 10
    """Number of clusters K, which is also the size of z_c; auto (default preset): as many as the
    images' neighbourhood graph falls into, 2 to 30."""
    variation: int = 3
    """Size of z, the variation inside a cluster."""
    encode: Literal["canonical", "image"] = "canonical"
    """What z is read from (default preset): the image moved back by its pose, or as it lies."""
    latent: Literal["mixture", "gaussian"] = "mixture"
    """mixture: eqs. (9) to (17); gaussian: a diagonal Gaussian for z_c (the ablation, fig. 5e)."""
    prior_weights: tuple[float, ...] | None = None
    """Weights p of the prior mixture, eq. (9), one per cluster, summing to 1. Unset: equal."""
    posterior_weights: tuple[float, ...] | None = None
    """Weights pi of the posterior mixture, eq. (10), one per cluster. Unset: equal."""
    channels: tuple[int, int, int, int] = (32, 64, 128, 128)
    """Channels of the four convolutions of the encoder."""
    hidden: int = 512
    """Units of the two hidden layers of the cluster and the variation extractor."""
    pose_hidden: int = 32
    """Units of the two hidden layers of the transformation extractor."""
    decoder_hidden: int = 300
    """Units of the gated layers of the invariance decoder."""

    def __post_init__(self) -> None:
        _require(self.rotations >= 8, f"rotations is {self.rotations}; use 8 or more")
        for name in ("clusters", "variation", "hidden", "pose_hidden", "decoder_hidden"):
            value = getattr(self, name)
            _require(value == "auto" or value >= 1, f"{name} is {value}; use 1 or more")
        _require(
            self.clusters == "auto" or self.clusters <= MOST_ASKED,
            f"clusters is {self.clusters}; use at most {MOST_ASKED}",
        )
        _require(min(self.channels) >= 1, f"channels are {self.channels}; use 1 or more of each")
        for name in ("prior_weights", "posterior_weights"):
            weights = getattr(self, name)
            if weights is not None:
                _require(self.latent == "mixture", f"{name} needs --latent mixture")
                _require(
                    len(weights) == self.clusters,
                    f"{name} has {len(weights)} numbers; give one for each of "
                    f"{self.clusters} clusters",
                )
                _require(
                    min(weights) > 0 and abs(sum(weights) - 1) < 1e-4,
                    f"{name} is {weights}; use positive numbers that sum to 1",
                )


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """How hypotheses are started and taught (`selftraining`); the paper preset has none of it."""

    templates: int = 128
    """Templates of the mixture that gives the first poses."""
    subset: int = 20_000
    """Images that templates and neighbourhood graph are made from."""
    poses: Literal["templates", "moments"] = "templates"
    """First poses: of templates at every angle; or upright, with the shift of the centroid."""
    grouping: Literal["tangent", "euclidean", "kmeans"] = "tangent"
    """First clusters: of a graph of neighbours under the tangent distance, or under the plain one;
    or k-means on the pixels of the canonical images."""
    draw: Literal["posterior", "mode"] = "posterior"
    """New targets: drawn from the network's sharpened posterior, or its likeliest hypothesis."""
    neighbours: int = 15
    """Neighbours of an image in the graph that gives the first clusters."""
    restarts: int = 3
    """Groupings of the graph, of which the one that agrees best with the others is taken."""
    warmup: float = 0.25
    """Share of the epochs that teach poses alone."""
    redraws: int = 5
    """How often, after the warm-up, targets are drawn anew from the network's own posterior."""
    frames: Literal["content", "common"] = "content"
    """content: a frame for each cluster and look, learned from the poses; common: as found."""
    augment_strain: float = 0.1
    """Standard deviation of the random scale, stretch and shear of taught images, log units."""
    augment_elastic: float = 0.025
    """Standard deviation of their elastic deformation, image sides."""

    def __post_init__(self) -> None:
        for name in ("templates", "subset", "neighbours", "restarts"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; use 1 or more")
        _require(self.redraws >= 0, f"redraws is {self.redraws}; use 0 or more")
        _require(0 < self.warmup < 1, f"warmup is {self.warmup}; use a share between 0 and 1")
        for name in ("augment_strain", "augment_elastic"):
            _require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name)}; use 0 to 1")


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """What only peers read; the defaults are their papers' (see each file of `baselines`)."""

    code: int = 16
    """Size of the code of a peer that has one (not of MCE-VAE, whose are z_c and z)."""
    gamma: float = 10.0
    """Weight of the total correlation (factor-vae)."""
    rotation_prior: float = 45.0
    """Standard deviation of the prior of the rotation, degrees (spatial-vae, jrvae)."""
    shift_prior: float = 0.05
    """Standard deviation of the prior of the shift, image sides (spatial-vae, jrvae)."""
    search_restarts: int = 20
    """Starts of the search for an image's pose (affine-vae)."""
    search_steps: int = 10
    """Gradient steps of that search (affine-vae)."""
    pretrain: float = 0.2
    """Share of the epochs that train a plain autoencoder first (vade)."""

    def __post_init__(self) -> None:
        for name in ("code", "search_restarts", "search_steps"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; use 1 or more")
        _require(self.gamma >= 0, f"gamma is {self.gamma}; use 0 or more")
        _require(self.rotation_prior > 0, "rotation-prior must be positive")
        _require(self.shift_prior > 0, "shift-prior must be positive")
        _require(0 < self.pretrain < 1, f"pretrain is {self.pretrain}; use a share of 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on."""

    preset: str = "paper"
    """Starting point of all other settings."""
    data: DataConfig = field(default_factory=DataConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    start: StartConfig = field(default_factory=StartConfig)
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def data_group(self) -> str | None:
        """Name of the group that the images are moved by before training, or None."""
        if self.data.pose == "auto":
            return None if self.data.is_file else self.model.group
        return None if self.data.pose == "none" else self.data.pose

    def __post_init__(self) -> None:
        _require(self.preset in PRESETS, f"preset {self.preset!r} is not one of {list(PRESETS)}")
        _require(
            self.objective.mode == "unsupervised" or self.data_group is not None,
            "supervised mode needs upright images: use a built-in set or --pose",
        )
        _require(
            self.model.clusters != "auto" or self.start.grouping != "kmeans",
            "--clusters auto needs a neighbourhood graph; leave out --grouping kmeans",
        )
        self._refuse_what_is_not_read()

    def _refuse_what_is_not_read(self) -> None:
        """Settings of other models must not be passed over in silence."""
        kind = self.model.kind
        for setting, readers in READ_BY.items():
            part, name = setting.split(".")
            changed = getattr(getattr(self, part), name) != getattr(PART_TYPES[part](), name)
            own, *others = (PRESET_OF.get(one, one) for one in (kind, *readers))
            _require(
                kind in readers or not changed,
                f"preset {own} does not know this --{name.replace('_', '-')}; "
                f"use --preset {' or '.join(others)}",
            )
        _require(
            kind == "hypotheses" or self.model.clusters != "auto",
            f"preset {PRESET_OF.get(kind, kind)} does not know --clusters auto; "
            "use --preset default",
        )

    def changed(self, **parts: dict[str, Any]) -> "Config":
        """The same with some settings of some parts changed: `changed(train={"epochs": 3})`."""
        new = {
            part: dataclasses.replace(getattr(self, part), **settings)
            for part, settings in parts.items()
        }
        return dataclasses.replace(self, **new)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values; settings that are unset (None) are left out, as TOML has no null."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: plain(v) for k, v in value.items() if v is not None}
            return list(value) if isinstance(value, tuple) else value

        return plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "settings") -> "Config":
        """Inverse of `to_dict`; missing settings come from the preset.

        Raises:
            UserError: an unknown or unfitting setting, named with `origin`.
        """
        values = dict(values)
        name = values.pop("preset", "paper")
        if not isinstance(name, str) or name not in PRESETS:
            raise UserError(f"{origin}: preset {name!r} is not one of {', '.join(PRESETS)}.")
        config = PRESETS[name]()
        try:
            parts = {
                part: dataclasses.replace(getattr(config, part), **_checked(part, settings))
                for part, settings in values.items()
            }
            return dataclasses.replace(config, **parts)
        except DAMAGE as error:
            raise UserError(f"{origin}: {error}.") from error

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Settings from a TOML file, as `write` makes it.

        Raises:
            UserError: the file is missing, is not TOML or holds an unknown setting.
        """
        try:
            return cls.from_dict(tomllib.loads(path.read_text("utf-8")), str(path))
        except OSError as error:
            raise UserError(f"{path}: cannot read settings ({error.strerror}).") from error
        except DAMAGE as error:  # tomllib's own, and what it does not catch
            raise UserError(f"{path}: is not a TOML file ({error}).") from error

    def to_toml(self) -> str:
        """The settings as TOML text."""
        return tomli_w.dumps(self.to_dict())


def _checked(part: str, settings: Any) -> dict[str, Any]:
    """Settings of one part with lists as tuples, since TOML and JSON have only lists.

    Raises:
        ValueError: an unknown name, or a value of another type than the field's.
    """
    _require(part in PART_TYPES, f"there is no group of settings {part!r}")
    _require(isinstance(settings, dict), f"{part} is {settings!r}; it must be a table")
    hints = get_type_hints(PART_TYPES[part])
    checked = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    for name, value in checked.items():
        _require(name in hints, f"there is no setting {part}.{name}")
        _require(_fits(value, hints[name]), f"{part}.{name} cannot be {value!r}")
    return checked


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from a file is of a field's type; an int will do for a float."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in options and isinstance(value, str)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in options)
    if origin is tuple:
        count = None if options[-1] is Ellipsis else len(options)
        fits = isinstance(value, tuple) and count in (None, len(value))
        return fits and all(_fits(item, options[0]) for item in value)
    if isinstance(value, int) and not -(2**63) < value < 2**63:  # more than tensors can hold
        return False
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and not isinstance(value, bool)


def paper() -> Config:
    """The paper as written (section 4): 60 epochs of batches of 100, Adam 1e-3, alpha 1."""
    return Config()


def default() -> Config:
    """What we recommend: clusters and poses as explicit hypotheses, taught by self-training."""
    return Config(
        preset="default",
        model=ModelConfig(kind="hypotheses", variation=13),
        train=TrainConfig(
            epochs="auto", batch_size="auto", lr=2e-3, schedule="one-cycle", weight_decay=1e-3
        ),
    )


def peer(kind: Kind, **baseline: Any) -> Config:
    """A peer with the defaults of its paper, trained for as long as the paper's model."""
    return Config(preset=kind, model=ModelConfig(kind=kind), baseline=BaselineConfig(**baseline))


def beta_vae() -> Config:
    """The beta-VAE of figure 5f: 16 latent dimensions, beta 2."""
    return dataclasses.replace(peer("beta-vae"), objective=ObjectiveConfig(beta=2.0))


def beta_tcvae() -> Config:
    """The beta-TCVAE of its authors' runs: the total correlation weighed by 6."""
    return dataclasses.replace(peer("beta-tcvae"), objective=ObjectiveConfig(beta=6.0))


def spatial_vae() -> Config:
    """spatial-VAE with its authors' networks and rate."""
    base = peer("spatial-vae")
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, hidden=500),
        train=TrainConfig(lr=1e-4),
    )


def jrvae() -> Config:
    """jrVAE with its authors' networks and a rotation of 1 rad."""
    base = peer("jrvae", rotation_prior=57.3)
    return dataclasses.replace(base, model=dataclasses.replace(base.model, hidden=128))


PRESETS: dict[str, Callable[[], Config]] = {
    "default": default,
    "paper": paper,
    **{kind: partial(peer, kind) for kind in get_args(Kind)[2:]},
    "beta-vae": beta_vae,
    "beta-tcvae": beta_tcvae,
    "spatial-vae": spatial_vae,
    "jrvae": jrvae,
}
PRESET_OF = {"hypotheses": "default", "mce-vae": "paper"}
"""Presets that are not called as their model is."""
PEER_KINDS = tuple(get_args(Kind)[2:])
CONVOLVED = tuple(kind for kind in PEER_KINDS if kind not in ("spatial-vae", "jrvae"))
"""Peers with the encoder and the decoder of the paper's model."""
READ_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("model.rotations", "model.encode"), ("hypotheses",)),
    **{f"start.{f.name}": ("hypotheses",) for f in dataclasses.fields(StartConfig)},
    **dict.fromkeys(("model.latent", "model.prior_weights"), ("mce-vae",)),
    **dict.fromkeys(("model.posterior_weights", "model.pose_hidden"), ("mce-vae",)),
    **dict.fromkeys(("objective.mode", "objective.draws"), ("mce-vae",)),
    "objective.invariance_noise": ("mce-vae",),
    **dict.fromkeys(("model.channels", "model.decoder_hidden"), ("mce-vae", *CONVOLVED)),
    "objective.alpha": ("hypotheses", "mce-vae"),
    "model.variation": ("hypotheses", "mce-vae", "jrvae"),
    "baseline.code": tuple(kind for kind in PEER_KINDS if kind != "jrvae"),
    "baseline.gamma": ("factor-vae",),
    **dict.fromkeys(("baseline.rotation_prior", "baseline.shift_prior"), ("spatial-vae", "jrvae")),
    **dict.fromkeys(("baseline.search_restarts", "baseline.search_steps"), ("affine-vae",)),
    "baseline.pretrain": ("vade",),
}
"""Models that read a setting, where not all do."""
PART_TYPES = {
    "data": DataConfig,
    "support": SupportConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
    "start": StartConfig,
    "baseline": BaselineConfig,
    "train": TrainConfig,
}
