"""How files are read where they leave a choice, and what is said of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from mcevae.base.config import FilesConfig

NAMED = 1
"""Files that a remark names; the others are counted."""


class Notes:
    """Remarks on files that were read, each once, with the files of which it is true."""

    def __init__(self) -> None:
        self.files: dict[str, set[str]] = {}
        self.first: dict[str, str] = {}

    def add(self, file: str, sentence: str) -> None:
        """Note a sentence about a file, without its end: "has no word MAP"."""
        self.files.setdefault(sentence, set()).add(file)
        self.first.setdefault(sentence, file)

    def __iter__(self) -> Iterator[str]:
        """The sentences, each with its first file and the number of others."""
        for sentence, files in self.files.items():
            others = len(files) - NAMED
            more = f" (the same of {others:,} other files)" if others > 0 else ""
            yield f"{self.first[sentence]} {sentence}{more}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Choices of whoever reads a file.

    Attributes:
        axes, channels, sections, animation: as in `FilesConfig`.
        many: whether the file is one of several arrays, so that each is likely to be one image.
        inside: path of an array in a file that holds several, such as /entry/images.
        views: whether readers give views where they can, of which windows are read. Such images may
            be larger than others.
        file: the name that remarks give the file.
        notes: gets the remarks.
    """

    axes: str | None = None
    channels: str | None = None
    sections: Literal["auto", "each", "middle", "sum"] = "auto"
    animation: Literal["first", "all"] = "first"
    many: bool = False
    inside: str | None = None
    views: bool = False
    file: str = ""
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def by(cls, settings: FilesConfig) -> "Reading":
        """The choices that settings make."""
        return cls(
            axes=settings.axes,
            channels=settings.channels,
            sections=settings.sections,
            animation=settings.animation,
        )

    def of(self, file: str) -> "Reading":
        """The same choices for a file of this name."""
        return replace(self, file=file)

    def note(self, sentence: str) -> None:
        """Say something of the file: the end of a sentence that begins with its name."""
        self.notes.add(self.file, sentence)
