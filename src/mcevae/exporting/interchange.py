"""A run's images, groups and latents in the forms that other programs for looking read.

Embedding Atlas: one Parquet table with pictures inside. TensorBoard: the projector's vectors, words
and sprites. FiftyOne: a folder of pictures with labels.json.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch
from tensorboardX import SummaryWriter

from mcevae.base.files import atomic_folder, write_text
from mcevae.images.arrays import to_float
from mcevae.pages.gallery import Gallery
from mcevae.pages.sheets import png, thumbnails
from mcevae.runs.collections import Curation
from mcevae.runs.infer import write_tables

ATLAS = "images.parquet"


def write_atlas(gallery: Gallery, curation: Curation, folder: Path) -> str:
    """Write images.parquet: a row for each image, its PNG in the column `image`.

    Returns:
        What to do with it.
    """
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    names = gallery.names or [f"{i}.png" for i in range(len(gallery))]
    pictures = [
        {"bytes": png(image), "path": name}
        for image, name in zip(gallery.pixels, names, strict=True)
    ]
    rows = gallery.table(curation).append_column("image", pa.array(pictures, kind))
    path = folder / ATLAS
    write_tables([rows], path)
    return f"embedding-atlas {path} --x map_x --y map_y --image image"


def write_projector(gallery: Gallery, curation: Curation, folder: Path) -> str:
    """Write vectors of z_c and z with words and sprites, as TensorBoard's projector has them.

    Returns:
        What to do with it.
    """
    rows = gallery.table(curation)
    words = [[str(value) for value in row.values()] for row in rows.to_pylist()]
    pictures = to_float(thumbnails(gallery.pixels))
    with SummaryWriter(str(folder)) as writer:
        for tag, vectors in (("z_c", gallery.z_c), ("z", torch.from_numpy(gallery.z))):
            writer.add_embedding(
                vectors,
                metadata=words,
                label_img=pictures,
                tag=tag,
                metadata_header=rows.column_names,
            )
    return f"tensorboard --logdir {folder}"


def write_fiftyone(gallery: Gallery, curation: Curation, folder: Path) -> str:
    """Write data/ID.png and labels.json (a `FiftyOneImageClassificationDataset`).

    An image's label is its group; its pose, scores and place on the map are attributes.

    Returns:
        What to do with it.
    """
    labels = {}
    for image, row in zip(gallery.pixels, gallery.table(curation).to_pylist(), strict=True):
        name = f"{row['id']:07}"
        path = folder / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
        attributes = {key: row[key] for key in row if key not in ("id", "group", "confidence")}
        if "label" in attributes:  # a name that FiftyOne has for the group here
            attributes["known_label"] = attributes.pop("label")
        labels[name] = {
            "label": row["group"],
            "confidence": row["confidence"],
            "attributes": attributes,
        }
    write_text(folder / "labels.json", json.dumps({"classes": None, "labels": labels}) + "\n")
    kind = "fiftyone.types.FiftyOneImageClassificationDataset"
    return f'fiftyone.Dataset.from_dir("{folder}", dataset_type={kind})'


WRITERS: dict[str, Callable[[Gallery, Curation, Path], str]] = {
    "embedding-atlas": write_atlas,
    "tensorboard": write_projector,
    "fiftyone": write_fiftyone,
}


def write_for(program: str, gallery: Gallery, curation: Curation, folder: Path) -> str:
    """Write a run's images for a program; what a stop left half written is not taken for whole.

    Args:
        program: a key of `WRITERS`.
        gallery: the images.
        curation: their groups.
        folder: to make.

    Returns:
        What to do with it.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_folder(folder) as half:
        said = WRITERS[program](gallery, curation, half)
    return said.replace(str(half), str(folder))
