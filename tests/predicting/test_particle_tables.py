"""STAR and .cs tables that are written: RELION's own move gives the canonical orientation."""

from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import torch
from scipy import ndimage

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group, reflect
from mcevae.geometry.warp import warp
from mcevae.images.placement import placement
from mcevae.images.sources.registry import open_particles, open_source
from mcevae.models.paper import PaperModel
from mcevae.models.registry import build
from mcevae.predicting.predictor import Predictor
from mcevae.predicting.relion import alignments
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from tests.sizes import tiny

ANY = Calibration(temperature=1.0, misfits=tuple(float(i) for i in range(101)), n=100)
ENLARGED = 2
"""Particles have 56 x 56 pixels, and the model takes 28 x 28."""


def as_relion_moves(image: np.ndarray, psi: float, x: float, y: float) -> np.ndarray:
    """What `relion_stack_create --apply_transformation` makes of an image, written anew.

    Its matrix is R(psi), with R(psi) (x, y) in the last column, around (W / 2, H / 2).
    """
    angle = np.radians(psi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = turn @ [x, y]
    height, width = image.shape
    middle = np.array([width // 2, height // 2])
    rows, columns = np.mgrid[:height, :width]
    new = np.stack([columns.ravel(), rows.ravel()]) - middle[:, None]
    old = turn.T @ (new - shift[:, None]) + middle[:, None]
    return ndimage.map_coordinates(image, old[::-1], order=1).reshape(image.shape)


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture without any symmetry, black at its border."""
    rows, columns = np.mgrid[:height, :width] / [[[height]], [[width]]] - 0.5
    blobs = ((0.1, 0.12, 1.0), (-0.15, 0.05, 0.7), (0.02, -0.14, 0.4))
    return sum(
        level * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.006) for y, x, level in blobs
    )


@pytest.mark.parametrize("size", [(48, 48), (49, 49), (48, 41), (41, 48)])
@pytest.mark.parametrize("mirror", [False, True])
def test_relion_moves_particles_to_the_upright_picture(size: tuple[int, int], mirror: bool) -> None:
    group = get_group("se2")
    generator = torch.Generator().manual_seed(1)
    elements = group.sample(6, group.support(rotation_deg=180, shift=0.1), generator=generator)
    signs = torch.full((6,), mirror)
    elements = reflect(elements, signs)
    image = torch.from_numpy(picture(*size)).float()
    particles = warp(image[None, None], elements)
    upright = warp(particles, group.inverse(elements))[:, 0].numpy()
    found = alignments(elements.numpy(), size, size, "pad")
    assert found.mirrored.tolist() == signs.tolist()
    for i in range(6):
        moved = as_relion_moves(particles[i, 0].numpy(), found.psi[i], *found.origin[i])
        wanted = upright[i, :, ::-1] if mirror else upright[i]
        assert np.abs(moved - wanted).max() < 0.06, i
        still = np.abs(particles[i, 0].numpy() - wanted).max()
        assert still > 0.3, "the test could not fail"


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("frame", [(56, 56), (57, 63)])
def test_origins_are_pixels_of_the_particle_and_not_of_the_model(
    fit: str, frame: tuple[int, int]
) -> None:
    group = get_group("se2")
    elements = group.exp(torch.tensor([[0.7, 0.1, -0.05], [-2.0, 0.0, 0.2]])).double()
    found = alignments(elements.numpy(), frame, (28, 28), fit)  # pyright: ignore[reportArgumentType]
    inside = placement(frame, (28, 28), fit).double()  # pyright: ignore[reportArgumentType]
    height, width = frame
    canonical = torch.tensor([[3.0, 5.0, 1.0], [0.0, -7.0, 1.0]]).double()  # pixels from the centre
    share = torch.diag(torch.tensor([1 / width, 1 / height, 1.0])).double()
    for i in range(2):
        to_particle = torch.linalg.inv(inside @ share) @ elements[i] @ inside @ share
        particle = (canonical @ to_particle.T)[:, :2].numpy()
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        middle = np.array([width // 2, height // 2])
        angle = np.radians(found.psi[i])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        back = (particle + centre - middle + found.origin[i]) @ turn.T + middle - centre
        np.testing.assert_allclose(back, canonical[:, :2].numpy(), atol=0.15)  # sizes are rounded


@pytest.fixture(scope="module")
def model() -> PaperModel:
    torch.manual_seed(0)
    model = build(tiny(), (1, 28, 28))
    assert isinstance(model, PaperModel)
    return model.eval()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for i in range(2):
        with mrcfile.new(tmp_path / f"mic_{i}.mrcs") as file:
            noise = rng.random((5, 56, 56)) / 4
            file.set_data((noise + picture(56, 56) / 2).astype(np.float32))
            file.voxel_size = 2.0
    return tmp_path


NAMES = ["000002@mic_1.mrcs", "000005@mic_0.mrcs", "000009@mic_0.mrcs", "000001@mic_1.mrcs"]
"""The third is not there."""
PARTICLES = pd.DataFrame(
    {
        "rlnImageName": NAMES,
        "rlnMicrographName": ["a.mrc", "b.mrc", "c.mrc", "d.mrc"],
        "rlnOpticsGroup": [2, 1, 1, 2],
        "rlnClassNumber": [50, 50, 50, 50],
        "rlnAngleTilt": [3.0, 3.0, 3.0, 3.0],
    }
)
OPTICS = pd.DataFrame(
    {
        "rlnOpticsGroupName": ["one", "two"],
        "rlnOpticsGroup": [1, 2],
        "rlnImagePixelSize": [1.5, 3.0],
    }
)
KEPT = [0, 1, 3]


def predicted(model: PaperModel, source: Path, out: Path, **more: object) -> list[str]:
    settings = DataConfig(normalise="image", size=28)
    opened = open_source(str(source), settings)
    maker = Predictor(model, settings, (1, 28, 28), ANY, identity="one", **more)  # pyright: ignore[reportArgumentType]
    list(maker(opened, "all", out))
    return opened.notes


def plain_rows(model: PaperModel, source: Path) -> pd.DataFrame:
    out = source.with_name("plain.parquet")
    predicted(model, source, out)
    return pd.read_parquet(out)


def test_a_star_file_keeps_its_columns_and_gets_the_answers(
    model: PaperModel, project: Path
) -> None:
    path, out = project / "run.star", project / "out" / "table.star"
    starfile.write({"optics": OPTICS, "particles": PARTICLES}, path)
    predicted(model, path, out)
    made, rows = starfile.read(out), plain_rows(model, path)
    pd.testing.assert_frame_equal(made["optics"], OPTICS)
    table = made["particles"]
    assert table["rlnImageName"].tolist() == [NAMES[i] for i in KEPT]
    assert table["rlnMicrographName"].tolist() == ["a.mrc", "b.mrc", "d.mrc"]
    assert table["rlnClassNumber"].tolist() == [k + 1 for k in rows["cluster"]]
    assert table["rlnAngleTilt"].tolist() == [0, 0, 0]
    best = rows[[f"probability_{k}" for k in range(4)]].max(axis=1)
    np.testing.assert_allclose(table["rlnMaxValueProbDistribution"], best, atol=1e-5)
    again = open_source(str(out))
    assert again.total() == 3
    # The mean orientation: RELION's move of each particle is the upright picture.
    elements = model.group.exp(
        torch.tensor(
            rows[["tau_rotation_rad", "tau_shift_x_side", "tau_shift_y_side"]].to_numpy()
        ).float()
    )
    for i, row in enumerate(KEPT):
        section, name = NAMES[row].split("@")
        with mrcfile.open(project / name) as file:
            particle = file.data[int(section) - 1].astype(np.float64)  # pyright: ignore[reportOptionalSubscript]
        pixel = {1: 1.5, 2: 3.0}[int(table["rlnOpticsGroup"][i])]
        x, y = (table[f"rlnOrigin{axis}Angst"][i] / pixel for axis in "XY")
        moved = as_relion_moves(particle, table["rlnAnglePsi"][i], x, y)
        back = model.group.inverse(elements[i : i + 1])
        wanted = warp(torch.from_numpy(particle)[None, None].float(), back)[0, 0].numpy()
        inner = np.s_[16:40, 16:40]
        assert np.corrcoef(moved[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.98
        # Our own shifts are pixels of the particle, too: what lies there comes to the middle.
        shift = rows[["shift_x_px", "shift_y_px"]].to_numpy()[i]
        angle = np.radians(table["rlnAnglePsi"][i])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(turn @ (27.5 + shift - 28 + [x, y]) + 28, 27.5, atol=1e-3)


def test_star_files_without_optics_get_pixels_as_well(model: PaperModel, project: Path) -> None:
    old = PARTICLES.drop(columns="rlnOpticsGroup").assign(
        rlnDetectorPixelSize=5.0, rlnMagnification=25000.0, rlnOriginX=99.0
    )
    starfile.write({"": old}, project / "old.star")
    predicted(model, project / "old.star", project / "new.star")
    table = starfile.read(project / "new.star")
    assert table["rlnDetectorPixelSize"].tolist() == [5.0] * 3
    for axis in "XY":
        np.testing.assert_allclose(
            table[f"rlnOrigin{axis}Angst"], 2 * table[f"rlnOrigin{axis}"], atol=1e-5
        )


def test_a_list_makes_a_new_star_file(model: PaperModel, project: Path) -> None:
    (project / "some.txt").write_text("\n".join(NAMES))
    predicted(model, project / "some.txt", project / "deep" / "new.star")
    made = starfile.read(project / "deep" / "new.star")
    assert made["optics"]["rlnImagePixelSize"].tolist() == [2.0]
    assert made["optics"]["rlnImageSize"].tolist() == [56]
    assert len(made["particles"]) == 3
    again = open_source(str(project / "deep" / "new.star"))
    assert len(again.images(again.survey.recipe)[0]) == 3  # pyright: ignore[reportOptionalMemberAccess]


def test_an_mrc_stack_makes_a_new_star_file(model: PaperModel, project: Path) -> None:
    settings = DataConfig(normalise="image", size=28)
    source = open_particles(str(project / "mic_1.mrcs"), settings)
    maker = Predictor(model, settings, (1, 28, 28), ANY, identity="one")
    list(maker(source, "all", project / "new.star"))
    table = starfile.read(project / "new.star")["particles"]
    wanted = [f"{i:06}@{project}/mic_1.mrcs" for i in range(1, 6)]
    assert table["rlnImageName"].tolist() == wanted
    with pytest.raises(UserError, match="has volumes"):
        open_particles(str(project / "mic_1.mrcs"), DataConfig(sections="sum"))


def test_groups_that_people_made_are_classes(model: PaperModel, project: Path) -> None:
    path, out = project / "run.star", project / "table.star"
    starfile.write({"optics": OPTICS, "particles": PARTICLES}, path)
    made = Collections.plain(4).merged([0, 1, 2, 3])
    predicted(model, path, out, collections=made)
    assert starfile.read(out)["particles"]["rlnClassNumber"].tolist() == [1, 1, 1]


def test_a_cs_file_keeps_its_columns_and_gets_the_answers(model: PaperModel, project: Path) -> None:
    kind = [
        ("uid", "<u8"),
        ("blob/path", "S30"),
        ("blob/idx", "<u4"),
        ("blob/psize_A", "<f4"),
        ("alignments2D/pose", "<f4"),
        ("ctf/df", "<f4", (2,)),
    ]
    records = np.zeros(4, kind)
    records["uid"] = [5, 6, 7, 8]
    records["blob/path"] = [name[7:] for name in NAMES]
    records["blob/idx"] = [int(name[:6]) - 1 for name in NAMES]
    records["blob/psize_A"], records["ctf/df"] = 2.0, [[1, 2]] * 4
    with (project / "a.cs").open("wb") as file:
        np.save(file, records)
    predicted(model, project / "a.cs", project / "b.cs")
    made = np.load(project / "b.cs")
    for name in ("uid", "blob/path", "blob/idx", "blob/psize_A", "ctf/df"):
        np.testing.assert_array_equal(made[name], records[name][KEPT])
    star = PARTICLES.drop(columns=["rlnOpticsGroup"])
    starfile.write({"particles": star}, project / "same.star")
    predicted(model, project / "same.star", project / "same-out.star")
    table = starfile.read(project / "same-out.star")
    assert made["alignments2D/class"].tolist() == [k - 1 for k in table["rlnClassNumber"]]
    np.testing.assert_allclose(
        np.degrees(made["alignments2D/pose"]), table["rlnAnglePsi"], atol=1e-3
    )
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    np.testing.assert_allclose(made["alignments2D/shift"] * 2.0, origins, atol=1e-3)
    assert made["alignments2D/psize_A"].tolist() == [2.0] * 3
    assert open_source(str(project / "b.cs")).total() == 3


def test_other_sources_and_tables_without_pixel_size_are_refused(
    model: PaperModel, project: Path
) -> None:
    with pytest.raises(UserError, match="particles of a STAR file, a list of images"):
        predicted(model, project, project / "a.star")
    starfile.write({"particles": PARTICLES}, project / "a.star")
    with pytest.raises(UserError, match=r"particles of a \.cs file, which .*a\.star is not"):
        predicted(model, project / "a.star", project / "b.cs")
    for i in range(2):
        with mrcfile.open(project / f"mic_{i}.mrcs", "r+") as file:
            file.voxel_size = 0.0
    with pytest.raises(UserError, match="how many Angstrom a pixel has"):
        predicted(model, project / "a.star", project / "b.star")
    assert not (project / "b.star").exists()
