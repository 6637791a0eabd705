"""What `--channels` says: which channels of an image are taken, and what they are called."""

import re
from typing import NamedTuple

MOST_CHANNELS = 16
"""Channels that an image may have."""


class Asked(NamedTuple):
    """One channel that somebody asks for.

    Attributes:
        text: as it was written.
        number: its number in the file, from 0; None: only its name is given.
        name: what it is called; its number, if it has no name.
    """

    text: str
    number: int | None
    name: str


def asked_channels(text: str) -> tuple[Asked, ...]:
    """Read a list such as "DAPI,GFP", "0,3" or "0=DAPI,3=GFP".

    Raises:
        ValueError: it is not such a list.
    """
    found: list[Asked] = []
    for part in map(str.strip, text.split(",")):
        number, mark, name = part.partition("=")
        by_number = re.fullmatch(r"\d{1,9}", number.strip(), re.ASCII)
        if mark and not (by_number and name.strip()):
            raise ValueError(f"--channels has {part!r}; write a number, a name, or 0=NAME")
        if not part:
            raise ValueError(f"--channels is {text!r}; give numbers or names with commas between")
        name = name.strip() if mark else part
        found.append(Asked(part, int(number) if by_number else None, name))
    if len(found) > MOST_CHANNELS:
        raise ValueError(f"--channels has {len(found)} channels; give up to {MOST_CHANNELS}")
    if len({one.name for one in found}) < len(found):
        raise ValueError(f"--channels is {text}, which has a channel twice; give each once")
    return tuple(found)


def channel_names(text: str | None, count: int) -> tuple[str, ...]:
    """Names of the channels of images that were read by `--channels`; () for grey and for colours.

    Args:
        text: what `--channels` says; None: nothing.
        count: how many channels the images have.
    """
    if count == 1:
        return ()
    names = tuple(one.name for one in asked_channels(text)) if text else ()
    if len(names) == count:
        return names
    return () if count == 3 else tuple(map(str, range(count)))
