"""report.html: one self-contained page of a run, readable without a network."""

import base64
import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import torch
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from mcevae import figures
from mcevae.checkpoint import load_model
from mcevae.config import Config
from mcevae.data import Splits
from mcevae.errors import UserError
from mcevae.files import atomic, write_text
from mcevae.infer import embed
from mcevae.metrics import Scores
from mcevae.train import read_log

TSNE_LEAST = 10
"""Fewer images than this make no map."""

TSNE_IMAGES = 2000
"""t-SNE takes minutes beyond a few thousand points, and looks no different."""


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


def draw(run: Path, data: Splits, scores: Scores) -> dict[str, Figure]:
    """All figures of a run on its test images, by name."""
    model, config, _ = load_model(run)
    test = data.test
    few = test.subset(torch.linspace(0, len(test) - 1, min(12, len(test))).long())
    some = test.subset(slice(TSNE_IMAGES))
    found = embed(model, some.images.pixels)
    labels, names = some.images.labels, some.images.label_names
    if labels is None:
        labels, names = found.cluster, None
    values, colours = labels.unique(return_inverse=True)  # labels may be any integers
    shown = [names[value] if names else str(value) for value in values.tolist()]
    title = f"z_c of {len(some)} test images, {config.model.group}"
    if "accuracy" in scores:
        parts = ("accuracy", "nmi", "ari")
        title += "\n" + ", ".join(f"{name} {scores[name].value:.2f}" for name in parts)
    drawn = {
        "reconstructions": figures.image_grid(
            figures.reconstructions(model, few.images.pixels, few.upright)
        ),
        "clusters": figures.clusters(model, some.images.pixels, found),
        "curves": figures.curves(read_log(run)),
    }
    if len(some) >= TSNE_LEAST and found.z_c.shape[1] > 1:
        drawn["tsne"] = figures.tsne(found.z_c, colours, title, shown)
    return drawn


def write_report(run: Path, config: Config, data: Splits, scores: Scores) -> Path:
    """Draw a run's figures and write them with its scores and settings to report.html.

    Args:
        run: folder with best.safetensors and metrics.jsonl.
        config: settings of the run.
        data: the posed images of the run.
        scores: of the test split.

    Returns:
        Path of the page; the figures are beside it under figures/.
    """
    if not read_log(run):
        raise UserError(f"{run}: has no metrics.jsonl to draw learning curves from; train it anew.")
    pictures = {
        name: save_png(figure, run / "figures" / f"{name}.png")
        for name, figure in draw(run, data, scores).items()
    }
    environment = Environment(loader=PackageLoader("mcevae", "assets"), autoescape=True)
    page = environment.get_template("report.html.j2").render(
        run=run.name,
        config=config,
        settings=config.to_toml(),
        data=data,
        scores=scores,
        pictures=pictures,
        log=[row for row in read_log(run) if row["split"] == "train"],
        clusters=int(scores["clusters"].value),
        known=data.test.elements is not None,
    )
    write_text(run / "report.html", page)
    return run / "report.html"
