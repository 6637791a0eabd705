"""Tables of particles that the explorer writes, as `mcevae predict` does."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from mcevae.base.names import path_of
from mcevae.images.sources.particles import CS, STAR, ParticleSource
from mcevae.predicting.engines import Order, make_here
from mcevae.runs.run import TrainedRun


def particle_ending(run: TrainedRun) -> str | None:
    """The ending of the table of a run's particles, .star or .cs; None: it has no particles."""
    source = run.settings.data.source
    if not ParticleSource.takes(source):
        return None
    return CS if path_of(source).suffix.lower() == CS else STAR


def write_particles(run: TrainedRun, ending: str, file: IO[bytes]) -> None:
    """Write the table of all particles of a run, with the groups as they are now.

    Args:
        run: the run, which is applied to its images again.
        ending: of the table, as `particle_ending` says.
        file: gets the table.

    Raises:
        UserError: the particles cannot be read, or do not say how large their pixels are.
    """
    with TemporaryDirectory() as folder:
        out = Path(folder) / f"particles{ending}"
        order = Order(
            run=run.folder, source=run.settings.data.source, out=out, checkpoint=run.checkpoint
        )
        make_here(order, run=run)
        with out.open("rb") as made:
            shutil.copyfileobj(made, file)
