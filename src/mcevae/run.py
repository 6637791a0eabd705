"""Use a trained run from Python: `open_run` opens it as a `Run`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from mcevae.base.choosing import Choice
from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.finding.settings import FindConfig
from mcevae.finding.sources import Finds, find_in
from mcevae.images.forms import Pictures
from mcevae.images.readers.reading import Reading
from mcevae.images.sources.registry import open_source
from mcevae.pages.report import write_report
from mcevae.pages.take import take
from mcevae.predicting.added import Added
from mcevae.predicting.averages import Average
from mcevae.predicting.deciding import Decision, decide
from mcevae.predicting.engines import Made, Order, make_here
from mcevae.predicting.extending import extension_of
from mcevae.predicting.kept_sums import averages_for
from mcevae.predicting.selecting import Files, Selected, Selector
from mcevae.runs.answers import Answers, frames_in, pixels_by
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Scores
from mcevae.tracking.settings import TrackConfig
from mcevae.tracking.sources import Tracks, track_in
from mcevae.training.loop import fit, training_alone


def open_run(
    run: str | Path, device: torch.device | str | None = None, *, checkpoint: str = "best"
) -> "Run":
    """Open a run that `mcevae fit` made.

    Args:
        run: folder of the run.
        device: where to put the model. None: a GPU if there is one, else the CPU.
        checkpoint: "best" for the lowest negative ELBO on the validation images, of all epochs with
            clusters; "last" for the end of training.

    Raises:
        UserError: the run is missing or unreadable, or has no such checkpoint.
    """
    return Run.open(Path(run), checkpoint, device)


class Run(TrainedRun):
    """A trained run, opened by `open_run`.

    The run has recorded how its images were prepared. New images are prepared in the same way, so
    the results are the same as those of `mcevae predict`.

    Attributes:
        folder: folder of the run.
        checkpoint: which checkpoint was opened, best or last.
        model: the network, a torch module in evaluation mode.
        settings: all settings of the run, a `Config`.
        state: other contents of the checkpoint: shape and fingerprint of the images, and how far
            training got.
    """

    def predict(
        self,
        images: str | Path | Pictures,
        part: str = "all",
        *,
        features: str | Path | np.ndarray | None = None,
        cutting: CuttingConfig | None = None,
    ) -> Answers:
        """Find cluster, confidence, pose and canonical image of each image; all must fit in memory.

        Args:
            images: a path or a built-in set, as for `mcevae predict`; or images in memory: an array
                (n, H, W), (n, H, W, C) or (n, C, H, W) of any kind of number, a tensor
                (n, C, H, W), `Images` of `load`, or a list of images of any sizes: arrays (H, W) or
                (H, W, C), or Pillow images.
            part: of a source that has training and test images: all, train or test.
            features: (n, D) features of the images, or a .npy with them, one row for each image of
                the source; only for runs that were trained with features. None: clusters come from
                the images alone.
            cutting: crops of the source's images, such as `CuttingConfig(boxes="boxes.csv")`. None:
                whole images.

        Returns:
            The results. Files that cannot be used are left out; `faults` names them.

        Raises:
            UserError: the source cannot be read, an image in memory cannot be used, or the
                checkpoint has no calibration and none can be made.
        """
        asked = features is not None
        if not isinstance(images, str | Path):
            pixels = pixels_by(self.recipe, frames_in(images, Reading.by(self.settings.data)))
            known = self.evidence.rows(features, len(pixels), "images") if asked else None
            return self.answers(pixels, known)
        own = (cutting or CuttingConfig()).cutting()
        source = open_source(str(images), replace(self.settings.data, features=None, **own))
        read, faults = source.images(self.recipe, part)
        count = source.total(part) or len(read) + len(faults)
        rows = self.evidence.rows(features, count, source.name, read.places) if asked else None
        names = None if read.names is None else read.names.tolist()
        found = self.answers(read.pixels, rows)
        faults += source.passed
        notes = [*source.notes, source.in_words(faults)]
        return replace(found, names=names, faults=tuple(faults), notes=tuple(filter(None, notes)))

    def find(self, frames: str | Path | Pictures, settings: FindConfig | None = None) -> Finds:
        """Find all things in large frames, as `mcevae find` does; all finds must fit in memory.

        Args:
            frames: a path of frames, or frames in memory, as for `predict`.
            settings: how things are found, such as `FindConfig(size=48)`. None: as it has it.

        Returns:
            A row for each thing: place, pose, group and probability.

        Raises:
            UserError: no frame can be used, or the run has no templates and none can be made.
        """
        return find_in(self, frames, settings)

    def track(
        self,
        film: str | Path | Pictures,
        settings: TrackConfig | None = None,
        finding: FindConfig | None = None,
    ) -> Tracks:
        """Follow all things through a film, as `mcevae track` does; all finds must fit in memory.

        Args:
            film: a path of frames, or frames in memory, as for `find`, in the order of time.
            settings: how finds are linked, such as `TrackConfig(kinds=5)`. None: as it has it.
            finding: how things are found in each frame. None: as `FindConfig` has it.

        Returns:
            A row for each frame of each track: place, velocity, pose, turning rate and group.

        Raises:
            UserError: as for `find`; or laptrack is not installed.
        """
        return track_in(self, film, settings, finding)

    def canonical(self, images: str | Path | Pictures) -> Float32[np.ndarray, "n *picture"]:
        """Draw each image without its pose.

        Args:
            images: as for `predict`.

        Raises:
            UserError: as for `predict`.
        """
        return self.predict(images).canonical

    def table(
        self,
        source: str | Path,
        out: str | Path,
        *,
        canonical: str | Path | None = None,
        part: str = "all",
        overwrite: bool = False,
        features: str | Path | None = None,
        cutting: CuttingConfig | None = None,
    ) -> Made:
        """Write a table of the results for a source of any size, as `mcevae predict` does.

        Args:
            source: a path or a built-in set.
            out: the table to write, .parquet or .csv; of particles also .star or .cs.
            canonical: folder for PNG files of each canonical and each upright image. None: none.
            part: of a source that has training and test images: all, train or test.
            overwrite: replace the table if it exists.
            features: a .npy with one row for each image, as for `predict`.
            cutting: as for `predict`.

        Returns:
            Where the table is, how many rows it has, and which files could not be used.

        Raises:
            UserError: the source cannot be read, the table cannot be written, or it exists and
                `overwrite` is False.
        """
        order = Order(
            run=self.folder,
            source=str(source),
            out=Path(out),
            canonical=None if canonical is None else Path(canonical),
            part=part,
            overwrite=overwrite,
            checkpoint=self.checkpoint,
            features=None if features is None else str(features),
            cutting=cutting or CuttingConfig(),
        )
        return make_here(order, run=self)

    def select(
        self,
        choice: Choice | None = None,
        out: str | Path | None = None,
        *,
        files: Files = "copies",
    ) -> Selected:
        """Choose images of the run, as `mcevae select` does, and write or draw them if asked.

        Args:
            choice: which images. None: all but junk.
            out: as for `mcevae select`; a file that is there is replaced. None: write nothing.
            files: copies or links, in folders.

        Raises:
            UserError: the run does not know a group, a selection or a column, or the images are
                missing or cannot be written in this form.
        """
        path = None if out is None else Path(out)
        selector = Selector(self, path)
        chosen = selector.select(choice or Choice())
        if path is not None:
            take(selector, chosen, path, files)
        return chosen

    def decide(self, images: Sequence[str], decision: Decision) -> None:
        """Say of images that they are junk, belong to another group, have a tag, and so on.

        It is kept in groups.json of the run, and holds for all later tables and reports.

        Args:
            images: their names in the run's source, such as `names` of what `select` returns.
            decision: what is said of them.

        Raises:
            UserError: there is no such group, or a name is not allowed.
        """
        decide(self, images, decision)

    def averages(self, source: str | Path | None = None, part: str = "all") -> list[Average]:
        """Average the images of each group at full resolution, each moved back by its pose.

        Args:
            source: as for `table`. None: all images of the run, as it moved them.
            part: of a source that has training and test images: all, train or test.

        Returns:
            The average of each group, in the order of `collections`. Groups may have different
            sizes of images, and then their averages differ in size.

        Raises:
            UserError: the images are missing, have changed or cannot be read.
        """
        made, _ = averages_for(self, None if source is None else str(source), part=part)
        return made

    def extend(
        self,
        source: str | Path,
        out: str | Path,
        *,
        labels: str | None = None,
        features: str | Path | None = None,
        cutting: CuttingConfig | None = None,
    ) -> "Run":
        """Make a run that has new images as well, as `mcevae extend` does; return it.

        Old groups keep their numbers, names and decisions. 20 or more new images are a new group if
        no group of this run stands for them.

        Args:
            source: of new images, as for `mcevae fit`.
            out: folder of the new run, new or empty.
            labels: of the new images, for scores only: folders, a table, or a .npy.
            features: a .npy with a row for each new image, if this run was trained with features.
            cutting: which parts of the files are the images. None: whole ones.

        Raises:
            UserError: the folder is not empty, there is nothing new, or this run cannot be
                extended.
        """
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: already exists; choose another folder.")
        with training_alone(folder):
            added = Added(
                source=str(source),
                labels=labels,
                features=None if features is None else str(features),
                cutting=cutting or CuttingConfig(),
            )
            extension = extension_of(self, added, folder)
            extension.begin(folder)
            if extension.trains:
                fit(extension.config, extension.data, folder)
        made = Run.open(folder, device=next(self.model.parameters()).device)
        made.report()
        return made

    def upright(self, group: str, degrees: float | None = None, *, flip: bool = False) -> None:
        """Set which way is up in a group's canonical frame, as `mcevae groups` does.

        It is saved in groups.json of the run, and holds for all later predictions, tables and
        reports: canonical images are drawn turned, and poses are given from there.

        Args:
            group: name of the group.
            degrees: how far its canonical image is turned clockwise from the frame that the model
                found. None: it stays as it is turned now.
            flip: exchange left and right in the canonical image first. A second time undoes it.

        Raises:
            UserError: there is no such group, or poses of the run do not have such turns.
        """
        with Collections.locked(self.folder):
            made = self.collections
            try:
                index = made.named(group)
                made = made.flipped(index) if flip else made
                made = made if degrees is None else made.set_upright(index, degrees)
            except ValueError as error:
                raise UserError(f"{self.folder}: {error}.") from error
            self.regroup(made)

    def evaluate(self, split: str = "test") -> Scores:
        """Compute the scores of the run, as `mcevae evaluate` does, but write no file.

        Args:
            split: which images of the run to score: test or validation.

        Raises:
            UserError: the images are missing or have changed.
        """
        return self.scores(self.data(), split)

    def report(self) -> Path:
        """Score the run, calibrate it and write its report.html again; return the path.

        With the checkpoint last, the file is report-last.html.

        Raises:
            UserError: the images are missing or have changed, or a file cannot be written.
        """
        data = self.data()
        self.calibrate(data)  # first: scores use what features say
        scores = self.scores(data)
        self.keep(scores)
        return write_report(self, data, scores)
