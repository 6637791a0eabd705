"""What an estimator shows of its images: tables, figures, the report and the explorer."""

import pickle
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import torch
from httpx import Client
from numpy.linalg import inv
from PIL import Image

from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.estimator.progress import shows
from mcevae.geometry.warp import warp
from mcevae.images.loading import load
from mcevae.pages.plots import Plots
from mcevae.run import open_run

COUNT = 60


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return load("mnist-mini").train.pixels[:COUNT, 0].numpy()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "fitted"


@pytest.fixture(scope="module")
def fitted(X: np.ndarray, run: Path) -> MCEVAE:
    return MCEVAE(3, quick=True, run=run).fit(X)


def test_a_table_has_what_the_methods_say(fitted: MCEVAE, X: np.ndarray) -> None:
    rows = fitted.table()
    assert isinstance(rows, pd.DataFrame) and len(rows) == COUNT
    assert rows["cluster"].tolist() == fitted.predict(X).tolist()
    assert np.allclose(rows["confidence"], fitted.confidence(X), atol=1e-6)
    assert np.allclose(rows["outlier"], fitted.outlier(X))
    angles = np.degrees(np.arctan2(fitted.pose(X)[:, 1, 0], fitted.pose(X)[:, 0, 0]))
    assert np.allclose(np.cos(np.radians(rows["rotation_deg"] - angles)), 1, atol=1e-4)
    other = fitted.table(X[:5], into="arrow")
    assert other.column_names == list(rows.columns) and other.num_rows == 5


def test_trust_is_that_of_its_run(fitted: MCEVAE, run: Path) -> None:
    kept = open_run(run)
    assert fitted.trust_ is not None and 0 <= fitted.trust_.run <= 1
    assert fitted.trust_ == kept.trust and fitted.advice_ == kept.advice


def test_a_table_names_files(fitted: MCEVAE, X: np.ndarray, tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(X[i]).save(tmp_path / f"{i}.png")
    assert fitted.table(tmp_path)["file"].tolist() == ["0.png", "1.png", "2.png"]


def test_a_missing_package_of_tables_is_named(
    fitted: MCEVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="use auto, pandas, polars or arrow"):
        fitted.table(into="excel")  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("mcevae.estimator.showing.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="neither pandas nor polars; pip install pandas, or give"):
        fitted.table()
    with pytest.raises(ValueError, match="there is no polars; pip install polars"):
        fitted.table(into="polars")
    assert fitted.table(into="arrow").num_rows == COUNT


def test_tables_of_polars_and_pandas_hold_the_same(
    fitted: MCEVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    polars = pytest.importorskip("polars")
    frame, other = fitted.table(into="polars"), fitted.table(into="pandas")
    assert isinstance(frame, polars.DataFrame) and frame.columns == list(other.columns)
    for name in frame.columns:
        assert frame[name].to_list() == other[name].tolist()
    monkeypatch.setattr("mcevae.estimator.showing.find_spec", lambda name: name == "polars" or None)
    assert isinstance(fitted.table(), polars.DataFrame)  # where there is no pandas


@pytest.mark.parametrize("kind", ["groups", "upright", "map", "poses"])
def test_figures_show_all_groups(
    kind: Any, fitted: MCEVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    dollars = fitted.collections_.renamed(0, "$x^$")  # it would be a formula that is none
    monkeypatch.setattr(fitted, "collections_", dollars)
    figure: Any = fitted.plot(kind)
    assert figure._repr_png_().startswith(b"\x89PNG")
    sizes = np.bincount(fitted.labels_)
    own = [[axes.yaxis.label, *axes.get_yticklabels()] for axes in figure.axes]
    told = [text.get_text() for texts in own for text in texts]
    told += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for size in sizes[sizes > 0]:
        assert any(f"{size} images" in text for text in told)
    assert any(text.startswith("group ") for text in told)
    assert any(text.startswith("$x^$") for text in told)


def test_upright_members_are_moved_back_by_their_poses(fitted: MCEVAE, X: np.ndarray) -> None:
    fitted.plot("map")
    seen = fitted._seen
    assert seen is not None and seen.gallery is not None
    plots = Plots(seen.gallery, fitted.collections_, fitted.model_)
    ids = np.arange(4)
    shown = seen.gallery.pixels[:4, 0].numpy()
    back = torch.from_numpy(inv(fitted.pose(shown)).astype(np.float32))
    expected = warp(torch.from_numpy(shown)[:, None] / 255, back, background=0.0)
    assert torch.allclose(plots._members(ids, True), expected, atol=0.02)
    assert torch.allclose(plots._members(ids, False)[:, 0], torch.from_numpy(shown) / 255)


def test_figures_say_what_is_wrong(fitted: MCEVAE, X: np.ndarray) -> None:
    with pytest.raises(ValueError, match="kind is 'pie'; use groups, upright, map, poses"):
        fitted.plot("pie")  # pyright: ignore[reportArgumentType]
    again = pickle.loads(pickle.dumps(fitted))
    with pytest.raises(ValueError, match="read from a file, without images; give X"):
        again.plot("groups")
    assert again.plot("groups", X[:20]).axes


def test_a_report_is_one_page_or_a_run(fitted: MCEVAE, X: np.ndarray, tmp_path: Path) -> None:
    page = fitted.report(tmp_path / "new" / "page.html")
    assert page.read_text().count("</html>") == 1
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    with pytest.raises(ValueError, match="is there already; give a new folder"):
        fitted.report(tmp_path / "new")
    ragged = [Image.fromarray(x).resize((28 + i % 2, 28)) for i, x in enumerate(X[:20])]
    model = MCEVAE(2, quick=True).fit(ragged)
    written = model.report(tmp_path / "run")
    assert written == tmp_path / "run" / "report.html" and written.exists()
    main(["report", str(tmp_path / "run")])


def test_the_folder_of_a_fit_is_a_run(
    fitted: MCEVAE, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", str(run)])
    assert (run / "report.html").exists()
    rows = pd.read_parquet(run / "images.parquet")
    assert len(rows) == COUNT and set(rows["split"]) == {"train", "validation"}
    assert "3 groups" in capsys.readouterr().out


def test_a_saved_model_needs_images_for_a_report(
    fitted: MCEVAE, X: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted.save_pretrained(tmp_path / "model")
    np.save(tmp_path / "more.npy", X[:30])
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path / "model")])
    assert "is a saved model without images; add --images SOURCE" in capsys.readouterr().err
    main(["report", str(tmp_path / "model"), "--images", str(tmp_path / "more.npy")])
    rows = pd.read_parquet(tmp_path / "model" / "images.parquet")
    assert sorted(np.bincount(rows["cluster"])) == sorted(np.bincount(fitted.predict(X[:30])))
    with pytest.raises(SystemExit, match="2"):
        main(["serve", str(tmp_path / "model"), "--images", str(tmp_path / "more.npy")])
    assert "is a run, which has its images" in capsys.readouterr().err


def test_the_explorer_starts_and_stops_and_gives_groups_back(X: np.ndarray) -> None:
    model = MCEVAE(3, quick=True).fit(X)
    with model.explore(height=500) as explorer:
        assert explorer.url in repr(explorer) and 'height="500"' in explorer._repr_html_()
        with Client(base_url=explorer.url) as client:
            page = client.get("/")
            assert page.status_code == 200
            allowed = page.headers["Content-Security-Policy"].partition("frame-ancestors")[2]
            assert "http://localhost:*" in allowed and "'none'" not in allowed
            groups = client.get("/api/groups").json()
            first = groups["groups"][0]
            wanted = {"group": first["id"], "name": "nines", "version": groups["version"]}
            assert client.post("/api/groups/rename", json=wanted).status_code == 200
    assert "nines" in [entry.name for entry in model.collections_.entries]
    assert "nines" in set(model.table()["group"])
    with pytest.raises(URLError):
        urllib.request.urlopen(explorer.url, timeout=5)
    explorer.stop()  # again, which does nothing
    assert "stopped" in repr(explorer) and "stopped" in explorer._repr_html_()


def test_progress_is_shown_where_somebody_looks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: False))
    assert not shows("auto") and shows(True) and not shows(False)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    assert shows("auto") and not shows(False)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: False))
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)  # pyright: ignore[reportArgumentType]
    assert shows("auto")
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", terminal)  # pyright: ignore[reportArgumentType]
    assert not shows("auto")
    with pytest.raises(ValueError, match="verbose is 'loud'"):
        shows("loud")
