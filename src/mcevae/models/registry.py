"""All models by name. To add a model, write a file with its `ModelSpec` and add a line here.

The file of a model is imported only when it is needed. This module imports no tensors, so it loads
quickly.
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
    """Base class of the settings that only some peers read. It has no settings itself."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Facts about a model that are known before it is built.

    Attributes:
        build: makes the model from settings, (C, H, W) of the images, and the group of the poses.
        reads: settings of the parts model, objective and start that the model reads, such as
            "objective.beta". All models read the group, the kind and the number of clusters.
        settings: class of the settings that only this model has.
        preset: settings by part that differ from the defaults of their classes.
        finds_clusters: whether the model can find the number of clusters (`--clusters auto`).
        few_steps_hurt: whether to warn people if training has few steps.
        trained: whether training changes the model step by step; else its teacher fills it at once.
        extends: whether it can begin with clusters and poses that were found before.
    """

    build: "Callable[..., Model]"
    reads: frozenset[str]
    settings: type[PeerConfig] = PeerConfig
    preset: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    finds_clusters: bool = False
    few_steps_hurt: bool = False
    trained: bool = True
    extends: bool = False

    def knows(self, setting: str) -> bool:
        """Return whether the model reads a setting, such as "peer.gamma"."""
        part, name = setting.split(".", 1)
        own = {known.name for known in fields(self.settings)}
        return name in own if part == "peer" else setting in self.reads | SHARED


class Entry(NamedTuple):
    """A line of the registry.

    Attributes:
        preset: name for `--preset`.
        kind: name for `--model`.
        place: where its `ModelSpec` is, as module:name in this folder.
    """

    preset: str
    kind: str
    place: str


ENTRIES = (
    Entry("default", "hypotheses", "presets:DEFAULT"),
    Entry("quick", "neighbours", "presets:QUICK"),
    Entry("paper", "mce-vae", "presets:PAPER"),
    Entry("vae", "vae", "peers.vae:PLAIN"),
    Entry("beta-vae", "beta-vae", "peers.vae:WEIGHTED"),
    Entry("beta-tcvae", "beta-tcvae", "peers.beta_tcvae:SPEC"),
    Entry("factor-vae", "factor-vae", "peers.factor_vae:SPEC"),
    Entry("spatial-vae", "spatial-vae", "peers.spatial_vae:SPEC"),
    Entry("affine-vae", "affine-vae", "peers.affine_vae:SEARCH"),
    Entry("affine-vae-stn", "affine-vae-stn", "peers.affine_vae:TRANSFORMER"),
    Entry("vade", "vade", "peers.vade:SPEC"),
    Entry("vamp-prior", "vamp-prior", "peers.vamp_prior:SPEC"),
    Entry("gmvae", "gmvae", "peers.gmvae:SPEC"),
    Entry("jrvae", "jrvae", "peers.jrvae:SPEC"),
    Entry("dti", "dti", "peers.dti:SPEC"),
    Entry("target-vae", "target-vae", "peers.target_vae:SPEC"),
    Entry("n2d", "n2d", "peers.n2d:SPEC"),
    Entry("iic", "iic", "peers.iic:SPEC"),
    Entry("aet", "aet", "peers.aet:SPEC"),
    Entry("scan", "scan", "peers.scan:SPEC"),
    Entry("som", "som", "peers.som:SPEC"),
)
KINDS = tuple(entry.kind for entry in ENTRIES)
PRESET_NAMES = tuple(entry.preset for entry in ENTRIES)
SHARED = frozenset({"model.group", "model.kind", "model.clusters"})
"""Settings of the part model that all models read."""
MOST_WEIGHTS = 2**30
"""Largest number of weights in a model; training this many takes 16 GiB."""


def entry_of(kind: str) -> Entry:
    """Return the line of a model."""
    return next(entry for entry in ENTRIES if entry.kind == kind)


@cache
def spec_of(kind: str) -> ModelSpec:
    """Import the file of a model and return its `ModelSpec`."""
    module, name = entry_of(kind).place.split(":")
    return getattr(import_module(f"mcevae.models.{module}"), name)


def readers(setting: str) -> list[str]:
    """Return the presets whose models read a setting, such as "objective.draws".

    It imports all models.
    """
    return [entry.preset for entry in ENTRIES if spec_of(entry.kind).knows(setting)]


def build(config: "Config", shape: tuple[int, int, int], most: int = MOST_WEIGHTS) -> "Model":
    """Build the model that the settings describe, with new random weights.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        most: largest number of weights that the model may have.

    Raises:
        UserError: the model is larger than that. This is checked before memory is used.
        ValueError: it is not settled whether there are mirror images (`runs.data.decide_mirror`).
    """
    from mcevae.models.limit import AtMost
    from mcevae.models.masking import masks_of
    from mcevae.models.own_group import group_of

    if config.model.mirror == "auto":
        raise ValueError("mirror is auto; settle it with decide_mirror first")
    with AtMost(most):
        group = group_of(config.model.group, mirror=config.model.mirror is True)
        model = spec_of(config.model.kind).build(config, shape, group)
        reach = config.support.half_widths(group)[0]
        model.keep_masks(*masks_of(config.data, (shape[1], shape[2]), group, reach))
        return model
