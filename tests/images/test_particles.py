"""Particles that STAR files, .cs files and lists name: the right section of the right stack."""

from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.sources.contract import Share
from mcevae.images.sources.particles import ParticleSource
from mcevae.images.sources.registry import open_source
from mcevae.predicting.shards import Shard

RNG = np.random.default_rng(0)
STACKS = {
    f"Extract/job012/Mics/mic_{i}.mrcs": RNG.normal(size=(5, 20, 24)).astype(np.float32)
    for i in range(3)
}
NAMED = [(section, name) for name in STACKS for section in (4, 0, 2)]
"""Which particles the tables of the tests name: three of five of each stack."""
DIFFERENT = [NAMED[i] for i in (5, 0, 8, 3, 1, 7, 2, 6, 4)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of a project with stacks that mrcfile wrote."""
    for name, data in STACKS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path) as file:
            file.set_data(data)
            file.voxel_size = 1.5
    return tmp_path


def particles(named: list[tuple[int, str]], short: bool = False) -> pd.DataFrame:
    """Columns as RELION writes them."""
    names = [f"{i + 1}@{name}" if short else f"{i + 1:06}@{name}" for i, name in named]
    return pd.DataFrame(
        {
            "rlnCoordinateX": np.arange(len(named)) + 0.5,
            "rlnImageName": names,
            "rlnMicrographName": [f"MotionCorr/data_{i}.mrc" for i in range(len(named))],
            "rlnOpticsGroup": 1,
        }
    )


OPTICS = pd.DataFrame(
    {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnImagePixelSize": [1.5]}
)


def held(source: Path | str, named: list[tuple[int, str]]) -> None:
    """Hold that a source has just these particles, in this order."""
    opened = open_source(str(source))
    assert isinstance(opened, ParticleSource)
    frames = [opened.frame(row) for row in range(opened.total())]
    assert [frame.name for frame in frames] == [f"{i + 1:06}@{name}" for i, name in named]
    for frame, (section, name) in zip(frames, named, strict=True):
        assert isinstance(frame, Frame), frame
        np.testing.assert_array_equal(frame.pixels, STACKS[name][section])


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("place", ["run.star", "Extract/job012/particles.star", "a/b/c/run.star"])
def test_star_files_of_relion_with_optics(project: Path, place: str, short: bool) -> None:
    path = project / place
    path.parent.mkdir(parents=True, exist_ok=True)
    starfile.write({"optics": OPTICS, "particles": particles(DIFFERENT, short)}, path)
    held(path, DIFFERENT)


@pytest.mark.parametrize("block", ["", "images", "particles"])
def test_star_files_of_relion_3_0_without_optics(project: Path, block: str) -> None:
    path = project / "old.star"
    starfile.write({block: particles(NAMED).drop(columns="rlnOpticsGroup")}, path)
    held(path, NAMED)


def test_names_are_also_relative_to_the_star_file(project: Path) -> None:
    folder = project / "Extract/job012"
    table = particles(NAMED)
    table["rlnImageName"] = table["rlnImageName"].str.replace("Extract/job012/", "")
    starfile.write({"optics": OPTICS, "particles": table}, folder / "here.star")
    frames = open_source(str(folder / "here.star"))
    assert isinstance(frames, ParticleSource)
    first = frames.frame(0)
    assert isinstance(first, Frame)
    np.testing.assert_array_equal(first.pixels, STACKS[NAMED[0][1]][NAMED[0][0]])


def test_what_gemmi_writes_and_line_ends_of_windows(project: Path) -> None:
    document = gemmi.cif.Document()
    loop = document.add_new_block("particles").init_loop("_rln", ["Comment", "ImageName"])
    for section, name in NAMED:
        loop.add_row([gemmi.cif.quote("two words"), f"{section + 1}@{name}"])
    text = document.as_string()
    (project / "g.star").write_bytes(text.replace("\n", "\r\n").encode())
    held(project / "g.star", NAMED)


def test_a_damaged_row_costs_that_row(project: Path) -> None:
    path = project / "run.star"
    starfile.write({"optics": OPTICS, "particles": particles(NAMED)}, path)
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "mic_0" in line)
    lines[first + 1] = "0.5 000001@"
    lines[first + 2] = lines[first + 2].replace("000003@", "000000@")
    lines[first + 3] = lines[first + 3].replace("000005@", "000099@")
    lines[first + 4] = lines[first + 4].replace("mic_1", "lost")
    path.write_text("\n".join(lines))
    source = open_source(str(path))
    _, faults = source.images(source.survey.recipe)  # pyright: ignore[reportOptionalMemberAccess]
    assert [fault.reason for fault in faults[:3]] == [
        "has 2 values for 4 labels",
        "names image 0; the first of a stack is 1",
        "is not there: the stack has 5 images",
    ]
    assert "lost.mrcs, which is not there" in faults[3].reason
    assert len(faults) == 4


def cs(project: Path, named: list[tuple[int, str]], kind: str = "S80") -> Path:
    """A table as cryoSPARC saves it; later versions mark paths by a >."""
    fields = [("uid", "<u8"), ("blob/path", kind), ("blob/idx", "<u4"), ("blob/psize_A", "<f4")]
    records = np.zeros(len(named), fields)
    for i, (section, name) in enumerate(named):
        records[i] = (i + 77, f"{'>' if i % 2 else ''}{name}", section, 1.5)
    path = project / "J12" / "extracted.cs"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.save(file, records)
    return path


@pytest.mark.parametrize("kind", ["S80", "U80"])
def test_cs_files(project: Path, kind: str) -> None:
    held(cs(project, DIFFERENT, kind), DIFFERENT)


def test_cs_files_without_images_or_with_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.cs"
    for records, words in (
        (np.zeros(3, [("uid", "<u8")]), "has no columns blob/path and blob/idx"),
        (np.array([{}, {}], object), "holds Python objects"),
    ):
        with path.open("wb") as file:
            np.save(file, records)
        with pytest.raises(UserError, match=words):
            open_source(str(path))
    path.write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="is not a readable"):
        open_source(str(path))


def test_lists_name_particles_as_well(project: Path) -> None:
    path = project / "some.txt"
    path.write_text("".join(f"{i + 1}@{name}\n\n" for i, name in DIFFERENT))
    held(path, DIFFERENT)
    path.write_text("".join(f"{name}\n" for name in STACKS))
    assert not isinstance(open_source(str(path)), ParticleSource)


def test_a_stack_without_number_is_one_image_only(project: Path) -> None:
    (project / "a.txt").write_text(f"1@{NAMED[0][1]}\n{NAMED[0][1]}\n")
    source = open_source(str(project / "a.txt"))
    assert isinstance(source, ParticleSource)
    wrong = source.frame(1)
    assert isinstance(wrong, Fault) and "names no image, and the stack has 5" in wrong.reason


def test_tables_without_particles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text("data_micrographs\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(UserError, match=r"no table with _rlnImageName .*data_micrographs"):
        open_source(str(path))
    path.write_text("")
    with pytest.raises(UserError, match="is empty"):
        open_source(str(path))


def test_shards_share_the_particles(project: Path) -> None:
    starfile.write({"particles": particles(DIFFERENT)}, project / "run.star")
    source = open_source(str(project / "run.star"), DataConfig(source="x"))
    assert source.survey is not None
    shares: list[Share] = [Shard(i, 4) for i in range(4)]
    ids = [part.ids for share in shares for part in source.parts(source.survey.recipe, share=share)]
    assert [i for some in ids for i in some or []] == list(range(9))
    whole = source.images(source.survey.recipe)[0].pixels
    assert len(whole) == 9
