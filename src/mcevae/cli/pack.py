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
    from mcevae.images.folder import is_split_archive
    from mcevae.images.packing import write_pack
    from mcevae.images.packs import is_pack
    from mcevae.runs.checkpoint import load_model

    source, config = Path(files.source), DataConfig(**dataclasses.asdict(files))
    if not config.is_file or is_split_archive(source) or is_pack(source):
        raise UserError(f"{source}: has one form already; give files, or a folder of them.")
    if like:
        _, known, state = load_model(like)
        shape = (known.data.size or state["shape"][1], known.data.size or state["shape"][2])
        if shape[0] != shape[1]:
            raise UserError(f"{like}: takes images of {shape[0]} x {shape[1]}, not of one side.")
        config = dataclasses.replace(
            known.data, source=config.source, size=shape[0], labels=config.labels
        )
    with reading() as bar:
        made = write_pack(source, config, out, seed=seed, track=bar.track)
    _, height, width = made.shape
    screen.print(f"{made.count} images of {height} x {width} in {out}", highlight=False)
    tell_faults(made.faults, out / "skipped.csv")
