"""Draw a run as matplotlib figures. Nothing here opens a window or keeps global state."""

from collections.abc import Sequence
from typing import Any

import numpy as np
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


def show(axes: Any, image: Tensor) -> None:
    """Draw one image (C, H, W), from 0 to 1, without ticks."""
    pixels = image.permute(1, 2, 0).clamp(0, 1).numpy()
    grey = pixels.shape[-1] == 1
    axes.imshow(pixels[..., 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def image_grid(rows: Sequence[tuple[str, Tensor]]) -> Figure:
    """Make a figure of rows of images. Each row is a title and images (n, C, H, W)."""
    columns = max(len(images) for _, images in rows)
    figure = Figure(figsize=(1.5 + 0.75 * columns, 0.8 * len(rows)), layout="constrained")
    fill_grid(figure, rows)
    return figure


def fill_grid(figure: FigureBase, rows: Sequence[tuple[str, Tensor]]) -> None:
    """Draw rows of images on a figure or a part of one."""
    columns = max(len(images) for _, images in rows)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (title, images) in zip(axes, rows, strict=True):
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
        for cell in row[len(images) :]:
            cell.set_visible(False)
        for cell, image in zip(row, images, strict=False):
            show(cell, image)


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
