"""`mcevae predict`: a table of new images, whole or in shards."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.progress import Progress

from mcevae.base.errors import UserError
from mcevae.base.processes import place
from mcevae.cli.shared import Run, screen, tell_faults
from mcevae.predicting.shards import Shard

if TYPE_CHECKING:
    from mcevae.predicting.engines import Made


def predict(
    run: Run,
    source: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    canonical: Path | None = None,
    part: Literal["all", "train", "test"] = "all",
    shard: str | None = None,
    ray: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table with cluster, confidence, pose and latents of every image.

    Example: mcevae predict runs/first folder --out table.parquet

    Files are read as those that the run was trained on. A stopped command goes on where it was when
    it is given again; memory does not grow with the number of images. Several processes write a
    shard of the images each, and need not know of each other: torchrun, job arrays, Ray.

    Args:
        run: Folder that `mcevae fit` made.
        source: Folder of images, a file or a list of some (see `mcevae fit --help`), or a built-in
            set. Images are taken as they lie.
        out: Table to write, .parquet or .csv; one row per image. Files that could not be used are
            named in a .skipped.csv beside it. Or a folder for shards, each a table
            part-I-of-N.parquet.
        canonical: Folder for PNGs of every image: canonical (what the model draws of it, free of
            pose) and upright (the image itself, moved back by its pose).
        part: Which images of a source that has training and test images.
        shard: I/N: only the I-th of N shards, from 0. Unset: as torchrun numbers this process.
        ray: Have a Ray cluster (or this machine) make so many shards: pip install 'mcevae[ray]'.
        overwrite: Replace the table if it exists.
    """
    from mcevae.predicting.engines import Order, make_here, make_on_ray

    rank, count = place()
    if shard is None and count > 1:
        shard = f"{rank}/{count}"
    if ray and shard:
        raise UserError(f"--ray {ray} makes all shards; leave out --shard and torchrun.")
    whole = out.suffix != "" and not (shard or ray)
    if out.suffix and not whole:
        raise UserError(f"{out}: shards go into a folder; give an --out without {out.suffix}.")
    order = Order(
        run=run, source=source, out=out, canonical=canonical, part=part, overwrite=overwrite
    )
    if ray:
        for made in make_on_ray(order, ray):
            tell_made(made)
        return
    mine = None if whole else Shard.parse(shard or "0/1")
    bar = Progress(console=screen, transient=True, disable=rank > 0)
    with bar:
        task = bar.add_task("reading and predicting", total=1.0)

        def tell(done: float, images: int) -> None:
            bar.update(task, completed=done, description=f"{images} images")

        made = make_here(order, mine, tell)
    tell_made(made)


def tell_made(made: "Made") -> None:
    """Say what table there is, and what is not in it."""
    screen.print(made.in_words(), highlight=False)
    tell_faults(made.faults, made.skipped)
