"""Parquet tables: what is damaged costs its own rows alone."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from mcevae.base.config import DataConfig
from tests.images.reading import read


def pictures(count: int) -> list[Any]:
    """Encoded pictures of noise."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        file = BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 20), np.uint8)).save(file, "png")
        made.append(file.getvalue())
    return made


@pytest.mark.parametrize(
    ("bad", "said"), [(None, "is an empty row"), (b"", "empty"), (b"no picture", "not an image")]
)
@pytest.mark.parametrize("struct", [False, True])
def test_a_bad_row_costs_that_row(bad: Any, said: str, struct: bool, tmp_path: Path) -> None:
    rows = pictures(9)
    rows[5] = bad
    column = [{"bytes": row, "path": None} for row in rows] if struct else rows
    parquet.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    images, faults = read(tmp_path / "t.parquet", DataConfig())
    assert images.names is not None
    assert images.names.tolist() == [f"t.parquet#{i}" for i in range(9) if i != 5]
    assert [fault.name for fault in faults] == ["t.parquet#5"] and said in faults[0].reason


def test_a_damaged_part_costs_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": pictures(12)}), path, row_group_size=4)
    chunk = parquet.read_metadata(path).row_group(1).column(0)
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(path.read_bytes())
    content[first : first + 40] = b"\xff" * 40
    path.write_bytes(content)
    images, faults = read(path, DataConfig())
    assert len(images) == 8 and len(faults) == 4
    assert {fault.name for fault in faults} == {f"t.parquet#{i}" for i in range(4, 8)}
    assert all("damaged part" in fault.reason for fault in faults)
