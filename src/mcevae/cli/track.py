"""`mcevae track`: follow the things of a run's groups through the frames of a film."""

from pathlib import Path

import tyro

from mcevae.cli.shared import Checkpoint, RunFolder, screen, searching, tell_faults, tell_notes
from mcevae.finding.settings import FindConfig
from mcevae.tracking.settings import TrackConfig


def track(
    run: RunFolder,
    film: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    settings: tyro.conf.OmitArgPrefixes[TrackConfig] = TrackConfig(),  # noqa: B008
    finding: tyro.conf.OmitArgPrefixes[FindConfig] = FindConfig(),  # noqa: B008
    overwrite: bool = False,
    checkpoint: Checkpoint = "best",
) -> None:
    """Follow all things of a run's groups through a film: tracks with group, pose and velocity.

    Example: mcevae track runs/first film.tif --out tracks.parquet

    The things of each frame are found as by `mcevae find`, and linked by place, pose and group.
    Gaps are bridged, and one group is decided for each track by all its frames. If the command is
    stopped, give it again: frames that are finished are kept. The finds are kept beside the table
    (in a file that ends in .finds.parquet), so other links of the same film take seconds. Needs
    pip install 'mcevae[track]'.

    Args:
        run: Folder that `mcevae fit` made from images that each show one thing.
        film: Frames in the order of time: a stack (TIFF, MRC, .npy and so on), a folder of frames,
            in the order of their names, or a list of files.
        out: Table to write (.parquet or .csv), with one row for each frame of each track. Files
            that could not be used are listed beside it, in a file that ends in .skipped.csv.
        settings: How finds are linked.
        finding: How things are found in each frame.
        overwrite: Replace the table if it exists.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: no frame can be used, the table cannot be written, or laptrack is not installed.
    """
    from mcevae.predicting.predictor import skipped
    from mcevae.runs.infer import check_table_path
    from mcevae.runs.run import TrainedRun
    from mcevae.tracking.sources import write_tracks

    check_table_path(out)
    opened = TrainedRun.open(run, checkpoint)
    with searching() as (bar, tell):
        made = write_tracks(
            opened, film, out, settings, finding, overwrite=overwrite, track=bar.track, tell=tell
        )
    screen.print(made.in_words(), highlight=False)
    tell_notes(made.notes)
    tell_faults(made.faults, skipped(out))
