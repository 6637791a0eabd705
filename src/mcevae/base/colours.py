"""Colours in which channels are shown."""

import re

NAMED = {
    "red": (1.0, 0.1, 0.1),
    "green": (0.1, 0.9, 0.1),
    "blue": (0.2, 0.35, 1.0),
    "cyan": (0.0, 0.85, 1.0),
    "magenta": (1.0, 0.1, 0.9),
    "yellow": (1.0, 0.9, 0.0),
    "orange": (1.0, 0.5, 0.0),
    "purple": (0.6, 0.3, 1.0),
    "lime": (0.65, 1.0, 0.0),
    "pink": (1.0, 0.5, 0.65),
    "teal": (0.0, 0.65, 0.55),
    "gold": (0.8, 0.65, 0.2),
    "grey": (1.0, 1.0, 1.0),
}
"""Red, green and blue of colours that are bright enough on black."""
PALETTE = (
    *("cyan", "magenta", "yellow", "green", "red", "blue", "orange", "purple"),
    *("lime", "pink", "teal", "gold", "#8080ff", "#80ffc0", "#c08080", "#a0a0a0"),
)
"""Colours of channels, unless others are asked for."""
Colour = tuple[float, float, float]
"""Red, green and blue, from 0 to 1."""


def asked_colours(text: str) -> tuple[str, ...]:
    """Read a list of colours such as "cyan,#ff8800".

    Raises:
        ValueError: one of them is not known.
    """
    words = tuple(word.strip().casefold() for word in text.split(","))
    for word in words:
        rgb_of(word)
    return words


def rgb_of(word: str) -> Colour:
    """Red, green and blue of a colour.

    Raises:
        ValueError: it is not known.
    """
    word = {"gray": "grey", "white": "grey"}.get(word, word)
    if word in NAMED:
        return NAMED[word]
    if not re.fullmatch(r"#[0-9a-f]{6}", word):
        raise ValueError(
            f"--channel-colours has {word!r}; use {', '.join(NAMED)}, or such as #ff8800"
        )
    red, green, blue = (int(word[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def palette(text: str | None, count: int) -> tuple[str, ...]:
    """The colour of each of `count` channels: those that are asked for, then others.

    Args:
        text: what `--channel-colours` says; None: nothing.
        count: number of channels.
    """
    given = asked_colours(text)[:count] if text else ()
    rest = [word for word in PALETTE if word not in given]
    return (*given, *rest[: count - len(given)])
