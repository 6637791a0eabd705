"""What a fitted estimator shows: tables, figures, a report, and the explorer."""

import importlib
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.utils.validation import check_is_fitted

from mcevae.base.errors import UserError
from mcevae.estimator.answering import Answering
from mcevae.estimator.as_run import UNTRAINED_HERE, split_of, write_run
from mcevae.estimator.exploring import Explored, explored
from mcevae.exporting.pretrained import value_errors
from mcevae.images.features import Features
from mcevae.images.sources.contract import START, Part, Source
from mcevae.images.splits import Splits
from mcevae.pages.gallery import Gallery, hang
from mcevae.pages.needed import check_installed
from mcevae.pages.plots import Plots
from mcevae.pages.report import write_report
from mcevae.predicting.predictor import Described, Predictor
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun

KINDS = ("groups", "upright", "map", "poses")
MOST = 10_000
"""Images in a figure, at most; of more, images at even distances are taken."""


@dataclass(kw_only=True)
class Seen:
    """The images that `fit` was given. They are not saved with the estimator.

    Attributes:
        source: of the images; arrays are not copied.
        features: of the images; None: there are none.
        gallery: what figures show of them, once there was one.
    """

    source: Source
    features: Features | None = None
    gallery: Gallery | None = None


class Showing(Answering):
    """Methods that show people what a fitted estimator finds.

    X may be any form that `fit` takes. If it is left out, it is what `fit` was given; an estimator
    that was read from a file does not have it, so give X then.
    """

    _seen: Seen | None = None

    def table(self, X: Any = None, *, features: Any = None, into: str = "auto") -> Any:
        """Return a table with a row for each image, as `mcevae predict` writes it.

        Columns: id, file (of images from files), group, confidence, outlier, area, brightness,
        symmetry, consistency, cluster, the probability of each cluster, the pose in degrees, pixels
        of the images of X as they are, and so on, and the latents.

        Args:
            X: the images. None: those of `fit`.
            features: (n, D) features of X, if it was fitted with some.
            into: "pandas", "polars", or "arrow" for a `pyarrow.Table`. "auto": a DataFrame of
                pandas, if it is installed, else of polars.

        Raises:
            ValueError: X cannot be used, `into` is something else, or its package is missing.
        """
        check_is_fitted(self)
        package = chosen_package(into)
        with value_errors():
            seen = self._shown(X, features)
            images = self._images_of(seen.source)
            names = None if images.names is None else images.names.tolist()
            told = None
            if seen.features is not None and self.evidence_ is not None:
                told = Described(features=seen.features, evidence=self.evidence_)
            predictor = Predictor(
                self.model_,
                self.config_.data,
                self._shape(),
                self.calibration_,
                identity="",
                collections=self.collections_,
            )
            predictor.features = told
            part = Part(pixels=images.pixels, names=names, end=START, done=1.0, sizes=images.sizes)
            rows = predictor.rows(part, 0)
        if package == "pandas":
            return rows.to_pandas()
        return importlib.import_module("polars").from_arrow(rows) if package == "polars" else rows

    def plot(self, kind: str = "groups", X: Any = None, *, features: Any = None) -> Figure:
        """Draw a figure, which notebooks show by themselves; `savefig` writes it.

        Args:
            kind: "groups": the canonical image of each group, and members as they lie. "upright":
                the same members, each moved back by its pose. "map": each image as a dot, similar
                ones near each other. "poses": how the images of each group lie.
            X: the images, of which at most 10,000 are shown. None: those of `fit`.
            features: as for `table`.

        Raises:
            ValueError: X cannot be used, or there is no such kind.
        """
        check_is_fitted(self)
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; use {', '.join(KINDS)}")
        with value_errors():
            seen = self._shown(X, features)
            if seen.gallery is None:
                seen.gallery = hang(*self._in_memory(seen), most=MOST)
            return getattr(Plots(seen.gallery, self.collections_, self.model_), kind)()

    def report(self, path: str | Path, X: Any = None, *, features: Any = None) -> Path:
        """Write the report of `mcevae fit`: one page that loads nothing else.

        Args:
            path: of the page, such as report.html; or a folder, new or empty, that becomes a run
                with the model, the images, the tables and the report, which `mcevae report` and
                `mcevae serve` open.
            X: the images. None: those of `fit`. Its scores are of one image in twelve, which the
                network may have seen if X was given to `fit`.
            features: as for `table`.

        Returns:
            The path of the page.

        Raises:
            ValueError: X cannot be used, the folder is not empty, or a file cannot be written.
        """
        check_is_fitted(self)
        target = Path(path)
        with value_errors(), TemporaryDirectory() as temporary:
            page = target.suffix.lower() in (".html", ".htm")
            if not page and target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise UserError(f"{path}: is there already; give a new folder, or a .html.")
            run = self._as_run(self._shown(X, features), Path(temporary) if page else target)
            data = run.data()
            scores = run.scores(data)
            run.keep(scores)
            written = write_report(run, data, scores)
            if not page:
                return written
            target.parent.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(written, target))

    def explore(
        self, X: Any = None, *, features: Any = None, port: int = 0, height: int = 800
    ) -> Explored:
        """Start the explorer of `mcevae serve`; a notebook shows it below its cell.

        Only this machine can open it. `stop()` of what is returned ends it. Groups that were turned
        upright, named, merged or split on the page are then those of the estimator. Needs
        pip install 'mcevae[serve]'.

        Args:
            X: the images. None: those of `fit`.
            features: as for `table`.
            port: port of this machine. 0: any free one.
            height: of the page in a notebook, pixels.

        Raises:
            ValueError: X cannot be used, a package is missing, or the port is in use.
        """
        check_is_fitted(self)
        with value_errors():
            check_installed()
            temporary = TemporaryDirectory()
            run = self._as_run(self._shown(X, features), Path(temporary.name))
            return explored(run, temporary, self._keep, port=port, height=height)

    def _keep(self, collections: Collections) -> None:
        """Take groups over from the explorer, but for what was said of single images."""
        self.collections_ = collections.of_other_images()

    def _as_run(self, seen: Seen, folder: Path) -> TrainedRun:
        """Write the estimator and images as a run."""
        return write_run(
            folder,
            seen.source,
            model=self.model_,
            config=self.config_,
            calibration=self.calibration_,
            collections=self.collections_,
            evidence=self.evidence_,
            features=seen.features,
        )

    def _in_memory(self, seen: Seen) -> tuple[TrainedRun, Splits]:
        """The estimator as an open run without files, and its images, split."""
        run = TrainedRun(
            folder=Path("X"),
            checkpoint="best",
            model=self.model_,
            settings=self.config_.changed(data={"split": "all"}),
            state={"shape": list(self._shape()), "position": UNTRAINED_HERE},
        )
        run.calibration = self.calibration_
        if seen.features is not None and self.evidence_ is not None:
            run.evidence = self.evidence_
        return run, split_of(self._images_of(seen.source), seen.features)

    def _shown(self, X: Any, features: Any) -> Seen:
        """The images to show: X, or those of `fit`.

        Raises:
            UserError: neither is there.
        """
        if X is None:
            if self._seen is None:
                raise UserError("X: this model was read from a file, without images; give X.")
            return self._seen
        known = None
        source = self._source(X, self.config_.data, reset=False)
        if features is not None:
            self._told(np.asarray(features), source.total() or len(np.asarray(features)))
            known = Features.of(np.asarray(features), "features")
        return Seen(source=source, features=known)


def chosen_package(into: str) -> str:
    """The package whose table is wanted.

    Raises:
        ValueError: there is no such package, or it is not installed.
    """
    if into not in ("auto", "pandas", "polars", "arrow"):
        raise ValueError(f"into is {into!r}; use auto, pandas, polars or arrow")
    if into == "arrow":
        return into
    found = [name for name in ("pandas", "polars") if into in ("auto", name) and find_spec(name)]
    if not found:
        missing = "neither pandas nor polars" if into == "auto" else f"no {into}"
        package = "pandas" if into == "auto" else into
        raise ValueError(f'there is {missing}; pip install {package}, or give into="arrow"')
    return found[0]
