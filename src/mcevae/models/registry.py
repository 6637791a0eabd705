"""All models by name. A new model is a file that has its `ModelSpec`, and a line here.

Imports no tensors, so it is quick: the file of a model is imported when that model is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mcevae.models.config import Config
    from mcevae.models.contract import Model


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """Settings that only one peer or a few read: none. Peers that have some extend it."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What is known of a model before it is built.

    Attributes:
        build: makes the model from settings, (C, H, W) of the images, and the group of the poses.
        reads: which settings of the parts model, objective and start it reads, "objective.beta"
            say. All models know the group, the kind and the number of clusters.
        settings: class of the settings that are the model's own.
        preset: its settings by part, where they differ from the defaults of their classes.
        finds_clusters: whether it can find the number of clusters (`--clusters auto`).
        few_steps_hurt: whether people are told when it makes few steps.
    """

    build: "Callable[..., Model]"
    reads: frozenset[str]
    settings: type[PeerConfig] = PeerConfig
    preset: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    finds_clusters: bool = False
    few_steps_hurt: bool = False

    def knows(self, setting: str) -> bool:
        """Whether the model reads a setting, "peer.gamma" say."""
        part, name = setting.split(".", 1)
        own = {known.name for known in fields(self.settings)}
        return name in own if part == "peer" else setting in self.reads | SHARED


class Entry(NamedTuple):
    """A line of the registry.

    Attributes:
        preset: name of its settings, as `--preset` has it.
        kind: name of the model, as `--model` has it.
        place: where its `ModelSpec` is, module:name in this folder.
    """

    preset: str
    kind: str
    place: str


ENTRIES = (
    Entry("default", "hypotheses", "presets:DEFAULT"),
    Entry("paper", "mce-vae", "presets:PAPER"),
    Entry("vae", "vae", "peers.vae:PLAIN"),
    Entry("beta-vae", "beta-vae", "peers.vae:WEIGHTED"),
    Entry("beta-tcvae", "beta-tcvae", "peers.beta_tcvae:SPEC"),
    Entry("factor-vae", "factor-vae", "peers.factor_vae:SPEC"),
    Entry("spatial-vae", "spatial-vae", "peers.spatial_vae:SPEC"),
    Entry("affine-vae", "affine-vae", "peers.affine_vae:SEARCH"),
    Entry("affine-vae-stn", "affine-vae-stn", "peers.affine_vae:TRANSFORMER"),
    Entry("vade", "vade", "peers.vade:SPEC"),
    Entry("gmvae", "gmvae", "peers.gmvae:SPEC"),
    Entry("jrvae", "jrvae", "peers.jrvae:SPEC"),
)
KINDS = tuple(entry.kind for entry in ENTRIES)
PRESET_NAMES = tuple(entry.preset for entry in ENTRIES)
SHARED = frozenset({"model.group", "model.kind", "model.clusters"})
"""Settings of the part model that all models know."""
MOST_WEIGHTS = 2**30
"""Numbers of a model; to train so many takes 16 GiB."""


def entry_of(kind: str) -> Entry:
    """The line of a model."""
    return next(entry for entry in ENTRIES if entry.kind == kind)


@cache
def spec_of(kind: str) -> ModelSpec:
    """What is known of a model; imports its file."""
    module, name = entry_of(kind).place.split(":")
    return getattr(import_module(f"mcevae.models.{module}"), name)


def readers(setting: str) -> list[str]:
    """Presets whose models read a setting, "objective.draws" say; imports all models."""
    return [entry.preset for entry in ENTRIES if spec_of(entry.kind).knows(setting)]


def build(config: "Config", shape: tuple[int, int, int], most: int = MOST_WEIGHTS) -> "Model":
    """The model that the settings describe, with fresh weights.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        most: how many numbers the model may have.

    Raises:
        UserError: it would have more. No memory is taken for them.
    """
    from mcevae.models.limit import AtMost
    from mcevae.models.own_group import group_of

    with AtMost(most):
        return spec_of(config.model.kind).build(config, shape, group_of(config.model.group))
