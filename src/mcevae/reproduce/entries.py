"""The models that are compared, and clusterings without a model."""

from dataclasses import dataclass, field
from typing import Any

from mcevae.training.schedule import BATCH, EPOCHS


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of the comparison.

    Attributes:
        title: in figures and tables.
        preset: where its settings come from.
        changes: settings that differ from the preset, by part.
        otherwise: what differs from the publication, or was tuned; empty if nothing.
        poses: whether it infers poses.
        curve: what its learning curve is of, if not of the BCE of the images that all models see.
        on_train: whether it is published on the images that it trains on.
        rigid: whether it finds rotations and shifts only.
    """

    title: str
    preset: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    otherwise: str = ""
    poses: bool = True
    curve: str = ""
    on_train: bool = False
    rigid: bool = False


UPRIGHT = "upright images"
SUPERVISED = {"objective": {"mode": "supervised"}}
MATCHED = {"peer": {"rotation_prior": 52.0, "shift_prior": 0.144}}
OUR_NETWORKS = "MCE-VAE's networks and optimizer, code of 16"
MODELS: dict[str, Entry] = {
    "default": Entry(
        title="mcevae, default preset",
        preset="default",
        changes={"train": {"epochs": EPOCHS, "batch_size": BATCH}},  # whatever the budget
        otherwise="constants chosen on MNIST images held out of its training set",
    ),
    "mce-vae": Entry(title="MCE-VAE", preset="paper", otherwise="docs/paper-model.md"),
    "mce-vae-25": Entry(
        title="MCE-VAE, 25 draws",
        preset="paper",
        changes={"objective": {"draws": 25}},
        otherwise="docs/paper-model.md",
    ),
    "mce-vae-authors": Entry(
        title="MCE-VAE, authors' networks",
        preset="paper",
        changes={"model": {"networks": "authors"}},
        otherwise="docs/paper-model.md, but encoder and extractors as in the authors' code",
    ),
    "mce-vae-supervised": Entry(
        title="MCE-VAE, supervised",
        preset="paper",
        changes=SUPERVISED,
        otherwise="docs/paper-model.md; sees upright images, as published",
    ),
    "mce-vae-gaussian": Entry(
        title="MCE-VAE, no clusters",
        preset="paper",
        changes={"model": {"latent": "gaussian"}},
        otherwise="docs/paper-model.md",
    ),
    "spatial-vae": Entry(
        title="spatial-VAE",
        preset="spatial-vae",
        otherwise="code of 16, not 2; at most 60 epochs",
        rigid=True,
    ),
    "spatial-vae-matched": Entry(
        title="spatial-VAE, priors matched",
        preset="spatial-vae",
        changes=MATCHED,
        otherwise="code of 16, not 2; at most 60 epochs; priors of the data's spread",
        rigid=True,
    ),
    "affine-vae": Entry(
        title="affine-VAE",
        preset="affine-vae",
        otherwise=f"sees upright images, as published; {OUR_NETWORKS}; searches shifts too; steps "
        "from 3 of the 20 starts",
        curve=UPRIGHT,
    ),
    "affine-vae-stn": Entry(
        title="affine-VAE, STN",
        preset="affine-vae-stn",
        otherwise=f"{OUR_NETWORKS}; a pose of the group, not six numbers",
    ),
    "affine-vae-log-polar": Entry(
        title="affine-VAE, equivariant transformer",
        preset="affine-vae-stn",
        changes={"peer": {"pose_module": "log-polar"}},
        otherwise=f"{OUR_NETWORKS}; the transformer is trained with a VAE, not with labels; 64 "
        "angles and 32 radii",
        rigid=True,
    ),
    "jrvae": Entry(
        title="jrVAE",
        preset="jrvae",
        otherwise="code of 3, not 2; divergences weighed by 1",
        rigid=True,
    ),
    "dti": Entry(
        title="DTI clustering",
        preset="dti",
        otherwise="a pose of the group and strains, not six numbers; empty prototypes are refilled "
        "once an epoch; a constant rate; at most 60 epochs, not 40",
        curve="squared error",
        on_train=True,
    ),
    "target-vae": Entry(
        title="TARGET-VAE",
        preset="target-vae",
        otherwise="kernels of the whole image, shifts of the support; constant rate; at most 60 "
        "epochs, not 500",
        rigid=True,
    ),
    "vae": Entry(title="VAE", preset="vae", otherwise=OUR_NETWORKS, poses=False),
    "beta-vae": Entry(
        title="beta-VAE", preset="beta-vae", otherwise="as in MCE-VAE's figure 5f", poses=False
    ),
    "beta-tcvae": Entry(
        title="beta-TCVAE",
        preset="beta-tcvae",
        otherwise=f"{OUR_NETWORKS}; batches of 100, not 2048",
        poses=False,
    ),
    "factor-vae": Entry(
        title="FactorVAE",
        preset="factor-vae",
        otherwise=f"{OUR_NETWORKS}; gamma 10; one optimizer; batches of 100, not 64",
        poses=False,
    ),
    "vade": Entry(
        title="VaDE",
        preset="vade",
        otherwise=f"{OUR_NETWORKS}, 1e-3 throughout; pretraining of the whole at once",
        poses=False,
    ),
    "vamp-prior": Entry(
        title="VampPrior",
        preset="vamp-prior",
        otherwise=f"{OUR_NETWORKS}; a pseudo-input for each cluster, not 500; no warm-up of the KL",
        poses=False,
    ),
    "gmvae": Entry(
        title="GMVAE",
        preset="gmvae",
        otherwise=f"{OUR_NETWORKS}; q(y|x) in place of w, sum over y exact",
        poses=False,
    ),
    "graph": Entry(
        title="invariant graph, no training",
        preset="quick",
        otherwise="the floor that every trained model must beat",
        curve="nothing",
    ),
    "n2d": Entry(
        title="N2D",
        preset="n2d",
        otherwise="codes clustered at 0.9 of at most 60 epochs, not after 1,000; new images by "
        "their nearest codes",
        poses=False,
        curve="squared error",
        on_train=True,
    ),
    "iic": Entry(
        title="IIC",
        preset="iic",
        otherwise="MCE-VAE's encoder, Adam 1e-3; copies moved within the support",
        poses=False,
        curve="information",
        on_train=True,
    ),
    "aet": Entry(
        title="AET",
        preset="aet",
        otherwise=f"{OUR_NETWORKS}; copies moved within the support; k-means on its code",
        poses=False,
        curve="moves",
    ),
    "scan": Entry(
        title="SCAN, invariant graph",
        preset="scan",
        otherwise="neighbours of the invariant graph, not of a learned code; MCE-VAE's encoder, "
        "untrained at first; Adam 1e-3; copies moved within the support; 60 epochs, not 250",
        poses=False,
        curve="semantic loss",
        on_train=True,
    ),
    "som": Entry(
        title="rotation-invariant map (PINK)",
        preset="som",
        changes={"model": {"mirror": False}, "peer": {"passes": 5, "neighbourhood_end": 0.2}},
        otherwise="a neuron for each cluster, not hundreds; no mirror images; five passes, and the "
        "neighbourhood shrinks from 1.1 to 0.2; shifts from moments",
        curve="nothing",
    ),
}
FLOORS = {
    "k-means": "k-means on pixels",
    "pca": "PCA + k-means",
    "umap": "UMAP + Gaussian mixture",
}
"""Clusterings without a model: titles by name."""


def title(model: str) -> str:
    """A model's name in figures and tables."""
    return FLOORS[model] if model in FLOORS else MODELS[model].title
