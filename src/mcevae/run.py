"""A trained run from Python: `open_run`, and all that a `Run` can be asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from mcevae.images.sources.frames import no_image
from mcevae.images.sources.registry import open_source
from mcevae.pages.report import write_report
from mcevae.predicting.engines import Made, Order, make_here
from mcevae.runs.answers import Answers, Pictures, frames_in, pixels_by
from mcevae.runs.metrics import Scores
from mcevae.runs.run import TrainedRun


def open_run(run: str | Path, device: torch.device | str | None = None) -> "Run":
    """Open a run that `mcevae fit` made, with the checkpoint that was best on validation images.

    Args:
        run: its folder.
        device: where to put the model; None: a GPU if there is one.

    Raises:
        UserError: the run is missing or unreadable.
    """
    return Run.open(Path(run), device=device)


class Run(TrainedRun):
    """A trained run. `open_run` gives one.

    Images are brought to the form that the model takes as those of the run were: by the recipe
    that the run recorded. So the numbers are those of `mcevae predict`.

    Attributes:
        folder: of the run.
        model: the network, a torch module in evaluation mode.
        settings: all settings of the run, a `Config`.
        state: what the checkpoint says besides: shape and fingerprint of the images, position.
    """

    def predict(self, images: str | Path | Pictures, part: str = "all") -> Answers:
        """Cluster, confidence, pose and canonical image of each image, all in memory.

        Args:
            images: a path or a built-in set, as for `mcevae predict`; or images in memory: an array
                (n, H, W) or (n, H, W, C) of any kind of number, a list of images (H, W) or
                (H, W, C) of any sizes, or a tensor (n, C, H, W).
            part: of a source that has training and test images: all, train or test.

        Returns:
            The answers. Files that cannot be used are left out and named in `faults`.

        Raises:
            UserError: the source cannot be read, an image in memory cannot be used, or the run has
                no calibration.
        """
        if not isinstance(images, str | Path):
            return self.answers(pixels_by(self.recipe, frames_in(images)))
        source = open_source(str(images), self.settings.data)
        read = list(source.parts(self.recipe, part=part))
        names = [name for each in read for name in each.names or ()]
        faults = tuple(fault for each in read for fault in each.faults)
        pixels = torch.cat([each.pixels for each in read])
        if not len(pixels):
            raise no_image(source.name, faults)
        return replace(self.answers(pixels), names=names or None, faults=faults)

    def canonical(self, images: str | Path | Pictures) -> Float32[np.ndarray, "n *picture"]:
        """What the model draws of each image, free of its pose; `images` as for `predict`."""
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
        """Write a table of a source, of any size, as `mcevae predict` does.

        Args:
            source: a path or a built-in set.
            out: .parquet or .csv.
            canonical: folder for PNGs of each canonical and upright image; None: none are drawn.
            part: of a source that has training and test images: all, train or test.
            overwrite: replace the table if it is there.

        Returns:
            Where the table is, its rows, and what could not be used.

        Raises:
            UserError: the source cannot be read, or the table is there or cannot be written.
        """
        order = Order(
            run=self.folder,
            source=str(source),
            out=Path(out),
            canonical=None if canonical is None else Path(canonical),
            part=part,
            overwrite=overwrite,
        )
        return make_here(order, run=self)

    def evaluate(self, split: str = "test") -> Scores:
        """Scores of the run by name, see `mcevae evaluate`; nothing is written.

        Args:
            split: of the images that the run was made with: test or validation.

        Raises:
            UserError: the images are not there, or have changed.
        """
        return self.scores(self.data(), split)

    def report(self) -> Path:
        """Score the run, calibrate it and write its report.html anew; gives its path.

        Raises:
            UserError: the images are not there or have changed, or a file cannot be written.
        """
        data = self.data()
        scores = self.scores(data)
        self.keep(scores)
        self.calibrate(data)
        return write_report(self, data, scores)
