"""New images through a run: the same numbers in parts as at once, every image once, calibrated."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.images.sources.contract import Source
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.paper import PaperModel
from mcevae.models.registry import build
from mcevae.predicting.predictor import Predictor
from mcevae.runs import confidence
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration, calibrate, flattened, misfit, usual_misfits
from mcevae.runs.infer import embed
from tests.sizes import tiny

ANY = Calibration(temperature=1.0, misfits=tuple(float(i) for i in range(101)), n=100)


@pytest.fixture(scope="module")
def model() -> PaperModel:
    torch.manual_seed(0)
    model = build(tiny(), (1, 28, 28))
    assert isinstance(model, PaperModel)
    return model.eval()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """23 digits in a stack of 11 and as single files, and two broken ones among them."""
    pixels = load("mnist-mini").train.pixels[:23, 0].numpy()
    folder = tmp_path / "new"
    folder.mkdir()
    np.save(folder / "a.npy", pixels[:11])
    for i, image in enumerate(pixels[11:]):
        Image.fromarray(image).save(folder / f"b{i:02}.png")
    (folder / "b03-broken.png").write_bytes(b"none")
    (folder / "z.jpg").write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "part_size", 5)


def predictor(model: PaperModel, pictures: Path | None = None, identity: str = "one") -> Predictor:
    return Predictor(model, DataConfig(), (1, 28, 28), ANY, identity=identity, pictures=pictures)


def test_parts_give_what_all_at_once_gives(model: PaperModel, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.parquet"
    seen = list(predictor(model)(open_source(str(source)), "all", out))
    assert [images for _, images, _ in seen] == [5, 10, 15, 20, 23] and seen[-1][0] == 1
    assert [f.name for *_, faults in seen for f in faults] == ["b03-broken.png", "z.jpg"]
    rows = parquet.read_table(out)
    whole = embed(model, load("mnist-mini").train.pixels[:23])
    assert rows["id"].to_pylist() == list(range(23))
    assert rows["file"].to_pylist()[:2] == ["a.npy#0", "a.npy#1"]
    assert rows["file"].to_pylist()[-1] == "b11.png"
    assert np.array_equal(rows["cluster"].to_numpy(), whole.cluster.numpy())
    assert np.allclose(rows["z_0"].to_numpy(), whole.z[:, 0].numpy(), atol=1e-5)
    assert {"confidence", "outlier"} <= set(rows.column_names)
    assert not (tmp_path / ".table.parquet.parts").exists()
    list(predictor(model)(open_source(str(source)), "all", tmp_path / "table.csv"))
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 24


def test_groups_that_people_made_are_a_column(
    model: PaperModel, source: Path, tmp_path: Path
) -> None:
    made = Collections.plain(4).merged([0, 2]).renamed(0, "even")
    out = tmp_path / "table.parquet"
    settings = DataConfig()
    list(
        Predictor(model, settings, (1, 28, 28), ANY, identity="one", collections=made)(
            open_source(str(source)), "all", out
        )
    )
    rows = parquet.read_table(out)
    names = {0: "even", 1: "1", 2: "even", 3: "3"}
    assert rows["group"].to_pylist() == [names[k] for k in rows["cluster"].to_pylist()]
    other = Predictor(
        model, settings, (1, 28, 28), ANY, identity="one", collections=Collections.plain(5)
    )
    with pytest.raises(UserError, match="another number of clusters"):
        list(other(open_source(str(source)), "all", tmp_path / "other.parquet"))


def test_a_stopped_prediction_goes_on_where_it_was(
    model: PaperModel, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "table.parquet"
    list(predictor(model)(open_source(str(source)), "all", whole))
    stopped: Iterator = predictor(model)(open_source(str(source)), "all", out)
    next(stopped), next(stopped), next(stopped)
    stopped.close()
    assert not out.exists()
    worked = []
    original = Predictor.rows
    monkeypatch.setattr(
        Predictor,
        "rows",
        lambda self, part, first, *rest: worked.append(first) or original(self, part, first, *rest),
    )
    list(predictor(model)(open_source(str(source)), "all", out))
    assert worked == [15, 20]
    assert parquet.read_table(out).equals(parquet.read_table(whole))


def test_parts_of_another_run_or_other_files_are_not_gone_on_with(
    model: PaperModel, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table.parquet"
    for change in (lambda: None, lambda: (source / "b00.png").unlink()):
        stopped = predictor(model)(open_source(str(source)), "all", out)
        next(stopped)
        stopped.close()
        change()
        seen = list(predictor(model, identity="two")(open_source(str(source)), "all", out))
        assert parquet.read_table(out).num_rows == seen[-1][1]
    assert seen[-1][1] == 22


@pytest.mark.parametrize("place", ["b00.png", "b06.png"])
def test_images_that_were_replaced_unseen_are_not_mixed(
    model: PaperModel, source: Path, tmp_path: Path, place: str
) -> None:
    """A file of the same size and time has other pixels, in a part that is done or not."""
    out, other = tmp_path / "table.parquet", tmp_path / "other.parquet"
    path = source / place
    image = Image.open(path)
    image.save(path, "bmp")  # of one size, whatever it shows
    stopped = predictor(model)(open_source(str(source)), "all", out)
    next(stopped), next(stopped), next(stopped)
    stopped.close()
    state = path.stat()
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, "bmp")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    list(predictor(model)(open_source(str(source)), "all", other))
    list(predictor(model)(open_source(str(source)), "all", out))
    assert parquet.read_table(out).equals(parquet.read_table(other))


def test_pictures_are_the_canonical_and_the_upright_image(
    model: PaperModel, source: Path, tmp_path: Path
) -> None:
    drawing = predictor(model, tmp_path / "pictures")
    list(drawing(open_source(str(source)), "all", tmp_path / "t.csv"))
    found = embed(model, load("mnist-mini").train.pixels[:23])
    for kind in ("canonical", "upright"):
        assert len(list((tmp_path / "pictures" / kind).iterdir())) == 23
    with Image.open(tmp_path / "pictures/canonical/0000002-a.npy-2.png") as image:
        drawn = np.asarray(image)
    assert np.abs(drawn / 255 - found.canonical[2, 0].numpy()).max() < 0.01
    assert (tmp_path / "pictures/upright/0000022-b11.png.png").exists()


def test_a_source_without_images_is_refused(model: PaperModel, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    with pytest.raises(UserError, match="no image can be used"):
        list(predictor(model)(open_source(str(tmp_path)), "all", tmp_path / "t.csv"))
    assert not (tmp_path / "t.csv").exists()


def test_misfit_is_least_for_the_image_itself() -> None:
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert misfit(x, x).abs().max() == 0
    assert (misfit(x, 0.9 * x + 0.05) > 0).all()


def test_an_image_is_odd_by_what_is_usual_in_its_cluster() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1, 2], [100, 100, 3])
    misfits = np.array([60.0, 100.0, 80.0])[cluster] * rng.uniform(0.8, 1.2, 203)
    usual = usual_misfits(misfits, cluster, 4)
    assert usual[:2] == pytest.approx([60, 100], rel=0.05)
    assert usual[2] == usual[3] == np.median(misfits)  # three images, and none, say nothing
    badly = np.where(cluster == 1, 1000, misfits)
    assert usual_misfits(badly, cluster, 4)[1] < 500  # a bin for junk
    multiples = tuple(np.quantile(misfits / usual[cluster], np.linspace(0, 1, 101)))
    found = Calibration(temperature=1.0, misfits=multiples, n=203, usual=tuple(usual))
    plain, intricate = torch.eye(4)[0], torch.eye(4)[1]
    asked = torch.stack([plain, plain, intricate, intricate])
    scores = found.outlier(asked, torch.tensor([60.0, 85.0, 85.0, 100.0]))
    assert scores[1] == 1 and (scores[[0, 2, 3]] < 0.9).all()
    assert found.confidence(asked, torch.tensor([60.0, 85.0, 85.0, 100.0]))[1] < 0.5
    known = replace(found, usual=None)  # runs of earlier versions
    assert known.outlier(asked, torch.tensor([0.5, 1.0, 2.0, 9.0]))[-1] == 1


def test_confidence_keeps_the_cluster_and_outliers_are_ranked(
    small_data: Splits, tmp_path: Path
) -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.1, 0.9]])
    assert flattened(p, 1.0).allclose(p, atol=1e-5)
    assert (flattened(p, 3.0).argmax(-1) == p.argmax(-1)).all()
    assert (flattened(p, 3.0).max(-1).values < p.max(-1).values).all()
    model = build(tiny(), (1, 28, 28)).eval()
    pixels = small_data.validation.images.pixels
    found = calibrate(model, tiny(), pixels)
    assert found == calibrate(model, tiny(), pixels) and found.n == len(pixels)
    assert list(found.misfits) == sorted(found.misfits)
    assert found.usual is not None and len(found.usual) == 4
    own = torch.tensor([found.misfits[0] / 2, found.misfits[50], 1e9]) * found.usual[0]
    scores = found.outlier(torch.eye(4)[[0, 0, 0]], own)
    assert scores.tolist() == pytest.approx([0, 0.5, 1])
    found.write(tmp_path)
    assert Calibration.read(tmp_path) == found
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(UserError, match="make it again with mcevae report"):
        Calibration.read(tmp_path)


def test_confidence_means_how_often_a_second_view_agrees(
    model: PaperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that is too sure of itself, confidence comes down to the share that agrees."""
    generator = torch.Generator().manual_seed(0)
    n, agree = 4000, 0.8
    first = torch.randint(0, 3, (n,), generator=generator)
    keeps = torch.rand(n, generator=generator) < agree
    second = torch.where(keeps, first, (first + 1) % 3)
    calls = iter((first, second))

    def outputs(_: object, pixels: torch.Tensor, size: int = 0) -> Iterator:
        sure = 0.02 / 3 + 0.98 * torch.nn.functional.one_hot(next(calls), 3)
        x = torch.zeros(n, 1, 16, 16)
        element = torch.eye(3).repeat(n, 1, 1)
        yield x, SimpleNamespace(element=element, responsibilities=sure, reconstruction=x + 0.1)

    monkeypatch.setattr(confidence, "outputs", outputs)
    found = calibrate(model, tiny(), torch.zeros(n, 1, 16, 16).byte())
    sure = 0.02 / 3 + 0.98 * torch.nn.functional.one_hot(first, 3)
    assert found.steadiness(sure).mean().item() == pytest.approx(agree, abs=0.03)


def test_the_command_predicts_a_folder_as_the_run_was_trained(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, table = tmp_path / "run", tmp_path / "table.csv"
    sizes = "--filters 4 8 8 8 --hidden 32 --pose-hidden 16 --decoder-hidden 32 --clusters 4"
    options = f"--preset paper --epochs 1 --batch-size 5 --size 20 {sizes}".split()
    main(["fit", str(source), "--out", str(run), *options])
    said = " ".join(capsys.readouterr().out.split())
    assert "fit into 20 x 20" in said and "2 could not be used" in said
    assert (run / "skipped.csv").read_text().splitlines()[1].startswith("b03-broken.png,")
    main(
        ["predict", str(run), str(source), "--out", str(table), "--canonical", str(tmp_path / "p")]
    )
    assert len(table.read_text().splitlines()) == 24
    assert "z.jpg,is empty" in table.with_suffix(".skipped.csv").read_text()
    with Image.open(next((tmp_path / "p" / "canonical").iterdir())) as image:
        assert image.size == (20, 20)
    recorded = Config.read(run / "settings.toml").data
    assert (recorded.size, recorded.colour) == (20, "grey")
    assert (recorded.normalise, recorded.background) == ("none", 0.0)
