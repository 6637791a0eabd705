"""Tables of particles (.star, .cs) with what a run found, for RELION, cryoSPARC and cryoDRGN.

The rows are those of the source's own table with all their columns, but for particles that could
not be used. So the programs go on with them as with the results of their own 2-D classification.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from mcevae.base.errors import UserError
from mcevae.base.files import atomic
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.particles.cs import Records
from mcevae.images.placement import Fit
from mcevae.images.sources.contract import Source
from mcevae.images.sources.particles import CS, STAR, ParticleSource
from mcevae.predicting.relion import alignments, elements_of
from mcevae.predicting.star_rows import PixelSizes, StarRows
from mcevae.runs.collections import Collections
from mcevae.runs.infer import PARTICLES

ALIGNED = np.dtype(
    [
        ("alignments2D/class", "<u4"),
        ("alignments2D/class_posterior", "<f4"),
        ("alignments2D/pose", "<f4"),
        ("alignments2D/shift", "<f4", (2,)),
        ("alignments2D/psize_A", "<f4"),
    ]
)
"""Columns of cryoSPARC's 2-D classification."""


class Answer(NamedTuple):
    """What was found for one particle.

    Attributes:
        row: of the source's table, from 0.
        number: of its class, from 1.
        psi: degrees, see `relion`.
        x, y: origin in pixels.
        probability: of its cluster.
    """

    row: int
    number: int
    psi: float
    x: float
    y: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class ParticleTable:
    """Writes the table of a source of particles.

    Attributes:
        source: of the particles.
        group: of the poses.
        shape: (H, W) of the model's images.
        fit: how particles are fitted into them.
        collections: groups that people made, which are the classes then; None: clusters are.
    """

    source: ParticleSource
    group: MatrixGroup
    shape: tuple[int, int]
    fit: Fit
    collections: Collections | None = None

    def answers(self, tables: Iterable[pa.Table], name: str) -> Iterator[Answer]:
        """What was found for each particle, in order.

        Args:
            tables: parts of the table of a prediction.
            name: what remarks call the new table.
        """
        row = 0
        for table in tables:
            rows = []
            for file in table["file"].to_pylist():
                while self.source.particles.name(row) != file:  # those that could not be used
                    row += 1
                rows.append(row)
                row += 1
            yield from self.answers_of(table, rows, name)

    def answers_of(self, table: pa.Table, rows: list[int], name: str) -> Iterator[Answer]:
        """The answers of one part, whose particles are in these rows of the source's table."""
        elements = elements_of(table, self.group).numpy()
        number, count = self.classes(table)
        stacks = [self.source.particles.stack[row] for row in rows]
        psi, origin = np.zeros(len(rows)), np.zeros((len(rows), 2))
        sizes = {stack: self.source.stacks.header(stack).shape[-2:] for stack in set(stacks)}
        for size in set(sizes.values()):
            mine = np.isin(stacks, [stack for stack, own in sizes.items() if own == size])
            found = alignments(elements[mine], (size[0], size[1]), self.shape, self.fit)
            psi[mine], origin[mine] = found.psi, found.origin
            number[mine] += count * found.mirrored
            if found.mirrored.any():
                self.source.reading.of(name).note(
                    "gives mirrored particles classes of their own, whose numbers are larger by "
                    f"{count}"
                )
        cluster = table["cluster"].to_numpy()
        clusters = range(self.clusters(table))
        chances = np.stack([table[f"probability_{k}"].to_numpy() for k in clusters])
        chance = chances[cluster, np.arange(len(cluster))]
        each = zip(
            rows, number.tolist(), psi.tolist(), origin.tolist(), chance.tolist(), strict=True
        )
        for row, own, angle, (x, y), probability in each:
            yield Answer(row, own, angle, x, y, probability)

    @staticmethod
    def clusters(table: pa.Table) -> int:
        """How many clusters a table has probabilities of."""
        return sum(name.startswith("probability_") for name in table.column_names)

    def classes(self, table: pa.Table) -> tuple[np.ndarray, int]:
        """The class of each row, from 1, and how many there are."""
        if self.collections is None:
            return table["cluster"].to_numpy().astype(np.int64) + 1, self.clusters(table)
        names = [entry.name for entry in self.collections.entries]
        numbers = {name: i for i, name in enumerate(names, 1)}
        return np.array([numbers[name] for name in table["group"].to_pylist()]), len(names)

    def write(self, tables: Iterable[pa.Table], count: int, path: Path) -> None:
        """Write the table, atomically.

        Args:
            tables: parts of the table of a prediction; one at a time is in memory.
            count: rows of all of them.
            path: file to write, .star or .cs.

        Raises:
            UserError: it cannot be written, or the source changed meanwhile.
        """
        if {"log_scale", "stretch"} & set(self.group.coordinates):
            self.source.reading.of(path.name).note(
                "has no columns for the scale and strain of poses, which are left out"
            )
        answers = self.answers(tables, path.name)
        with atomic(path) as temporary, temporary.open("wb") as file:
            if path.suffix == STAR:
                self.write_star(answers, file)
            else:
                self.write_cs(answers, count, file)

    def write_star(self, answers: Iterator[Answer], file: BinaryIO) -> None:
        """Write a STAR file."""
        rows, sizes = StarRows(self.source), PixelSizes(self.source)
        rows.write_head(file)
        each = enumerate(rows)
        for found in answers:
            values = next(values for row, values in each if row == found.row)
            pixel = sizes.of(found.row, values)
            new = {
                "_rlnClassNumber": str(found.number),
                "_rlnAnglePsi": f"{found.psi:.6f}",
                "_rlnOriginXAngst": f"{found.x * pixel:.6f}",
                "_rlnOriginYAngst": f"{found.y * pixel:.6f}",
                "_rlnMaxValueProbDistribution": f"{found.probability:.6f}",
                "_rlnOriginX": f"{found.x:.6f}",
                "_rlnOriginY": f"{found.y:.6f}",
                "_rlnAngleRot": "0.000000",
                "_rlnAngleTilt": "0.000000",
            }
            file.write(rows.line(values, new))
        rows.write_tail(file)

    def write_cs(self, answers: Iterator[Answer], count: int, file: BinaryIO) -> None:
        """Write a .cs file."""
        records = Records.of(self.source.path)
        old = {name: records.kind[name] for name in records.kind.names or ()}
        kind = np.dtype([*{**old, **{name: ALIGNED[name] for name in ALIGNED.names or ()}}.items()])
        about = {"descr": kind.descr, "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(file, about)
        first, found = 0, next(answers, None)
        for some in records:
            mine: list[Answer] = []
            while found is not None and found.row < first + len(some):
                mine.append(found)
                found = next(answers, None)
            own = some[[one.row - first for one in mine]]
            new = np.zeros(len(mine), kind)
            for name in old:
                new[name] = own[name]
            new["alignments2D/class"] = [one.number - 1 for one in mine]
            new["alignments2D/class_posterior"] = [one.probability for one in mine]
            new["alignments2D/pose"] = np.radians([one.psi for one in mine])
            new["alignments2D/shift"] = np.array([(one.x, one.y) for one in mine]).reshape(-1, 2)
            new["alignments2D/psize_A"] = own["blob/psize_A"] if "blob/psize_A" in old else 0
            file.write(new.tobytes())
            first += len(some)


def particle_table(
    source: Source,
    out: Path,
    group: MatrixGroup,
    shape: tuple[int, int],
    fit: Fit,
    collections: Collections | None,
) -> ParticleTable | None:
    """What writes a table, None if it is no table of particles.

    Args:
        source: of the images.
        out: path of the table.
        group, shape, fit, collections: as in `ParticleTable`.

    Raises:
        UserError: the source has no such table, or does not say how large pixels are.
    """
    if out.suffix not in PARTICLES:
        return None
    ending = Path(source.name).suffix.lower()
    if not isinstance(source, ParticleSource) or (out.suffix == CS) != (ending == CS):
        stars = "a STAR file, a list of images of stacks, or an MRC stack"
        what = "a .cs file" if out.suffix == CS else stars
        raise UserError(
            f"{out}: is a table of particles of {what}, which {source.name} is "
            "not; give a path that ends in .parquet or .csv."
        )
    if out.suffix == STAR:
        PixelSizes(source).check()
    return ParticleTable(source=source, group=group, shape=shape, fit=fit, collections=collections)
