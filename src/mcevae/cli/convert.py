"""`mcevae convert`: tables of places for other programs."""

from pathlib import Path

import tyro

from mcevae.base.errors import UserError
from mcevae.cli.shared import screen
from mcevae.exporting.form import Form


def convert(
    table: tyro.conf.Positional[Path],
    /,
    *,
    to: Form,
    out: Path,
    frames: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table of `mcevae find`, `track` or `fit --scenes` as other programs read places.

    Example: mcevae convert finds.parquet --to star --out picks

    star: coordinates for RELION, a file for each frame. eman: .box files, one for each frame. coco:
    JSON of object detection. imagej: a .zip of regions for each file. napari: a CSV of points, or
    of tracks. trackmate: a CSV for TrackMate's importer. table: the table itself. What people
    corrected on the page of `mcevae serve --finds` is corrected in all of them.

    Args:
        table: The table, .parquet or .csv.
        to: The form.
        out: File to write; a folder for star, eman and imagej.
        frames: The frames that the table is of. COCO needs their sizes.
        overwrite: Replace a file that exists.

    Raises:
        UserError: the table cannot be read, or OUT exists or cannot be written.
    """
    from mcevae.exporting.marks import FOLDERS, write_marks
    from mcevae.finding.places import Places
    from mcevae.finding.sources import sizes_of

    if out.resolve() == table.resolve():
        raise UserError(f"{out}: is the table that is converted; choose another --out.")
    places = Places.read(table)
    if out.is_dir() and (to not in FOLDERS or any(out.iterdir())):
        raise UserError(f"{out}: is a folder with files in it; choose another --out.")
    if out.exists() and not out.is_dir() and (to in FOLDERS or not overwrite):
        remedy = "" if to in FOLDERS else ", or add --overwrite"
        raise UserError(f"{out}: already exists; choose another --out{remedy}.")
    write_marks(places, to, out, sizes_of(frames) if frames else {})
    things = "1 thing" if len(places) == 1 else f"{len(places):,} things"
    screen.print(f"{things} in {len(places.frames):,} frames: {out}", highlight=False)
