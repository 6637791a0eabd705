"""Images that are unlike those of the training: they are counted, told, and end in an error."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from mcevae.cli import main
from mcevae.geometry.groups import SO2
from mcevae.images.loading import load
from mcevae.images.splits import Splits
from mcevae.predicting.novelty import Novelty
from mcevae.runs.run import TrainedRun


def rows(outlier: list[float], rotation: list[float]) -> pa.Table:
    return pa.table({"outlier": outlier, "tau_rotation_rad": np.radians(rotation)})


def test_images_like_those_of_the_training_are_nothing_new() -> None:
    novelty = Novelty(group=SO2(), half_widths={"rotation": np.pi / 2})
    tables = [rows([0.5] * 50, [10.0] * 50), rows([0.995] + [0.2] * 49, [-60.0] * 50)]
    assert list(novelty.counted(tables)) == tables
    assert (novelty.images, novelty.odd) == (100, 1)
    assert novelty.in_words() == [] and not novelty.nearly_all


def test_odd_images_and_poses_at_the_ends_are_told() -> None:
    novelty = Novelty(group=SO2(), half_widths={"rotation": np.pi / 2})
    list(novelty.counted([rows([0.999] * 20 + [0.1] * 80, [-89.0] * 40 + [0.0] * 60)]))
    odd, ends = novelty.in_words()
    assert odd.startswith("20% of the images are drawn worse")
    assert ends.startswith("40% of the poses lie at the ends of the support of rotation")
    assert not novelty.nearly_all


def test_a_few_images_tell_nothing() -> None:
    novelty = Novelty(group=SO2(), half_widths={})
    list(novelty.counted([rows([1.0] * 5, [0.0] * 5)]))
    assert novelty.in_words() == [] and not novelty.nearly_all


@pytest.fixture
def calibrated(trained: Path, small_data: Splits, tmp_path: Path) -> Path:
    """A copy of `trained`, with a calibration."""
    folder = copytree(trained, tmp_path / "run")
    TrainedRun.open(folder).calibrate(small_data)
    return folder


def test_a_table_of_other_things_is_written_and_ends_with_an_error(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "noise.npy", rng.integers(0, 256, (40, 28, 28), np.uint8))
    out = tmp_path / "table.parquet"
    asked = ["predict", str(calibrated), str(tmp_path / "noise.npy"), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 1
    assert "Nearly all images are unlike" in capsys.readouterr().out
    assert parquet.read_metadata(out).num_rows == 40
    main([*asked, "--overwrite", "--force"])
    np.save(tmp_path / "digits.npy", load("mnist-mini").test.pixels[:40, 0].numpy())
    main(
        ["predict", str(calibrated), str(tmp_path / "digits.npy"), "--out", str(tmp_path / "d.csv")]
    )
    assert "unlike" not in capsys.readouterr().out.partition("digits.npy")[2]
