"""Runs of every kind of source are extended: what they had stays, and new images join."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import starfile
import tifffile
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MISSING, Images
from mcevae.images.blocks import images_in
from mcevae.images.loading import load
from mcevae.images.packing import write_pack
from mcevae.images.sources.contract import START, Source
from mcevae.images.sources.members import FILE
from mcevae.images.sources.registry import is_there, open_source
from mcevae.models.registry import build
from mcevae.predicting.added import FEATURES, Added
from mcevae.predicting.extending import Extension, extension_of
from mcevae.predicting.predictor import Predictor
from mcevae.predicting.shards import Shard
from mcevae.run import open_run
from mcevae.runs import checkpoint
from mcevae.runs.confidence import Calibration
from mcevae.runs.data import decide_mirror, prepare_for, settle
from mcevae.runs.run import TrainedRun
from tests.sizes import taught

OLD, NEW = 40, 9
ANY = Calibration(temperature=1.0, misfits=tuple(float(i) for i in range(101)), n=100)
PIXELS = load("mnist-mini").train.pixels[: OLD + NEW, 0].numpy()
KINDS = load("mnist-mini").train.labels[: OLD + NEW].numpy()  # pyright: ignore[reportOptionalSubscript]
BOTH = slice(None, OLD), slice(OLD, None)
Made = tuple[dict[str, Any], dict[str, Any]]
"""Data settings of the run, and what is given of the new images."""


def untrained(settings: dict[str, Any], folder: Path) -> TrainedRun:
    """A run whose network has learned nothing: nothing here depends on what it says."""
    config = settle(taught(limit=None, epochs=1).changed(data={"limit": None, **settings}))
    data = prepare_for(config)
    config, _ = decide_mirror(config, data)
    shape = data.train.images.shape
    torch.manual_seed(0)
    model = build(config, shape)
    tensors = {f"model.{name}": one for name, one in model.state_dict().items()}
    about = {"config": config.to_dict(), "shape": list(shape), "data": data.digest()}
    checkpoint.save(
        folder / "best.safetensors", tensors, {**about, "position": {"epoch": 1, "step": 0}}
    )
    return open_run(folder)


def arrays(folder: Path) -> Made:
    """Files of arrays: a .npz with labels, and a stack of TIFF."""
    np.savez(folder / "old.npz", images=PIXELS[:OLD], labels=KINDS[:OLD])
    tifffile.imwrite(folder / "new.tif", PIXELS[OLD:], photometric="minisblack")
    return {"source": str(folder / "old.npz")}, {"source": str(folder / "new.tif")}


def parts(folder: Path) -> Made:
    """A .npz with training and test images, and pictures in folders, which are labels."""
    first, last = slice(None, 30), slice(30, OLD)
    named = {"x_train": PIXELS[first], "y_train": KINDS[first]}
    np.savez(folder / "old.npz", **named, x_test=PIXELS[last], y_test=KINDS[last])
    for i, (image, kind) in enumerate(zip(PIXELS[OLD:], KINDS[OLD:], strict=True)):
        (folder / "new" / str(kind)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "new" / str(kind) / f"{i}.png")
    new = {"source": str(folder / "new"), "labels": "folders"}
    return {"source": str(folder / "old.npz")}, new


def packs(folder: Path) -> Made:
    """Two packs."""
    plain = {"normalise": "none", "background": 0.0, "flatten": "no", "isolate": "no"}
    for name, own in zip(("old", "new"), BOTH, strict=True):
        np.save(folder / f"{name}.npy", PIXELS[own])
        settings = DataConfig(source=str(folder / f"{name}.npy"), **plain)
        write_pack(open_source(settings.source, settings), folder / name)
    return {"source": str(folder / "old")}, {"source": str(folder / "new")}


def particles(folder: Path) -> Made:
    """Two STAR files with a column of labels, of which the run's is asked for."""
    for name, own in zip(("old", "new"), BOTH, strict=True):
        with mrcfile.new(folder / f"{name}.mrcs") as file:
            file.set_data(PIXELS[own].astype(np.float32))
        count = len(PIXELS[own])
        rows = {"rlnImageName": [f"{i + 1:06}@{name}.mrcs" for i in range(count)]}
        kinds = [f"k{kind}" for kind in KINDS[own]]
        starfile.write(pd.DataFrame({**rows, "rlnGroupName": kinds}), folder / f"{name}.star")
    old = {"source": str(folder / "old.star"), "label_column": "rlnGroupName"}
    return old, {"source": str(folder / "new.star")}


def crops(folder: Path) -> Made:
    """Boxes in one large image, and others in another."""
    for name, own in zip(("old", "new"), BOTH, strict=True):
        np.save(folder / f"{name}.npy", np.concatenate(list(PIXELS[own]), 1))
        rows = [f"{name}.npy,{28 * i},0,28" for i in range(len(PIXELS[own]))]
        (folder / f"{name}.csv").write_text("\n".join(["file,x,y,size", *rows]))
    old = {"source": str(folder / "old.npy"), "boxes": str(folder / "old.csv")}
    cutting = CuttingConfig(boxes=str(folder / "new.csv"))
    return old, {"source": str(folder / "new.npy"), "cutting": cutting}


def objects(folder: Path) -> Made:
    """Objects of a label image, and whole pictures."""
    cells = np.concatenate(list(PIXELS[:OLD]), 1)
    labels = np.repeat(np.arange(1, OLD + 1), 28)[None].repeat(28, 0) * (cells > 0)
    np.save(folder / "old.npy", cells)
    np.save(folder / "masks.npy", labels.astype(np.int32))
    old = {"source": str(folder / "old.npy"), "objects": str(folder / "masks.npy")}
    np.save(folder / "new.npy", PIXELS[OLD:])
    return old, {"source": str(folder / "new.npy")}


def hinted(folder: Path) -> Made:
    """Pictures with labels and hints in tables, and a table of encoded pictures."""
    (folder / "old").mkdir()
    for i, image in enumerate(PIXELS[:OLD]):
        Image.fromarray(image).save(folder / "old" / f"{i:03}.png")
    labels = [f"{i:03}.png,{kind}" for i, kind in enumerate(KINDS[:OLD])]
    (folder / "labels.csv").write_text("\n".join(["file,label", *labels[:30]]))
    (folder / "hints.csv").write_text("\n".join(["file,label", *labels[7:12], *labels[33:36]]))
    pictures = [(folder / "old" / f"{i:03}.png").read_bytes() for i in range(3)]
    new = [Image.fromarray(image) for image in PIXELS[OLD:]]
    for i, one in enumerate(new):
        one.save(folder / f"{i}.png")
        pictures.append((folder / f"{i}.png").read_bytes())
    parquet.write_table(pa.table({"image": pictures}), folder / "new.parquet")
    tables = {name: str(folder / f"{name}.csv") for name in ("labels", "hints")}
    return {"source": str(folder / "old"), **tables}, {"source": str(folder / "new.parquet")}


def built_in(folder: Path) -> Made:
    """A built-in set, whose images are moved at random, and an array."""
    small = load("digits").test.pixels[:12, 0].numpy()[:, ::-1]  # pyright: ignore[reportOptionalMemberAccess]
    np.save(folder / "new.npy", small)
    return {"source": "digits", "limit": OLD}, {"source": str(folder / "new.npy")}


CASES = [arrays, parts, packs, particles, crops, objects, hinted, built_in]


def extended(made: Made, folder: Path) -> tuple[TrainedRun, Extension]:
    """A run of a source with new images."""
    run, out = untrained(made[0], folder / "run"), folder / "out"
    out.mkdir()
    extension = extension_of(run, Added(**made[1]), out)
    return run, extension


def labels_of(images: Images) -> list[str]:
    """The label of each image as a word; "" where there is none."""
    if images.labels is None:
        return [""] * len(images)
    names = images.label_names or ()
    return ["" if one == MISSING else names[one] for one in images.labels.tolist()]


def check_what_is_known(case: object, old: Images, train: Images, first: int) -> None:
    """Labels of new images, and hints of old ones."""
    assert train.places is not None and train.names is not None
    is_new = train.places >= first
    words = np.array(labels_of(train))[is_new].tolist()
    if case is parts:
        assert words == [name.split("/")[1] for name in train.names[is_new]]
    if case is hinted:
        assert old.hints is not None and train.hints is not None and set(words) == {""}
        assert train.hints.names == old.hints.names
        assert train.hints.of[: len(old)].tolist() == old.hints.of.tolist()
        assert (train.hints.of[len(old) :] < 0).all()


@pytest.mark.parametrize("case", CASES)
def test_what_a_run_had_stays_and_new_images_join(
    case: Callable[[Path], Made], tmp_path: Path
) -> None:
    run, extension = extended(case(tmp_path), tmp_path)
    before, after, first = run.data(), extension.data, extension.first
    names: list[str] = []
    for old, new in zip(images_in(before), images_in(after), strict=True):
        count = len(old)
        assert new.places is not None and new.names is not None and old.places is not None
        assert torch.equal(new.pixels[:count], old.pixels)
        assert new.places[:count].tolist() == old.places.tolist()
        assert (new.places[count:] >= first).all()
        assert labels_of(new)[:count] == labels_of(old)
        if old.names is not None:
            assert new.names[:count].tolist() == old.names.tolist()
        assert all(name.startswith("new") for name in new.names[count:])
        names += new.names.tolist()
    assert len(set(names)) == len(names)
    check_what_is_known(case, before.train.images, after.train.images, first)
    held = 12 if case is built_in else NEW
    assert extension.images == held and extension.copies == (3 if case is hinted else 0)
    extension.begin(tmp_path / "out")
    if not extension.trains:  # it opens again, from the file that names its sources
        made = open_run(tmp_path / "out")
        assert made.data().digest() == after.digest()
    assert extension.as_parent("all").images == sum(len(one) for one in images_in(before))
    assert extension.loses_poses == (case is built_in)


def test_tables_of_joined_sources_have_ids_names_and_columns_that_all_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "part_size", 7)
    run, extension = extended(crops(tmp_path), tmp_path)
    source = open_source(extension.config.data.source, extension.config.data)
    data = extension.config.data
    maker = Predictor(run.model, data, run.shape, ANY, identity="one")
    list(maker(source, "all", tmp_path / "all.parquet"))
    rows = pd.read_parquet(tmp_path / "all.parquet")
    assert rows["id"].tolist() == list(range(OLD + NEW))
    assert rows["file"][OLD - 1] == "old.npy#1092,0,28,28"
    assert rows["file"][OLD] == "new/new.npy#0,0,28,28"
    assert rows["box_x"].tolist() == [28 * i for i in [*range(OLD), *range(NEW)]]
    found: list[pd.DataFrame] = []
    for i in range(2):
        list(maker(source, "all", tmp_path / f"{i}.parquet", Shard(i, 2)))
        found.append(pd.read_parquet(tmp_path / f"{i}.parquet"))
    assert sorted(pd.concat(found)["file"]) == sorted(rows["file"])
    assert len(set(pd.concat(found)["id"])) == len(rows)
    every = list(source.parts(run.recipe))
    rest = list(source.parts(run.recipe, begin=every[1].end))
    assert [part.names for part in rest] == [part.names for part in every[2:]]
    assert every[-1].end.entries == OLD + NEW and every[0].end != START
    names = [one.frame.name for one in source.originals(run.recipe)]  # pyright: ignore[reportAttributeAccessIssue]
    assert names == rows["file"].tolist()
    new = source.file_of("new/new.npy")
    assert new == (tmp_path / "new.npy").resolve() and source.file_of("old.npy").is_file()


def test_features_of_both_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = arrays(tmp_path)
    numbers = np.random.default_rng(0).normal(size=(OLD + NEW, 3))
    for name, own in zip(("old", "new"), BOTH, strict=True):
        np.save(tmp_path / f"{name}-features.npy", numbers[own])
    run = untrained({**old, "features": str(tmp_path / "old-features.npy")}, tmp_path / "run")
    monkeypatch.setattr(TrainedRun, "told", lambda *_: None)  # what features say is learned later
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match="trained with features, so the new images need theirs"):
        extension_of(run, Added(**new), out)
    wrong = Added(**new, features=str(tmp_path / "old-features.npy"))
    with pytest.raises(UserError, match=r"40 rows, but .*new\.tif has 9 images"):
        extension_of(run, wrong, out)
    assert not list(out.iterdir())
    given = Added(**new, features=str(tmp_path / "new-features.npy"))
    extension = extension_of(run, given, out)
    assert (out / FEATURES).is_file()
    for images in images_in(extension.data):
        assert images.features is not None
        wanted = torch.from_numpy(numbers[images.places].astype(np.float32))
        assert torch.equal(images.features, wanted)
    plain = untrained(old, tmp_path / "plain")
    with pytest.raises(UserError, match="was trained without features; leave out"):
        extension_of(plain, given, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "cannot be read as a list of sources"),
        (json.dumps({"format": 2}), "format 2, this version has 1"),
        (json.dumps({"format": 1, "sources": []}), "0 sources; 1 to 100 can be"),
        (json.dumps({"format": 1, "sources": [{"source": 7}]}), "cannot be 7"),
        (json.dumps({"format": 1, "sources": [{"other": "a"}]}), "there is no setting"),
        (json.dumps({"format": 1, "sources": [{"source": FILE}]}), "may not name another"),
        (json.dumps({"format": 1, "sources": [{"source": "/dev/zero"}]}), "/dev/zero: "),
        (json.dumps({"format": 1, "sources": [{"source": "none"}]}), "no such file, folder or set"),
    ],
)
def test_a_strangers_file_ends_in_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / FILE
    path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        prepare_for(taught(source=str(path)))
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run" / FILE
    path.parent.mkdir()
    (tmp_path / "other.json").write_text("{}")
    make = {
        "link": lambda: path.symlink_to(tmp_path / "other.json"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    assert is_there(str(path))
    with pytest.raises(UserError, match="cannot be read as a list of sources"):
        open_source(str(path))


def test_hints_for_all_and_labels_for_none(tmp_path: Path) -> None:
    run, extension = extended(arrays(tmp_path), tmp_path)
    (tmp_path / "hints.csv").write_text("file,label\nnew/new.tif#2,a\nold.npz#5,b\nold.npz#6,b\n")
    config = extension.config.changed(data={"hints": str(tmp_path / "hints.csv")})
    train = prepare_for(config).train.images
    assert train.hints is not None and train.names is not None
    assert sorted(train.names[:3].tolist()) == ["new/new.tif#2", "old.npz#5", "old.npz#6"]
    assert train.hints.rows().tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="labels of their own; leave out"):
        prepare_for(config.changed(data={"labels": "folders"}))
    loaded = load(config.data.source, extension.config.data).train
    assert len(loaded) == OLD + NEW and labels_of(loaded)[:3] == [str(k) for k in KINDS[:3]]
    assert run.shape == loaded.shape
