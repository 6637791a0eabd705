"""`mcevae pack`: copy images into one folder, in one form and in random order."""

import dataclasses
from pathlib import Path

import tyro

from mcevae.base.config import DataConfig, FilesConfig
from mcevae.base.errors import UserError
from mcevae.cli.shared import reading, screen, tell_faults, tell_notes


def pack(
    files: tyro.conf.OmitArgPrefixes[FilesConfig],
    *,
    out: Path,
    like: Path | None = None,
    seed: int = 0,
) -> None:
    """Make a pack: a copy of all images in one form and in random order.

    Example: mcevae pack folder --out packed

    Use a pack if your images do not fit into memory. `mcevae fit packed` loads one part of it (a
    window) at a time. `mcevae predict RUN packed` reads a pack faster than single files. Memory use
    does not grow with the number of images.

    Args:
        files: The images, and how to read them.
        out: Folder to create.
        like: Give the images the same form as those of this run, so that you can predict them
            with it.
        seed: Seed of the random order.

    Raises:
        UserError: the images cannot be read, or the run in `like` takes images that are not square.
    """
    from mcevae.images.packing import write_pack
    from mcevae.images.sources.registry import open_source
    from mcevae.runs.run import TrainedRun

    config = DataConfig(**dataclasses.asdict(files))
    if like:
        known = TrainedRun.open(like, device="cpu")
        _, height, width = known.shape
        if height != width:
            raise UserError(
                f"{like}: takes images of {height} x {width}; packs have square images only."
            )
        labels = {name: getattr(config, name) for name in ("labels", "label_column", "file_column")}
        config = dataclasses.replace(
            known.settings.data,
            source=config.source,
            size=height,
            links=config.links,
            **labels,
            **config.cutting(),
        )
    source = open_source(config.source, config)
    with reading() as bar:
        made = write_pack(source, out, seed=seed, track=bar.track)
    tell_notes(source.notes)
    _, height, width = made.shape
    screen.print(f"Wrote {made.count} images of {height} x {width} to {out}", highlight=False)
    tell_faults(made.faults, out / "skipped.csv", made.reckoned)
