"""Settings of a run, as frozen dataclasses that are read from TOML and written to it.

Every flag of ``mcevae fit`` is a field here, in `base.config`, or in a peer's file; the field's
docstring is the help text of the flag. The module imports no tensors, so it loads quickly.
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
    ensure_range,
)
from mcevae.base.errors import DAMAGE, SettingError, UserError
from mcevae.base.fields import checked, plain
from mcevae.base.files import read_text
from mcevae.base.flags import FLAGS
from mcevae.models.mirror import MIRROR_FLAG, Mirror
from mcevae.models.own import own_settings, renamed, unread, without_former
from mcevae.models.own_group import FLAG, GroupName, OwnGroup
from mcevae.models.registry import ENTRIES, KINDS, PRESET_NAMES, PeerConfig, entry_of, spec_of
from mcevae.models.start_config import StartConfig

if TYPE_CHECKING:
    Kind: TypeAlias = str
    PresetName: TypeAlias = str
else:
    Kind, PresetName = Literal[KINDS], Literal[PRESET_NAMES]
P = TypeVar("P", bound=PeerConfig)
C = TypeVar("C", bound="Config")
FILTERS = (32, 64, 128, 128)
MOST_BYTES = 2**20  # of a file of settings
MOST_ASKED = 4096  # clusters
WIDEST = 2**24  # units of a layer; its weights are counted before they are made (`limit`)
MOST_CLUSTERS = 30  # the most that `--clusters auto` can find


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and parts of the model. The defaults are those of preset `default`."""

    group: Annotated[GroupName | OwnGroup, FLAG] = "se2"
    """How things may be moved. so2: rotations; se2: also shifts; sim2: also scales; aff2: also
    stretches and shears; or a .toml file with generators of your own group."""
    mirror: Annotated[Mirror, MIRROR_FLAG] = False
    """Whether a pose may include a mirror image (preset default): for things that lie on either
    side, or face left or right. auto: if the neighbour graph shows mirror images."""
    kind: Annotated[Kind, tyro.conf.arg(name="model")] = "hypotheses"
    """Kind of model. hypotheses: the model of preset default; neighbours: that of preset quick,
    which is not trained; mce-vae: the paper's model; or a peer, whose preset has the same name."""
    rotations: Annotated[int, tyro.conf.arg(name=FLAGS["rotations"])] = 72
    """Number of rotations that the model compares, over the whole circle."""
    clusters: int | Literal["auto"] = 10
    """Number of clusters, K; it is also the size of z_c. auto (preset default only): find the
    number, 2 to 30, from the neighbour graph of the images."""
    variation: int = 13
    """Size of z, the variation inside a cluster."""
    encode: Literal["canonical", "image"] = "canonical"
    """Which image gives z (preset default). canonical: the image moved back by its pose; image:
    the image as it is given."""
    latent: Literal["mixture", "gaussian"] = "mixture"
    """Distribution of z_c. mixture: eqs. (9) to (17) of the paper; gaussian: one diagonal Gaussian
    (the paper's comparison in fig. 5e)."""
    prior_weights: tuple[float, ...] | None = None
    """Weights p of the prior mixture, eq. (9): one for each cluster, with sum 1. If this is not
    set, all are equal."""
    posterior_weights: tuple[float, ...] | None = None
    """Weights pi of the posterior mixture, eq. (10): one for each cluster, with sum 1. If this is
    not set, all are equal."""
    networks: Literal["paper", "authors"] = "paper"
    """Encoder and extractors of preset paper. paper: as its text says; authors: as in the code that
    its authors published, which differs."""
    filters: tuple[int, int, int, int] = FILTERS
    """Filters of each of the encoder's four convolutions (preset dti: first layer, then stages)."""
    hidden: int = 512
    """Number of units in each hidden layer of the networks for clusters and variation."""
    pose_hidden: int = 32
    """Number of units in each hidden layer of the network for poses."""
    decoder_hidden: int = 300
    """Number of units in each hidden layer of the decoder."""

    @property
    def room(self) -> int:
        """Number of clusters that the network is built for: K, or the most that auto can find."""
        return MOST_CLUSTERS if self.clusters == "auto" else self.clusters

    def __post_init__(self) -> None:
        ensure(
            not self.mirror or isinstance(self.group, str),
            "--mirror cannot be used with a file of generators; use --group so2, se2, sim2 or aff2",
        )
        sizes = dict.fromkeys(("variation", "hidden", "pose_hidden", "decoder_hidden"), (1, WIDEST))
        ensure_range(self, rotations=(8, 720), clusters=(1, MOST_ASKED), **sizes)
        ensure(
            1 <= min(self.filters) <= max(self.filters) <= WIDEST,
            f"--filters are {self.filters}; use 1 to {WIDEST} of each",
        )
        ensure(
            self.networks == "paper" or self.filters == FILTERS,
            "--networks authors has filters of its own; leave --filters out",
        )
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
class Config:
    """All settings of a run. The defaults are those of preset `default`."""

    preset: PresetName = "default"
    """A model with all its settings; other flags change them. `mcevae fit --preset NAME --help-all`
    shows the settings of a preset."""
    data: DataConfig = field(default_factory=DataConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    start: StartConfig = field(default_factory=StartConfig)
    peer: PeerConfig = field(default_factory=PeerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def data_group(self) -> GroupName | OwnGroup | None:
        """The group whose elements move the images before training, or None."""
        if self.data.pose == "auto":
            return None if self.data.is_file else self.model.group
        return None if self.data.pose == "none" else self.data.pose

    def own(self, kind: type[P]) -> P:
        """Return the settings that belong to the model only.

        Args:
            kind: the class that they should have.

        Raises:
            ValueError: they have another class.
        """
        if not isinstance(self.peer, kind):
            raise ValueError(f"peer has {type(self.peer).__name__}, not {kind.__name__}")
        return self.peer

    def __post_init__(self) -> None:
        own = spec_of(self.model.kind).settings
        if type(self.peer) is PeerConfig:  # nothing was given
            object.__setattr__(self, "peer", own())
        self.own(own)
        ensure(
            self.objective.mode == "unsupervised" or self.data_group is not None,
            "--supervision supervised needs upright images: use a built-in set, or upright images "
            "with --pose",
        )
        ensure(
            self.model.clusters != "auto" or self.start.grouping != "kmeans",
            "--clusters auto needs a neighbour graph; use --grouping tangent or euclidean",
        )
        self._refuse_what_is_not_read()

    def _refuse_what_is_not_read(self) -> None:
        """Refuse settings that this model does not read, instead of ignoring them."""
        kind, spec = self.model.kind, spec_of(self.model.kind)
        for part in ("model", "objective", "start"):
            usual = PART_TYPES[part](**spec.preset.get(part, {}))
            for name in (one.name for one in dataclasses.fields(usual)):
                changed = getattr(getattr(self, part), name) != getattr(usual, name)
                if changed and not spec.knows(f"{part}.{name}"):
                    raise SettingError(unread(kind, f"{part}.{name}"))
        ensure(
            spec.finds_clusters or self.model.clusters != "auto",
            f"preset {entry_of(kind).preset} lacks --clusters auto; use --preset default",
        )
        graph = spec.knows("start.grouping") and self.start.grouping != "kmeans"
        given = next((n for n in ("features", "hints") if getattr(self.data, n) is not None), "")
        if spec.knows("start.descriptions") and self.start.descriptions == "learned":
            given = given or "descriptions learned"
        ensure(graph or not given, f"--{given} need the graph of preset default")

    def changed(self: C, **parts: dict[str, Any]) -> C:
        """Return a copy with some settings changed, such as `changed(train={"epochs": 3})`."""
        new: dict[str, Any] = {
            part: dataclasses.replace(getattr(self, part), **settings)
            for part, settings in parts.items()
        }
        return dataclasses.replace(self, **new)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values. Settings that are None are left out: TOML has no null."""
        return plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "settings") -> "Config":
        """Make settings from what `to_dict` gives. Missing settings come from the preset.

        Args:
            values: the preset, and the settings of each part. If the preset is missing, it is
                the preset of the model that `values` names, or else `default`.
            origin: where the values come from; the error message says it.

        Raises:
            UserError: a setting is unknown or has a wrong value.
        """
        values = renamed(values)
        name = values.pop("preset", preset_for(values.get("model")))
        if not isinstance(name, str) or name not in PRESETS:
            raise UserError(f"{origin}: preset {name!r} is not one of {', '.join(PRESETS)}.")
        config = PRESETS[name]()
        try:
            for part in values.keys() - {"baseline"}:
                ensure(part in PART_TYPES, f"there is no part of the settings named {part!r}")
            model = values.pop("model", {})
            if isinstance(model, dict) and isinstance(model.get("group"), dict):
                model = {**model, "group": OwnGroup.from_dict(model["group"])}
            model = checked("model", ModelConfig, model)
            kind = model.get("kind", config.model.kind)
            peer = config.peer if kind == config.model.kind else spec_of(kind).settings()
            own = own_settings(values.pop("peer", {}), values.pop("baseline", {}), kind)
            parts: dict[str, Any] = {
                "model": dataclasses.replace(config.model, **model),
                "peer": dataclasses.replace(peer, **checked("peer", type(peer), own)),
            }
            for part, settings in values.items():
                known = without_former(part, checked(part, PART_TYPES[part], settings), kind)
                parts[part] = dataclasses.replace(getattr(config, part), **known)
            return dataclasses.replace(config, **parts)
        except DAMAGE as error:
            raise UserError(f"{origin}: {error}.") from error

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read settings from a TOML file such as `to_toml` makes. A link is not followed.

        Raises:
            UserError: the file is missing, is not TOML or has an unknown setting.
        """
        try:
            return cls.from_dict(tomllib.loads(read_text(path, MOST_BYTES)), str(path))
        except OSError as error:
            raise UserError(f"{path}: cannot read settings ({error.strerror}).") from error
        except DAMAGE as error:  # errors of tomllib, and errors that tomllib does not catch
            raise UserError(f"{path}: not a valid TOML file ({error}).") from error

    def to_toml(self) -> str:
        """Return the settings as TOML text."""
        return tomli_w.dumps(self.to_dict())


@dataclass(frozen=True, kw_only=True)
class PlannedConfig(Config):
    """Settings in which every "auto" that depends on the number of images is now a number."""

    train: PlannedTrain = field(default_factory=PlannedTrain)


def preset_for(model: Any) -> str:
    """Return the preset of the model that a file names in its part `model`, or `default`."""
    kind = model.get("kind") if isinstance(model, dict) else None
    return entry_of(kind).preset if kind in KINDS else "default"


def preset(name: str) -> Config:
    """Return the settings of a preset.

    Args:
        name: a key of `PRESETS`.
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
