"""Open a trained run: its settings, its model, its images, and what the model finds in images.

The checkpoint is read once, when the run is opened. Everything else is read when it is needed.
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
from mcevae.runs.metrics import evaluate
from mcevae.runs.scores import Scores, write_scores

R = TypeVar("R", bound="TrainedRun")
Device = torch.device | str | None


@dataclass(kw_only=True)
class TrainedRun:
    """An open run, made by `mcevae fit`.

    Attributes:
        folder: folder of the run.
        checkpoint: which checkpoint was opened, best or last.
        model: the network, in evaluation mode.
        settings: all settings of the run.
        state: the rest of the checkpoint: shape and fingerprint of the images, position.
    """

    folder: Path
    checkpoint: str
    model: Model
    settings: Config
    state: dict[str, Any]

    @classmethod
    def open(cls: type[R], folder: Path, checkpoint: str = "best", device: Device = None) -> R:
        """Open a run and read its checkpoint.

        Args:
            folder: folder that `mcevae fit` made.
            checkpoint: best (lowest negative ELBO on validation images) or last.
            device: device for the model; None: a GPU if there is one.

        Raises:
            UserError: the run is missing or cannot be read.
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
        """The epoch in which the checkpoint was written, from 1."""
        position = self.state["position"]
        return position["epoch"] + (position["step"] > 0)  # at step 0 the epoch has not begun

    @property
    def recipe(self) -> Recipe:
        """How images are converted to the form that the model takes.

        Raises:
            UserError: the settings have no levels, although they need them.
        """
        return recipe_for(self.settings.data, self.shape)

    @cached_property
    def clusters(self) -> int:
        """The number of clusters K, given or found by training."""
        return latent_sizes(self.model, self.shape)["responsibilities"]

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of confidence and outlier score.

        Raises:
            UserError: the calibration is missing or damaged; `mcevae report` makes it.
        """
        return Calibration.read(self.folder)

    @property
    def collections(self) -> Collections:
        """The groups that people made of the clusters, read from groups.json.

        Raises:
            UserError: the file is damaged, or was made for another number of clusters.
        """
        return Collections.read(self.folder, self.clusters)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the checkpoint's file. Tables store it to name their run."""
        return digest(run_file(self.folder, self.checkpoint))

    def data(self, track: Track = iter) -> Splits:
        """Load the images that the run was trained on, with the same splits and poses.

        Args:
            track: wraps the list of files, for example to show a progress bar.

        Raises:
            UserError: the images are missing or have changed.
        """
        check_source(self.folder, self.settings)
        data = prepare_for(self.settings, track)
        check_data(self.folder, data, self.state)
        return data

    def calibrate(self, data: Splits) -> None:
        """Calibrate confidence and outlier score on the validation images, and save the result."""
        pixels = data.validation.images.pixels
        self.calibration = calibrate(self.model, self.settings, pixels)
        self.calibration.write(self.folder)

    def scores(self, data: Splits, split: str = "test") -> Scores:
        """Compute all scores on one split of the run's images, see `metrics.evaluate`."""
        return evaluate(self.model, self.settings, data, split)

    def keep(self, scores: Scores, split: str = "test") -> None:
        """Write scores to metrics.json. Another split or checkpoint gets a file of its own."""
        parts = ["metrics"]
        parts += [split] if split != "test" else []
        parts += [self.checkpoint] if self.checkpoint != "best" else []
        path = self.folder / f"{'-'.join(parts)}.json"
        write_scores(scores, path, split=split, checkpoint=self.checkpoint, epoch=self.epoch)

    def answers(self, pixels: UInt8[Tensor, "n C H W"]) -> Answers:
        """Run the model on images that `recipe` has prepared.

        Raises:
            UserError: the calibration is missing or damaged.
        """
        return answers_of(self.model, self.calibration, pixels)
