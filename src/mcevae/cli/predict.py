"""`mcevae predict`: write a table about new images, in one file or in shards."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.progress import Progress

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.base.processes import place
from mcevae.cli.shared import (
    Checkpoint,
    RunFolder,
    SourceText,
    screen,
    tell_faults,
    tell_notes,
)
from mcevae.predicting.shards import Shard

if TYPE_CHECKING:
    from mcevae.predicting.engines import Made


def predict(
    run: RunFolder,
    source: SourceText,
    /,
    *,
    out: Path,
    canonical: Path | None = None,
    part: Literal["all", "train", "test"] = "all",
    shard: str | None = None,
    ray: int | None = None,
    overwrite: bool = False,
    features: str | None = None,
    invert: bool = False,
    force: bool = False,
    cutting: tyro.conf.OmitArgPrefixes[CuttingConfig] = CuttingConfig(),  # noqa: B008
    checkpoint: Checkpoint = "best",
) -> None:
    """Write a table with the cluster, confidence, pose and latents of every image.

    Example: mcevae predict runs/first folder --out table.parquet

    Files are read in the same way as the run's training images. If the command is stopped, give it
    again: it continues where it stopped. Memory use does not grow with the number of images.
    Several processes can share the work, each writing one shard. They need no contact with each
    other, so torchrun, job arrays and Ray all work.

    Args:
        run: Folder that `mcevae fit` made.
        source: A folder of images, a file, a list of files, a table of particles (see `mcevae fit
            --help`), or a built-in set. Images are not moved at random.
        out: Table to write (.parquet or .csv), with one row per image; for a STAR or .cs file of
            particles also a .star or .cs with all of its columns. Files that could not be
            used are listed beside it, in a file that ends in .skipped.csv. To write shards, give a
            folder: each shard becomes a table part-I-of-N.parquet.
        canonical: Folder for two PNG files per image: canonical (what the model draws for it,
            without pose) and upright (the image itself, moved back by its pose). With --channels
            they are TIFFs with all channels, as ImageJ reads them.
        part: Which images to use, if the source has training and test images.
        shard: I/N: write only shard I of N, counted from 0. Default: this process's number under
            torchrun.
        ray: Number of shards to make on a Ray cluster, or with Ray on this machine (needs
            pip install 'mcevae[ray]').
        overwrite: Replace the table if it exists.
        features: A .npy with one row for each image of the source, in its order, for a run that
            was trained with --features. Without it, clusters come from the images alone.
        invert: Exchange dark and light, if the contrast of the images is the reverse of the
            training's.
        force: End with exit code 0 even if nearly all images are unlike those of the training. The
            table is written in any case.
        cutting: Which parts of large images are the images.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: the flags contradict each other, or the run or the images cannot be used.
    """
    from mcevae.predicting.engines import Order, make_here, make_on_ray

    mine = share_of(out, shard, ray)
    order = Order(
        run=run,
        source=source,
        out=out,
        canonical=canonical,
        part=part,
        overwrite=overwrite,
        invert=invert,
        checkpoint=checkpoint,
        features=features,
        cutting=cutting,
    )
    if ray:
        strange = [tell_made(made) for made in make_on_ray(order, ray)]
        end(all(strange) and not force)
        return
    bar = Progress(console=screen, transient=True, disable=place()[0] > 0)
    with bar:
        task = bar.add_task("reading and predicting", total=1.0)

        def tell(done: float, images: int) -> None:
            bar.update(task, completed=done, description=f"{images} images")

        made = make_here(order, mine, tell)
    end(tell_made(made) and not force)


def share_of(out: Path, shard: str | None, ray: int | None) -> Shard | None:
    """The shard that this process makes; None: it makes the whole table.

    Raises:
        UserError: the flags contradict each other.
    """
    rank, count = place()
    if shard is None and count > 1:
        shard = f"{rank}/{count}"
    if ray and shard:
        raise UserError(f"--ray {ray} makes all shards itself; leave out --shard and torchrun.")
    if out.suffix and not (shard or ray):
        return None
    if out.suffix:
        raise UserError(
            f"{out}: shards are written to a folder; give an --out without {out.suffix}."
        )
    return Shard.parse(shard or "0/1")


def end(strange: bool) -> None:
    """End with exit code 1 if nearly all images are unlike those of the training."""
    if strange:
        screen.print(
            "Nearly all images are unlike those of the training, so their clusters and poses mean "
            "nothing; --force ends without this error.",
            highlight=False,
        )
        sys.exit(1)


def tell_made(made: "Made") -> bool:
    """Print which table was written, which files are not in it, and how its images differ.

    Returns:
        Whether nearly all images are unlike those of the training.
    """
    screen.print(made.in_words(), highlight=False)
    tell_notes(made.notes)
    tell_faults(made.faults, made.skipped, made.reckoned)
    tell_notes(made.unlike)
    return made.strange
