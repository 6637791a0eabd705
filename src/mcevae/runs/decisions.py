"""Decisions: what people said about single images of a run, kept in groups.json with its groups.

Images are known by their names in the run's source, as in the column file of tables.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcevae.runs.units import check_name

MOST_TAGS = 32
"""Of one image."""
MOST_SELECTIONS = 1000
"""With names."""
LONGEST = 4096
"""Characters of an image's name."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What people said about one image.

    Attributes:
        unit: it belongs to the group that has this unit. None: to the group of its cluster.
        junk: whether it is junk. None: as its group.
        tags: words for it, sorted.
    """

    unit: str | None = None
    junk: bool | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tags) > MOST_TAGS or list(self.tags) != sorted(set(self.tags)):
            raise ValueError(f"an image has up to {MOST_TAGS} different tags, sorted")
        for tag in self.tags:
            check_name(tag)
            if ";" in tag:
                raise ValueError(f"tag {tag} has a semicolon, which separates tags in tables")


NOTHING = Mark()


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What people said about the images of a run. Each change returns new decisions.

    Attributes:
        marks: by the name of the image; of others nothing was said.
        selections: names of images, sorted, by the name of the selection.
    """

    marks: Mapping[str, Mark] = field(default_factory=dict)
    selections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.selections) > MOST_SELECTIONS:
            raise ValueError(f"there are more than {MOST_SELECTIONS} selections; drop some")
        for name in self.selections:
            check_name(name)
        known = [*self.marks, *(one for some in self.selections.values() for one in some)]
        if any(not name or len(name) > LONGEST for name in known):
            raise ValueError(f"names of images have 1 to {LONGEST} characters")

    def moved(self, images: Iterable[str], unit: str | None) -> "Decisions":
        """Move images to the group that has this unit. None: back to the group of their cluster."""
        return self._marked({one: replace(self.of(one), unit=unit) for one in images})

    def judged(self, images: Iterable[str], junk: bool | None) -> "Decisions":
        """Say that images are junk, or kept. None: as their group."""
        return self._marked({one: replace(self.of(one), junk=junk) for one in images})

    def tagged(self, images: Iterable[str], tag: str, on: bool = True) -> "Decisions":
        """Give images a tag, or take it away.

        Raises:
            ValueError: the tag is not allowed, or an image has too many.
        """
        changed: dict[str, Mark] = {}
        for one in images:
            old = self.of(one)
            tags = {*old.tags, tag.strip()} if on else {*old.tags} - {tag.strip()}
            changed[one] = replace(old, tags=tuple(sorted(tags)))
        return self._marked(changed)

    def selected(self, name: str, images: Iterable[str]) -> "Decisions":
        """Keep a selection under a name. One without images forgets the name.

        Raises:
            ValueError: the name is not allowed, or there are too many selections.
        """
        name, chosen = name.strip(), tuple(sorted(set(images)))
        kept = {one: some for one, some in self.selections.items() if one != name}
        return replace(self, selections=kept | {name: chosen} if chosen else kept)

    def of(self, image: str) -> Mark:
        """What was said about an image."""
        return self.marks.get(image, NOTHING)

    def taken_from(self, image: str, unit: str) -> bool:
        """Whether people took an image of a unit away from it: it is junk, or in another unit."""
        mark = self.of(image)
        return mark.junk is True or mark.unit not in (None, unit)

    def taken(self) -> list[list[Any]]:
        """All that `taken_from` depends on, as JSON values: names, units and junk, sorted."""
        marks = sorted(self.marks.items())
        return [[k, one.unit, one.junk] for k, one in marks if one.unit is not None or one.junk]

    def split(self, unit: str, first: str) -> "Decisions":
        """After a unit was split, images that were moved to it are in its first half."""
        own = {name: mark for name, mark in self.marks.items() if mark.unit == unit}
        return self.moved(own, first) if own else self

    def _marked(self, changed: dict[str, Mark]) -> "Decisions":
        marks = {**self.marks, **changed}
        return replace(self, marks={k: mark for k, mark in marks.items() if mark != NOTHING})

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what was not said is left out, and names are sorted."""
        marks = {
            name: {k: v for k, v in vars(mark).items() if v not in (None, ())}
            for name, mark in sorted(self.marks.items())
        }
        return {"images": marks, "selections": dict(sorted(self.selections.items()))}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Decisions":
        """Read JSON values, as `to_dict` makes them.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are not decisions.
        """
        return cls(
            marks={str(name): mark_of(one) for name, one in values.get("images", {}).items()},
            selections={
                str(name): tuple(sorted({str(one) for one in some}))
                for name, some in values.get("selections", {}).items()
            },
        )


def mark_of(values: dict[str, Any]) -> Mark:
    """Read what was said about one image.

    Raises:
        Exception: one of the types in `DAMAGE`: the values are none of this.
    """
    unit, junk = values.get("unit"), values.get("junk")
    if junk not in (None, True, False) or not isinstance(unit, str | None):
        raise ValueError("junk of an image is true or false, and its unit is text")
    return Mark(unit=unit, junk=junk, tags=tuple(str(tag) for tag in values.get("tags", [])))
