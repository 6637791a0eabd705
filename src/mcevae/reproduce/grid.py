"""The models that are compared, their training budgets, and what each experiment needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcevae.base.errors import UserError
from mcevae.models.config import PRESETS, Config
from mcevae.training.schedule import BATCH, EPOCHS

Experiment = Literal["figure3", "figure4a", "figure4b", "figure5", "table"]
PosedBy = Literal["so2", "se2"]
GROUPS: tuple[PosedBy, ...] = ("so2", "se2")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of the comparison.

    Attributes:
        title: in figures and tables.
        preset: where its settings come from.
        changes: settings that differ from the preset, by part.
        otherwise: what differs from the publication, or was tuned; empty if nothing.
        poses: whether it infers poses.
        upright: whether its learning curve is of upright images.
    """

    title: str
    preset: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    otherwise: str = ""
    poses: bool = True
    upright: bool = False


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
        title="spatial-VAE", preset="spatial-vae", otherwise="code of 16, not 2; at most 60 epochs"
    ),
    "spatial-vae-matched": Entry(
        title="spatial-VAE, priors matched",
        preset="spatial-vae",
        changes=MATCHED,
        otherwise="code of 16, not 2; at most 60 epochs; priors of the data's spread",
    ),
    "affine-vae": Entry(
        title="affine-VAE",
        preset="affine-vae",
        otherwise=f"sees upright images, as published; {OUR_NETWORKS}; searches shifts too; steps "
        "from 3 of the 20 starts",
        upright=True,
    ),
    "affine-vae-stn": Entry(
        title="affine-VAE, STN",
        preset="affine-vae-stn",
        otherwise=f"{OUR_NETWORKS}; a pose of the group, not six numbers",
    ),
    "jrvae": Entry(
        title="jrVAE", preset="jrvae", otherwise="code of 3, not 2; divergences weighed by 1"
    ),
    "dti": Entry(
        title="DTI clustering",
        preset="dti",
        otherwise="a pose of the group and strains, not six numbers; empty prototypes are refilled "
        "once an epoch; a constant rate; at most 60 epochs, not 40",
    ),
    "target-vae": Entry(
        title="TARGET-VAE",
        preset="target-vae",
        otherwise="kernels of the whole image, shifts of the support; constant rate; at most 60 "
        "epochs, not 500",
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
}
FLOORS = {
    "k-means": "k-means on pixels",
    "pca": "PCA + k-means",
    "umap": "UMAP + Gaussian mixture",
}
"""Clusterings without a model: titles by name."""

PANELS: tuple[tuple[str, PosedBy], ...] = (
    ("mce-vae", "so2"),
    ("mce-vae-supervised", "so2"),
    ("mce-vae", "se2"),
    ("mce-vae-supervised", "se2"),
    ("mce-vae-gaussian", "se2"),
    ("beta-vae", "se2"),
    ("default", "so2"),
    ("default", "se2"),
)
"""The panels of figure 5: a to f of the paper, and g and h with the default preset."""
NEEDS: dict[Experiment, tuple[tuple[str, PosedBy], ...]] = {
    "figure3": PANELS[:4],
    "figure4a": tuple((model, "se2") for model in MODELS),
    "figure4b": tuple((model, "se2") for model in MODELS),
    "figure5": PANELS,
    "table": tuple((model, group) for group in GROUPS for model in (*MODELS, *FLOORS)),
}
"""Models and groups of each experiment."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many images each model is trained on, and for how long.

    Attributes:
        name: the folder of its cells.
        split: "standard" or the paper's 6:1 of all images ("paper").
        limit: training images; None: all.
        minutes: training time; None: the epochs of the preset alone end it.
        scored: number of test images to score, and of validation images; None: all.
    """

    name: str
    split: Literal["standard", "paper"]
    limit: int | None
    minutes: float | None
    scored: int | None


def budget_of(given: float | Literal["full"]) -> Budget:
    """The budget that a number of minutes for each training, or "full", stands for.

    Raises:
        UserError: the minutes are not above 0.
    """
    if given == "full":
        return Budget(name="full", split="paper", limit=None, minutes=None, scored=None)
    if not 0 < given < math.inf:
        raise UserError(f"--budget is {given:g}; give minutes above 0, or full.")
    name = f"{given:g}-minutes"
    return Budget(name=name, split="standard", limit=10_000, minutes=given, scored=2_000)


ENDLESS = 10_000
"""Number of epochs for a training that stops by time."""


def title(model: str) -> str:
    """A model's name in figures and tables."""
    return FLOORS[model] if model in FLOORS else MODELS[model].title


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A model with a group and a seed."""

    model: str
    group: PosedBy
    seed: int
    budget: Budget
    source: str
    out: Path

    @property
    def folder(self) -> Path:
        """The folder in which the cell is trained and kept."""
        return self.out / self.budget.name / self.group / f"{self.model}-{self.seed}"

    @property
    def title(self) -> str:
        """The model's name in figures and tables."""
        return title(self.model)

    def config(self) -> Config:
        """Settings of the cell's training. For floors, only those of the data matter."""
        budget, entry = self.budget, MODELS.get(self.model)
        config = PRESETS[entry.preset if entry else "vae"]()
        train: dict[str, Any] = {"seed": self.seed, "minutes": budget.minutes}
        if budget.minutes is not None and config.train.schedule == "constant":
            train["epochs"] = ENDLESS  # a schedule with an end needs to know its epochs
        return config.changed(
            data={
                "source": self.source,
                "pose": self.group,
                "split": budget.split,
                "limit": budget.limit,
            },
            model={"group": self.group},
            train=train,
        ).changed(**(entry.changes if entry else {}))


def cells_for(
    experiments: Sequence[Experiment],
    *,
    models: Sequence[str],
    groups: Sequence[PosedBy],
    seeds: Sequence[int],
    budget: Budget,
    source: str,
    out: Path,
) -> list[Cell]:
    """The cells that experiments need, among the chosen models and groups, without repeats.

    Args:
        experiments: names of the experiments.
        models: names of models and floors; empty: all.
        groups: groups of poses.
        seeds: seeds of the training.
        budget: images and training time of each cell.
        source: built-in image set, or the user's images.
        out: folder of all cells.

    Raises:
        UserError: a model is not known, a seed is not possible, or no cell is left.
    """
    known = [*MODELS, *FLOORS]
    if strange := [name for name in models if name not in known]:
        raise UserError(f"model {strange[0]!r} is not one of {', '.join(known)}.")
    wanted: list[tuple[str, PosedBy]] = [
        (model, group)
        for group in GROUPS
        for model in known
        if group in groups
        and model in (models or known)
        and any((model, group) in NEEDS[experiment] for experiment in experiments)
    ]
    if not seeds:
        raise UserError("--seeds has no numbers; give one or more, or leave it out.")
    if not wanted:
        raise UserError(
            f"{', '.join(experiments)} needs none of the chosen models and groups; "
            "leave out --models and --groups, or choose others."
        )
    cells = [
        Cell(model=model, group=group, seed=seed, budget=budget, source=source, out=out)
        for seed in dict.fromkeys(seeds)
        for model, group in wanted
    ]
    try:
        for cell in cells:
            cell.config()
    except ValueError as error:
        raise UserError(f"{error}.") from error
    return cells
