"""Settings of a run: frozen dataclasses, and TOML in and out. Imports no tensors, so it is quick.

Every flag of ``mcevae fit`` is a field here, in `base.config`, or in the file of a peer; its
docstring is the flag's help.
"""

import dataclasses
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import tomli_w
import tyro

from mcevae.base.config import (
    DataConfig,
    ObjectiveConfig,
    PlannedTrain,
    SupportConfig,
    TrainConfig,
    ensure,
)
from mcevae.base.errors import DAMAGE, SettingError, UserError
from mcevae.base.fields import checked, plain
from mcevae.models.own import own_settings, unread
from mcevae.models.registry import ENTRIES, KINDS, PRESET_NAMES, PeerConfig, entry_of, spec_of

if TYPE_CHECKING:
    Kind: TypeAlias = str
    PresetName: TypeAlias = str
else:
    Kind, PresetName = Literal[KINDS], Literal[PRESET_NAMES]
P = TypeVar("P", bound=PeerConfig)
C = TypeVar("C", bound="Config")
GroupName = Literal["so2", "se2", "sim2", "aff2"]
MOST_ASKED = 10_000  # clusters
MOST_CLUSTERS = 30  # that `--clusters auto` may find


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and components of the model; the defaults are those of preset `default`."""

    group: GroupName = "se2"
    """Lie group of the pose: rotation (so2), with shift (se2), with scale (sim2), affine (aff2)."""
    kind: Annotated[Kind, tyro.conf.arg(name="model")] = "hypotheses"
    """hypotheses: of preset default; mce-vae: the paper's; or a peer, which has a preset of its
    name."""
    rotations: int = 72
    """Rotations of the grid of hypotheses, over the whole circle."""
    clusters: int | Literal["auto"] = 10
    """Number of clusters K, which is also the size of z_c; auto (default preset): as many as the
    images' neighbourhood graph falls into, 2 to 30."""
    variation: int = 13
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

    @property
    def room(self) -> int:
        """Clusters that a network has room for: K, or the most that may be found."""
        return MOST_CLUSTERS if self.clusters == "auto" else self.clusters

    def __post_init__(self) -> None:
        ensure(self.rotations >= 8, f"--rotations is {self.rotations}; use 8 or more")
        for name in ("clusters", "variation", "hidden", "pose_hidden", "decoder_hidden"):
            value = getattr(self, name)
            ensure(value == "auto" or value >= 1, f"--{name} is {value}; use 1 or more")
        ensure(
            self.clusters == "auto" or self.clusters <= MOST_ASKED,
            f"--clusters is {self.clusters}; use at most {MOST_ASKED}",
        )
        ensure(min(self.channels) >= 1, f"--channels are {self.channels}; use 1 or more of each")
        for name in ("prior_weights", "posterior_weights"):
            weights = getattr(self, name)
            if weights is not None:
                ensure(self.latent == "mixture", f"--{name} needs --latent mixture")
                ensure(
                    len(weights) == self.clusters,
                    f"--{name} has {len(weights)} numbers; give one for each of "
                    f"{self.clusters} clusters",
                )
                ensure(
                    min(weights) > 0 and abs(sum(weights) - 1) < 1e-4,
                    f"--{name} is {weights}; use positive numbers that sum to 1",
                )


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """How the default model is started and taught; other models read none of it."""

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
            ensure(getattr(self, name) >= 1, f"--{name} is {getattr(self, name)}; use 1 or more")
        ensure(self.redraws >= 0, f"--redraws is {self.redraws}; use 0 or more")
        ensure(0 < self.warmup < 1, f"--warmup is {self.warmup}; use a share between 0 and 1")
        for name in ("augment_strain", "augment_elastic"):
            ensure(0 <= getattr(self, name) < 1, f"--{name} is {getattr(self, name)}; use 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on; the defaults are preset `default`."""

    preset: PresetName = "default"
    """Starting point of all other settings. `mcevae fit --preset NAME --help` shows them."""
    data: DataConfig = field(default_factory=DataConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    start: StartConfig = field(default_factory=StartConfig)
    peer: PeerConfig = field(default_factory=PeerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def data_group(self) -> str | None:
        """Name of the group that the images are moved by before training, or None."""
        if self.data.pose == "auto":
            return None if self.data.is_file else self.model.group
        return None if self.data.pose == "none" else self.data.pose

    def own(self, kind: type[P]) -> P:
        """The settings that are the model's own.

        Args:
            kind: their class.

        Raises:
            ValueError: they are of another class.
        """
        if not isinstance(self.peer, kind):
            raise ValueError(f"peer has {type(self.peer).__name__}, not {kind.__name__}")
        return self.peer

    def __post_init__(self) -> None:
        own = spec_of(self.model.kind).settings
        if type(self.peer) is PeerConfig:  # none were given
            object.__setattr__(self, "peer", own())
        self.own(own)
        ensure(
            self.objective.mode == "unsupervised" or self.data_group is not None,
            "supervised mode needs upright images: use a built-in set or --pose",
        )
        ensure(
            self.model.clusters != "auto" or self.start.grouping != "kmeans",
            "--clusters auto needs a neighbourhood graph; leave out --grouping kmeans",
        )
        self._refuse_what_is_not_read()

    def _refuse_what_is_not_read(self) -> None:
        """Settings of other models must not be passed over in silence."""
        kind = self.model.kind
        spec = spec_of(kind)
        for part in ("model", "objective", "start"):
            usual = PART_TYPES[part](**spec.preset.get(part, {}))
            for name in (one.name for one in dataclasses.fields(usual)):
                changed = getattr(getattr(self, part), name) != getattr(usual, name)
                if changed and not spec.knows(f"{part}.{name}"):
                    raise SettingError(unread(kind, f"{part}.{name}"))
        ensure(
            spec.finds_clusters or self.model.clusters != "auto",
            f"preset {entry_of(kind).preset} does not know --clusters auto; use --preset default",
        )

    def changed(self: C, **parts: dict[str, Any]) -> C:
        """The same with some settings of some parts changed: `changed(train={"epochs": 3})`."""
        new: dict[str, Any] = {
            part: dataclasses.replace(getattr(self, part), **settings)
            for part, settings in parts.items()
        }
        return dataclasses.replace(self, **new)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values; settings that are unset (None) are left out, as TOML has no null."""
        return plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "settings") -> "Config":
        """Inverse of `to_dict`; missing settings come from the preset.

        Args:
            values: settings by part, and the preset. Where it is missing, it is that of the model
                that is named, else `default`.
            origin: where they are from, for the message.

        Raises:
            UserError: an unknown or unfitting setting, named with `origin`.
        """
        values = dict(values)
        name = values.pop("preset", preset_for(values.get("model")))
        if not isinstance(name, str) or name not in PRESETS:
            raise UserError(f"{origin}: preset {name!r} is not one of {', '.join(PRESETS)}.")
        config = PRESETS[name]()
        try:
            for part in values.keys() - {"baseline"}:
                ensure(part in PART_TYPES, f"there is no group of settings {part!r}")
            model = checked("model", ModelConfig, values.pop("model", {}))
            kind = model.get("kind", config.model.kind)
            peer = config.peer if kind == config.model.kind else spec_of(kind).settings()
            own = own_settings(values.pop("peer", {}), values.pop("baseline", {}), kind)
            parts: dict[str, Any] = {
                "model": dataclasses.replace(config.model, **model),
                "peer": dataclasses.replace(peer, **checked("peer", type(peer), own)),
            }
            for part, settings in values.items():
                known = checked(part, PART_TYPES[part], settings)
                parts[part] = dataclasses.replace(getattr(config, part), **known)
            return dataclasses.replace(config, **parts)
        except DAMAGE as error:
            raise UserError(f"{origin}: {error}.") from error

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Settings from a TOML file, as `to_toml` makes it.

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


@dataclass(frozen=True, kw_only=True)
class PlannedConfig(Config):
    """Settings with numbers in place of what "auto" leaves to the number of images."""

    train: PlannedTrain = field(default_factory=PlannedTrain)


def preset_for(model: Any) -> str:
    """The preset of the model that the part `model` of a file names; `default` if it names none."""
    kind = model.get("kind") if isinstance(model, dict) else None
    return entry_of(kind).preset if kind in KINDS else "default"


def preset(name: str) -> Config:
    """The settings of a preset.

    Args:
        name: one of `PRESETS`.
    """
    entry = next(entry for entry in ENTRIES if entry.preset == name)
    spec = spec_of(entry.kind)
    given = {"peer": {}, **spec.preset}
    given["model"] = {"kind": entry.kind, **given.get("model", {})}
    types = PART_TYPES | {"peer": spec.settings}
    parts: dict[str, Any] = {part: types[part](**changes) for part, changes in given.items()}
    return Config(preset=name, **parts)


PRESETS: dict[str, Callable[[], Config]] = {name: partial(preset, name) for name in PRESET_NAMES}
PART_TYPES: dict[str, type] = {
    "data": DataConfig,
    "support": SupportConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
    "start": StartConfig,
    "peer": PeerConfig,
    "train": TrainConfig,
}
