"""Channels that are no colours: which are taken, what they are called, how they are normalised."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr

from mcevae.base.colours import palette, rgb_of
from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.composites import composite, composite_bytes
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.registry import open_source
from mcevae.models.config import Config
from tests.images.reading import read
from tests.images.stained import stained

RNG = np.random.default_rng(0)
FIVE = RNG.integers(0, 4096, (6, 20, 24, 5)).astype(np.uint16)
NAMES = ("DAPI", "GFP", "RFP", "Cy5", "light")


def frames(path: Path, **choices: Any) -> list[Frame]:
    """All frames of a file, none of which is refused."""
    found = list(frames_of(path, path.name, Reading(**choices)))
    assert all(isinstance(one, Frame) for one in found), found
    return [one for one in found if isinstance(one, Frame)]


def as_numpy(path: Path) -> Path:
    np.save(path / "a.npy", FIVE)
    return path / "a.npy"


def channels_first(path: Path) -> Path:
    np.save(path / "a.npy", FIVE.transpose(0, 3, 1, 2))
    return path / "a.npy"


def as_hdf5(path: Path) -> Path:
    with h5py.File(path / "a.h5", "w") as file:
        file["x"] = FIVE
    return path / "a.h5"


def as_zarr(path: Path) -> Path:
    zarr.create_array(path / "a.zarr", data=FIVE, chunks=(2, 20, 24, 5))
    return path / "a.zarr"


def as_imagej(path: Path) -> Path:
    about = {"axes": "TCYX"}
    tifffile.imwrite(path / "a.tif", FIVE.transpose(0, 3, 1, 2), imagej=True, metadata=about)
    return path / "a.tif"


def as_ome(path: Path) -> Path:
    about = {"axes": "TCYX", "Channel": {"Name": list(NAMES)}}
    first = FIVE.transpose(0, 3, 1, 2)
    tifffile.imwrite(path / "a.ome.tif", first, metadata=about, photometric="minisblack")
    return path / "a.ome.tif"


def as_ome_zarr(path: Path) -> Path:
    root = zarr.open_group(path / "b.zarr", mode="w")
    axes = [{"name": axis} for axis in "tcyx"]
    about: Any = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    about["omero"] = {"channels": [{"label": name} for name in NAMES]}
    root.attrs["ome"] = about
    root.create_array("0", data=FIVE.transpose(0, 3, 1, 2).copy(), chunks=(1, 1, 20, 24))
    return path / "b.zarr"


NAMED = (as_ome, as_ome_zarr)


@pytest.mark.parametrize(
    "write", [as_numpy, channels_first, as_hdf5, as_zarr, as_imagej, as_ome, as_ome_zarr]
)
def test_channels_are_taken_by_name_or_number_from_every_kind_of_file(
    write: Any, tmp_path: Path
) -> None:
    path = write(tmp_path)
    every = frames(path)
    assert np.array_equal(np.stack([one.pixels for one in every]), FIVE)
    assert {one.channels for one in every} == {NAMES if write in NAMED else tuple("01234")}
    if write in NAMED:
        some = frames(path, channels="cy5, DAPI")
        assert some[0].channels == ("cy5", "DAPI")
        assert np.array_equal(some[2].pixels, FIVE[2][..., [3, 0]])
    named = frames(path, channels="a,b,c,d,e")
    assert named[0].channels == tuple("abcde") and np.array_equal(named[1].pixels, FIVE[1])
    some = frames(path, channels="4=far,0")
    assert some[0].channels == ("far", "0") and np.array_equal(some[5].pixels, FIVE[5][..., [4, 0]])
    alone = frames(path, channels="2")
    assert alone[0].channels == () and np.array_equal(alone[0].pixels, FIVE[0][..., 2])


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ("5", "has 5 channels, so there is no --channels 5"),
        ("0,7", "so there is no --channels 7"),
        ("a,b", "without names, which --channels a,b does not fit; name all of them in order"),
    ],
)
def test_channels_that_are_not_there_are_refused(channels: str, said: str, tmp_path: Path) -> None:
    for one in frames_of(as_numpy(tmp_path), "a.npy", Reading(channels=channels, axes="NHWC")):
        assert isinstance(one, Fault) and said in one.reason


@pytest.mark.parametrize(
    "channels", ["", "a,,b", "a,a", "x=1", "0=", ",".join("abcdefghijklmnopq")]
)
def test_lists_that_mean_nothing_are_refused(channels: str) -> None:
    with pytest.raises(ValueError, match="channels"):
        DataConfig(channels=channels)


def test_too_many_channels_need_a_choice(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((30, 30, 20), np.uint8))
    (fault,) = frames_of(tmp_path / "a.npy", "a", Reading(axes="HWC"))
    assert isinstance(fault, Fault) and "20 channels, more than 16; --channels 0,1" in fault.reason
    (frame,) = frames(tmp_path / "a.npy", axes="HWC", channels="19,3")
    assert frame.channels == ("19", "3")


def test_names_tell_which_axis_is_that_of_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 9, (5, 20, 24)))
    assert len(frames(tmp_path / "a.npy")) == 5
    (frame,) = frames(tmp_path / "a.npy", channels="a,b,c,d,e")
    assert frame.pixels.shape == (20, 24, 5)


def test_four_channels_with_names_are_no_opacity(tmp_path: Path) -> None:
    stack = RNG.integers(1, 255, (8, 20, 24, 4)).astype(np.uint8)
    np.save(tmp_path / "a.npy", stack)
    plain, _ = read(tmp_path / "a.npy", DataConfig())
    named, _ = read(tmp_path / "a.npy", DataConfig(channels="a,b,c,d", normalise="none"))
    assert plain.shape == (3, 20, 24)
    assert np.array_equal(named.pixels.movedim(1, -1), stack)


def test_each_channel_is_normalised_by_itself(tmp_path: Path) -> None:
    images, _ = stained(12, 5)
    np.save(tmp_path / "a.npy", images)
    source = open_source(str(tmp_path / "a.npy"))
    pixels = source.load().train.pixels
    assert source.survey is not None and len(source.survey.recipe.levels or ()) == 10
    assert (pixels.amax((0, 2, 3)) == 255).all()  # although one has a range of 300 and one of 4,000
    settled = source.settled()
    assert settled["channels"] == "0,1,2,3,4"
    recipe = recipe_for(replace(source.settings, **settled), (5, 32, 32))
    assert recipe == source.survey.recipe
    louder = images.copy()
    louder[..., 2] *= 3
    own = replace(recipe, normalise="image", levels=None)
    changed = [(own(Frame("a", a, recipe.names)), own(Frame("b", b, recipe.names)))
               for a, b in zip(images, louder, strict=True)]  # fmt: skip
    assert all((a.int() - b.int()).abs().max() <= 1 for a, b in changed)


def test_a_recipe_takes_channels_in_its_order_and_no_others() -> None:
    recipe = Recipe(
        normalise="none", levels=None, channels=5, names=NAMES, background=0.0, fit="pad",
        shape=(20, 24), white=4095,
    )  # fmt: skip
    wanted = recipe(Frame("a", FIVE[0], NAMES))
    turned = recipe(Frame("a", FIVE[0][..., ::-1], NAMES[::-1]))
    unnamed = recipe(Frame("a", FIVE[0], tuple("01234")))
    assert torch.equal(wanted, turned) and torch.equal(wanted, unnamed)
    for frame in (
        Frame("a", FIVE[0], ("A", *NAMES[1:])),
        Frame("a", FIVE[0][..., :2], NAMES[:2]),
        Frame("a", FIVE[0][..., :3]),
        Frame("a", FIVE[0][..., 0]),
    ):
        with pytest.raises(Unreadable, match="are wanted; --channels"):
            recipe(frame)
    colours = replace(recipe, names=(), channels=3)
    with pytest.raises(Unreadable, match="pictures are wanted"):
        colours(Frame("a", FIVE[0], NAMES))
    with pytest.raises(ValueError, match="use 1 or 3"):
        replace(recipe, names=())


def test_files_with_other_channels_are_left_out_and_named(tmp_path: Path) -> None:
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", FIVE[i] if i else FIVE[i][..., :2])
    images, faults = read(tmp_path, DataConfig(source=str(tmp_path)))
    assert len(images) == 5 and images.shape == (5, 20, 24)
    (fault,) = faults
    assert fault.name == "0.npy" and "has 2 channels (0, 1), and 5 (0, 1, 2, 3, 4)" in fault.reason


def test_three_channels_may_be_colours_or_stains(tmp_path: Path) -> None:
    images = stained(12, 3)[0]
    np.save(tmp_path / "a.npy", images)
    surveys = {
        channels: open_source(str(tmp_path / "a.npy"), DataConfig(channels=channels)).survey
        for channels in (None, "a,b,c")
    }
    colours, stains = (surveys[key].recipe for key in (None, "a,b,c"))  # pyright: ignore
    assert colours.names == () and colours.channels == 3 and len(colours.levels or ()) == 2
    assert stains.names == ("a", "b", "c") and len(stains.levels or ()) == 6
    asked = DataConfig(channels="2,1,0", colour="rgb")
    again = open_source(str(tmp_path / "a.npy"), asked).load().train
    plain = open_source(str(tmp_path / "a.npy"), DataConfig(colour="rgb")).load().train
    assert torch.equal(again.pixels, plain.pixels.flip(1))


def test_older_settings_are_read() -> None:
    config = Config.from_dict({"model": {"kind": "vae", "channels": [4, 8, 8, 8]}})
    assert config.model.filters == (4, 8, 8, 8)
    assert Config.from_dict({"data": {"channel": 2}}).data.channels == "2"


def test_composites_show_each_channel_in_its_colour() -> None:
    colours = palette("cyan,#FF8800", 5)
    assert colours[:2] == ("cyan", "#ff8800") and len(set(colours)) == 5
    one = torch.zeros(5, 5, 4, 4)
    one[torch.arange(5), torch.arange(5)] = 1.0
    seen = composite(one, colours)
    for picture, colour in zip(seen, colours, strict=True):
        assert torch.allclose(picture[:, 0, 0], torch.tensor(rgb_of(colour)))
    every = composite(torch.full((1, 5, 4, 4), 0.5), colours)
    assert every.min() > 0.5 and every.max() < 1.0
    pixels = torch.randint(0, 256, (7, 1, 4, 4), dtype=torch.uint8)
    assert composite_bytes(pixels, ()) is pixels
    with pytest.raises(ValueError, match="colours has 'mud'"):
        DataConfig(colours="cyan,mud")


@pytest.mark.parametrize("count", range(2, 17))
def test_any_number_of_channels_has_colours_of_its_own(count: int) -> None:
    assert len({rgb_of(word) for word in palette(None, count)}) == count
    assert len(palette("teal", count)) == count


def test_a_picture_is_not_read_as_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 256, (8, 20, 24, 3)).astype(np.uint8))
    with pytest.raises(UserError, match=r"does not fit"):
        read(tmp_path / "a.npy", DataConfig(channels="a,b"))


def test_channels_that_are_no_colours_are_not_taken_for_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FIVE)
    for colour in ("rgb", "grey"):
        with pytest.raises(UserError, match=f"5 channels .*, which colour {colour} does not fit"):
            read(tmp_path / "a.npy", DataConfig(colour=colour))  # pyright: ignore
