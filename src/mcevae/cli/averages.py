"""`mcevae averages`: the average of each group at full resolution."""

from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from mcevae.base.cutting import CuttingConfig
from mcevae.cli.shared import Checkpoint, RunFolder, averaging, screen, tell_faults


def averages(
    run: RunFolder,
    source: tyro.conf.Positional[str | None] = None,
    /,
    *,
    out: Path,
    part: Literal["all", "train", "test"] = "all",
    overwrite: bool = False,
    cutting: tyro.conf.OmitArgPrefixes[CuttingConfig] = CuttingConfig(),  # noqa: B008
    checkpoint: Checkpoint = "best",
) -> None:
    """Average the images of each group at full resolution, each moved back by its pose.

    Example: mcevae averages runs/first --out averages.tif

    The files are read once, in their own size and colours, not in the small copies that the model
    sees. Every other image of a group goes to a second half. How far both halves agree (Fourier
    ring correlation) says how fine a detail can be trusted. Memory use does not grow with the
    number of images.

    Args:
        run: Folder that `mcevae fit` made.
        source: A folder of images, a file, a list of files, or a built-in set. Default: all images
            that the run was made from. If mcevae moved those at random, the moved ones are used.
        out: A stack (.mrcs, .tif or .npy), with intensities as they are; the halves and two tables
            are written beside it. Or a folder for PNG files, halves and tables. In a stack, all
            averages have the median size of the images; in a folder, each has that of its group.
        part: Which images to use, if the source has training and test images.
        overwrite: Replace files that exist. Other files in a folder stay.
        cutting: Which parts of large images in SOURCE are the images.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: the run or the images cannot be used, or the files cannot be written.
    """
    from mcevae.images.readers.frames import write_faults
    from mcevae.predicting.average_files import check_out, skipped_by, write_averages
    from mcevae.predicting.kept_sums import averages_for
    from mcevae.predicting.stacks import is_stack
    from mcevae.runs.run import TrainedRun

    check_out(out, overwrite=overwrite)
    opened = TrainedRun.open(run, checkpoint)
    with averaging() as tell:
        made, sums = averages_for(
            opened, source, part=part, one_size=is_stack(out), tell=tell, cutting=cutting
        )
    shown = Table(title=f"{run}: averages, {opened.in_words}")
    for column in ("group", "images", "pixels", "halves agree down to", "surely to"):
        shown.add_column(column, justify="left" if column == "group" else "right")
    for one in made:
        height, width = one.picture.shape[:2]
        details = ("-" if value is None else f"{value:.1f} px" for value in one.resolutions)
        shown.add_row(one.name, str(one.images), f"{width} x {height}", *details)
    screen.print(shown)
    written = write_averages(made, out, opened.colours)
    screen.print(f"Wrote {', '.join(map(str, written))}", highlight=False)
    if sums.shrunk > 1:
        screen.print(f"They are {sums.shrunk:.2g} times smaller than the images, to save memory.")
    write_faults(sums.faults, skipped_by(out))
    tell_faults(sums.faults, skipped_by(out), sums.reckoned)
