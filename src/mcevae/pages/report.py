"""Write report.html: one page about a run that needs no other files and no network."""

import base64
import json
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from mcevae.base.colours import rgb_of
from mcevae.base.errors import UserError
from mcevae.base.files import atomic, real_folder, write_text
from mcevae.base.names import as_text
from mcevae.images.readers.frames import write_faults
from mcevae.images.splits import Splits
from mcevae.pages import figures
from mcevae.pages.averages import add_averages
from mcevae.pages.facts import images_of
from mcevae.pages.gallery import collections_of, hang, strip_sheets
from mcevae.pages.particles import particle_ending
from mcevae.pages.stage import FirstAnswer, is_first, stage_of, trained
from mcevae.predicting.kept_sums import page_sums
from mcevae.predicting.sums import Tell
from mcevae.runs.checkpoint import REPORT
from mcevae.runs.coordinates import PIXELS
from mcevae.runs.infer import write_tables
from mcevae.runs.parents import FILE, parents_of
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Scores, for_people
from mcevae.training.log import read_log

ASSETS = files("mcevae") / "assets" / "page"
SHARED = (
    *("store.js", "picked.js", "focus.js", "say.js", "plots.js", "thumbs.js", "detail.js"),
    *("members.js", "choose.js", "take.js", "bar.js", "groups.js", "compare.js"),
    *("lasso.js", "dots.js", "map.js"),
)
"""Scripts of both pages, in loading order."""
SCRIPTS = (*SHARED, "report.js")
"""Scripts of the report."""
LIVE_SCRIPTS = (
    *(*SHARED, "ask.js", "change.js", "cards.js", "act.js", "hands.js", "original.js"),
    *("bench.js", "drop.js", "live.js"),
)
"""Scripts of the explorer's page, which needs a server."""
FIGURES = ("reconstructions", "curves")
DPI = 140
"""Pixels of an inch of a figure."""
TABLE, SKIPPED = "images.parquet", "skipped.csv"
COLUMNS_SHOWN = 12
"""Number of images in the figure of reconstructions."""


def save_png(figure: Figure, path: Path) -> str:
    """Write a figure as PNG and return it as a data URI."""
    buffer = BytesIO()
    figure.set_dpi(DPI)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # or it is laid out and drawn twice to be saved
    figure.savefig(buffer, format="png", dpi=DPI)
    real_folder(path.parent)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def draw(run: TrainedRun, data: Splits) -> dict[str, Figure]:
    """Draw the figures of a run, by name: reconstructions of test images, and learning curves."""
    count = min(COLUMNS_SHOWN, len(data.test))
    few = data.test.subset(torch.linspace(0, len(data.test) - 1, count).long())
    rows = figures.reconstructions(
        run.model, few.images.pixels, few.upright, run.frames, run.colours
    )
    drawn = {"reconstructions": figures.image_grid(rows)}
    if log := read_log(run.folder):  # a model that is not trained has none
        drawn["curves"] = figures.curves(log)
    return drawn


def embedded(content: Any) -> Markup:
    """Write content as JSON for a script element. Nothing in it can end the element."""
    text = json.dumps(content, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def write_report(
    run: TrainedRun,
    data: Splits,
    scores: Scores,
    tell: Tell | None = None,
    first: FirstAnswer | None = None,
) -> Path:
    """Write report.html, the table of images, the figures, and the list of unusable files.

    For the checkpoint last, the names are report-last.html, and so on.

    Args:
        run: run with a calibration.
        data: images of the run.
        scores: scores of the test split.
        tell: is told how far the averages are: share that is done, and number of images.
        first: the page is that of a first answer. Then it has no averages at full resolution,
            because these take a pass over all files.

    Returns:
        Path of the page. The figures are in the folder figures beside it.

    Raises:
        UserError: the run has no calibration or no log, or a file cannot be written.
    """
    folder = run.folder
    if trained(run) and run.epoch and not read_log(folder):  # an estimator's has no epochs
        raise UserError(
            f"{folder}: has no metrics.jsonl, so there are no learning curves; train it again."
        )
    write_faults(data.faults, folder / SKIPPED)
    gallery = hang(run, data)
    collections = run.collections
    groups = collections_of(gallery, collections, run.model)
    if first is None:
        add_averages(groups, page_sums(run, data, tell), run, collections)
    given = {
        "images": images_of(gallery),
        "groups": groups,
        "strips": strip_sheets(gallery, groups, run.model, collections),
    }
    write_tables([gallery.table(collections)], run.file(TABLE))
    pictures = {
        name: save_png(figure, run.file("figures") / f"{name}.png")
        for name, figure in draw(run, data).items()
    }
    own = (run.file(name).name for name in (TABLE, "metrics.json"))
    tables = (*own, "settings.toml", "metrics.jsonl", SKIPPED, "groups.json", FILE)
    path = run.file(REPORT) if first is None else first.page
    beside = folder.relative_to(path.parent)
    text = page(
        run,
        data,
        scores,
        total=first and first.total,
        live=False,
        folder=as_text(folder.name),
        style=Markup((ASSETS / "page.css").read_text("utf-8")),
        scripts=[Markup((ASSETS / name).read_text("utf-8")) for name in SCRIPTS],
        given=embedded(given),
        pictures=pictures,
        tables=[(beside / name).as_posix() for name in tables if (folder / name).exists()],
    )
    write_text(path, text)
    return path


def live_page(run: TrainedRun, data: Splits, scores: Scores) -> str:
    """The explorer's page: the page of the report, but with data from a server."""
    drawn = [path.stem for path in real_folder(run.file("figures")).glob("*.png")]
    pictures = {name: f"/figures/{name}.png" for name in FIGURES if name in drawn}
    return page(
        run,
        data,
        scores,
        live=True,
        folder=as_text(str(run.folder)),
        scripts=LIVE_SCRIPTS,
        pictures=pictures,
        particles=particle_ending(run),
    )


def page(
    run: TrainedRun, data: Splits, scores: Scores, *, total: int | None = None, **given: Any
) -> str:
    """Fill the template of a run's page.

    Args:
        run: the run.
        data: images that the page shows.
        scores: scores of the test split.
        total: number of images of the run; None: all are shown.
        given: what differs between report and explorer.
    """
    shown = len(data.train) + len(data.validation)
    if run.settings.data.split != "all":  # else those for validation stand in for test images
        shown += len(data.test)
    name = run.folder.parent.name if is_first(run) else run.folder.name
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=as_text(name),
            in_pixels=any(one.unit == PIXELS for one in run.coordinates),
            channels=list(zip(run.recipe.names, map(css, run.colours), strict=True)),
            stage=stage_of(run, shown=shown, total=total or shown),
            checkpoint=run.in_words,
            config=run.settings,
            data=data,
            scores=scores,
            read=for_people(scores),
            log=[row for row in read_log(run.folder) if row["split"] == "train"],
            known=data.test.elements is not None,
            parents=parents_of(run.folder),
            version=version("mcevae"),
            settings=run.settings.to_toml(),
            **given,
        )
    )


def css(word: str) -> str:
    """A colour of `base.colours` as pages write it."""
    return "#" + "".join(f"{round(255 * share):02x}" for share in rgb_of(word))


def environment() -> Environment:
    """The Jinja environment that loads the page templates."""
    return Environment(loader=PackageLoader("mcevae", "assets/page"), autoescape=True)
