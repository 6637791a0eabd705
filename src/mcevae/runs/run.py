"""Open a trained run: its settings, its model, its images, and what the model finds in images.

The checkpoint is read once, when the run is opened. Everything else is read when it is needed.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.base.files import digest
from mcevae.images.composites import colours_for
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.contract import Track
from mcevae.images.sources.members import FILE as MEMBERS
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.models.registry import spec_of
from mcevae.runs.answers import Answers, answers_of
from mcevae.runs.checkpoint import check_data, check_source, file_about, load_model, run_file
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration, calibrate
from mcevae.runs.coordinates import Coordinate, coordinates_of
from mcevae.runs.data import prepare_for
from mcevae.runs.evidence import Evidence, learn
from mcevae.runs.frames import Frames
from mcevae.runs.infer import default_device, embed, latent_sizes
from mcevae.runs.metrics import evaluate
from mcevae.runs.scores import Scores, write_scores
from mcevae.runs.symmetry import SAMPLE as SYMMETRY_SAMPLE
from mcevae.runs.symmetry import Symmetry, measure
from mcevae.runs.trust.advice import told
from mcevae.runs.trust.cues import SAMPLE as TRUST_SAMPLE
from mcevae.runs.trust.trust import Trust, trust_in

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
            checkpoint: best (lowest negative ELBO on validation images, of all epochs with
                clusters) or last (end of training).
            device: device for the model; None: a GPU if there is one.

        Raises:
            UserError: the run is missing or cannot be read, or has no such checkpoint.
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
    def in_words(self) -> str:
        """Which checkpoint this is, such as "last checkpoint, epoch 24"."""
        if not spec_of(self.settings.model.kind).trained:
            return "no network"
        if self.epoch == 0:
            return "model as it was given"
        return f"{self.checkpoint} checkpoint, epoch {self.epoch}"

    def file(self, name: str) -> Path:
        """Path of a file about this checkpoint, such as report.html or report-last.html."""
        return file_about(self.folder, name, self.checkpoint)

    @property
    def recipe(self) -> Recipe:
        """How images are converted to the form that the model takes.

        Raises:
            UserError: the settings have no levels, although they need them.
        """
        return recipe_for(self.settings.data, self.shape)

    @property
    def colours(self) -> tuple[str, ...]:
        """Colours in which the channels of its images are shown; () if these are pictures."""
        return colours_for(self.recipe, self.settings.data.colours)

    @cached_property
    def clusters(self) -> int:
        """The number of clusters K, given or found by training."""
        return latent_sizes(self.model, self.shape)["responsibilities"]

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of confidence and outlier score, for this checkpoint.

        Training ends by calibrating best. The calibration of last is made when it is needed.

        Raises:
            UserError: the calibration is missing or damaged, or was made for other weights;
                `mcevae report` makes it. Or that of last must be made, but the images of the run
                are missing or have changed.
        """
        try:
            return self._calibration()
        except UserError:
            if self.checkpoint == "best":
                raise
        self.calibrate(self.data())
        return self.calibration

    def _calibration(self) -> Calibration:
        """Read the calibration for this checkpoint.

        Raises:
            UserError: it is missing or damaged, or was made for other weights or clusters.
        """
        found = Calibration.read(self.folder, self.checkpoint, self.identity)
        try:
            return found.fitting(self.clusters)
        except ValueError as error:
            raise UserError(
                f"{self.folder}: its calibration does not fit ({error}); make it again with mcevae "
                f"report {self.folder}."
            ) from error

    @property
    def collections(self) -> Collections:
        """The groups that people made of the clusters, read from groups.json.

        Raises:
            UserError: the file is damaged, or was made for another number of clusters.
        """
        return Collections.read(self.folder, self.clusters)

    @property
    def symmetry(self) -> Symmetry | None:
        """Symmetry of the clusters, and consistency of their frames; None: it was not measured.

        It is saved with the calibration; `mcevae report` measures both again.
        """
        known = self._known_calibration()
        return None if known is None else known.symmetry

    @property
    def trust(self) -> Trust | None:
        """Trust in the clusters; None: it was not measured, or cannot be for this model.

        It is saved with the calibration; `mcevae report` measures both again.
        """
        known = self._known_calibration()
        return None if known is None else known.trust

    @property
    def advice(self) -> tuple[str, ...]:
        """What makes the run doubtful, and what mends it, the most important first."""
        return told(self.trust)

    def _known_calibration(self) -> Calibration | None:
        """The calibration, if somebody has read or made it, or it can be read."""
        try:
            return self.__dict__.get("calibration") or self._calibration()
        except UserError:
            return None

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """The coordinates of the poses, in the units that people read, with their support."""
        group = self.model.group
        return coordinates_of(group, self.settings.support.half_widths(group), self.shape)

    @property
    def frames(self) -> Frames:
        """The canonical frames of the run, as people have turned them (groups.json).

        Raises:
            UserError: as for `collections`, or the group of the poses does not have these turns.
        """
        return Frames(
            group=self.model.group,
            background=self.model.background,
            collections=self.collections,
            symmetry=self.symmetry,
        )

    def regroup(self, collections: Collections) -> None:
        """Save groups and frames in groups.json of the run.

        Raises:
            UserError: the group of the poses does not have the turns of the frames.
        """
        Frames(collections=collections, group=self.model.group, background=self.model.background)
        collections.write(self.folder)

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
        """Calibrate confidence and outlier score on the validation images, and save the result.

        Symmetries of the clusters, and trust in them, come from the training images, and are saved
        with it.
        """
        model, settings, seen = self.model, self.settings, data.train.images.pixels
        if (self.folder / MEMBERS).exists():  # images of one source lie behind those of the other
            order = torch.Generator().manual_seed(settings.train.seed)
            some = torch.randperm(len(seen), generator=order)[: max(SYMMETRY_SAMPLE, TRUST_SAMPLE)]
            seen = seen[some]  # no more are looked at, and a copy of all may be large
        found = calibrate(model, settings, data.validation.images.pixels)
        self.calibration = replace(
            found,
            symmetry=measure(model, settings, seen),
            trust=trust_in(model, settings, seen, found.steadiness),
        )
        self.calibration.write(self.folder, self.checkpoint, self.identity)
        if data.train.images.features is not None:
            self.evidence = self.learned_evidence(data)
            self.evidence.write(self.folder, self.checkpoint, self.identity)

    def learned_evidence(self, data: Splits) -> Evidence:
        """Learn what the features of the run's images say about its clusters."""
        known = []
        for part in (data.train.images, data.validation.images):
            assert part.features is not None
            known += [part.features, embed(self.model, part.pixels).responsibilities]
        return learn(*known)

    @cached_property
    def evidence(self) -> Evidence:
        """What features say about the clusters.

        Raises:
            UserError: the run was trained without --features, or the file is missing or damaged.
        """
        if self.settings.data.features is None:
            raise UserError(
                f"{self.folder}: was trained without features; leave out --features here, or train "
                "with them."
            )
        try:
            return Evidence.read(self.folder, self.checkpoint, self.identity, self.clusters)
        except UserError:
            if self.checkpoint == "best":
                raise
        self.calibrate(self.data())  # that of last is made when it is needed
        return self.__dict__["evidence"]

    def told(self, features: Float[Tensor, "n D"] | None) -> Float[Tensor, "n K"] | None:
        """What the features of images say about their clusters; None if there are none.

        Raises:
            UserError: as for `evidence`.
        """
        return None if features is None else self.evidence(features)

    def scores(self, data: Splits, split: str = "test") -> Scores:
        """Compute all scores on one split of the run's images, see `metrics.evaluate`."""
        part: Posed = getattr(data, split)
        evidence = self.told(part.images.features)
        return evaluate(self.model, self.settings, data, split, evidence)

    def keep(self, scores: Scores, split: str = "test") -> Path:
        """Write scores to metrics.json, and return its path. Another split or checkpoint gets a
        file of its own.
        """
        path = self.file("metrics.json" if split == "test" else f"metrics-{split}.json")
        write_scores(scores, path, split=split, checkpoint=self.checkpoint, epoch=self.epoch)
        return path

    def answers(
        self, pixels: UInt8[Tensor, "n C H W"], features: Float[Tensor, "n D"] | None = None
    ) -> Answers:
        """Run the model on images that `recipe` has prepared.

        Args:
            pixels: the images.
            features: of a run that was trained with features. None: clusters come from the images
                alone.

        Raises:
            UserError: the calibration is missing or damaged, or groups.json is damaged.
        """
        told = self.told(features)
        return answers_of(self.model, self.calibration, self.frames, pixels, told)
