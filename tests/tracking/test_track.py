"""Films of planted things, from the frames to the table."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mcevae.cli import main
from mcevae.finding.finder import Finder
from mcevae.finding.templates import Templates, middles
from mcevae.geometry.groups import SE2
from mcevae.geometry.warp import warp
from mcevae.run import Run
from mcevae.tracking.settings import TrackConfig
from tests.finding.test_find import run, templates  # noqa: F401  fixtures

FRAMES, MOVE, TURN = 9, 3.0, 6.0


def film(shapes: Templates) -> np.ndarray:
    """Two things that go right; the first turns, and is hidden in one frame."""
    frames = np.full((FRAMES, 80, 100), 0.1, np.float32)
    for t in range(FRAMES):
        for number in range(2):
            if number == 0 and t == 4:
                continue
            angle = math.radians(-30 + TURN * t) if number == 0 else 0.3
            turn = SE2().exp(torch.tensor([[angle, 0.0, 0.0]]))
            drawn = warp(shapes.pictures[number : number + 1], turn)
            corner = np.array([24 + MOVE * t, 22 + 36 * number]) - 14
            left, top = (corner - 28 * middles(drawn)[0].numpy()).round().astype(int)
            frames[t, top : top + 28, left : left + 28] += drawn[0, 0].numpy()
    return (frames + np.random.default_rng(0).normal(0, 0.02, frames.shape)).clip(0, 1)


def test_films_give_tracks_and_are_continued(
    run: Run,  # noqa: F811
    templates: Templates,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = tmp_path / "film.npy", tmp_path / "tracks.parquet"
    np.save(source, film(templates).astype(np.float32))
    measured, seen = Finder.measured, []

    def stopped(self: Finder, large, *more):
        seen.append(large.number)
        if large.number == 3 and seen.count(3) == 1:
            raise KeyboardInterrupt
        return measured(self, large, *more)

    monkeypatch.setattr(Finder, "measured", stopped)
    command = ["track", str(run.folder), str(source), "--out", str(out)]
    with pytest.raises(SystemExit, match="130"):
        main(command)
    main(command)
    assert seen == [0, 1, 2, 3, *range(3, FRAMES)]
    table = pq.read_table(out)
    assert table.num_rows == 2 * FRAMES and "2 tracks of 17 finds" in capsys.readouterr().out
    rows = table.to_pandas()
    upper = rows[rows.track == rows.track[rows.y.idxmin()]]
    assert list(upper.time) == list(range(FRAMES)) and list(upper.found).count(False) == 1
    assert abs(upper.velocity_x.median() - MOVE) < 0.3 and upper.velocity_y.abs().max() < 0.6
    assert abs(upper.turning_deg.median() - TURN) < 1.5
    assert upper.cluster.nunique() == 1 and (np.diff(upper.rotation_deg) > 0).all()
    assert np.abs(upper.x - (24 + MOVE * upper.time)).max() < 1.5

    with pytest.raises(SystemExit, match="2"):
        main(command)  # it is there already
    seen.clear()
    main([*command, "--overwrite", "--gap", "0"])
    assert not seen and len(set(pq.read_table(out)["track"].to_pylist())) == 3
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--overwrite", "--kinds", "5"])
    assert "too few for --kinds 5" in capsys.readouterr().err


def test_films_without_things_have_no_tracks(run: Run, templates: Templates) -> None:  # noqa: F811
    found = run.track(np.full((2, 60, 60), 0.5, np.float32), TrackConfig(kinds=None))
    assert len(found) == 0 and {"track", "velocity_x", "rotation_deg"} <= {
        *found.table.column_names
    }


@pytest.mark.parametrize("flag", ["--gap", "--reach", "--smooth", "--kinds", "--least"])
def test_settings_that_cannot_be_are_refused(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["track", str(tmp_path), "film.npy", "--out", str(tmp_path / "t.csv"), flag, "-1"])
    assert f"{flag} is -1" in capsys.readouterr().err
