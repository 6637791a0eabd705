"""Places of things, as programs for micrographs, annotations and films read them.

Pixels are counted from the upper left corner of the frame, whose middle is 0.5, as in the table.
napari and TrackMate count that middle as 0, so half a pixel is taken off for them.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, atomic_folder, write_rows, write_text
from mcevae.exporting.form import Form
from mcevae.finding.places import Places, plain
from mcevae.runs.infer import write_tables

Sizes = Mapping[tuple[str, int], tuple[int, int]]
"""Height and width of each frame, by its file and number."""
MOST_GROUPS = 255
"""ImageJ has a byte for the group of a region."""
NO_ANGLE = -999.0
"""What RELION writes for an angle that nobody knows."""


def write_star(places: Places, out: Path) -> None:
    """Write a STAR file of coordinates for each frame, as RELION's picking jobs do.

    The angle psi turns the thing to its class, so it is the negative rotation. Where no rotation
    is known, it has the number that RELION's manual picking writes.
    """
    labels = ["CoordinateX", "CoordinateY", "ClassNumber", "AutopickFigureOfMerit"]
    columns = [places["x"], places["y"], places.group + 1.0, places["probability"]]
    if places.has("rotation_deg"):
        labels.append("AnglePsi")
        psi = -places["rotation_deg"]
        columns.append(np.where(np.isnan(psi), NO_ANGLE, psi))
    table = np.stack(columns, 1)
    head = [f"# class {i + 1}: {one_line(name)}" for i, name in enumerate(places.groups)]
    head += ["", "data_", "", "loop_"]
    head += [f"_rln{label} #{i + 1}" for i, label in enumerate(labels)]
    for name, rows in places.by_frame():
        lines = [" ".join(f"{value:.6f}" for value in row) for row in table[rows]]
        write_text(out / f"{name}.star", "\n".join([*head, *lines, ""]))


def write_eman(places: Places, out: Path) -> None:
    """Write EMAN's .box for each frame: corner and sides of a square around each thing.

    All squares have the longest side of the table, since EMAN takes boxes of one size.
    """
    boxes = places.boxes
    side = math.ceil(boxes[:, 2:].max()) if len(boxes) else 0
    corners = np.stack([places["x"], places["y"]], 1) - side / 2
    for name, rows in places.by_frame():
        lines = [f"{x:.0f}\t{y:.0f}\t{side}\t{side}" for x, y in corners[rows]]
        write_text(out / f"{name}.box", "\n".join([*lines, ""]))


def write_coco(places: Places, out: Path, sizes: Sizes) -> None:
    """Write COCO's JSON of object detection; probabilities are its scores.

    Raises:
        UserError: the size of a frame is not known.
    """
    images = []
    for i, (file, number) in enumerate(places.frames):
        name = f"{file}#{number}" if number else file
        if (file, number) not in sizes:
            raise UserError(
                f"{places.name}: COCO needs the size of {name}, which is not among the frames; "
                "give --frames the path that `mcevae find` got."
            )
        height, width = sizes[file, number]
        images.append({"id": i, "file_name": name, "height": height, "width": width})
    found = zip(places.frame, places.group, places.boxes, places["probability"], strict=True)
    annotations = [
        {
            "id": i,
            "image_id": int(frame),
            "category_id": int(group),
            "bbox": [round(float(value), 3) for value in box],
            "area": round(float(box[2] * box[3]), 3),
            "iscrowd": 0,
            "score": float(score),
        }
        for i, (frame, group, box, score) in enumerate(found)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(places.groups)]
    known = {"images": images, "annotations": annotations, "categories": categories}
    write_text(out, json.dumps(known, indent=1) + "\n")


def write_imagej(places: Places, out: Path) -> None:
    """Write a .zip of rectangles for ImageJ's ROI Manager for each file, its frames as slices.

    Raises:
        UserError: roifile is not installed.
    """
    try:
        from roifile import ROI_TYPE, ImagejRoi, roiwrite
    except ImportError as error:
        raise UserError("Regions for ImageJ need roifile; pip install 'mcevae[imagej]'.") from error
    boxes = places.boxes
    for file, rows in places.by_file():
        regions = []
        for i in rows:
            left, top, width, height = boxes[i]
            regions.append(
                ImagejRoi(
                    roitype=ROI_TYPE.RECT,
                    left=round(left),
                    top=round(top),
                    right=round(left + width),
                    bottom=round(top + height),
                    name=f"{i:06} {places.groups[places.group[i]]}",
                    position=places.frames[places.frame[i]][1] + 1,
                    group=int(min(places.group[i] + 1, MOST_GROUPS)),
                )
            )
        with atomic(out / f"{plain(file)}.zip") as temporary:
            roiwrite(temporary, regions, mode="w")


def write_napari(places: Places, out: Path) -> None:
    """Write a CSV of a napari layer: tracks if there are any, else points."""
    x, y, time = places["x"] - 0.5, places["y"] - 0.5, places.time()
    if places.has("track"):
        header = ("track_id", "t", "y", "x", "group")
        first = places["track"].astype(np.int64)
    else:
        header = ("index", "axis-0", "axis-1", "axis-2", "group")
        first = np.arange(len(places))
    names = [places.groups[i] for i in places.group]
    columns = (first, time, np.round(y, 4), np.round(x, 4), names)
    write_rows(out, header, ([str(v) for v in row] for row in zip(*columns, strict=True)))


def write_trackmate(places: Places, out: Path) -> None:
    """Write a CSV for TrackMate's importer, with the columns that TrackMate itself writes.

    Without tracks every thing is a track of its own.
    """
    header = ("ID", "TRACK_ID", "FRAME", "POSITION_X", "POSITION_Y", "POSITION_Z", "QUALITY")
    track = places["track"] if places.has("track") else np.arange(len(places))
    columns = (
        np.arange(len(places)),
        np.asarray(track).astype(np.int64),
        places.time(),
        np.round(places["x"] - 0.5, 4),
        np.round(places["y"] - 0.5, 4),
        np.zeros(len(places), np.int64),
        np.round(places["probability"], 6),
        np.round(places.boxes[:, 2:].max(1, initial=0) / 2, 4),
        [places.groups[i] for i in places.group],
    )
    rows = ([str(v) for v in row] for row in zip(*columns, strict=True))
    write_rows(out, (*header, "RADIUS", "NAME"), rows)


def write_corrected(places: Places, out: Path) -> None:
    """Write the table itself, with its corrections, as .parquet or .csv.

    Raises:
        UserError: the path ends in something else.
    """
    write_tables([places.all], out)


def one_line(name: str) -> str:
    """A name without breaks of lines."""
    return " ".join(name.split())


FOLDERS: dict[str, Callable[[Places, Path], None]] = {
    "star": write_star,
    "eman": write_eman,
    "imagej": write_imagej,
}
"""Forms of several files, in a folder."""
FILES: dict[str, Callable[[Places, Path], None]] = {
    "napari": write_napari,
    "trackmate": write_trackmate,
    "table": write_corrected,
}
"""Forms of one file. COCO is one as well."""


def write_marks(places: Places, form: Form, out: Path, sizes: Sizes) -> None:
    """Write places in the form of another program.

    Args:
        places: the places.
        form: of which program.
        out: file, or folder for forms of several files; neither exists.
        sizes: of the frames; for COCO.

    Raises:
        UserError: as for the form, or a file cannot be written.
    """
    if form == "coco":
        write_coco(places, out, sizes)
    elif form in FILES:
        FILES[form](places, out)
    else:
        with atomic_folder(out) as half:
            FOLDERS[form](places, half)
