"""report.html: one self-contained page of a run, readable without a network."""

import base64
import json
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, write_text
from mcevae.images.datasets import Splits
from mcevae.models.config import Config
from mcevae.models.registry import Model
from mcevae.pages import figures
from mcevae.pages.gallery import groups_of, hang, images_of, strip_sheets
from mcevae.runs.collections import Curation
from mcevae.runs.confidence import Calibration
from mcevae.runs.infer import write_tables
from mcevae.runs.metrics import Scores
from mcevae.training.log import read_log

ASSETS = files("mcevae") / "assets" / "page"
SCRIPTS = ("store.js", "plots.js", "detail.js", "groups.js", "map.js", "report.js")
"""In the order in which they are loaded."""
LIVE_SCRIPTS = (*SCRIPTS[:-1], "live.js")
"""Those of the explorer's page, which asks a server."""
FIGURES = ("reconstructions", "curves")
TABLE = "images.parquet"
COLUMNS_SHOWN = 12
"""Images of the figure of reconstructions."""


def write_scores(scores: Scores, path: Path, **about: object) -> None:
    """Write scores, each with unit and n, and what they are of, to a JSON file."""
    content = {**about, "scores": {name: asdict(score) for name, score in scores.items()}}
    write_text(path, json.dumps(content, indent=2) + "\n")


def save_png(figure: Figure, path: Path) -> str:
    """Write a figure as PNG and return it as a data URI."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def draw(run: Path, model: Model, data: Splits) -> dict[str, Figure]:
    """The figures of a run on its test images, by name."""
    count = min(COLUMNS_SHOWN, len(data.test))
    few = data.test.subset(torch.linspace(0, len(data.test) - 1, count).long())
    rows = figures.reconstructions(model, few.images.pixels, few.upright)
    return {
        "reconstructions": figures.image_grid(rows),
        "curves": figures.curves(read_log(run)),
    }


def embedded(content: Any) -> Markup:
    """JSON that can lie in a script element: nothing in it ends the element."""
    text = json.dumps(content, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def write_report(
    run: Path, model: Model, config: Config, data: Splits, scores: Scores, calibration: Calibration
) -> Path:
    """Write report.html, the table of its images and its figures.

    Args:
        run: folder with metrics.jsonl.
        model: of the run, in evaluation mode.
        config: settings of the run.
        data: the posed images of the run.
        scores: of the test split.
        calibration: of confidence and outlier score.

    Returns:
        Path of the page; the figures are beside it under figures/.
    """
    if not read_log(run):
        raise UserError(f"{run}: has no metrics.jsonl to draw learning curves from; train it anew.")
    gallery = hang(model, config, data, calibration)
    curation = Curation.read(run, gallery.clusters)
    groups = groups_of(gallery, curation, model)
    given = {
        "images": images_of(gallery),
        "groups": groups,
        "strips": strip_sheets(gallery, groups, model),
    }
    write_tables([gallery.table(curation)], run / TABLE)
    pictures = {
        name: save_png(figure, run / "figures" / f"{name}.png")
        for name, figure in draw(run, model, data).items()
    }
    tables = (TABLE, "metrics.json", "settings.toml", "metrics.jsonl", "skipped.csv", "groups.json")
    text = page(
        run,
        config,
        data,
        scores,
        live=False,
        style=Markup((ASSETS / "page.css").read_text("utf-8")),
        scripts=[Markup((ASSETS / name).read_text("utf-8")) for name in SCRIPTS],
        given=embedded(given),
        pictures=pictures,
        tables=[name for name in tables if (run / name).exists()],
    )
    write_text(run / "report.html", text)
    return run / "report.html"


def live_page(run: Path, config: Config, data: Splits, scores: Scores) -> str:
    """The explorer's page: the report's, which asks a server for what it shows."""
    drawn = [path.stem for path in (run / "figures").glob("*.png")]
    pictures = {name: f"/figures/{name}.png" for name in FIGURES if name in drawn}
    return page(run, config, data, scores, live=True, scripts=LIVE_SCRIPTS, pictures=pictures)


def page(run: Path, config: Config, data: Splits, scores: Scores, **given: Any) -> str:
    """A run's page; `given` is what the report's and the explorer's do not share."""
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run.name,
            config=config,
            data=data,
            scores=scores,
            log=[row for row in read_log(run) if row["split"] == "train"],
            known=data.test.elements is not None,
            version=version("mcevae"),
            settings=config.to_toml(),
            **given,
        )
    )


def environment() -> Environment:
    """Where the templates of pages are."""
    return Environment(loader=PackageLoader("mcevae", "assets/page"), autoescape=True)
