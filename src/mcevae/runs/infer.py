"""Run a trained model on many images, and write what it finds as a table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from pyarrow import csv, parquet
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, in_cell
from mcevae.base.names import in_utf8
from mcevae.geometry.groups import MatrixGroup, mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.contract import Model, Output
from mcevae.runs.coordinates import Originals, human

Track = Callable[[Iterator[tuple[Tensor, Output]]], Iterable[tuple[Tensor, Output]]]


def default_device() -> torch.device:
    """The best device of this machine: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def outputs(
    model: Model, pixels: Tensor, evidence: Float[Tensor, "N K"] | None = None
) -> Iterator[tuple[Tensor, Output]]:
    """Yield batches of images (B, C, H, W), from 0 to 1, with the model's outputs for them.

    Latents are posterior means, so that the same images always give the same outputs. A batch has
    `Model.at_once` images.

    Args:
        model: model in evaluation mode.
        pixels: (N, C, H, W) uint8.
        evidence: what features say about the clusters, see `evidence`. None: nothing.
    """
    device = next(model.parameters()).device
    for start in range(0, len(pixels), model.at_once):
        rows = slice(start, start + model.at_once)
        x = to_float(pixels[rows].to(device))
        more = {} if evidence is None else {"evidence": evidence[rows].to(device)}
        with torch.inference_mode():
            out = model(x, sample=False, **more)
        yield x, out


def in_another_pose(
    x: Float[Tensor, "B C H W"],
    element: Float[Tensor, "B 3 3"],
    group: MatrixGroup,
    support: Sequence[float],
    background: float,
    generator: torch.Generator,
) -> Float[Tensor, "B C H W"]:
    """Move images back by their poses, then by random poses inside the support.

    Args:
        x: images, from 0 to 1.
        element: their poses.
        group: of the poses.
        support: half-widths of its parameters.
        background: value that moves in, from 0 to 1.
        generator: draws the poses.
    """
    target = group.sample((len(x),), tuple(support), generator=generator).to(x.device)
    return warp(x, group.compose(target, group.inverse(element)), background=background)


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Latents of N images at the posterior mean, on the CPU.

    Attributes:
        responsibilities: (N, K), rows sum to 1.
        z_c: (N, K), cluster latent.
        z: (N, V), variation.
        tau: (N, T), pose in the Lie algebra, units as `group.units`.
        element: (N, 3, 3), exp(tau), after a mirror image where `mirrored`.
        canonical: (N, C, H, W), values from 0 to 1.
    """

    responsibilities: Tensor
    z_c: Tensor
    z: Tensor
    tau: Tensor
    element: Tensor
    canonical: Tensor

    @property
    def cluster(self) -> Tensor:
        """(N,) the most probable cluster of each image."""
        return self.responsibilities.argmax(-1)

    @property
    def mirrored(self) -> Tensor:
        """(N,) whether each pose has a mirror image."""
        return mirrored(self.element)


def embed(
    model: Model,
    pixels: Tensor,
    track: Track = iter,
    evidence: Float[Tensor, "N K"] | None = None,
) -> Embedding:
    """Compute latents and canonical images of (N, C, H, W) uint8 images.

    Args:
        model: model in evaluation mode.
        pixels: (N, C, H, W) uint8.
        track: wraps the batches, for example to show a progress bar.
        evidence: what features say about the clusters; None: nothing.
    """
    return joined([taken(out) for _, out in track(outputs(model, pixels, evidence))])


def taken(out: Output) -> Embedding:
    """The parts of a model's output that an embedding keeps, on the CPU."""
    return Embedding(**{one.name: getattr(out, one.name).cpu() for one in fields(Embedding)})


def latent_sizes(model: Model, shape: tuple[int, int, int]) -> dict[str, int]:
    """The lengths of a model's responsibilities, z_c, tau and z, by name.

    Args:
        model: model in evaluation mode.
        shape: (C, H, W) of the model's images.
    """
    blank = embed(model, torch.zeros(1, *shape, dtype=torch.uint8))
    names = ("responsibilities", "z_c", "tau", "z")
    return {name: getattr(blank, name).shape[1] for name in names}


def joined(parts: Sequence[Embedding]) -> Embedding:
    """Join embeddings of several batches into one."""
    names = [one.name for one in fields(Embedding)]
    return Embedding(**{name: torch.cat([getattr(one, name) for one in parts]) for name in names})


def table(
    embedding: Embedding, group: MatrixGroup, originals: Originals, first: int = 0
) -> pa.Table:
    """Make a table with one row per image.

    Columns: id (place in the source, from 0), cluster, probability_K for each cluster, the pose in
    units that people know (rotation_deg, shift_x_px, ...; shifts say where the image's centre
    lands, in pixels of the image as it lies in its file), tau in the Lie algebra (tau_rotation_rad,
    tau_shift_x_side, ...), mirrored if the group has reflections, and z_V.

    Args:
        embedding: latents of the images.
        group: Lie group of the poses.
        originals: the images as they lie in their files.
        first: id of the first image.
    """
    columns: dict[str, np.ndarray] = {
        "id": first + np.arange(len(embedding.tau)),
        "cluster": embedding.cluster.numpy().astype(np.int32),
    }
    for k, values in enumerate(embedding.responsibilities.T.numpy()):
        columns[f"probability_{k}"] = values
    values = originals.read(group.to_parameters(embedding.element), group)
    for i, (name, unit) in enumerate(zip(group.coordinates, group.units, strict=True)):
        columns[f"{name}_{human(unit, originals.shape)[0]}"] = values[:, i]
        columns[f"tau_{name}_{unit}"] = embedding.tau[:, i].numpy()
    if group.mirrors:
        columns["mirrored"] = embedding.mirrored.numpy()
    for v, values in enumerate(embedding.z.T.numpy()):
        columns[f"z_{v}"] = values
    return pa.table(columns)


PARTICLES = (".star", ".cs")
"""Endings of tables of particles, which `predicting.particle_tables` writes."""
TABLE_WRITERS = {".parquet": parquet.ParquetWriter, ".csv": csv.CSVWriter}


def check_table_path(path: Path, *, particles: bool = False) -> None:
    """Check that a table of this kind can be written, before any work is done.

    Args:
        path: of the table.
        particles: whether it may also be one of particles.

    Raises:
        UserError: the path ends neither in .parquet nor in .csv.
    """
    if path.suffix not in (*TABLE_WRITERS, *(PARTICLES if particles else ())):
        more = " (or for particles in .star or .cs)" if particles else ""
        raise UserError(f"{path}: is not a table; give a path that ends in .parquet or .csv{more}.")


def for_csv(rows: pa.Table) -> pa.Table:
    """The same table with text as spreadsheets can open it safely, see `in_cell`."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            cells = [text if text is None else in_cell(text) for text in rows[i].to_pylist()]
            rows = rows.set_column(i, field, pa.array(cells, pa.string()))
    return rows


def write_tables(parts: Iterable[pa.Table], path: Path) -> None:
    """Join tables with the same columns and write them to one file, atomically.

    Args:
        parts: one table or more; only one at a time is in memory.
        path: file to write, .parquet or .csv.

    Raises:
        UserError: the path ends in something else, or the file cannot be written.
    """
    check_table_path(path)
    rest = iter(parts)
    one = next(rest)
    with (
        atomic(path) as temporary,
        in_utf8(temporary, write=True) as known,
        TABLE_WRITERS[path.suffix](known, one.schema) as writer,
    ):
        for each in chain((one,), rest):
            writer.write_table(each if path.suffix != ".csv" else for_csv(each))
