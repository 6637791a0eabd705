"""A selection as a picture for a paper: what is on it, how it lies, and in which forms."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from mcevae.base.choosing import Choice
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.geometry.groups import Aff2
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.pages.paper import Layout
from mcevae.predicting.deciding import Decision
from mcevae.predicting.samples import Sample, samples_of
from mcevae.predicting.selecting import Selector
from mcevae.run import Run, open_run
from mcevae.runs.infer import embed

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(two_runs: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a quick run of 240 digits in files with 4 clusters."""
    return shutil.copytree(two_runs[0], tmp_path / "run")


def told(path: Path) -> tuple[list[str], int]:
    """The lines of text of an SVG, and the number of its images."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return [one.text or "" for one in root.iter(f"{SVG}text")], len(list(root.iter(f"{SVG}image")))


def samples(run: Run, *names: str, members: int = 3) -> list[Sample]:
    selector = Selector(run)
    chosen = selector.select(Choice(keep=names))
    source = selector.maker.source
    return samples_of(run, source, chosen, names, members=members, longest=28)


def test_a_picture_has_names_sizes_averages_and_members(run: Path, tmp_path: Path) -> None:
    main(["groups", str(run), "--rename", "0", "$x^$ <b>", "1", "Öre"])
    out = tmp_path / "figure.svg"
    main(["select", str(run), "--keep", "$x^$ <b>", "Öre", "2", "--out", str(out)])
    opened = open_run(run)
    lines, images = told(out)
    assert {"average", "$x^$ <b>", "Öre", "group 2"} < set(lines)
    for name in ("$x^$ <b>", "Öre", "2"):
        assert f"{len(opened.select(Choice(keep=(name,))).rows)} images" in lines
    assert images == 6  # of each group an average, and all members in one
    first = out.read_bytes()
    opened.select(Choice(keep=("$x^$ <b>", "Öre", "2")), out)
    assert out.read_bytes() == first


@pytest.mark.parametrize("ending", [".png", ".pdf"])
def test_pictures_are_written_in_other_forms(run: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"figure{ending}"
    open_run(run).select(Choice(keep=("1",)), out)
    if ending == ".pdf":
        assert out.read_bytes().startswith(b"%PDF")
        return
    with Image.open(out) as picture:
        assert picture.width == 7 * 300 and picture.height < picture.width
        assert np.asarray(picture.convert("L")).std() > 30
        assert np.asarray(picture.convert("L"))[:, :20].max() == 255  # the ground is white


def test_members_lie_as_in_their_files_and_upright_as_their_poses_say(run: Path) -> None:
    main(["groups", str(run), "--upright", "1=90"])
    opened = open_run(run)
    (sample,) = samples(opened, "1")
    files = Path(opened.settings.data.source).glob("*.png")
    images = [np.asarray(Image.open(file)) for file in files]
    for lying, upright in zip(sample.lying, sample.upright, strict=True):
        grey = lying[0].numpy()
        assert (lying == lying[0]).all()
        assert any(np.array_equal(grey, image) for image in images)
        element = embed(opened.model, lying[None, :1]).element
        turn = opened.collections.upright(1).element[None]
        wanted = warp(to_float(lying[None, :1]), turn @ Aff2().inverse(element), mode="bicubic")
        assert (to_float(upright[0]) - wanted[0, 0].clamp(0, 1)).abs().mean() < 0.01
    assert sample.average is not None
    mean = to_float(sample.upright).mean(0)[0]
    both = torch.stack([mean.flatten(), to_float(sample.average[0]).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.5


def test_of_many_groups_the_largest_are_shown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_run(run)
    names = opened.select(Choice(keep=("1",))).names
    for i in range(10):
        opened.decide(names[2 * i : 2 * i + 2], Decision(new=f"by hand {i}"))
    opened.decide(names[:1], Decision(mark="junk"))
    out = tmp_path / "figure.svg"
    main(["select", str(run), "--out", str(out)])
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "The picture shows the 12 largest groups; 2 smaller groups with 3 images left out." in said
    )
    lines, images = told(out)
    assert sum(line.startswith("by hand") for line in lines) == 8
    assert images == 2 * 4 + 8  # what was made by hand has no average
    main(["select", str(run), "--keep", "by hand 0", "--out", str(tmp_path / "one.svg")])
    assert "1 image" in told(tmp_path / "one.svg")[0]


def test_colours_mirrored_poses_and_numbers_of_16_bits_without_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((60, 20, 32, 3), 3000, np.uint16)
    for i, image in enumerate(pixels):
        image[4:16, 8:12] = image[12:16, 8 : 20 + i % 2] = (30000, 9000, 3000)
        image[:] = image[:, ::-1] if rng.random() < 0.5 else image
    np.save(tmp_path / "deep.npy", pixels)
    how = ["--quick", "--clusters", "2", "--mirror", "--restarts", "1"]
    main(["fit", str(tmp_path / "deep.npy"), *how, "--out", str(tmp_path / "run")])
    main(["select", str(tmp_path / "run"), "--out", str(tmp_path / "figure.png")])
    with Image.open(tmp_path / "figure.png") as picture:
        red, _, blue = np.asarray(picture.convert("RGB"), int).transpose(2, 0, 1)
        assert ((red - blue) > 100).mean() > 0.01
    for sample in samples(open_run(tmp_path / "run"), "0", "1"):
        assert sample.lying.shape[1:] == (3, 18, 28)
        left = sample.upright[:, 0, :, :14].float().mean((1, 2))
        right = sample.upright[:, 0, :, 14:].float().mean((1, 2))
        assert len(set(torch.sign(left - right).tolist())) == 1  # all the same way round


@pytest.mark.parametrize("shape", [(28, 28), (90, 30), (30, 90), (8, 400)])
@pytest.mark.parametrize("groups", [1, 5, 12])
def test_pictures_fit_a_page(shape: tuple[int, int], groups: int) -> None:
    layout = Layout.of({f"a name {i}": 1000 for i in range(groups)}, shape)
    width, height = layout.size
    assert width == pytest.approx(7, abs=0.6) and height < 9.5
    assert layout.members > 0


def test_an_ending_that_nothing_is_drawn_for_is_refused(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    with pytest.raises(UserError, match=r"ends in .jpg; give a path that ends in .*\.svg, \.png"):
        opened.select(Choice(), tmp_path / "figure.jpg")
    with pytest.raises(UserError, match="no image is chosen; ask for less"):
        opened.select(Choice(text="nowhere"), tmp_path / "figure.svg")
    (tmp_path / "there.svg").write_text("mine")
    with pytest.raises(SystemExit):
        main(["select", str(run), "--out", str(tmp_path / "there.svg")])
    assert (tmp_path / "there.svg").read_text() == "mine"
