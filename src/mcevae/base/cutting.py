"""Settings that say which parts of large images are the images."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from mcevae.base.errors import SettingError
from mcevae.base.names import as_setting

LARGEST_BOX = 10_000
"""Pixels of a side of a box, at most."""


@dataclass(frozen=True, kw_only=True)
class CuttingConfig:
    """Which parts of large images are the images. Without boxes and objects, whole ones are."""

    boxes: str | None = None
    """Cut crops from the images of the source, as this table names them: a row for each crop, with
    file, x, y, and width and height, or size (CSV or TSV); a STAR file of coordinates; an EMAN .box
    file; or a folder of such tables, each with the name of its image."""
    box_size: int | None = None
    """Side of all crops in pixels: around the middle of each box, or around each point of a table
    without sizes. For --objects: of all crops, in place of the side of the largest object."""
    box_at: Literal["auto", "corner", "centre"] = "auto"
    """What x and y of --boxes are. corner: the left and upper end of the box. centre: its middle.
    auto: centre in STAR files, in tables without sizes and if the column says so (x_center); else
    corner."""
    objects: str | None = None
    """Cut a crop for each object of the source's images: a folder of label images with the same
    names (endings may differ), or the label image of a single image. Numbers above 0 are objects.
    What is outside the object becomes background."""
    border_objects: Literal["keep", "drop"] = "keep"
    """What to do with objects of --objects that touch the border of their image. They are counted
    in any case."""

    def __post_init__(self) -> None:
        for name in ("boxes", "objects"):  # as text, to be written and shown
            if value := getattr(self, name):
                object.__setattr__(self, name, as_setting(value))
        if self.boxes and self.objects:
            raise SettingError("--boxes and --objects both say where to cut; leave out one of them")
        if self.box_size is not None and not 4 <= self.box_size <= LARGEST_BOX:
            raise SettingError(f"--box_size is {self.box_size}; use 4 to {LARGEST_BOX}")
        if self.box_size is not None and not (self.boxes or self.objects):
            raise SettingError("--box_size is of crops; give --boxes or --objects")
        if self.box_at != "auto" and not self.boxes:
            raise SettingError("--box_at is of a table of boxes; give it with --boxes")
        if self.border_objects != "keep" and not self.objects:
            raise SettingError("--border_objects is of label images; give them with --objects")

    def cutting(self) -> dict[str, Any]:
        """The settings of this class alone."""
        return {one.name: getattr(self, one.name) for one in fields(CuttingConfig)}

    @property
    def cuts(self) -> bool:
        """Whether crops are cut."""
        return bool(self.boxes or self.objects)
