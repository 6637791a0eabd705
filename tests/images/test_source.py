"""Every kind of source keeps the same promises, whatever its images are stored as."""

from collections.abc import Callable, Sequence
from pathlib import Path

import mrcfile
import numpy as np
import pyarrow as pa
import pytest
import tifffile
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.images.arrays import Images, ImageSet
from mcevae.images.datasets import as_images
from mcevae.images.loading import load, prepare
from mcevae.images.packing import write_pack
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources import files, frames, registry
from mcevae.images.sources.archive import ArchiveSource
from mcevae.images.sources.contract import Part, Position, Source, Track
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.memory import MemorySource
from mcevae.images.sources.named import NamedSource
from mcevae.images.sources.pack import PackSource
from mcevae.images.sources.registry import open_source
from mcevae.images.sources.rows import RowSource
from mcevae.models.config import Config
from mcevae.predicting.shards import Shard
from mcevae.runs.data import prepare_for, settle

COUNT = 23
STACK = np.random.default_rng(0).integers(0, 256, (COUNT, 20, 24), dtype=np.uint8)
BROKEN = ("b03-broken.png", "z.jpg")


def folder(path: Path) -> Source:
    """A stack of 11 images, 12 single ones, and 2 files that cannot be read."""
    (path / "kind").mkdir(parents=True)
    np.save(path / "kind" / "a.npy", STACK[:11])
    for i, image in enumerate(STACK[11:]):
        Image.fromarray(image).save(path / "kind" / f"b{i:02}.png")
    (path / "kind" / BROKEN[0]).write_bytes(b"none")
    (path / "kind" / BROKEN[1]).write_bytes(b"")
    return open_source(str(path / "kind"))


def a_list(path: Path) -> Source:
    folder(path)
    names = sorted(file.name for file in (path / "kind").iterdir())
    (path / "list.txt").write_text("\n".join(f"kind/{name}" for name in names))
    return open_source(str(path / "list.txt"))


def npy(path: Path) -> Source:
    np.save(path / "stack.npy", STACK)
    return open_source(str(path / "stack.npy"))


def npz(path: Path) -> Source:
    np.savez(path / "stack.npz", images=STACK, labels=np.arange(COUNT))
    return open_source(str(path / "stack.npz"))


def tiff(path: Path) -> Source:
    tifffile.imwrite(path / "stack.tif", STACK, photometric="minisblack")
    return open_source(str(path / "stack.tif"))


def mrc(path: Path) -> Source:
    with mrcfile.new(path / "stack.mrcs") as file:
        file.set_data(STACK.astype(np.float32))
    return open_source(str(path / "stack.mrcs"))


def table(path: Path) -> Source:
    pictures = []
    for image in STACK:
        Image.fromarray(image).save(path / "one.png")
        pictures.append((path / "one.png").read_bytes())
    parquet.write_table(pa.table({"image": pictures}), path / "table.parquet")
    return open_source(str(path / "table.parquet"))


def archive(path: Path) -> Source:
    arrays = {"x_train": STACK[:16], "x_test": STACK[16:], "y_train": np.arange(16)}
    np.savez(path / "split.npz", **arrays)
    return open_source(str(path / "split.npz"))


def pack(path: Path) -> Source:
    write_pack(npy(path), path / "pack")
    return open_source(str(path / "pack"))


def memory(path: Path) -> Source:
    return MemorySource([Frame(f"X[{i}]", image) for i, image in enumerate(STACK)], DataConfig())


def named(path: Path) -> Source:
    return open_source("digits")


KINDS: dict[Callable[[Path], Source], type[Source]] = {
    **dict.fromkeys((folder, a_list, npy, npz, tiff, mrc, table), FileSource),
    archive: ArchiveSource,
    pack: PackSource,
    memory: MemorySource,
    named: NamedSource,
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def source(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Source:
    """A source of each kind; parts are small, so that there are several."""
    opened = request.param(tmp_path)
    assert type(opened) is KINDS[request.param]
    monkeypatch.setattr(Source, "part_size", 100 if request.param is named else 5)
    return opened


def recipe_of(source: Source) -> Recipe:
    """What is done to the images of a source."""
    if source.survey is not None:
        return source.survey.recipe
    assert isinstance(source, RowSource)
    channels, height, width = source.shape
    return Recipe(
        normalise="none",
        levels=None,
        channels=channels,
        background=source.settled().get("background", 0.0),
        fit="pad",
        shape=(height, width),
    )


def pixels_of(parts: Sequence[Part]) -> torch.Tensor:
    return torch.cat([part.pixels for part in parts])


def names_of(parts: Sequence[Part]) -> list[str]:
    return [name for part in parts for name in part.names or []]


# All kinds


def test_parts_give_what_all_at_once_gives(source: Source) -> None:
    whole = source.load()
    sets = [images for images in (whole.train, whole.test) if images is not None]
    parts = list(source.parts(recipe_of(source)))
    assert len(parts) > 2 and parts[-1].done == 1
    assert [part.done for part in parts] == sorted(part.done for part in parts)
    assert torch.equal(pixels_of(parts), torch.cat([images.pixels for images in sets]))
    names = whole.train.names
    assert names_of(parts) == ([] if names is None else names.tolist())
    assert source.named == (names is not None)
    if not isinstance(source, NamedSource | PackSource):
        expected = torch.from_numpy(STACK)[:, None]
        assert isinstance(source, FileSource) or torch.equal(pixels_of(parts), expected)
        assert len(pixels_of(parts)) == COUNT


def test_parts_go_on_at_any_place_with_every_image_once(source: Source) -> None:
    recipe = recipe_of(source)
    whole = list(source.parts(recipe))
    for i, part in enumerate(whole):
        begin = part.end
        assert begin.images == len(pixels_of(whole[: i + 1]))
        rest = list(source.parts(recipe, begin=begin))
        assert torch.equal(
            torch.cat([pixels_of(whole[: i + 1]), *(part.pixels for part in rest)]),
            pixels_of(whole),
        )
        assert names_of(whole[: i + 1]) + names_of(rest) == names_of(whole)


@pytest.mark.parametrize("count", [2, 3])
def test_shares_hold_every_image_once_under_the_same_number(source: Source, count: int) -> None:
    def numbered(count: int) -> dict[int, torch.Tensor]:
        images = {}
        for i in range(count):
            for part in source.parts(recipe_of(source), share=Shard(i, count)):
                assert part.ids is not None
                for number, pixels in zip(part.ids, part.pixels, strict=True):
                    assert number not in images
                    images[number] = pixels
        return images

    alone, shared = numbered(1), numbered(count)
    assert alone.keys() == shared.keys() and len(alone) == len(
        pixels_of(list(source.parts(recipe_of(source))))
    )
    assert all(torch.equal(alone[number], shared[number]) for number in alone)


def test_a_share_goes_on_at_any_place(source: Source) -> None:
    recipe, share = recipe_of(source), Shard(1, 2)
    whole = list(source.parts(recipe, share=share))
    for i, part in enumerate(whole):
        rest = list(source.parts(recipe, share=share, begin=part.end))
        ids = [number for part in (*whole[: i + 1], *rest) for number in part.ids or []]
        assert ids == [number for part in whole for number in part.ids or []]


def test_what_cannot_be_used_is_named_once(source: Source) -> None:
    faults = [fault.name for fault in source.load().faults]
    parts = list(source.parts(recipe_of(source)))
    assert [fault.name for part in parts for fault in part.faults] == faults
    expected = BROKEN if source.name.endswith(("kind", "list.txt")) else ()
    assert [Path(name).name for name in faults] == list(expected)


def test_a_snapshot_changes_with_the_files(source: Source) -> None:
    before = source.snapshot()
    assert source.snapshot() == before
    assert before.fingerprint("all") == source.snapshot().fingerprint("all")
    assert before.fingerprint("all") != before.fingerprint("test")
    before.check_unchanged()
    for path in source.files():
        content = path.read_bytes()
        path.write_bytes(content + b"more")
        assert source.snapshot().fingerprint("all") != before.fingerprint("all")
        with pytest.raises(UserError, match="was changed while it was read"):
            before.check_unchanged()
        path.unlink()
        assert source.snapshot().fingerprint("all") != before.fingerprint("all")


def test_settled_settings_give_the_same_images(source: Source) -> None:
    settled = settle(Config(data=DataConfig(source=source.name)), source).data
    if isinstance(source, MemorySource):
        again: Source = MemorySource(source.frames(), settled)
    else:
        again = open_source(source.name, settled)
    assert torch.equal(again.load().train.pixels, source.load().train.pixels)
    assert again.settled() == source.settled()


def test_labels_are_those_of_the_source(tmp_path: Path) -> None:
    numbers = npz(tmp_path).load().train.labels
    assert numbers is not None and numbers.tolist() == list(range(COUNT))
    split = archive(tmp_path).load()
    assert split.train.labels is not None and split.train.labels.tolist() == list(range(16))
    assert split.test is not None and split.test.labels is None
    digits = named(tmp_path).load().train
    assert digits.labels is not None and digits.label_names == tuple("0123456789")
    pictures = folder(tmp_path / "pictures")
    path = str(Path(pictures.name).parent)
    by_folder = load(path, DataConfig(source=path, labels="folders")).train
    assert by_folder.labels is not None and by_folder.label_names == ("kind",)


def test_parts_of_their_own_are_the_training_and_test_images(tmp_path: Path) -> None:
    for source in (archive(tmp_path), named(tmp_path)):
        whole = source.load()
        assert whole.test is not None
        for part, images in (("train", whole.train), ("test", whole.test)):
            parts = list(source.parts(recipe_of(source), part=part))
            assert torch.equal(pixels_of(parts), images.pixels)


def test_rows_are_read_from_anywhere(tmp_path: Path) -> None:
    for source in (named(tmp_path), pack(tmp_path)):
        assert isinstance(source, RowSource)
        whole = pixels_of(list(source.parts(recipe_of(source))))
        assert source.count() == len(whole)
        for begin, end in ((0, 3), (7, 20), (source.count() - 2, source.count())):
            assert torch.equal(source.read(begin, end).pixels, whole[begin:end])


def test_only_files_can_be_packed(source: Source, tmp_path: Path) -> None:
    if isinstance(source, FileSource):
        assert write_pack(source, tmp_path / "made").count == COUNT
    else:
        with pytest.raises(UserError, match="cannot be packed; give files, or a folder of them"):
            write_pack(source, tmp_path / "made")


# Opened and looked at once


def test_fit_looks_at_files_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surveyed, listed = [], []
    survey, files_of = frames.survey, files.files_of
    monkeypatch.setattr(frames, "survey", lambda *a, **k: surveyed.append(1) or survey(*a, **k))
    monkeypatch.setattr(
        files, "files_of", lambda path, **how: listed.append(1) or files_of(path, **how)
    )
    source = folder(tmp_path)
    config = Config(data=source.settings)
    data = prepare_for(settle(config, source), source=source)
    assert len(data.train) > 10 and (len(surveyed), len(listed)) == (1, 1)


# Archives with training and test images


@pytest.mark.parametrize(
    "stack",
    [
        STACK,
        STACK[..., None],
        np.stack([STACK, STACK // 2, 255 - STACK], -1),
        STACK / 255,
        (np.stack([STACK, STACK // 3, STACK // 2], -1) / 255).astype(np.float32),
        np.pad(STACK, ((0, 0), (0, 236), (0, 0))),
    ],
    ids=["bytes", "one channel", "colour", "floats", "colour floats", "large"],
)
def test_archives_of_plain_images_are_not_changed(stack: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "split.npz", x_train=stack[:16], x_test=stack[16:])
    loaded = load(str(tmp_path / "split.npz"))
    assert loaded.test is not None
    assert torch.equal(loaded.train.pixels, as_images(stack[:16], name="plain").pixels)
    assert torch.equal(loaded.test.pixels, as_images(stack[16:], name="plain").pixels)


def test_the_same_rules_hold_for_x_train_as_for_images(tmp_path: Path) -> None:
    floats = np.random.default_rng(1).normal(4, 2, (COUNT, 20, 24))
    np.savez(tmp_path / "images.npz", images=floats)
    np.savez(tmp_path / "split.npz", x_train=floats[:16], x_test=floats[16:])
    whole, split = load(str(tmp_path / "images.npz")), load(str(tmp_path / "split.npz"))
    assert split.test is not None
    assert torch.equal(whole.train.pixels, torch.cat([split.train.pixels, split.test.pixels]))
    assert whole.train.pixels.min() == 0 and whole.train.pixels.max() == 255


def test_an_image_of_an_archive_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    floats = STACK / 255
    floats[3, 9, 9] = np.nan
    arrays = {"x_train": floats[:16], "x_test": floats[16:]}
    path = str(tmp_path / "split.npz")
    np.savez(path, **arrays)
    loaded = load(path)
    assert [fault.name for fault in loaded.faults] == ["x_train#3"] and len(loaded.train) == 15
    with pytest.raises(UserError, match="x_train#3 holds NaN"):
        load(path, DataConfig(source=path, on_error="stop"))
    np.savez(path, **arrays, y_train=np.arange(16))
    known = load(path).train
    assert known.labels is not None and known.label_names is not None
    assert [known.label_names[i] for i in known.labels] == [str(i) for i in range(16) if i != 3]


def test_parts_of_an_archive_that_an_older_version_began_go_on(tmp_path: Path) -> None:
    """It wrote how many images were done, and no frame."""
    source = archive(tmp_path)
    rest = list(source.parts(recipe_of(source), begin=Position(images=10)))
    assert torch.equal(pixels_of(rest)[:, 0], torch.from_numpy(STACK[10:]))


# A new kind


class Stripes(RowSource):
    """Images by a name such as stripes:30, of which there are 30."""

    shape = (1, 16, 16)

    @classmethod
    def takes(cls, name: str) -> bool:
        return name.startswith("stripes:")

    def count(self, part: str = "all") -> int:
        return int(self.name.split(":")[1])

    def read(self, begin: int, end: int, part: str = "all") -> Images:
        rows = torch.arange(begin, end).byte()
        return Images(name=self.name, pixels=rows.view(-1, 1, 1, 1).repeat(1, *self.shape))

    def load(self, track: Track = iter) -> ImageSet:
        return ImageSet(train=self.read(0, self.count()))


def test_a_new_kind_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KINDS", [Stripes, *registry.KINDS])
    config = Config(data=DataConfig(source="stripes:30"))
    assert settle(config) == config and registry.is_there("stripes:30")
    data = prepare_for(config)
    values = [part.images.pixels[:, 0, 0, 0] for part in (data.train, data.validation, data.test)]
    assert sorted(torch.cat(values).tolist()) == list(range(30))
    assert len(load("stripes:5").train) == 5
    source = open_source("stripes:30")
    parts = list(source.parts(recipe_of(source), share=Shard(1, 2)))
    assert parts[0].ids == list(range(15, 30))
    posed = prepare(source, group=get_group("so2"), support=(1.0,), posed=True)
    assert posed.train.elements is not None
