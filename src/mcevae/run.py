"""Use a trained run from Python: `open_run` opens it as a `Run`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from mcevae.images.sources.registry import open_source
from mcevae.pages.report import write_report
from mcevae.predicting.averages import Average
from mcevae.predicting.engines import Made, Order, make_here
from mcevae.predicting.kept_sums import averages_for
from mcevae.runs.answers import Answers, Pictures, frames_in, pixels_by
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Scores


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

    def predict(self, images: str | Path | Pictures, part: str = "all") -> Answers:
        """Find cluster, confidence, pose and canonical image of each image; all must fit in memory.

        Args:
            images: a path or a built-in set, as for `mcevae predict`; or images in memory: an array
                (n, H, W) or (n, H, W, C) of any kind of number, a list of images (H, W) or
                (H, W, C) of any sizes, or a tensor (n, C, H, W).
            part: which images to take from a source that has training and test images: all, train
                or test.

        Returns:
            The results. Files that cannot be used are left out; `faults` names them.

        Raises:
            UserError: the source cannot be read, an image in memory cannot be used, or the
                checkpoint has no calibration and none can be made.
        """
        if not isinstance(images, str | Path):
            return self.answers(pixels_by(self.recipe, frames_in(images)))
        source = open_source(str(images), self.settings.data)
        read, faults = source.images(self.recipe, part)
        names = None if read.names is None else read.names.tolist()
        return replace(self.answers(read.pixels), names=names, faults=tuple(faults))

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
    ) -> Made:
        """Write a table of the results for a source of any size, as `mcevae predict` does.

        Args:
            source: a path or a built-in set.
            out: the table to write, .parquet or .csv.
            canonical: folder for PNG files of each canonical and each upright image. None: no files
                are drawn.
            part: which images to take from a source that has training and test images: all, train
                or test.
            overwrite: replace the table if it exists.

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
        )
        return make_here(order, run=self)

    def averages(self, source: str | Path | None = None, part: str = "all") -> list[Average]:
        """Average the images of each group at full resolution, each moved back by its pose.

        Args:
            source: a path or a built-in set. None: all images that the run was made from; if they
                were moved at random, the moved ones.
            part: which images to take from a source that has training and test images: all, train
                or test.

        Returns:
            The average of each group, in the order of `collections`. Groups may have different
            sizes of images, and then their averages differ in size.

        Raises:
            UserError: the images are missing, have changed or cannot be read.
        """
        made, _ = averages_for(self, None if source is None else str(source), part=part)
        return made

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
        scores = self.scores(data)
        self.keep(scores)
        self.calibrate(data)
        return write_report(self, data, scores)
