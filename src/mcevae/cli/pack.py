"""`mcevae pack`: images on disk in one form and in random order."""

import dataclasses
from pathlib import Path

import tyro

from mcevae.base.config import DataConfig, FilesConfig
from mcevae.base.errors import UserError
from mcevae.cli.shared import reading, screen, tell_faults


def pack(
    files: tyro.conf.OmitArgPrefixes[FilesConfig],
    *,
    out: Path,
    like: Path | None = None,
    seed: int = 0,
) -> None:
    """Lay images on disk in one form and in random order, for sources larger than memory.

    Example: mcevae pack folder --out packed

    `mcevae fit packed` then learns from one window of them after another, and `mcevae predict RUN
    packed` reads them quicker than files. Memory does not grow with the number of images.

    Args:
        out: Folder to make.
        like: Run whose images' form these shall have, to predict them with it.
        seed: Seed of the order.
    """
    from mcevae.images.packing import write_pack
    from mcevae.images.sources.registry import open_source
    from mcevae.runs.run import TrainedRun

    config = DataConfig(**dataclasses.asdict(files))
    if like:
        known = TrainedRun.open(like, device="cpu")
        _, height, width = known.shape
        if height != width:
            raise UserError(f"{like}: takes images of {height} x {width}, not of one side.")
        config = dataclasses.replace(
            known.settings.data, source=config.source, size=height, labels=config.labels
        )
    source = open_source(config.source, config)
    with reading() as bar:
        made = write_pack(source, out, seed=seed, track=bar.track)
    _, height, width = made.shape
    screen.print(f"{made.count} images of {height} x {width} in {out}", highlight=False)
    tell_faults(made.faults, out / "skipped.csv")
