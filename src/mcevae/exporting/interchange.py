"""Write a run's images, groups and latents for other programs that show images.

Embedding Atlas reads one Parquet table with pictures inside. TensorBoard's projector reads vectors,
metadata and sprites. FiftyOne reads a folder of pictures with labels.json.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tensorboardX import SummaryWriter

from mcevae.base.files import atomic_folder, write_text
from mcevae.images.arrays import to_float
from mcevae.pages.gallery import Gallery
from mcevae.pages.sheets import png, thumbnails
from mcevae.runs.collections import Collections
from mcevae.runs.infer import write_tables

ATLAS = "images.parquet"


def write_atlas(gallery: Gallery, collections: Collections, folder: Path) -> str:
    """Write images.parquet: a row for each image, with its PNG in the column `image`.

    Returns:
        The command that shows the images.
    """
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    names = gallery.names or [f"{i}.png" for i in range(len(gallery))]
    pictures = [
        {"bytes": png(image), "path": name}
        for image, name in zip(gallery.pictures, names, strict=True)
    ]
    rows = gallery.table(collections).append_column("image", pa.array(pictures, kind))
    path = folder / ATLAS
    write_tables([rows], path)
    return f"embedding-atlas {path} --x map_x --y map_y --image image"


def write_projector(gallery: Gallery, collections: Collections, folder: Path) -> str:
    """Write vectors of z_c and z with metadata and sprites for TensorBoard's projector.

    Returns:
        The command that shows the images.
    """
    rows = gallery.table(collections)
    words = [[str(value) for value in row.values()] for row in rows.to_pylist()]
    pictures = to_float(thumbnails(gallery.pictures))
    # Its sprite has rows that tensorboardX never fills, and their chance numbers may overflow.
    with SummaryWriter(str(folder)) as writer, np.errstate(all="ignore"):
        for tag, vectors in (("z_c", gallery.z_c), ("z", torch.from_numpy(gallery.z))):
            writer.add_embedding(
                vectors,
                metadata=words,
                label_img=pictures,
                tag=tag,
                metadata_header=rows.column_names,
            )
    return f"tensorboard --logdir {folder}"


def write_fiftyone(gallery: Gallery, collections: Collections, folder: Path) -> str:
    """Write data/ID.png and labels.json (a `FiftyOneImageClassificationDataset`).

    The label of an image is its group. Its pose, scores and place on the map are attributes.

    Returns:
        The Python call that opens the images.
    """
    labels = {}
    for image, row in zip(gallery.pictures, gallery.table(collections).to_pylist(), strict=True):
        name = f"{row['id']:07}"
        path = folder / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
        attributes = {key: row[key] for key in row if key not in ("id", "group", "confidence")}
        if "label" in attributes:  # FiftyOne uses this name for the group
            attributes["known_label"] = attributes.pop("label")
        labels[name] = {
            "label": row["group"],
            "confidence": row["confidence"],
            "attributes": attributes,
        }
    write_text(folder / "labels.json", json.dumps({"classes": None, "labels": labels}) + "\n")
    kind = "fiftyone.types.FiftyOneImageClassificationDataset"
    return f'fiftyone.Dataset.from_dir("{folder}", dataset_type={kind})'


WRITERS: dict[str, Callable[[Gallery, Collections, Path], str]] = {
    "embedding-atlas": write_atlas,
    "tensorboard": write_projector,
    "fiftyone": write_fiftyone,
}


def write_for(program: str, gallery: Gallery, collections: Collections, folder: Path) -> str:
    """Write a run's images for another program. If writing is interrupted, no folder is left.

    Args:
        program: a key of `WRITERS`.
        gallery: the images.
        collections: groups of the images.
        folder: folder to create.

    Returns:
        The command that shows the images.

    Raises:
        UserError: the folder cannot be written.
    """
    with atomic_folder(folder) as half:
        said = WRITERS[program](gallery, collections, half)
    return said.replace(str(half), str(folder))
