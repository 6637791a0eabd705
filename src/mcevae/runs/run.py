"""A trained run, opened: its settings, its model, its images, and what it says of images.

The checkpoint is read once, when the run is opened. All else is read when it is asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from mcevae.base.files import digest
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.contract import Track
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.answers import Answers, answers_of
from mcevae.runs.checkpoint import check_data, check_source, load_model, run_file
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration, calibrate
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import default_device, latent_sizes
from mcevae.runs.metrics import Scores, evaluate, write_scores

R = TypeVar("R", bound="TrainedRun")
Device = torch.device | str | None


@dataclass(kw_only=True)
class TrainedRun:
    """What `mcevae fit` made, opened.

    Attributes:
        folder: of the run.
        checkpoint: which of its checkpoints this is, best or last.
        model: the network, in evaluation mode.
        settings: all settings of the run.
        state: what the checkpoint says besides: shape and fingerprint of the images, position.
    """

    folder: Path
    checkpoint: str
    model: Model
    settings: Config
    state: dict[str, Any]

    @classmethod
    def open(cls: type[R], folder: Path, checkpoint: str = "best", device: Device = None) -> R:
        """Read a run's checkpoint.

        Args:
            folder: that `mcevae fit` made.
            checkpoint: best (lowest negative ELBO on validation images) or last.
            device: where to put the model; None: a GPU if there is one.

        Raises:
            UserError: the run is missing or unreadable.
        """
        model, settings, state = load_model(folder, checkpoint, device or default_device())
        return cls(
            folder=folder, checkpoint=checkpoint, model=model, settings=settings, state=state
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the model takes."""
        channels, height, width = self.state["shape"]
        return channels, height, width

    @property
    def epoch(self) -> int:
        """The epoch that the checkpoint is of, from 1."""
        position = self.state["position"]
        return position["epoch"] + (position["step"] > 0)  # at step 0 the epoch has not begun

    @property
    def recipe(self) -> Recipe:
        """How images are brought to the form that the model takes.

        Raises:
            UserError: the settings lack the levels of the intensities.
        """
        return recipe_for(self.settings.data, self.shape)

    @cached_property
    def clusters(self) -> int:
        """K, also where training found it."""
        return latent_sizes(self.model, self.shape)["responsibilities"]

    @cached_property
    def calibration(self) -> Calibration:
        """Of confidence and outlier score.

        Raises:
            UserError: the run has none, or a damaged one; `mcevae report` makes it.
        """
        return Calibration.read(self.folder)

    @property
    def collections(self) -> Collections:
        """What people have made of the clusters, as groups.json has it now.

        Raises:
            UserError: the file is damaged, or of a run with other clusters.
        """
        return Collections.read(self.folder, self.clusters)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the checkpoint's file, by which tables know their run."""
        return digest(run_file(self.folder, self.checkpoint))

    def data(self, track: Track = iter) -> Splits:
        """The images that the run was trained on, split and posed as they were.

        Args:
            track: wraps the files, a progress bar say.

        Raises:
            UserError: they are not there, or have changed.
        """
        check_source(self.folder, self.settings)
        data = prepare_for(self.settings, track)
        check_data(self.folder, data, self.state)
        return data

    def calibrate(self, data: Splits) -> None:
        """Measure confidence and outlier score on the validation images, and keep the result."""
        pixels = data.validation.images.pixels
        self.calibration = calibrate(self.model, self.settings, pixels)
        self.calibration.write(self.folder)

    def scores(self, data: Splits, split: str = "test") -> Scores:
        """All scores on one split of the run's images, as for `metrics.evaluate`."""
        return evaluate(self.model, self.settings, data, split)

    def keep(self, scores: Scores, split: str = "test") -> None:
        """Write scores to metrics.json; those of another split or checkpoint to their own file."""
        parts = ["metrics"]
        parts += [split] if split != "test" else []
        parts += [self.checkpoint] if self.checkpoint != "best" else []
        path = self.folder / f"{'-'.join(parts)}.json"
        write_scores(scores, path, split=split, checkpoint=self.checkpoint, epoch=self.epoch)

    def answers(self, pixels: UInt8[Tensor, "n C H W"]) -> Answers:
        """What the model says of images that `recipe` has prepared.

        Raises:
            UserError: as `calibration`.
        """
        return answers_of(self.model, self.calibration, pixels)
