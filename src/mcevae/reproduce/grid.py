"""What each experiment needs, with which budget: cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mcevae.base.errors import UserError
from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import spec_of
from mcevae.reproduce.entries import FLOORS, MODELS, UPRIGHT, title
from mcevae.reproduce.protocols import PROTOCOLS, ProtocolName

Experiment = Literal["figure3", "figure4a", "figure4b", "figure5", "table", "comparison"]
PAPER: tuple[Experiment, ...] = ("figure3", "figure4a", "figure4b", "figure5", "table")
"""Experiments of the paper, and the table of all models with its two groups."""
GROUPS: tuple[ProtocolName, ...] = ("so2", "se2")
"""How the paper poses images."""
RIVALS = (
    *("default", "graph", "mce-vae", "spatial-vae", "affine-vae"),
    *("target-vae", "dti", "vamp-prior", "n2d", "iic", "aet", "scan"),
    *("affine-vae-log-polar", "som"),
)
"""Models of the comparison on all protocols."""
PANELS: tuple[tuple[str, ProtocolName], ...] = (
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
NEEDS: dict[Experiment, tuple[tuple[str, ProtocolName], ...]] = {
    "figure3": PANELS[:4],
    "figure4a": tuple((model, "se2") for model in MODELS if MODELS[model].curve in ("", UPRIGHT)),
    "figure4b": tuple((model, "se2") for model in MODELS),
    "figure5": PANELS,
    "table": tuple((model, group) for group in GROUPS for model in (*MODELS, *FLOORS)),
    "comparison": tuple((model, name) for name in get_args(ProtocolName) for model in RIVALS),
}
"""Models and protocols of each experiment."""


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


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A model with a protocol and a seed."""

    model: str
    protocol: ProtocolName
    seed: int
    budget: Budget
    source: str
    out: Path

    @property
    def folder(self) -> Path:
        """The folder in which the cell is trained and kept."""
        return self.out / self.budget.name / self.protocol / f"{self.model}-{self.seed}"

    @property
    def title(self) -> str:
        """The model's name in figures and tables."""
        return title(self.model)

    @property
    def command(self) -> str:
        """The command line that makes the cell."""
        budget = "full" if self.budget.minutes is None else f"{self.budget.minutes:g}"
        return (
            f"mcevae reproduce {'table' if self.model in FLOORS else 'comparison'} "
            f"--models {self.model} --protocols {self.protocol} --seeds {self.seed} "
            f"--budget {budget} --source {self.source} --out {self.out}"
        )

    def config(self) -> Config:
        """Settings of the cell's training. For floors, only those of the data matter."""
        budget, entry, protocol = self.budget, MODELS.get(self.model), PROTOCOLS[self.protocol]
        config = PRESETS[entry.preset if entry else "vae"]()
        train: dict[str, Any] = {"seed": self.seed}
        if spec_of(config.model.kind).trained:
            train["minutes"] = budget.minutes
            if budget.minutes is not None and config.train.schedule == "constant":
                train["epochs"] = ENDLESS  # a schedule with an end needs to know its epochs
        group = protocol.group(rigid=entry is not None and entry.rigid)
        data = {
            "source": protocol.source or self.source,
            "split": budget.split,
            "limit": budget.limit,
        }
        return (
            config.changed(**protocol.settings)
            .changed(data=data, model={"group": group}, train=train)
            .changed(**(entry.changes if entry else {}))
        )


def cells_for(
    experiments: Sequence[Experiment],
    *,
    models: Sequence[str],
    protocols: Sequence[ProtocolName],
    seeds: Sequence[int],
    budget: Budget,
    source: str,
    out: Path,
) -> list[Cell]:
    """The cells that experiments need, among the chosen models and protocols, without repeats.

    Args:
        experiments: names of the experiments.
        models: names of models and floors; empty: all.
        protocols: how images are posed; empty: all.
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
    wanted: list[tuple[str, ProtocolName]] = [
        (model, protocol)
        for protocol in get_args(ProtocolName)
        for model in known
        if protocol in (protocols or get_args(ProtocolName))
        and model in (models or known)
        and any((model, protocol) in NEEDS[experiment] for experiment in experiments)
    ]
    if not seeds:
        raise UserError("--seeds has no numbers; give one or more, or leave it out.")
    if not wanted:
        raise UserError(
            f"{', '.join(experiments)} needs none of the chosen models and protocols; "
            "leave out --models and --protocols, or choose others."
        )
    cells = [
        Cell(model=model, protocol=protocol, seed=seed, budget=budget, source=source, out=out)
        for seed in dict.fromkeys(seeds)
        for model, protocol in wanted
    ]
    try:
        for cell in cells:
            cell.config()
    except ValueError as error:
        raise UserError(f"{error}.") from error
    return cells
