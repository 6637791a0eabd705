"""`mcevae find`: find all things of a run's groups in large frames."""

from pathlib import Path

import tyro

from mcevae.cli.shared import Checkpoint, RunFolder, screen, searching, tell_faults, tell_notes
from mcevae.finding.settings import FindConfig


def find(
    run: RunFolder,
    frames: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    settings: tyro.conf.OmitArgPrefixes[FindConfig] = FindConfig(),  # noqa: B008
    overwrite: bool = False,
    checkpoint: Checkpoint = "best",
) -> None:
    """Find all things of a run's groups in large frames: place, pose, group and probability.

    Example: mcevae find runs/first frames --out finds.parquet

    Frames may have any size and any number of things, which may touch or overlap; they are read
    tile by tile. If the command is stopped, give it again: frames that are finished are kept.

    Args:
        run: Folder that `mcevae fit` made from images that each show one thing.
        frames: A folder of frames, a file (TIFF, PNG, MRC, .npy and so on; a stack has a frame in
            each image), or a list of files.
        out: Table to write (.parquet or .csv), with one row per thing. Files that could not be used
            are listed beside it, in a file that ends in .skipped.csv.
        settings: How things are found.
        overwrite: Replace the table if it exists.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: no frame can be used, or the table cannot be written.
    """
    from mcevae.finding.sources import write_finds
    from mcevae.predicting.predictor import skipped
    from mcevae.runs.infer import check_table_path
    from mcevae.runs.run import TrainedRun

    check_table_path(out)
    opened = TrainedRun.open(run, checkpoint)
    with searching() as (bar, tell):
        made = write_finds(
            opened, frames, out, settings, overwrite=overwrite, track=bar.track, tell=tell
        )
    screen.print(made.in_words(), highlight=False)
    tell_notes(made.notes)
    tell_faults(made.faults, skipped(out))
