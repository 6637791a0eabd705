"""Channels of images: which of them are taken, and what they are called.

Readers give pictures, grey or in colours, as arrays, and all other channels as `Channels`. What
`--channels` asks for is taken here, for all kinds of files alike.
"""

from collections.abc import Sequence

import numpy as np

from mcevae.base.channels import MOST_CHANNELS, Asked, asked_channels
from mcevae.images.readers.frames import Channels, Frame, Unreadable
from mcevae.images.readers.reading import Reading

COLOURS = 3


def held(pixels: np.ndarray, *, pictured: bool, names: Sequence[str] = ()) -> np.ndarray | Channels:
    """An image as readers give it: a picture, or one with channels.

    Args:
        pixels: (H, W) or (H, W, C).
        pictured: whether four channels are colours and opacity.
        names: of the channels, if the file has names for all of them.
    """
    if pixels.ndim == 2:
        return pixels
    count = pixels.shape[-1]
    known = tidy(names) if len(names) == count else ()
    if not known and (count in (1, COLOURS) or (count == COLOURS + 1 and pictured)):
        return pixels
    return Channels(pixels, known)


def tidy(names: Sequence[str]) -> tuple[str, ...]:
    """Names that `--channels` can name: each once, without its signs, and none empty."""
    found: list[str] = []
    for i, name in enumerate(names):
        plain = " ".join(name.replace(",", ";").replace("=", "-").split()) or str(i)
        found.append(f"{plain} ({i})" if plain in found else plain)
    return tuple(found)


def framed(name: str, found: np.ndarray | Channels, reading: Reading) -> Frame:
    """An image with the channels that are asked for, or all of them.

    Args:
        name: of the image.
        found: as a reader gives it.
        reading: which channels are wanted.

    Raises:
        Unreadable: it does not have them, or has too many.
    """
    pixels, told = (found.pixels, found.names) if isinstance(found, Channels) else (found, ())
    count = pixels.shape[-1] if pixels.ndim == 3 else 1
    if reading.channels is not None:
        return picked(name, pixels, told, reading, pictured=not isinstance(found, Channels))
    if not isinstance(found, Channels):
        return Frame(name, pixels)
    if count == 1:
        return Frame(name, pixels[..., 0])
    if count > MOST_CHANNELS:
        raise Unreadable(
            f"has {count} channels, more than {MOST_CHANNELS}; --channels 0,1 takes the first two"
        )
    said = f" ({', '.join(told)})" if told else ""
    reading.note(f"has {count} channels{said}, all taken; --channels 0 takes the first alone")
    return Frame(name, pixels, told or tuple(map(str, range(count))))


def picked(
    name: str, pixels: np.ndarray, told: tuple[str, ...], reading: Reading, *, pictured: bool
) -> Frame:
    """An image with the channels that `--channels` asks for, in that order.

    Args:
        name: of the image.
        pixels: (H, W) or (H, W, C).
        told: names of the channels in the file; (): it has none.
        reading: which channels are wanted.
        pictured: whether a fourth channel may be opacity.

    Raises:
        Unreadable: it does not have them.
    """
    asked = asked_channels(reading.channels or "")
    count = pixels.shape[-1] if pixels.ndim == 3 else 1
    if count == 1:
        if len(asked) > 1:
            raise Unreadable(
                f"has one channel, so it has not the {len(asked)} of --channels {reading.channels}"
            )
        return Frame(name, pixels.reshape(pixels.shape[:2]))
    if pictured and count == COLOURS + 1 and len(asked) == COLOURS:
        reading.note("has colours and opacity, of which --channels takes the colours")
        pixels, count = pixels[..., :COLOURS], COLOURS
    places = places_of(asked, told, count, reading)
    if len(places) == 1:
        return Frame(name, pixels[..., places[0]])
    whole = places == list(range(count))
    return Frame(name, pixels if whole else pixels[..., places], tuple(one.name for one in asked))


def places_of(
    asked: Sequence[Asked], told: tuple[str, ...], count: int, reading: Reading
) -> list[int]:
    """The place of each channel that is asked for: by its name in the file, else by its number.

    Names that the file does not have name all of its channels in their order.

    Raises:
        Unreadable: there is no such channel, or it is not clear which is meant.
    """
    by_name = {name.casefold(): i for i, name in enumerate(told)}
    found = [by_name.get(one.text.casefold(), one.number) for one in asked]
    if None in found or (len(asked) == count and max(n for n in found if n is not None) >= count):
        unknown = [one for one, place in zip(asked, found, strict=True) if place is None]
        if len(asked) == count and len(unknown) in (0, count):
            return list(range(count))
        said = f" ({', '.join(told)})" if told else " without names"
        raise Unreadable(
            f"has {count} channels{said}, which --channels {reading.channels} does not fit; name "
            "all of them in order, or pick some by number, such as 0=DAPI"
        )
    places = [place for place in found if place is not None]
    if (most := max(places)) >= count:
        raise Unreadable(f"has {count} channels, so there is no --channels {most}")
    return places
