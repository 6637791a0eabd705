"""Which files a folder or a list names, and which of them are passed over, and why."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from mcevae.base.config import BUILT_IN
from mcevae.base.errors import UserError
from mcevae.base.files import read_bytes
from mcevae.base.names import as_text, as_windows, decoded
from mcevae.images.readers.frames import Fault
from mcevae.images.readers.inside import parted
from mcevae.images.readers.registry import READERS, ending_of
from mcevae.images.readers.zarrs import ZARR
from mcevae.images.reckoning import HIDDEN, KIND, LINK, passed_in_words

LISTS = ".txt"
MOST_LIST = 2**28
"""Bytes of a list of files, at most."""
MOST_BEHIND = 10_000
"""Files behind one link that are named; there may be a whole disk."""
ODD = re.compile(r"^[#\"']|\\|[\udc80-\udcff]")
"""What a line of a list may have that is no part of the path."""
LINES = re.compile(r"\r\n|\r|\n")
"""Ends of lines; names may have all other characters that `str.splitlines` splits at."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files that a source names.

    Attributes:
        paths: of the files to read, in order.
        passed: what is passed over below a folder, and why.
    """

    paths: list[Path] = field(default_factory=list)
    passed: list[Fault] = field(default_factory=list)


def files_of(source: Path, *, links: bool = False) -> Listing:
    """Files that a source names, in the order of their names.

    Args:
        source: an image file, a folder (searched to its depths; hidden files, links and files of
            other kinds are passed over), or a .txt with one path on each line, relative to it.
        links: whether to follow links below a folder.

    Raises:
        UserError: there is no such file or folder, or no image file in it.
    """
    folder = os.path.isdir(source)  # which says no to names that are too long to be any
    if folder and ending_of(source) != ZARR:
        listing = Walk(source, links).listing
    elif not os.path.exists(parted(source)[0]):
        hints = get_close_matches(str(source).lower(), BUILT_IN, 1)
        hint = "".join(f" (did you mean {name}?)" for name in hints)
        raise UserError(
            f"{source}: there is no such file, folder or set{hint}; check the path, or use "
            f"{', '.join(BUILT_IN)}."
        )
    elif source.suffix.lower() == LISTS:
        listing = Listing(paths=paths_in(source))
    else:
        listing = Listing(paths=[source])
    if not listing.paths:
        passed = passed_in_words(listing.passed)
        links_too = any(fault.passed == LINK for fault in listing.passed)
        raise UserError(
            f"{source}: holds no images{f', but {passed}' if passed else ''}; "
            f"{'add --links, or ' if links_too else ''}give files ending in {', '.join(READERS)}."
        )
    return listing


def paths_in(source: Path) -> list[Path]:
    """The paths that a list names. Lines that begin with # are no paths.

    Quotes around a path are taken off, and backslashes part folders, unless the line as it is names
    a file.

    Raises:
        UserError: the list cannot be read.
    """
    lines = (meant(line, source.parent) for line in lines_of(source))
    return [source.parent / line for line in lines if line]


def lines_of(source: Path) -> list[str]:
    """The lines of a list that are not empty: UTF-8, UTF-16 or UTF-32, or the bytes of names.

    Raises:
        UserError: the list cannot be read.
    """
    try:
        text = decoded(read_bytes(source, MOST_LIST, follow=True))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: is not a readable list of paths ({error}).") from error
    return [line.strip() for line in LINES.split(text) if line.strip()]


def meant(line: str, folder: Path) -> str:
    """The path that a line of a list means, as `paths_in` says; "": none."""
    if not ODD.search(line) or os.path.exists(folder / line):
        return line
    if line.startswith("#"):
        return ""
    if line[0] in "\"'" and line[-1] == line[0]:
        line = line[1:-1].strip()
    if not os.path.exists(folder / line):
        line = line.replace("\\", "/")
    windows = as_windows(line)
    return windows if windows != line and os.path.exists(folder / windows) else line


class Walk:
    """A search for files below a folder, in the order of their paths' parts.

    Links are followed on request. A folder that is read anyway, or was reached through another
    link, is not entered through a link again; so there are no circles.

    Raises:
        UserError: a folder cannot be looked into.
    """

    def __init__(self, root: Path, links: bool) -> None:
        self.root, self.links, self.listing = root, links, Listing()
        self.known = set(map(identity, folders_below(root))) if links else set[tuple[int, int]]()
        self.enter(root)

    def enter(self, folder: Path, *, linked: bool = False) -> None:
        """Look into a folder; `linked` if it is behind a link."""
        for entry in entries_of(folder):
            path = folder / entry.name
            if entry.name.startswith("."):
                self.pass_over(path, "is hidden, since its name begins with a dot", HIDDEN)
            elif entry.is_symlink():
                self.meet(path)
            elif entry.is_dir(follow_symlinks=False) and ending_of(path) != ZARR:
                self.enter_once(path) if linked else self.enter(path)
            else:
                self.take(path)

    def take(self, path: Path) -> None:
        """Take a file, if it is of a kind that is read."""
        if ending_of(path) in READERS:
            self.listing.paths.append(path)
        else:
            self.pass_over(path, "is of a kind that is not read", KIND)

    def meet(self, link: Path) -> None:
        """Follow a link, or say why not."""
        if not link.exists():
            self.pass_over(link, "is a link to what is not there", LINK)
        elif not self.links:
            for path in islice(behind(link, self.root), MOST_BEHIND):
                self.pass_over(path, "is behind a link; --links follows links", LINK)
        elif not link.is_dir():
            self.take(link)
        else:
            self.enter_once(link)

    def enter_once(self, folder: Path) -> None:
        """Look into a folder behind a link, unless it is read on another way."""
        if (known := identity(folder)) in self.known:
            self.pass_over(folder, "is a folder behind a link, but read already", LINK)
        else:
            self.known.add(known)
            self.enter(folder, linked=True)

    def pass_over(self, path: Path, reason: str, why: str) -> None:
        """Note what is passed over."""
        name = as_text(path.relative_to(self.root).as_posix())
        self.listing.passed.append(Fault(name, reason, why))


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, in the order of the names.

    Raises:
        UserError: it cannot be looked into.
    """
    try:
        with os.scandir(folder) as scanned:
            return sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}).") from error


def folders_below(root: Path) -> Iterator[str]:
    """A folder and all below it, but for hidden ones and links."""
    for folder, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield folder


def identity(folder: str | Path) -> tuple[int, int]:
    """What a folder is known by, whatever the path to it."""
    state = os.stat(folder)
    return state.st_dev, state.st_ino


def behind(link: Path, root: Path) -> Iterator[Path]:
    """Files behind a link; the link itself if it leads to a file, or to what has the root in it."""
    if not link.is_dir() or root.resolve().is_relative_to(link.resolve()):
        yield link
        return
    for folder, folders, files in os.walk(link):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))
