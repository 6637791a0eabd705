"""A group of one parameter that no named group is: images slant."""

from pathlib import Path

from mcevae.models.own_group import OwnGroup

SLANT = """
name = "slant"

[[generators]]
coordinate = "slant"
half_width = 0.6
matrix = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
"""


def slant(folder: Path) -> OwnGroup:
    """The group, read from a file that is there no more."""
    path = folder / "slant.toml"
    path.write_text(SLANT)
    group = OwnGroup.read(path)
    path.unlink()
    return group
