"""People's files of every kind become images of one form; what cannot be used is named."""

import dataclasses
import io
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.loading import load
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.listing import files_of
from mcevae.images.survey import survey
from mcevae.models.config import Config, ModelConfig
from mcevae.runs.data import prepare_for, settle
from tests.images.reading import look, read

rng = np.random.default_rng(0)
PLAIN = Recipe(normalise="none", levels=None, channels=1, background=0.0, fit="pad", shape=(16, 16))


def grey(height: int = 20, width: int = 20) -> np.ndarray:
    """Random bytes within a black border."""
    image = np.zeros((height, width), np.uint8)
    image[2:-2, 2:-2] = rng.integers(60, 256, (height - 4, width - 4))
    return image


def only(path: Path) -> np.ndarray:
    """The pixels of a file's one frame."""
    (frame,) = frames_of(path, path.name)
    assert isinstance(frame, Frame), frame
    return frame.pixels


def settings(source: Path, **changes: object) -> DataConfig:
    return dataclasses.replace(DataConfig(source=str(source)), **changes)  # pyright: ignore[reportArgumentType]


# Readers


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "webp"])
def test_lossless_pictures_come_back_as_they_were(ending: str, tmp_path: Path) -> None:
    for kind, array in (("grey", grey()), ("rgb", np.dstack([grey(), grey(), grey()]))):
        path = tmp_path / f"{kind}.{ending}"
        Image.fromarray(array).save(path, **({"lossless": True} if ending == "webp" else {}))
        found = only(path)
        if ending == "webp" and kind == "grey":  # WebP has no grey
            found = found[..., 0]
        assert found.dtype == np.uint8 and np.array_equal(found, array)


def test_jpegs_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown after a quarter turn clockwise
    Image.fromarray(upright).save(tmp_path / "a.jpg", exif=exif)
    found = only(tmp_path / "a.jpg")
    assert found.shape == (32, 16) and found[:12].max() < 60 and found[20:].min() > 200


@pytest.mark.parametrize(
    "array",
    [
        rng.integers(0, 2**16, (20, 24)).astype(np.uint16),
        rng.normal(size=(20, 24)).astype(np.float32),
        rng.normal(size=(20, 24)),
        rng.normal(size=(20, 24, 3)).astype(np.float32),
    ],
    ids=["16 bit", "float", "double", "float RGB"],
)
def test_scientific_tiffs_keep_their_values(array: np.ndarray, tmp_path: Path) -> None:
    colours = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=colours)
    found = only(tmp_path / "a.tif")
    assert found.dtype == array.dtype and np.array_equal(found, array)
    deep = rng.integers(0, 2**16, (20, 24, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    found = only(tmp_path / "deep.tif")  # some versions of Pillow read the higher bytes only
    assert np.array_equal(found if found.dtype == np.uint8 else found >> 8, deep >> 8)


def test_files_of_several_frames_number_them(tmp_path: Path) -> None:
    stack = rng.integers(0, 2**16, (3, 20, 24)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "pages.tif", stack, photometric="minisblack")
    with mrcfile.new(tmp_path / "some.mrcs") as file:
        file.set_data(stack.astype(np.float32))
    np.save(tmp_path / "some.npy", stack)
    for name in ("pages.tif", "some.mrcs", "some.npy"):
        found = list(frames_of(tmp_path / name, name))
        assert [one.name for one in found] == [f"{name}#{i}" for i in range(3)]
        for one, plane in zip(found, stack, strict=True):
            assert isinstance(one, Frame) and np.array_equal(one.pixels, plane)


def test_sixteen_bit_pngs_and_masks_of_opacity_are_kept(tmp_path: Path) -> None:
    deep = rng.integers(0, 2**16, (20, 24)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(only(tmp_path / "deep.png"), deep)
    clear = np.dstack([grey()] * 4)
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    assert np.array_equal(only(tmp_path / "clear.png"), clear)
    Image.fromarray(clear, "RGBA").convert("P").save(tmp_path / "palette.png", transparency=0)
    assert only(tmp_path / "palette.png").shape == (20, 20, 4)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.png", b"", "is empty"),
        ("text.jpg", b"hello", "is not an image, or a damaged one"),
        ("half.png", None, "cannot be read"),
        ("array.npy", b"hello", "is not a readable NumPy file"),
        ("stack.mrcs", b"hello" * 500, "is not an MRC file"),
        ("page.tif", b"II*\0" + b"\xff" * 40, ""),
    ],
)
def test_broken_files_are_faults_with_a_reason(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    if content is None:
        buffer = io.BytesIO()
        Image.fromarray(grey(40, 40)).save(buffer, "png")
        content = buffer.getvalue()[:300]
    (tmp_path / name).write_bytes(content)
    (fault,) = frames_of(tmp_path / name, name)
    assert isinstance(fault, Fault) and fault.name == name and fault.reason.startswith(reason)
    (gone,) = frames_of(tmp_path / "gone.png", "gone.png")
    assert gone == Fault("gone.png", "is not there")


def test_a_file_that_breaks_off_gives_the_frames_before(tmp_path: Path) -> None:
    pages = [Image.fromarray(grey(40, 40)) for _ in range(3)]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    whole = [one.name for one in frames_of(path, "pages.tif")]
    assert whole == ["pages.tif#0", "pages.tif#1", "pages.tif#2"]
    path.write_bytes(path.read_bytes()[:-1500])
    *frames, fault = frames_of(path, "pages.tif")
    assert [one.name for one in frames] == whole[: len(frames)] and len(frames) in (1, 2)
    assert isinstance(fault, Fault)


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    (fault,) = frames_of(tmp_path / "bomb.png", "bomb.png")
    assert isinstance(fault, Fault) and "pixels" in fault.reason


def test_a_folder_is_searched_to_its_depths(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.PNG", "3.jpg", "notes.md", ".hidden/4.png", "a/.5.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(grey()).save(tmp_path / name, "png")
    names = [path.relative_to(tmp_path).as_posix() for path in files_of(tmp_path).paths]
    assert names == ["3.jpg", "a/1.PNG", "b/2.png"]
    (tmp_path / "list.txt").write_text("b/2.png\n\n3.jpg\n")
    images, _ = read(tmp_path / "list.txt", DataConfig())
    assert images.names is not None and images.names.tolist() == ["b/2.png", "3.jpg"]
    with pytest.raises(UserError, match="no such file, folder or set"):
        files_of(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        files_of(tmp_path / "bare")


# Recipes


def test_a_frame_is_scaled_with_its_aspect_and_padded_or_cropped() -> None:
    wide = Frame("wide", np.full((16, 32), 255, np.uint8))
    padded = PLAIN(wide)[0]
    assert (padded[4:12] == 255).all() and padded[:4].max() == 0 and padded[12:].max() == 0
    assert (dataclasses.replace(PLAIN, fit="crop")(wide) == 255).all()
    same = grey(16, 16)
    assert np.array_equal(PLAIN(Frame("same", same))[0].numpy(), same)


def test_transparent_pixels_show_the_background() -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[4:12, 4:12] = (255, 0, 0, 255)
    colour = dataclasses.replace(PLAIN, channels=3, background=1.0)
    found = colour(Frame("clear", clear))
    assert found[:, 0, 0].tolist() == [255, 255, 255] and found[:, 8, 8].tolist() == [255, 0, 0]
    assert dataclasses.replace(PLAIN, background=1.0)(Frame("clear", clear))[0, 8, 8] == 76


def test_intensities_are_stretched_by_the_set_or_by_the_image() -> None:
    ramp = np.linspace(1000, 3000, 256).reshape(16, 16).astype(np.uint16)
    whole = dataclasses.replace(PLAIN, normalise="set", levels=(1000 / 65535, 5000 / 65535))
    assert whole(Frame("a", ramp)).max() == pytest.approx(128, abs=1)
    assert dataclasses.replace(PLAIN, normalise="image")(Frame("a", ramp)).max() == 255
    assert PLAIN(Frame("a", ramp)).max() == pytest.approx(3000 / 257, abs=1)
    flat = dataclasses.replace(PLAIN, normalise="image")(Frame("flat", np.full((16, 16), 7.0)))
    assert flat.max() == 0


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((16, 16), np.nan), "holds NaN everywhere"),
        (np.full((16, 16), 2.0), "has values from 2 to 2, not 0 to 1; use --normalise"),
        (np.zeros((16, 3)), "is 3 x 16 pixels, too small"),
        (np.zeros((16, 16, 2)), r"has shape \(16, 16, 2\)"),
        (np.zeros((16, 16), complex), "holds complex128"),
    ],
)
def test_unfit_frames_say_why(pixels: np.ndarray, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        PLAIN(Frame("a", pixels))


def test_values_outside_the_range_are_named_where_nothing_may_be_stretched(tmp_path: Path) -> None:
    images = rng.random((3, 20, 20))
    images[1] *= 300
    np.save(tmp_path / "some.npy", images)
    np.save(tmp_path / "all.npy", images + 1)
    _, faults = read(tmp_path / "some.npy", settings(tmp_path / "some.npy", normalise="none"))
    assert [fault.name for fault in faults] == ["some.npy#1"]
    with pytest.raises(UserError, match="not 0 to 1; use normalise set or image"):
        look(tmp_path / "all.npy", settings(tmp_path / "all.npy", normalise="none"))


def test_the_survey_finds_size_colour_levels_and_background(tmp_path: Path) -> None:
    for i, side in enumerate((20, 30, 40)):
        Image.fromarray(255 - grey(side, side)).save(tmp_path / f"{i}.png")
    found = look(tmp_path, settings(tmp_path))
    recipe = found.recipe
    assert (recipe.shape, recipe.channels, recipe.normalise) == ((64, 64), 1, "none")
    assert recipe.background == 1.0 and found.sizes == ((20, 20), (40, 40)) and not found.alike
    chosen = settings(tmp_path, size=32, colour="rgb", background=0.5, normalise="image")
    recipe = look(tmp_path, chosen).recipe
    assert (recipe.shape, recipe.channels, recipe.background) == ((32, 32), 3, 0.5)
    deep = tmp_path / "deep.npy"
    np.save(deep, 1000 + 4 * np.stack([grey(24, 20)] * 5).astype(np.uint16))
    recipe = look(deep, settings(deep)).recipe
    assert (recipe.shape, recipe.normalise, recipe.background) == ((24, 20), "set", 0.0)
    assert recipe.levels and recipe.levels[0] * 65535 == pytest.approx(1000)


def test_bytes_that_use_only_the_lowest_levels_are_stretched(tmp_path: Path) -> None:
    """Codes such as 0, 1, 2, as in wafer maps; as they are, they would be nearly black."""
    codes = np.arange(24 * 20, dtype=np.uint8).reshape(24, 20) % 3
    np.save(tmp_path / "codes.npy", np.stack([codes] * 5))
    recipe = look(tmp_path / "codes.npy", settings(tmp_path / "codes.npy")).recipe
    assert recipe.normalise == "set" and recipe.levels
    assert [round(255 * level) for level in recipe.levels] == [0, 2]
    np.save(tmp_path / "black.npy", np.zeros((5, 24, 20), np.uint8))
    assert look(tmp_path / "black.npy", settings(tmp_path / "black.npy")).recipe.normalise == "none"


# Sources


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 12 images of 3 kinds in folders, and 2 broken ones."""
    for i in range(12):
        path = tmp_path / "pictures" / "abc"[i % 3] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey(20 + i, 24)).save(path)
    (tmp_path / "pictures" / "a" / "broken.png").write_bytes(b"no image")
    np.save(tmp_path / "pictures" / "b" / "odd.npy", np.full((16, 16), np.nan))
    return tmp_path / "pictures"


def on_papers(count: int, slope: float) -> list[Frame]:
    """Frames of a bright disc on papers of different brightness, which slope across the image."""
    down, across = np.mgrid[-1:1:32j, -1:1:32j]
    disc = 0.3 * (down**2 + across**2 < 0.25)
    papers = rng.uniform(0.2, 0.5, count)[:, None, None] + slope * across
    return [
        Frame(name=str(i), pixels=(paper + disc).astype(np.float32))
        for i, paper in enumerate(papers)
    ]


def test_uneven_backgrounds_are_flattened_and_even_ones_are_kept() -> None:
    uneven, even = on_papers(30, 0.15), on_papers(1, 0.0) * 30
    found = survey(uneven)
    assert found.recipe.flatten
    assert "flattened" in found.in_words()
    images = torch.stack([found.recipe(frame) for frame in uneven]).float() / 255
    assert (images - images[0]).abs().max() < 0.02  # the papers are gone, and only they
    assert images[0, 0, 16, 16] - images[0, 0, 2, 2] == pytest.approx(0.3, abs=0.02)
    assert images[0, 0, 2, 2] == pytest.approx(found.recipe.background, abs=0.01)
    smaller = [dataclasses.replace(one, pixels=one.pixels[2:, 1:]) for one in uneven[::2]]
    assert survey([*uneven, *smaller]).recipe.flatten  # also if their sizes differ
    assert not survey(even).recipe.flatten
    assert not survey(uneven, flatten="no").recipe.flatten
    noisy = [
        dataclasses.replace(
            one, pixels=(one.pixels + 0.2 * rng.normal(size=(32, 32))).astype(np.float32)
        )
        for one in even
    ]
    assert not survey(noisy).recipe.flatten  # noise is no other background
    settled = DataConfig(**found.settled())
    assert recipe_for(settled, (1, 32, 32)) == found.recipe


def test_broken_files_are_left_out_and_named(pictures: Path) -> None:
    images, faults = read(pictures, settings(pictures))
    assert images.shape == (1, 64, 64) and len(images) == 12 and images.names is not None
    assert images.names[0] == "a/00.png"
    assert [fault.name for fault in faults] == ["a/broken.png", "b/odd.npy"]
    with pytest.raises(UserError, match=r"a/broken\.png is not an image"):
        read(pictures, settings(pictures, on_error="stop"))


def test_labels_come_from_folders_or_a_table(pictures: Path, tmp_path: Path) -> None:
    images, _ = read(pictures, settings(pictures, labels="folders"))
    assert images.label_names == ("a", "b", "c") and images.labels is not None
    assert images.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert images.names is not None
    table = tmp_path / "labels.csv"
    names = images.names.tolist()
    table.write_text("file,label\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))
    images, _ = read(pictures, settings(pictures, labels=str(table)))
    assert images.labels is not None and images.labels.tolist() == [0, 1] * 6
    with pytest.raises(UserError, match="no image is in a folder, such as"):
        read(pictures / "a", settings(pictures / "a", labels="folders"))


def test_settled_settings_give_the_same_images_and_stay(pictures: Path) -> None:
    config = Config(data=settings(pictures), model=ModelConfig(group="se2"))
    settled = settle(config)
    assert settled.data.size == 64 and settled.data.colour == "grey"
    assert settled.data.background == 0.0 and settled.data.normalise == "none"
    assert settle(settled) == settled
    assert prepare_for(settled).digest() == prepare_for(config).digest()
    assert settle(Config()) == Config()


def test_names_follow_their_images_through_the_splits(pictures: Path) -> None:
    data = prepare_for(Config(data=settings(pictures)))
    whole = load(str(pictures)).train
    assert whole.names is not None
    for part in (data.train, data.validation, data.test):
        assert part.images.names is not None
        for name, pixels in zip(part.images.names, part.images.pixels, strict=True):
            (place,) = np.flatnonzero(whole.names == name)
            assert torch.equal(pixels, whole.pixels[place])
