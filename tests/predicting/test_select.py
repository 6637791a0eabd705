"""Selections: what is chosen, what is written, and what is decided."""

import csv
import shutil
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import tifffile
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.choosing import Choice
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.geometry.groups import Aff2
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.loading import load
from mcevae.images.sources.listing import files_of
from mcevae.predicting.deciding import Decision
from mcevae.predicting.kept_sums import averages_for, page_sums
from mcevae.predicting.selecting import Selector, folders_for
from mcevae.run import open_run
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun

TINY = [
    "--filters",
    "4",
    "8",
    "8",
    "8",
    "--hidden",
    "16",
    "--pose-hidden",
    "8",
    "--decoder-hidden",
    "16",
    "--clusters",
    "4",
]
SHORT = ["--preset", "paper", "--epochs", "1", "--batch-size", "10", *TINY]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 files in two folders."""
    folder = tmp_path_factory.mktemp("select")
    for i in range(40):
        path = folder / "images" / f"plate{i % 2}" / f"{i // 2:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 255, (28, 28), np.uint8)).save(path)
    main(["fit", str(folder / "images"), "--out", str(folder / "run"), *SHORT])
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy, so that decisions can be kept in it."""
    return shutil.copytree(made, tmp_path / "run")


def test_ranges_text_and_invert_choose_what_they_say(run: Path) -> None:
    opened = open_run(run)
    every = opened.select().rows.to_pandas()
    assert len(every) == 40
    for name in ("confidence", "area", "brightness"):
        middle = float(every[name].median())
        upper = opened.select(Choice(**{name: (middle, 1.0)})).rows.to_pandas()
        assert upper["file"].tolist() == every["file"][every[name] >= middle].tolist()
    turned = opened.select(Choice(where=("rotation_deg=:0",), text="PLATE1/")).names
    wanted = every[(every["rotation_deg"] <= 0) & every["file"].str.contains("plate1/")]
    assert turned == wanted["file"].tolist()
    rest = opened.select(Choice(where=("rotation_deg=:0",), text="PLATE1/", invert=True)).names
    assert sorted(rest + turned) == sorted(every["file"])


def test_decisions_hold_for_tables_of_the_own_source_only(run: Path, tmp_path: Path) -> None:
    opened, junk = open_run(run), ["plate0/00.png", "plate1/03.png"]
    opened.decide(junk, Decision(mark="junk", tag="dust", save="bad"))
    groups = dict(
        zip(opened.select().names, opened.select().rows["group"].to_pylist(), strict=True)
    )
    target = "3" if groups.get("plate0/01.png") != "3" else "0"
    opened.decide(["plate0/01.png"], Decision(move=target))
    assert "plate0/01.png" in opened.select(Choice(keep=(target,))).names
    assert "plate0/01.png" not in opened.select(Choice(without=(target,))).names
    assert set(opened.select().names).isdisjoint(junk) and len(opened.select().rows) == 38
    for choice in (Choice(junk="only"), Choice(junk="too", tags=("dust",))):
        assert opened.select(choice).names == junk
    assert opened.select(Choice(junk="too", selection="bad")).names == junk
    opened.table(opened.settings.data.source, tmp_path / "own.parquet")
    own = parquet.read_table(tmp_path / "own.parquet").to_pandas().set_index("file")
    assert own.index[~own["kept"]].tolist() == junk
    assert own.loc["plate0/01.png", "group"] == target and own.loc[junk[0], "tags"] == "dust"
    other = shutil.copytree(opened.settings.data.source, tmp_path / "other")
    opened.table(other, tmp_path / "other.parquet")
    assert "kept" not in parquet.read_schema(tmp_path / "other.parquet").names


def test_a_new_group_of_images_is_in_tables_of_the_own_source(run: Path, tmp_path: Path) -> None:
    main(["select", str(run), "--text", "plate0/0", "--new-group", "odd ones"])
    opened = open_run(run)
    names = [f"plate0/{i:02}.png" for i in range(10)]
    assert opened.select(Choice(keep=("odd ones",))).names == names
    opened.table(opened.settings.data.source, tmp_path / "own.parquet")
    own = parquet.read_table(tmp_path / "own.parquet").to_pandas()
    assert own["file"][own["group"] == "odd ones"].tolist() == names
    other = shutil.copytree(opened.settings.data.source, tmp_path / "other")
    opened.table(other, tmp_path / "other.parquet")
    there = parquet.read_table(tmp_path / "other.parquet").to_pandas()
    assert "odd ones" not in set(there["group"])
    main(["groups", str(run), "--merge", "odd ones", "0"])
    opened.report()


def test_junk_groups_are_left_out(run: Path) -> None:
    opened = open_run(run)
    sizes = opened.select().rows.to_pandas()["group"].value_counts()
    main(["groups", str(run), "--junk", str(sizes.index[0])])
    assert len(opened.select().rows) == 40 - sizes.iloc[0]
    main(["groups", str(run), "--keep", str(sizes.index[0])])
    assert len(opened.select().rows) == 40


def test_lists_tables_and_folders_are_read_back(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    names = opened.select(Choice(text="plate0")).names
    source = Path(opened.settings.data.source)
    for ending in (".txt", ".csv", ".parquet", ""):
        out = tmp_path / f"chosen{ending}"
        main(["select", str(run), "--text", "plate0", "--out", str(out)])
    listed = files_of(tmp_path / "chosen.txt").paths
    assert sorted(listed) == sorted(source / name for name in names)
    with (tmp_path / "chosen.csv").open() as file:
        assert [row["file"] for row in csv.DictReader(file)] == names
    rows = parquet.read_table(tmp_path / "chosen.parquet").to_pandas()
    for name, group in zip(rows["file"], rows["group"], strict=True):
        copy = tmp_path / "chosen" / group / Path(name).name
        assert copy.read_bytes() == (source / name).read_bytes()
    main(["select", str(run), "--out", str(tmp_path / "links"), "--files", "links"])
    links = [path for path in (tmp_path / "links").rglob("*.png") if path.is_symlink()]
    assert len(links) == 40 == len({path.resolve() for path in links})


@pytest.mark.parametrize("ending", [".npy", ".mrcs", ".tif"])
def test_the_mean_of_a_group_s_stack_is_its_average(run: Path, tmp_path: Path, ending: str) -> None:
    name = next(one.name for one in open_run(run).averages() if one.images > 1)
    main(["groups", str(run), "--upright", f"{name}=90"])
    opened = open_run(run)
    average = next(one for one in opened.averages() if one.name == name)
    out = tmp_path / f"stack{ending}"
    main(["select", str(run), "--keep", average.name, "--out", str(out)])
    if ending == ".npy":
        stack = np.load(out)
    elif ending == ".tif":
        stack = tifffile.imread(out)
    else:
        with mrcfile.open(out) as file:
            assert file.is_image_stack()
            stack = file.data.copy()
    assert stack.shape == (average.images, *average.picture.shape)
    values, counts = np.unique(stack, return_counts=True)
    covered = (stack != values[counts.argmax()]).all(0)  # else it is the background
    assert covered.sum() > 100
    apart = np.abs(stack.mean(0) - average.picture)[covered]
    assert (apart < 1e-5).mean() > 0.8 and apart.max() < 0.02  # a pixel at an edge counts in part
    assert stack.mean(0)[covered].std() > 0.01
    with out.with_suffix(".csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {average.name}
    with pytest.raises(SystemExit):
        main(["select", str(run), "--out", str(out)])  # it is there


def test_a_stack_of_a_built_in_set_has_the_chosen_images(
    opened: TrainedRun, tmp_path: Path
) -> None:
    """mcevae moved them for training; the table, and so the stack, are of the set as it is."""
    out = tmp_path / "stack.npy"
    selector = Selector(opened, out)
    chosen = selector.select(Choice(brightness=(0.2, 1.0)))
    assert 5 < len(chosen.rows) < chosen.total / 5
    selector.write(chosen, out)
    parts = load("mnist-mini")
    assert parts.test is not None
    pixels = torch.cat([parts.train.pixels, parts.test.pixels])[torch.from_numpy(chosen.places)]
    back = Aff2().inverse(embed(opened.model, pixels).element)
    wanted = warp(to_float(pixels), back, mode="bicubic")[:, 0]
    assert np.abs(np.load(out) - wanted.numpy()).mean() < 0.01


def test_groups_become_folders_of_any_system() -> None:
    made = folders_for(["a/b", "a_b", "..", "A_B", "con:"])
    assert len({name.casefold() for name in made.values()}) == 5
    assert not any(set(name) & set("/\\:") or name.startswith(".") for name in made.values())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--keep", "x"], "there is no group x"),
        (["--selection", "x"], "there is no selection x"),
        (["--where", "nothing=0:1"], "there is no column of numbers nothing"),
        (["--where", "z_0"], "give COLUMN=LOW:HIGH"),
        (["--confidence", "1", "0"], "swap"),
        (["--out", "x.jpg"], "ends in .jpg"),
        (["--out", "x.star"], "is a table of particles"),
        (["--text", "nowhere", "--mark", "junk"], "no image is chosen"),
        (["--text", "nowhere", "--out", "x.csv"], "no image is chosen"),
        (["--tag", "a;b"], "semicolon"),
    ],
)
def test_what_cannot_be_is_refused(
    made: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["select", str(made), *flags])
    assert error.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (made / "groups.json").exists()


def test_particles_are_read_back_with_their_columns(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "stack.mrcs") as file:
        file.set_data(RNG.normal(size=(40, 28, 28)).astype(np.float32))
    names = [f"{i:06}@{tmp_path}/stack.mrcs" for i in range(1, 41)]
    table = pd.DataFrame({"rlnImageName": names, "rlnVoltage": range(40), "rlnOpticsGroup": 1})
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.0], "rlnImageSize": [28]})
    starfile.write({"optics": optics, "particles": table}, tmp_path / "all.star")
    main(["fit", str(tmp_path / "all.star"), "--out", str(tmp_path / "run"), *SHORT])
    opened = open_run(tmp_path / "run")
    chosen = opened.select(Choice(outlier=(0.3, 1.0)), tmp_path / "good.star")
    assert 0 < len(chosen.rows) < 40
    read: Any = starfile.read(tmp_path / "good.star")
    read = read["particles"]
    ids = chosen.rows["id"].to_pylist()
    assert read["rlnImageName"].tolist() == [names[i] for i in ids]
    assert read["rlnVoltage"].tolist() == ids
    with pytest.raises(UserError, match="not a file of one image"):
        opened.select(Choice(), tmp_path / "good.txt")


def test_averages_leave_out_junk_and_what_was_moved(run: Path) -> None:
    opened = TrainedRun.open(run)
    before, sums = averages_for(opened)
    shown = page_sums(opened, opened.data())
    group = max(before, key=lambda one: one.images)
    other = next(one for one in before if one.name != group.name)
    rows = open_run(run).select().rows.to_pandas()
    junk, moved, *stay = rows["file"][rows["group"] == group.name].tolist()
    open_run(run).decide([junk], Decision(mark="junk"))
    open_run(run).decide([moved], Decision(move=other.name))
    opened = TrainedRun.open(run)
    after = {one.name: one for one in averages_for(opened)[0]}
    assert after[group.name].images == len(stay) == group.images - 2
    assert after[other.name].images == other.images
    assert not np.array_equal(after[group.name].picture, group.picture)
    assert np.array_equal(after[other.name].picture, other.picture)
    kept = page_sums(opened, opened.data())
    (unit,) = group.units
    assert sum(kept.units[unit].counts) == sum(shown.units[unit].counts) - 2
    source = opened.settings.data.source
    assert sum(averages_for(opened, source)[1].units[unit].counts) == sum(sums.units[unit].counts)
