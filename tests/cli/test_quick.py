"""`mcevae fit --quick`, and all commands on what it makes."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from mcevae import MCEVAE
from mcevae.cli import main
from mcevae.images.loading import load
from tests.cli.test_cli import fails


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "digits.npy"
    np.save(path, load("mnist-mini").train.pixels[:300, 0].numpy())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "quick"
    main(["fit", str(digits), "--quick", "--clusters", "4", "--restarts", "1", "--out", str(out)])
    return out


def test_it_says_what_was_found_and_what_to_do_next(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    main(["fit", str(digits), "--quick", "--clusters", "3", "--restarts", "1", "--out", str(out)])
    said = capsys.readouterr().out
    assert "1/2 comparing images" in said and "2/2 groups and poses: 3 clusters" in said
    assert "3 groups, sizes" in said and f"Open {out / 'report.html'}" in said
    assert f"mcevae serve {out}" in said and "Train a network" in said
    assert {"report.html", "images.parquet", "metrics.json", "settings.toml"} <= {
        path.name for path in out.iterdir()
    }


def test_every_command_takes_it(
    run: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.parquet"
    main(["predict", str(run), str(digits), "--out", str(table)])
    rows = parquet.read_table(table)
    assert len(rows) == 300 and {"cluster", "rotation_deg", "confidence", "z_0"} <= {
        *rows.column_names
    }
    main(["evaluate", str(run)])
    main(["groups", str(run), "--rename", "0", "round"])
    main(["averages", str(run), "--out", str(tmp_path / "averages.npy")])
    main(["report", str(run), "--checkpoint", "last"])
    assert "round" in capsys.readouterr().out
    assert np.load(tmp_path / "averages.npy").shape[0] == 4
    (run / "report.html").unlink()  # as after a stop while it was scored
    main(["resume", str(run)])
    assert (run / "report.html").exists()
    assert "is complete" in fails(capsys, "resume", str(run))


def test_it_cannot_become_a_graph(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, "export", str(run), "--out", str(tmp_path / "graphs"), "--to", "onnx")
    assert "cannot be written as a graph" in said and "mcevae predict" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset", "paper"], "--quick is a preset of its own; leave --preset out"),
        (["--settings", "a.toml"], "leave --settings out"),
        (["--epochs", "3"], "--epochs: preset quick trains no network"),
        (["--rotations", "36"], "preset quick does not use this --angles"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    out = tmp_path / "run"
    said = fails(capsys, "fit", str(digits), "--quick", "--out", str(out), *flags)
    assert message in said


def test_the_estimator_has_it(tmp_path: Path) -> None:
    X = load("mnist-mini").train.pixels[:200, 0].numpy()
    model = MCEVAE(3, quick=True, settings={"start": {"restarts": 1}}).fit(X)
    assert set(model.labels_) == {0, 1, 2}
    assert model.pose(X[:5]).shape == (5, 3, 3) and model.transform(X[:5]).shape == (5, 3 + 3 + 8)
    model.save_pretrained(tmp_path / "kept")
    again = MCEVAE.from_pretrained(tmp_path / "kept")
    assert np.array_equal(again.predict(X[:50]), model.predict(X[:50]))
    with pytest.raises(ValueError, match="epochs: preset quick trains no network"):
        MCEVAE(3, quick=True, max_epochs=4).fit(X)
