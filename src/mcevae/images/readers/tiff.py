"""TIFF files: which of their pages are images, and what their axes are.

The library tifffile (extra `microscopy`) reads all but plain pictures of 8 bits, which Pillow
reads. Previews, levels of pyramids and masks are no images. The axes that OME, ImageJ and others
record are honoured: each time and each plane is an image, and channels belong to one image.
"""

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring

import numpy as np
from PIL import ImageOps

from mcevae.images.readers.arrays import from_disk
from mcevae.images.readers.axes import checked, images_of
from mcevae.images.readers.channels import held
from mcevae.images.readers.frames import Found, Unreadable, quietly, within_bounds
from mcevae.images.readers.pillow import Source, as_array, opened
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.tiff_pages import PALETTE, finished, modest, page_pixels, stored
from mcevae.images.readers.tiff_windows import able, view_of
from mcevae.images.readers.views import View

TIFFS = (".tif", ".tiff", ".btf", ".tf8")
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins; the latter two are BigTIFFs."""
TOLD = ("ome", "imagej", "shaped", "lsm", "mmstack", "ndtiff", "fluoview", "stk", "scanimage")
"""Kinds of TIFFs that record their axes."""
NEEDED = "is a TIFF that Pillow does not read right; pip install 'mcevae[microscopy]' reads it"
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it says what readers say


def tiff(file: Source, reading: Reading) -> Iterator[Found]:
    """Images of a TIFF."""
    try:
        from tifffile import TiffFile, TiffFileError
    except ImportError:
        yield from without_tifffile(file, reading)
        return
    try:
        handle = TiffFile(file)
    except TiffFileError as error:
        raise Unreadable("is not an image, or a damaged one") from error
    with handle:
        told = [kind for kind in TOLD if getattr(handle, f"is_{kind}")]
        if told == ["shaped"] and handle.pages.first.photometric == PALETTE:
            told = []  # numbers of colours, which are no axis
        if reading.axes is not None or told:
            yield from by_axes(handle, file, reading)
        else:
            yield from by_pages(handle, file, reading)


def without_tifffile(file: Source, reading: Reading) -> Iterator[Found]:
    """Plain pictures of 8 bits.

    Raises:
        Unreadable: the file holds others, or records axes.
    """
    with opened(file) as image:
        tags: Any = getattr(image, "tag_v2", {})
        said = str(tags.get(270, ""))
        if reading.axes or any(word in said for word in ("OME", "ImageJ=", '{"shape"')):
            raise Unreadable(NEEDED)
        for page in range(getattr(image, "n_frames", 1)):
            with quietly():
                image.seek(page)
                tags = getattr(image, "tag_v2", {})
                if int(tags.get(254, 0)) & 0b101:  # a preview, or a mask
                    continue
                within_bounds(image.size)
                bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
                if set(bits) - {1, 8} or set(kinds) - {1, 4} or image.mode in ("La", "RGBa"):
                    raise Unreadable(NEEDED)
                pixels = as_array(ImageOps.exif_transpose(image))
            yield pixels


def by_pages(handle: Any, file: Source, reading: Reading) -> Iterator[Found]:
    """Every page is an image, but for previews, levels of a pyramid, and masks."""
    first, others, read = None, 0, 0
    for page in handle.pages:
        if page.is_reduced or page.is_mask or (first is not None and is_level(page, first)):
            others += 1
            continue
        first, read = first or page, read + 1
        yield from as_images(page, file, reading)
    left_out(others, read, reading)


def left_out(others: int, read: int, reading: Reading) -> None:
    """Say how many pages are no images.

    Raises:
        Unreadable: all of them.
    """
    if others and not read:
        raise Unreadable("has only pages that are previews, smaller copies or masks")
    if others:
        reading.note("has previews, smaller copies or masks beside its images, left out")


def is_level(page: Any, first: Any) -> bool:
    """Whether a page is a level of a pyramid that is not marked: tiles of the first one, halved."""
    if not (page.is_tiled and first.is_tiled and page.dtype == first.dtype):
        return False
    ratio = first.imagewidth / page.imagewidth
    power = round(np.log2(ratio)) if ratio > 0 else 0
    sides = (first.imagewidth, page.imagewidth), (first.imagelength, page.imagelength)
    return power >= 1 and all(abs(whole / 2**power - part) <= 1 for whole, part in sides)


def as_images(page: Any, file: Source, reading: Reading) -> Iterator[Found]:
    """Images of a page: one, or one for each plane that the page has.

    Raises:
        Unreadable: as for `page_pixels`.
    """
    pictured = page.photometric not in (0, 1) or len(page.extrasamples) == 1  # else any channels
    if reading.views and able(page):
        yield replace(view_of(page, partial(finished, page=page)), pictured=pictured)
        return
    pixels, sampled = page_pixels(page, file)
    letters = "N" * (pixels.ndim - 2 - sampled) + "HW" + "C" * sampled
    for image in images_of(pixels, letters):
        yield held(image, pictured=pictured)


def by_axes(handle: Any, file: Source, reading: Reading) -> Iterator[Found]:
    """Images of the series of a file that records its axes, or whose axes are given."""
    others, read = 0, 0
    for number, series in enumerate(handle.series):
        page = series.keyframe
        if page.is_reduced or page.is_mask or series.name in ("Label", "Macro", "Thumbnail"):
            others += 1
            continue
        read += 1
        others += len(series.levels) - 1
        pictured = "S" in series.axes
        names = () if pictured or reading.axes else names_of(handle, number)
        for array, letters in pieces(series, letters_of(series, reading), file, reading):
            if isinstance(array, View):
                yield replace(array, pictured=pictured, names=names)
                continue
            if "S" in letters and "C" in letters:  # pictures with several channels
                letters = letters.replace("C", "N")
            finish = partial(image_of, page=page)
            for image in images_of(array, letters.replace("S", "C"), bounded=not reading.views):
                if reading.views:
                    yield replace(mapped(image, finish), pictured=pictured, names=names)
                else:
                    yield held(finish(image), pictured=pictured, names=names)
    left_out(others, read, reading)


def mapped(image: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]) -> View:
    """An image of a mapped file, or in memory, as a view; see `tiff_windows.view_of`."""
    shape = (*image.shape[:2], *finish(image[:1]).shape[2:])
    return View(shape=shape, read=lambda rows, columns: finish(image[rows])[:, columns])


def image_of(image: np.ndarray, page: Any) -> np.ndarray:
    """Undo how the file keeps the intensities of an image.

    Args:
        image: (H, W) or (H, W, C).
        page: that says how intensities are kept.
    """
    image = from_disk(image) if isinstance(image, np.memmap) else image
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    return finished(image, page)


def names_of(handle: Any, number: int) -> tuple[str, ...]:
    """Names of the channels of a series, as OME or ImageJ have them; () if not all have one.

    Args:
        handle: the open file.
        number: of the series.
    """
    if handle.is_ome:
        try:
            images = [one for one in fromstring(handle.ome_metadata) if one.tag.endswith("}Image")]
            channels = images[number].iterfind("{*}Pixels/{*}Channel")
        except (ParseError, IndexError, TypeError):
            return ()
        names = tuple(one.get("Name", "") for one in channels)
    else:
        labels = (handle.imagej_metadata or {}).get("Labels", ()) if handle.is_imagej else ()
        names = tuple(map(str, labels))
    return names if all(names) else ()


def letters_of(series: Any, reading: Reading) -> str:
    """Letters of a series' axes; what they are taken for is said if they are more than pages.

    Raises:
        Unreadable: those that are given do not fit.
    """
    if reading.axes is not None:
        return checked(reading.axes, series.shape)
    letters = series.axes.replace("Y", "H").replace("X", "W")
    many = [axis for axis, size in zip(letters, series.shape, strict=True) if size > 1]
    named = {"T": "time", "Z": "plane", "P": "position", "A": "angle"}
    each = [named[axis] for axis in many if axis in named]
    if each or "C" in many:
        planes = f"each {' and each '.join(each)} is an image" if each else ""
        joined = "channels belong to one image" if "C" in many else ""
        said = ", ".join(filter(None, (planes, joined)))
        reading.note(f"has axes {series.axes} of {series.shape}: {said}; --axes tells it otherwise")
    return letters


def pieces(
    series: Any, letters: str, file: Source, reading: Reading
) -> Iterator[tuple[np.ndarray | View, str]]:
    """Parts of a series, each with the letters of its axes: all of it, mapped from disk, or pages.

    Pages are views if the reading asks for them and they are able to be.

    Raises:
        Unreadable: a page is missing, or the file is shorter than it says.
    """
    offset, shape, page = series.dataoffset, series.shape, series.keyframe
    if not reading.views:
        modest(page)
    if offset is not None and not isinstance(file, BytesIO):
        kind = series.dtype.newbyteorder(page.parent.byteorder)
        length = math.prod(shape) * kind.itemsize
        if length == 0:
            raise Unreadable("has a frame without pixels")
        if offset + length > file.stat().st_size:
            raise Unreadable(f"has fewer bytes than its {shape} numbers need; copy it again")
        yield np.memmap(file, kind, "r", offset, shape), letters
        return
    deep = next(i for i in range(len(shape)) if math.prod(shape[:i]) >= len(series.pages))
    outer, trailing = letters[:deep], letters[deep:]
    together = outer.index("C") if "C" in outer else None
    in_windows = reading.views and together is None and trailing in ("HW", "HWS") and able(page)
    if not in_windows:
        modest(page)
    ranges = [range(size) for i, size in enumerate(shape[:deep]) if i != together]
    for place in itertools.product(*ranges):
        if in_windows:
            finish = partial(image_of, page=page)
            yield view_of(page_of(series, place, shape, deep), finish), trailing
        elif together is None:
            yield plane_of(series, place, shape, deep), trailing
        else:
            planes = [
                plane_of(series, (*place[:together], c, *place[together:]), shape, deep)
                for c in range(shape[together])
            ]
            yield np.stack(planes), "C" + trailing


def plane_of(series: Any, place: tuple[int, ...], shape: tuple[int, ...], deep: int) -> np.ndarray:
    """The numbers of a page of a series, see `page_of`."""
    return stored(page_of(series, place, shape, deep)).reshape(shape[deep:])


def page_of(series: Any, place: tuple[int, ...], shape: tuple[int, ...], deep: int) -> Any:
    """The page of a series at a place of its first axes.

    Raises:
        Unreadable: the file does not hold it.
    """
    number = int(np.ravel_multi_index(place, shape[:deep])) if place else 0
    page = series.pages[number] if number < len(series.pages) else None
    if page is None:
        raise Unreadable(f"does not hold the plane {place} of {shape[:deep]} that it names")
    return page
