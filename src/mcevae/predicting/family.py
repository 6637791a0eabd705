"""Make a run from some images of another run, which it then knows as its parent."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mcevae.base.choosing import Choice, Keeping
from mcevae.base.errors import UserError
from mcevae.images.kept import as_text
from mcevae.models.config import Config
from mcevae.models.registry import spec_of
from mcevae.predicting.selecting import Selected, Selector
from mcevae.runs.parents import ABSENT, Parent, parents_of, write_parents
from mcevae.runs.run import TrainedRun
from mcevae.training.given import Given
from mcevae.training.schedule import planned

SHARE, LEAST_EPOCHS = 0.5, 4
"""Of the epochs that a training has which begins anew, those that one with learned weights has; at
least so many. See docs/rounds.md."""
LEARNED = 0.79
"""Share of the images of a source that are for training, about."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a new run takes over from the run that it is made from.

    Attributes:
        kept: which images of the source it is made from, as settings have it.
        groups: number of groups that these images had.
        parents: the runs before it, the first one first.
        preset: of the last of them.
        weights: of its model.
    """

    kept: str
    groups: int
    parents: tuple[Parent, ...]
    preset: str
    weights: Mapping[str, Tensor]

    def goes_on(self, config: Config) -> bool:
        """Whether a run with these settings begins with the weights of the run before."""
        return config.preset == self.preset and spec_of(config.model.kind).trained

    def begin(self, run: Path, config: Config) -> None:
        """Write into the folder of the new run what it takes over.

        Args:
            run: the folder.
            config: its settings.

        Raises:
            UserError: a file cannot be written.
        """
        write_parents(run, self.parents)
        if self.goes_on(config):
            Given(weights=dict(self.weights)).write(run)

    def settled(self, config: Config, *, clusters: bool) -> Config:
        """The settings of the new run.

        Args:
            config: settings as people gave them.
            clusters: whether they gave the number of clusters. If not, there are as many as there
                were groups; one group is split into a number that is found.

        Raises:
            UserError: the images had one group, and the model cannot find a number of clusters.
        """
        model = {}
        if not clusters and config.model.clusters != "auto":
            if self.groups == 1 and not spec_of(config.model.kind).finds_clusters:
                raise UserError("the kept images are of one group; say how many with --clusters.")
            model = {"clusters": self.groups if self.groups > 1 else "auto"}
        train = {}
        if self.goes_on(config) and config.train.epochs == "auto":
            usual = planned(config, round(LEARNED * self.parents[-1].taken)).train.epochs
            train = {"epochs": max(LEAST_EPOCHS, math.ceil(SHARE * usual))}
        try:
            return config.changed(data={"kept": self.kept}, model=model, train=train)
        except ValueError as error:
            raise UserError(f"{error}; give --clusters, too.") from error


def family_of(
    run: TrainedRun,
    keeping: Keeping,
    tell: Callable[[float, int], None] | None = None,
) -> Family:
    """Choose the images of a new run.

    Args:
        run: the run that it is made from.
        keeping: which of its images are kept.
        tell: as for `Selector.select`.

    Raises:
        UserError: as for `Selector.select`, or no image is kept.
    """
    chosen = Selector(run).select(Choice(**vars(keeping)), tell)
    return taken(run, chosen, keeping.in_words())


def taken(run: TrainedRun, chosen: Selected, words: str) -> Family:
    """The family of a new run, of images that are already chosen.

    Args:
        run: the run that it is made from.
        chosen: its images.
        words: which ones they are.

    Raises:
        UserError: there are none, or too many to be recorded.
    """
    if not len(chosen.places):
        raise UserError(f"{run.folder}: no image is kept, so there is nothing to train on.")
    groups = tuple(entry.name for entry in run.collections.entries)
    count = int(chosen.places.max()) + 1
    kept, of = np.zeros(count, bool), np.full(count, ABSENT)
    kept[chosen.places] = True
    number = {name: i for i, name in enumerate(groups)}
    of[chosen.places] = [number[name] for name in chosen.rows["group"].to_pylist()]
    parent = Parent(
        run=str(run.folder),
        checkpoint=run.identity,
        chosen=words,
        images=chosen.total,
        taken=len(chosen.places),
        groups=groups,
        of=of,
    )
    return Family(
        kept=as_text(kept),
        groups=len(set(of[chosen.places].tolist())),
        parents=(*parents_of(run.folder), parent),
        preset=run.settings.preset,
        weights=run.model.state_dict(),
    )
