"""The figures of section 4 of the paper, drawn from cells that are done."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from mcevae.images.arrays import to_float
from mcevae.pages.figures import fill_grid, image_grid, reconstructions, scatter_tsne
from mcevae.reproduce.cells import splits
from mcevae.reproduce.entries import MODELS
from mcevae.reproduce.grid import PANELS, Cell
from mcevae.reproduce.protocols import PROTOCOLS
from mcevae.reproduce.tables import value
from mcevae.runs.infer import embed, outputs
from mcevae.runs.run import TrainedRun

Results = Sequence[tuple[Cell, dict[str, Any]]]
COLUMNS = 12
"""Images across a grid."""
HIGHEST = 350
"""Nats per image above which curves are cut off."""
MAPPED = 2000
"""Images of a t-SNE map."""
AGREEMENT = {"accuracy": "accuracy", "nmi": "NMI", "ari": "ARI"}


def spread_out(count: int, of: int) -> torch.Tensor:
    """Indices of `count` of `of` images, evenly from first to last."""
    return torch.linspace(0, of - 1, min(count, of)).long()


def figure3(results: Results) -> Figure:
    """Input, reconstruction, ground truth and canonical image, supervised and unsupervised."""
    figure = Figure(figsize=(15, 3.9 * ((len(results) + 1) // 2)), layout="constrained")
    parts = figure.subfigures((len(results) + 1) // 2, 2, squeeze=False).ravel()
    for part, (cell, _) in zip(parts, results, strict=False):
        model = TrainedRun.open(cell.folder).model
        test = splits(cell).test
        few = test.subset(spread_out(COLUMNS, len(test)))
        part.suptitle(f"{cell.title}, {PROTOCOLS[cell.protocol].title}")
        fill_grid(part, reconstructions(model, few.images.pixels, few.upright))
    return figure


def figure4a(results: Results) -> Figure:
    """Training and validation reconstruction by epoch and by second, a colour for each model."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2, sharey=True), ("epoch", "seconds"), strict=True):
        for i, (cell, result) in enumerate(results):
            look = {"color": f"C{i % 10}", "marker": ".ds"[i // 10], "markersize": 4}
            look["markevery"] = 0.1  # of the axes' diagonal: a mark each epoch hides the line
            for split, style in (("train", "-"), ("validation", ":")):
                rows = [r for r in taught(result["curves"]) if r["split"] == split]
                x = [row["seconds"] for row in rows]
                if key == "epoch":  # the last one may have been cut short by the clock
                    x = [min(row["epoch"] + 1, result["epochs"]) for row in rows]
                curve = MODELS[cell.model].curve
                star = f" ({curve})" if curve else ""
                label = cell.title + star if split == "train" else None
                axes.plot(x, [row["reconstruction"] for row in rows], style, label=label, **look)
        axes.set_xscale("log")
        axes.set_xlabel("epoch" if key == "epoch" else "seconds of training")
    figure.axes[0].set_ylabel("reconstruction, nats per image")
    figure.axes[0].set_ylim(top=min(figure.axes[0].get_ylim()[1], HIGHEST))
    figure.suptitle("training (solid) and validation (dotted) images")
    figure.legend(
        *figure.axes[1].get_legend_handles_labels(), loc="outside right upper", frameon=False
    )
    return figure


def taught(curves: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a log from the first epoch that trains a decoder. A warm-up trains only poses."""
    trained = [r["epoch"] for r in curves if r["split"] == "train" and r["reconstruction"] > 0]
    return [row for row in curves if trained and row["epoch"] >= trained[0]]


def figure4b(results: Results) -> Figure:
    """Canonical images of the same inputs by every model."""
    test = splits(results[0][0]).test
    few = test.subset(spread_out(COLUMNS, len(test)))
    rows = [("input x", to_float(few.images.pixels))]
    if few.upright is not None:
        rows.append(("ground truth", to_float(few.upright)))
    for cell, _ in results:
        model = TrainedRun.open(cell.folder).model
        (_, out), *_ = outputs(model, few.images.pixels)
        rows.append((cell.title, out.canonical.cpu()))
    return image_grid(rows)


def figure5(results: Results) -> Figure:
    """t-SNE of the cluster latent, or of the whole code if a model has no cluster latent.

    The scores in the titles are of all scored images. They are those of the model's own clusters,
    if it has any, and those of k-means on the latent that is drawn.
    """
    found = {(cell.model, cell.protocol): (cell, result) for cell, result in results}
    drawn = [panel for panel in PANELS if panel in found]
    rows = (len(drawn) + 1) // 2
    figure = Figure(figsize=(11, 4.6 * rows), layout="constrained")
    letters = dict(zip(PANELS, "abcdefgh", strict=True))
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    for axes, panel in zip(panels, drawn, strict=False):
        cell, result = found[panel]
        model = TrainedRun.open(cell.folder).model
        some = splits(cell).test.subset(slice(MAPPED))
        assert some.images.labels is not None  # the command needs a labelled source
        labels, colours = some.images.labels.unique(return_inverse=True)
        z_c = embed(model, some.images.pixels).z_c
        scatter_tsne(axes, z_c, colours, [str(label) for label in labels.tolist()])
        lines = [f"({letters[panel]}) {cell.title}, {PROTOCOLS[cell.protocol].title}"]
        for prefix, what in (("", "own clusters"), ("kmeans_", "k-means")):
            known = {name: value(result, prefix + key) for key, name in AGREEMENT.items()}
            parts = [f"{name} {score:.2f}" for name, score in known.items() if score is not None]
            lines += [f"{what}: {', '.join(parts)}"] if parts else []
        axes.set_title("\n".join(lines))
        axes.set_xticks([])
        axes.set_yticks([])
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", markerscale=3, frameon=False)
    return figure


FIGURES: dict[str, Callable[[Results], Figure]] = {
    "figure3": figure3,
    "figure4a": figure4a,
    "figure4b": figure4b,
    "figure5": figure5,
}
