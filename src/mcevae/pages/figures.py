"""Draw a run as matplotlib figures. Nothing here opens a window or keeps global state."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure, FigureBase
from sklearn.manifold import TSNE
from torch import Tensor

from mcevae.images.arrays import to_float
from mcevae.images.composites import composite
from mcevae.models.contract import Model
from mcevae.runs.frames import Frames
from mcevae.runs.infer import outputs

TERM_TITLES = {
    "negative_elbo": "negative ELBO",
    "reconstruction": "reconstruction",
    "invariance": "invariance",
    "kl_cluster": "KL of z_c",
    "kl_variation": "KL of z",
    "kl_pose": "KL of tau",
}


def image_grid(rows: Sequence[tuple[str, Tensor]]) -> Figure:
    """Make a figure of rows of images. Each row is a title and images (n, C, H, W)."""
    columns = max(len(images) for _, images in rows)
    figure = Figure(figsize=(1.5 + 0.75 * columns, 0.8 * len(rows)), layout="constrained")
    fill_grid(figure, rows)
    return figure


def fill_grid(figure: FigureBase, rows: Sequence[tuple[str, Tensor]]) -> Any:
    """Draw rows of images, all of one shape, on a figure or a part of one; return its axes."""
    axes = figure.subplots()
    canvas = tiled([images for _, images in rows])
    axes.imshow(canvas.numpy(), interpolation="nearest")
    places = (torch.arange(len(rows)) + 0.5) * len(canvas) / len(rows) - 0.5
    titles = [title for title, _ in rows]
    axes.set_yticks(places.tolist(), titles, fontsize=9, parse_math=False)  # names may have $
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_anchor("E")  # in the middle, long titles would be cut off
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def tiled(rows: Sequence[Tensor]) -> Tensor:
    """Put rows of images on a white ground. One picture of all is drawn ten times as fast as many.

    Args:
        rows: (n, C, H, W) each, from 0 to 1, with one or three channels; n may differ.

    Returns:
        (rows * (H + gap), columns * (W + gap), 3), from 0 to 1.
    """
    columns = max(len(images) for images in rows)
    height, width = rows[0].shape[-2:]
    gap = max(1, round(0.1 * max(height, width)))
    at = gap // 2
    drawn = torch.ones(len(rows), columns, 3, height + gap, width + gap)
    for row, images in zip(drawn, rows, strict=True):
        row[: len(images), :, at : at + height, at : at + width] = images.clamp(0, 1)
    return drawn.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)


def reconstructions(
    model: Model,
    pixels: Tensor,
    upright: Tensor | None,
    frames: Frames | None = None,
    colours: tuple[str, ...] = (),
) -> list[tuple[str, Tensor]]:
    """Rows of figure 3 of the paper: input, reconstruction, ground truth (if known), canonical.

    Args:
        model: model in evaluation mode.
        pixels: (n, C, H, W) uint8; each image gets a column.
        upright: the same images before they were moved, if known.
        frames: of the canonical images; None: those that the model found.
        colours: of the channels; (): images are grey or have colours.
    """
    (x, out), *_ = outputs(model, pixels)  # of a model that takes few at once, only these
    rows = [("input x", x.cpu()), ("reconstruction", out.reconstruction.cpu())]
    if upright is not None:
        rows.append(("ground truth", to_float(upright[: len(x)])))
    canonical = out.canonical if frames is None else frames.canonical(out)
    rows.append(("canonical", canonical.cpu()))
    return [(title, composite(images, colours)) for title, images in rows]


def scatter_tsne(
    axes: Any, z_c: Tensor, colours: Tensor, names: Sequence[str], seed: int = 0
) -> None:
    """Draw figure 5 of the paper, a t-SNE of the cluster latent, without title or legend.

    Args:
        axes: matplotlib axes to draw on.
        z_c: (n, K) cluster latents.
        colours: (n,) integers, each an index into `names`.
        names: labels for a legend.
        seed: seed of t-SNE.
    """
    perplexity = min(30.0, (len(z_c) - 1) / 3)
    where = TSNE(perplexity=perplexity, random_state=seed).fit_transform(z_c.numpy())
    values = colours.numpy()
    for value in np.unique(values):
        chosen = where[values == value]
        axes.scatter(*chosen.T, s=5, color=f"C{value % 10}", label=names[value], linewidths=0)


def curves(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw learning curves from the rows of metrics.jsonl, with a panel for each loss term."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for cell, term in zip(axes, TERM_TITLES, strict=True):
        for split, style in (("train", "-"), ("validation", "--")):
            own = [row for row in rows if row["split"] == split]
            epochs = [row["epoch"] + 1 for row in own]
            cell.plot(epochs, [row[term] for row in own], style, marker=".", label=split)
        cell.set_title(TERM_TITLES[term])
        cell.set_xlabel("epoch")
        cell.set_ylabel("nats per image")
    axes[0].legend(frameon=False)
    return figure
