"""The forms of tables of places, by name; the command line needs no more to begin."""

from typing import Literal

Form = Literal["star", "eman", "coco", "imagej", "napari", "trackmate", "table"]
