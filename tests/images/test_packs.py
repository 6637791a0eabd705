"""Packs: all images of a source, shuffled on disk, learned from a window at a time."""

import dataclasses
import io
import json
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images import packing
from mcevae.images.loading import load as load_source
from mcevae.images.packing import write_pack
from mcevae.images.packs import open_pack
from mcevae.images.readers.frames import Frame
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.pack import PackSource
from mcevae.images.sources.registry import open_source
from mcevae.models.config import Config
from mcevae.models.default import selftraining
from mcevae.runs.checkpoint import load, load_model, run_file
from mcevae.runs.data import prepare_for, settle
from mcevae.training.loop import fit
from tests.images.reading import read
from tests.sizes import taught, tiny
from tests.training.test_loop import interrupt_at, losses

COUNT = 440


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return load_source("mnist-mini").train.pixels[:COUNT]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, digits: torch.Tensor) -> Path:
    """Files in two folders, and a broken one."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(digits):
        path = folder / ("even" if i % 2 == 0 else "odd") / f"{i:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    (folder / "odd" / "broken.png").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BUCKET_BYTES", 2**14)  # so that there are several
        write_pack(open_source(str(pictures), DataConfig(labels="folders")), folder)
    return folder


def windowed(config: Config, packed: Path, window: int = 100) -> Config:
    """Settings that learn from a pack by windows."""
    changes = {"source": str(packed), "pose": "none", "window": window}
    return settle(config.changed(data=changes))


def test_a_pack_holds_every_image_once_with_its_name_and_label(
    packed: Path, pictures: Path
) -> None:
    pack = open_pack(packed)
    assert isinstance(open_source(str(packed)), PackSource)
    assert pack.count == COUNT and pack.shape == (1, 28, 28)
    images = pack.rows(0, COUNT)
    expected, _ = read(pictures, DataConfig(labels="folders"))
    assert expected.names is not None and images.names is not None and images.labels is not None
    order = np.argsort(images.names)
    assert images.names[order].tolist() == expected.names.tolist()
    assert images.pixels[order].equal(expected.pixels)
    words = [pack.label_names[label] for label in images.labels]
    assert words == [name.split("/")[0] for name in images.names]
    assert [fault.name for fault in pack.faults] == ["odd/broken.png"]
    assert "odd/broken.png" in (packed / "skipped.csv").read_text()


def test_rows_are_in_random_order_and_any_run_of_them_is_fair(packed: Path) -> None:
    pack = open_pack(packed)
    names = pack.rows(0, COUNT).names
    assert names is not None
    numbers = np.array([int(name[-8:-4]) for name in names])
    assert abs(np.corrcoef(numbers, np.arange(COUNT))[0, 1]) < 0.15
    for half in (numbers[: COUNT // 2], numbers[COUNT // 2 :]):
        assert abs(half.mean() - COUNT / 2) < 0.1 * COUNT


def test_the_same_seed_gives_the_same_pack(packed: Path, pictures: Path, tmp_path: Path) -> None:
    settings = DataConfig(labels="folders")
    first, again, other = (
        write_pack(open_source(str(pictures), settings), tmp_path / name, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.digest == again.digest != other.digest


def test_windows_are_disjoint_and_make_up_the_training_images(packed: Path) -> None:
    config = windowed(tiny(), packed, window=60)
    data = prepare_for(config)
    assert data.window is not None
    held = len(data.test) + len(data.validation)
    rows = open_pack(packed).rows(held, COUNT).pixels
    many = (COUNT - held) // 60
    found = torch.cat([data.window(n).images.pixels for n in range(many)])
    assert found.equal(rows[: 60 * many])
    assert data.window(many).images.pixels.equal(data.train.images.pixels)  # round again


def test_labels_and_settings_come_with_the_pack(packed: Path) -> None:
    config = windowed(tiny(), packed)
    assert (config.data.normalise, config.data.colour) == ("none", "grey")
    data = prepare_for(config)
    assert data.test.images.labels is not None and data.test.images.label_names is not None
    with pytest.raises(UserError, match="leave out labels"):
        prepare_for(config.changed(data={"labels": "folders"}))


@pytest.mark.parametrize("kind", ["paper", "default"])
def test_training_goes_through_the_windows_and_resumes_exactly(
    kind: str, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftraining, "AGREEMENT", 0.0)  # so little is not learned well
    config = windowed(tiny(epochs=6) if kind == "paper" else taught(epochs=6), packed)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    data = prepare_for(config)
    before = data.train.images.pixels.clone()
    assert fit(config, data, whole)
    window = load(run_file(whole, "last"))[1]["position"]["window"]
    assert window == (5 if kind == "paper" else 2)  # the default's move when targets are drawn
    assert data.train.images.pixels.equal(before)  # the report shows them
    with monkeypatch.context() as patch:
        interrupt_at(patch, 14, signal.SIGINT)  # of 2 steps and 1 of validation an epoch
        assert not fit(config, data, stopped)
    assert fit(config, prepare_for(config), stopped, resume=True)
    assert losses(stopped) == losses(whole)
    assert load_model(stopped)[2]["data"] == open_pack(packed).digest


@pytest.fixture(scope="module")
def run(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a pack, made, scored and reported from the command line."""
    out = tmp_path_factory.mktemp("runs") / "run"
    flags = "--preset vae --epochs 1 --batch-size 20 --filters 4 8 8 8 --decoder-hidden 16"
    main(["fit", str(packed), "--window", "100", *flags.split(), "--out", str(out)])
    return out


def test_a_pack_is_predicted_as_its_files_are(
    run: Path, packed: Path, pictures: Path, tmp_path: Path
) -> None:
    tables = []
    for name, source in (("packed", packed), ("files", pictures)):
        main(["predict", str(run), str(source), "--out", str(tmp_path / f"{name}.parquet")])
        tables.append(parquet.read_table(tmp_path / f"{name}.parquet").sort_by("file"))
    for column in ("file", "cluster"):
        assert tables[0][column].to_pylist() == tables[1][column].to_pylist()
    probability = [table["outlier"].to_numpy() for table in tables]
    assert np.allclose(*probability, atol=1e-4)
    assert (run / "report.html").exists()


def test_a_pack_of_another_form_is_refused_and_one_like_the_run_is_not(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inverse, like = tmp_path / "inverse", tmp_path / "like"
    main(["pack", str(pictures), "--background", "0.5", "--out", str(inverse)])
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(run), str(inverse), "--out", str(tmp_path / "t.csv")])
    assert stop.value.code == 2 and "--like" in capsys.readouterr().err
    main(["pack", str(pictures), "--like", str(run), "--out", str(like)])
    main(["predict", str(run), str(like), "--out", str(tmp_path / "t.csv")])
    assert len((tmp_path / "t.csv").read_text().splitlines()) == COUNT + 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda pack: (pack / "pixels.npy").write_bytes(b"x"), "damaged pack"),
        (lambda pack: (pack / "index.parquet").unlink(), "damaged pack"),
        (lambda pack: (pack / "pack.json").write_text("{}"), "damaged pack"),
        (lambda pack: (pack / "pack.json").write_text("[]"), "damaged pack"),
        (lambda pack: (pack / "pack.json").write_text('{"format": 9}'), "format 9"),
    ],
)
def test_damaged_packs_are_named(damage: object, said: str, pictures: Path, tmp_path: Path) -> None:
    assert callable(damage)
    write_pack(open_source(str(pictures), DataConfig()), tmp_path / "pack")
    damage(tmp_path / "pack")
    with pytest.raises(UserError, match=said):
        open_pack(tmp_path / "pack")


def test_what_stops_halfway_leaves_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "join", broken)
    with pytest.raises(UserError, match="No space left"):
        write_pack(open_source(str(pictures), DataConfig()), tmp_path / "pack")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write_pack(open_source(str(pictures), DataConfig()), tmp_path / "pack")
    with pytest.raises(UserError, match="already exists"):
        write_pack(open_source(str(pictures), DataConfig()), tmp_path / "pack")


def test_tables_of_pictures_are_read_and_packed(tmp_path: Path, digits: torch.Tensor) -> None:
    def png(image: torch.Tensor) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "png")
        return buffer.getvalue()

    few = digits[:70]
    structs = [{"bytes": png(image), "path": None} for image in few]
    plain = [png(image) for image in few]
    for name, column in (("a", structs), ("b", plain)):
        parquet.write_table(pa.table({"image": column}), tmp_path / f"{name}.parquet")
        found = list(frames_of(tmp_path / f"{name}.parquet", name))
        assert all(isinstance(one, Frame) for one in found)
        pixels = np.stack([one.pixels for one in found if isinstance(one, Frame)])
        assert np.array_equal(pixels, few[:, 0].numpy())
    pack = write_pack(open_source(str(tmp_path), DataConfig()), tmp_path / "pack")
    assert pack.count == 140
    parquet.write_table(pa.table({"other": [1]}), tmp_path / "c.parquet")
    (fault,) = frames_of(tmp_path / "c.parquet", "c")
    assert not isinstance(fault, Frame) and "no column named image" in fault.reason


def test_the_record_of_a_pack_is_plain(packed: Path) -> None:
    about = json.loads((packed / "pack.json").read_text())
    assert dataclasses.replace(DataConfig(), **open_pack(packed).recipe).size == 28
    assert about["label_names"] == ["even", "odd"] or about["label_names"] == ["odd", "even"]
