"""CZI, LIF and ND2 by bioio: a stand-in for it, and a real CZI where its plugin is installed."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of

RNG = np.random.default_rng(0)
SCENES = {"a": RNG.integers(0, 4000, (2, 3, 1, 20, 24), dtype=np.uint16)}
SCENES["b"] = SCENES["a"][:1] + 1


class Delayed(np.ndarray):
    """An array with what the reader uses of dask's."""

    chunksize = (1, 1, 1, 20, 24)

    def compute(self, scheduler: str) -> np.ndarray:
        assert scheduler == "synchronous"
        return np.asarray(self)


class BioImage:
    """What the reader uses of bioio's class of this name."""

    axes, names = "TCZYX", ["DAPI", "GFP", "Cy5"]

    def __init__(self, path: str) -> None:
        if b"damaged" in Path(path).read_bytes():
            raise LookupError
        self.scenes = tuple(SCENES)
        self.dims, self.channel_names = SimpleNamespace(order=self.axes), self.names

    def set_scene(self, scene: str) -> None:
        pixels = SCENES[scene]
        self.dask_data = (pixels if self.axes == "TCZYX" else np.stack([pixels] * 3, -1)).view(
            Delayed
        )


@pytest.fixture
def bioio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library."""
    modules = {name: ModuleType(name) for name in ("bioio", "bioio_base", "bioio_base.exceptions")}
    vars(modules["bioio"])["BioImage"] = BioImage
    vars(modules["bioio_base.exceptions"])["UnsupportedFileFormatError"] = LookupError
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def frames(path: Path, **choices: object) -> list[Frame]:
    found = list(frames_of(path, path.name, Reading(**choices)))  # pyright: ignore[reportArgumentType]
    assert all(isinstance(one, Frame) for one in found), found
    return [one for one in found if isinstance(one, Frame)]


def fault(path: Path) -> str:
    (found,) = frames_of(path, path.name)
    assert isinstance(found, Fault)
    return found.reason


@pytest.mark.usefixtures("bioio")
def test_times_of_all_scenes_are_images_with_named_channels(tmp_path: Path) -> None:
    (tmp_path / "some.lif").write_bytes(b"some")
    found = frames(tmp_path / "some.lif")
    wanted = [*SCENES["a"][:, :, 0], *SCENES["b"][:, :, 0]]
    assert [one.name for one in found] == ["some.lif#0", "some.lif#1", "some.lif#2"]
    for one, pixels in zip(found, wanted, strict=True):
        assert one.channels == ("DAPI", "GFP", "Cy5")
        assert np.array_equal(one.pixels, np.moveaxis(pixels, 0, -1))
    (first, *_) = frames(tmp_path / "some.lif", channels="GFP")
    assert np.array_equal(first.pixels.squeeze(), wanted[0][1])


@pytest.mark.usefixtures("bioio")
def test_colours_of_cameras_are_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BioImage, "axes", "TCZYXS")
    monkeypatch.setattr(Delayed, "chunksize", (1, 1, 1, 20, 24, 3))
    (tmp_path / "some.nd2").write_bytes(b"some")
    found = frames(tmp_path / "some.nd2")
    assert len(found) == 9
    assert found[0].pixels.shape == (20, 24, 3) and not found[0].channels


@pytest.mark.usefixtures("bioio")
def test_a_missing_plugin_and_a_damaged_file_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.lif").write_bytes(b"damaged")
    place = "mcevae.images.readers.microscopes.find_spec"
    monkeypatch.setattr(place, lambda name: None)
    assert "pip install 'mcevae[microscopes]'" in fault(tmp_path / "some.lif")
    monkeypatch.setattr(place, lambda name: name == "bioio_lif")
    assert fault(tmp_path / "some.lif") == "is not a LIF file, or a damaged one"


def test_without_bioio_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bioio", None)
    for ending, remedy in (
        ("czi", "pip install bioio bioio-czi (bioio-czi has the GNU General Public License)"),
        ("lif", "pip install 'mcevae[microscopes]'"),
        ("nd2", "pip install 'mcevae[microscopes]'"),
    ):
        path = tmp_path / f"some.{ending}"
        path.write_bytes(b"some")
        assert fault(path) == f"is a {ending.upper()} file; {remedy} reads it"


def test_a_czi_of_the_makers_library_is_read(tmp_path: Path) -> None:
    pytest.importorskip("bioio_czi")
    czi = pytest.importorskip("pylibCZIrw.czi")
    pixels = RNG.integers(0, 2**16, (2, 3, 40, 50), dtype=np.uint16)
    with czi.create_czi(str(tmp_path / "some.czi")) as file:
        for time, channel in np.ndindex(2, 3):
            file.write(pixels[time, channel][..., None], plane={"T": time, "C": channel, "Z": 0})
        file.write_metadata("some", channel_names={0: "DAPI", 1: "GFP", 2: "Cy5"})
    found = frames(tmp_path / "some.czi")
    assert len(found) == 2
    for one, wanted in zip(found, pixels, strict=True):
        assert np.array_equal(one.pixels, np.moveaxis(wanted, 0, -1))
        assert len(one.channels) == 3
    (tmp_path / "bad.czi").write_bytes(b"no such file" * 50)
    assert fault(tmp_path / "bad.czi") == "is not a CZI file, or a damaged one"
