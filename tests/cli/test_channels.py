"""Two and five channels from the command line: trained, predicted, averaged, shown, exported."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pyarrow.csv
import pytest
import tifffile
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from scipy.optimize import linear_sum_assignment

from mcevae.base.colours import palette
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.pages.gallery import hang
from mcevae.run import open_run
from mcevae.runs.answers import frames_in, pixels_by
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from tests.exporting.stand_in import with_empty_graphs
from tests.images.stained import stained

NAMES = "DAPI,GFP,RFP,Cy5,light"
TINY = (
    *("--clusters", "3", "--rotation", "45", "--epochs", "2", "--rotations", "24"),
    *("--hidden", "32", "--variation", "2", "--restarts", "1"),
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_without_torch.py"


def rows_of(path: Path) -> Any:
    return pyarrow.csv.read_csv(path)


def agreement(found: np.ndarray, kind: np.ndarray) -> float:
    """Share of images in the cluster of their kind, by the best matching."""
    table = np.array([np.bincount(found[kind == k], minlength=3) for k in range(3)])
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(kind))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for channels in (2, 5):
        images, kind = stained(150, channels)
        np.savez(folder / f"{channels}.npz", images=images, labels=kind)
        np.save(folder / f"new{channels}.npy", stained(30, channels, seed=1)[0])
    return folder


@pytest.fixture(scope="module", params=[2, 5])
def trained(request: pytest.FixtureRequest, files: Path) -> Path:
    count, run = request.param, files / f"run{request.param}"
    named = () if count == 2 else ("--channels", NAMES)
    main(["fit", str(files / f"{count}.npz"), *TINY, *named, "--out", str(run)])
    return run


def test_a_trained_run_answers_for_all_channels(trained: Path, files: Path) -> None:
    run = open_run(trained)
    count = run.shape[0]
    new = files / f"new{count}.npy"
    assert run.recipe.names == (tuple(NAMES.split(",")) if count == 5 else ("0", "1"))
    assert run.colours == palette(None, count)
    flags = ["--out", str(files / f"t{count}.csv"), "--canonical", str(files / f"p{count}")]
    main(["predict", str(trained), str(new), *flags])
    table = rows_of(files / f"t{count}.csv")
    assert table.num_rows == 30
    answers = run.predict(np.load(new))
    assert answers.canonical.shape == (30, 32, 32, count)
    for kind in ("canonical", "upright"):
        first = sorted((files / f"p{count}" / kind).iterdir())[0]
        with tifffile.TiffFile(first) as file:
            assert file.series[0].axes == "CYX" and file.series[0].shape == (count, 32, 32)
    drawn = tifffile.imread(sorted((files / f"p{count}" / "canonical").iterdir())[0])
    assert np.abs(drawn / 255 - answers.canonical[0].transpose(2, 0, 1)).max() < 0.01
    hung = hang(TrainedRun.open(trained), run.data())
    assert hung.pictures.shape == (150, 3, 32, 32) and hung.pixels.shape == (150, count, 32, 32)


def test_averages_have_all_channels(trained: Path, files: Path) -> None:
    count = open_run(trained).shape[0]
    stack, folder = files / f"a{count}.tif", files / f"a{count}"
    main(["averages", str(trained), "--out", str(stack)])
    main(["averages", str(trained), "--out", str(folder)])
    found = tifffile.imread(stack)
    assert found.shape[1:] == (count, 32, 32)
    table = rows_of(folder / "averages.csv")
    assert all(len(str(one).split()) == count for one in table["white"].to_pylist())
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == len(found)
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.mode == "RGB"


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No checks of shapes, which would bind the symbol that stands for the number of images."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("trained", [5], indirect=True)
def test_graphs_and_the_example_take_all_channels(
    trained: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_empty_graphs(monkeypatch, but=["encode", "canonical"])  # which the example needs
    run = open_run(trained)
    count = run.shape[0]
    graphs = files / f"onnx{count}"
    main(["export", str(trained), "--to", "onnx", "--out", str(graphs)])
    about = json.loads((graphs / "model.json").read_text())["image"]
    assert about["names"] == list(run.recipe.names) and len(about["levels"]) == 2 * count
    one = np.load(files / f"new{count}.npy")[0]
    np.save(files / "one.npy", one)
    Image.fromarray(one[..., 0]).save(
        files / "one.tif",
        save_all=True,
        append_images=[Image.fromarray(one[..., c]) for c in range(1, count)],
    )
    pixels = pixels_by(run.recipe, frames_in(one[None]))
    model = TrainedRun.open(trained, device="cpu").model
    answers = embed(model, pixels)
    with torch.inference_mode():  # a blend of clusters, as the graph draws it
        wanted = model.canonical(answers.z_c, answers.z)[0].movedim(0, -1).numpy()
    for name in ("one.npy", "one.tif"):
        out = files / "drawn.npy"
        command = [sys.executable, str(EXAMPLE), str(graphs), str(files / name), str(out)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        assert f"cluster {int(answers.cluster)} " in made.stdout
        assert np.abs(np.load(out) - wanted).max() < 1e-3


def test_the_report_shows_channels_in_their_colours(trained: Path, page: Page) -> None:
    page.goto((trained / "report.html").as_uri())
    names = open_run(trained).recipe.names
    for name in names:
        expect(page.locator("header .legend").get_by_text(name, exact=True)).to_be_visible()
    expect(page.locator("#groups img").first).to_be_visible()


def test_kinds_that_differ_in_one_of_five_channels_are_told_apart(
    files: Path, tmp_path: Path
) -> None:
    main(["fit", str(files / "5.npz"), "--quick", "--clusters", "3", "--rotation", "45",
          "--channels", NAMES, "--out", str(tmp_path / "all")])  # fmt: skip
    new, kind = stained(60, 5, seed=2)
    found = open_run(tmp_path / "all").predict(new)
    assert agreement(found.cluster, kind) > 0.95
    main(["fit", str(files / "5.npz"), "--quick", "--clusters", "3", "--rotation", "45",
          "--channels", "0,1,2,3", "--out", str(tmp_path / "four")])  # fmt: skip
    blind = open_run(tmp_path / "four").predict(new)
    assert blind.canonical.shape[-1] == 4 and agreement(blind.cluster, kind) < 0.8


def test_a_pack_keeps_channels_and_their_names(files: Path, tmp_path: Path) -> None:
    main(["pack", str(files / "5.npz"), "--channels", NAMES, "--out", str(tmp_path / "pack")])
    quick = ["--quick", "--clusters", "3", "--rotation", "45"]
    main(["fit", str(tmp_path / "pack"), *quick, "--out", str(tmp_path / "run")])
    run = open_run(tmp_path / "run")
    assert run.recipe.names == tuple(NAMES.split(","))
    assert run.predict(str(tmp_path / "pack")).canonical.shape == (150, 32, 32, 5)
    assert run.predict(str(files / "new5.npy")).canonical.shape == (30, 32, 32, 5)


@pytest.mark.parametrize("count", [4, 16])
def test_the_estimator_takes_any_number_of_channels(count: int, tmp_path: Path) -> None:
    images, _ = stained(40, min(count, 5))
    X = np.concatenate([images] * 4, -1)[..., :count]
    names = ",".join(f"c{i}" for i in range(count))
    settings = {"data": {"channels": names}}
    model = MCEVAE(3, rotation=45, quick=True, settings=settings).fit(X)
    assert model.recipe_.names == tuple(names.split(","))
    assert model.canonical(X).shape == (40, 32, 32, count)
    model.save_pretrained(tmp_path / "model")
    again = MCEVAE.from_pretrained(tmp_path / "model")
    assert np.array_equal(again.predict(X), model.predict(X))
