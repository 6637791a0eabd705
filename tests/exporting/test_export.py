"""Exports: graphs give what torch gives, without torch; tables hold the run's images."""

import json
import logging
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.exporting import graphs, interchange
from mcevae.exporting.graphs import write_graphs
from mcevae.exporting.interchange import write_for
from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.masks import as_text, circle
from mcevae.images.readers.frames import Frame
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS
from mcevae.models.registry import build
from mcevae.pages.gallery import Gallery
from mcevae.runs.checkpoint import load_model
from mcevae.runs.collections import Collections
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from tests.exporting.stand_in import with_empty_graphs, with_graphs_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_without_torch.py"
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None  # importing it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(trained: Path, small_data: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "graphs"
    write_graphs(TrainedRun.open(trained), small_data.validation.images.pixels, folder)
    return folder


def run(path: Path, **given: np.ndarray) -> list[np.ndarray]:
    found = InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, given)
    return [np.asarray(one) for one in found]


@pytest.mark.parametrize("count", [1, 7, 100])
def test_graphs_give_what_torch_gives_for_any_number_of_images(
    exported: Path, trained: Path, small_data: Splits, count: int
) -> None:
    model, _, _ = load_model(trained)
    pixels = small_data.test.images.pixels[:count]
    x = to_float(pixels)
    p, z_c, z, pose = run(exported / "encode.onnx", image=x.numpy())
    (canonical,) = run(exported / "canonical.onnx", z_c=z_c, z=z)
    (drawn,) = run(exported / "reconstruct.onnx", z_c=z_c, z=z, pose=pose)
    expected = embed(model, pixels)
    with torch.inference_mode():
        reconstruction = model(x, sample=False).reconstruction
    pairs = [
        (p, expected.responsibilities),
        (pose, expected.element),
        (canonical, expected.canonical),
        (drawn, reconstruction),
    ]
    for ours, theirs in pairs:
        assert np.abs(ours - theirs.numpy()).max() < graphs.TOLERANCE


def test_what_is_said_of_the_graphs_is_true(exported: Path, trained: Path) -> None:
    about = json.loads((exported / "model.json").read_text())
    _, _, state = load_model(trained)
    assert [about["image"][key] for key in ("channels", "height", "width")] == state["shape"]
    gaps = about["difference_from_torch"]
    assert set(gaps) == {"probability", "z_c", "z", "pose", "canonical", "reconstruction"}
    assert max(gaps.values()) <= graphs.TOLERANCE


def test_an_image_is_sorted_without_torch(
    exported: Path, trained: Path, small_data: Splits, tmp_path: Path
) -> None:
    model, _, _ = load_model(trained)
    pixels = small_data.test.images.pixels[:1]
    pictures = tmp_path / "picture.png", tmp_path / "canonical.png"
    Image.fromarray(pixels[0, 0].numpy()).save(pictures[0])
    made = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, EXAMPLE, exported, *pictures],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    found = embed(model, pixels)
    assert f"cluster {int(found.cluster)} " in made.stdout
    drawn = np.asarray(Image.open(pictures[1])).astype(int)
    assert np.abs(drawn - to_bytes(found.canonical)[0, 0].numpy()).max() <= 1


def test_the_example_says_how_it_is_run() -> None:
    made = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert made.returncode == 1 and made.stderr.startswith("Find the cluster of an image")


def deep(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 2**16, (40, 50), np.uint16))


def shallow_32(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 2**16, (50, 40), np.int32))


def shares_of_one(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.random((28, 28), np.float32))


def see_through(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (33, 61, 4), np.uint8))


def palette(rng: np.random.Generator) -> Image.Image:
    return see_through(rng).convert("RGB").quantize(16)


@pytest.mark.parametrize("mask", ["circle", "alpha", "file"])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("normalise", ["set", "image"])
def test_the_example_masks_as_predict_does(
    normalise: Any, flatten: bool, mask: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 52, 4 if mask == "alpha" else 3), np.uint8)
    if mask == "alpha":
        pixels[..., 3] = 255 * circle(40, 52)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    bits = as_text(rng.random((20, 26)) > 0.2) if mask == "file" else None
    about = {"normalise": normalise, "levels": (0.1, 0.8), "fit": "pad", "background": 0.6}
    about |= {"flatten": flatten, "mask": mask, "mask_bits": bits, "channels": 3}
    if normalise == "image":
        about["levels"] = None
    recipe = Recipe(**about, shape=(28, 28))
    ours = runpy.run_path(str(EXAMPLE))["model_input"](
        tmp_path / "a.png", {**about, "height": 28, "width": 28}
    )
    wanted = recipe(Frame("a.png", pixels)).numpy()
    assert np.abs(255 * ours[0] - wanted).max() < 1.01


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("normalise", ["none", "set", "image"])
@pytest.mark.parametrize("make", [deep, shallow_32, shares_of_one, see_through, palette])
def test_the_example_feeds_the_model_what_predict_does(
    make: Any, normalise: Any, fit: Any, flatten: bool, channels: int, tmp_path: Path
) -> None:
    name = f"{make.__name__}.{'png' if make in (deep, see_through, palette) else 'tif'}"
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: lying on its side
    make(np.random.default_rng(0)).save(tmp_path / name, exif=turned)
    levels = (0.1, 0.8) if normalise == "set" else None
    about = {"normalise": normalise, "levels": levels, "fit": fit, "background": 0.6}
    about["flatten"] = flatten
    recipe = Recipe(**about, channels=channels, shape=(28, 24))
    (frame,) = frames_of(tmp_path / name, name)
    assert isinstance(frame, Frame)
    form = {**about, "channels": channels, "height": 28, "width": 24}
    ours = runpy.run_path(str(EXAMPLE))["model_input"](tmp_path / name, form)
    assert ours.dtype == np.float32
    assert np.abs(255 * ours[0] - recipe(frame).numpy()).max() < 1.01  # one level, by rounding


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_the_example_takes_other_things_out_as_predict_does(
    fit: Any, masked: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((60, 48), 40, np.uint8)
    pixels[24:38, 18:30] = pixels[2:9, 20:34] = 220  # the thing, and one that reaches no border
    pixels[50:, 5:20] = pixels[26:36, :10] = 180
    pixels += rng.integers(0, 12, pixels.shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    bits = as_text(circle(60, 48)) if masked else None
    about = {"normalise": "none", "levels": None, "fit": fit, "background": 45 / 255}
    about |= {"channels": 1, "isolate": "yes", "mask": "circle" if masked else None}
    about["mask_bits"] = bits
    recipe = Recipe(**about, shape=(28, 28))
    form = {**about, "height": 28, "width": 28, "flatten": False}
    ours = runpy.run_path(str(EXAMPLE))["model_input"](tmp_path / "a.png", form)
    wanted = recipe(Frame("a.png", pixels)).numpy()
    untouched = replace(recipe, isolate="no")(Frame("a.png", pixels)).numpy()
    assert np.abs(255 * ours[0] - wanted).max() < 1.01
    assert (np.abs(untouched.astype(float) - wanted) > 60).sum() > 20


def test_a_graph_that_differs_is_refused(
    exported: Path,
    trained: Path,
    small_data: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_graphs_of(exported, monkeypatch)
    monkeypatch.setattr(graphs, "TOLERANCE", 0.0)
    run = TrainedRun.open(trained)
    with pytest.raises(UserError, match="differs from torch"):
        write_graphs(run, small_data.validation.images.pixels, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No checks of shapes, which would bind the symbol that stands for the number of images."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def untrained(preset: str, folder: Path, **sizes: Any) -> TrainedRun:
    """A run of a preset before its first step; `sizes` are settings of its model."""
    config = PRESETS[preset]().changed(model=sizes)
    return TrainedRun(
        folder=folder,
        checkpoint="best",
        model=build(config, (1, 28, 28)).eval(),
        settings=config,
        state={"shape": [1, 28, 28]},
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("preset", ["spatial-vae", "jrvae"])
def test_other_models_have_graphs(preset: str, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (5, 1, 28, 28)).byte()
    assert max(write_graphs(untrained(preset, tmp_path), pixels, tmp_path).values()) < 1e-4


@pytest.mark.usefixtures("unchecked")
def test_graphs_give_mirrored_poses(
    small_data: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_empty_graphs(monkeypatch, but=["encode"])  # the others take any pose
    torch.manual_seed(0)
    run = untrained("default", tmp_path, mirror=True)
    pixels = small_data.validation.images.pixels[:32]
    run.model.get_submodule("net.last").get_parameter("bias").data.zero_()  # it outweighs the image
    assert max(write_graphs(run, pixels, tmp_path / "graphs").values()) < 1e-4
    session = InferenceSession(tmp_path / "graphs" / "encode.onnx")
    (pose,) = session.run(["pose"], {"image": to_float(pixels).numpy()})
    signs = np.linalg.det(np.asarray(pose)) < 0
    assert 0 < signs.sum() < 32
    about = json.loads((tmp_path / "graphs" / "model.json").read_text())["pose"]
    assert about["group"] == "se2" and about["mirror"] is True


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "why"),
    [("affine-vae", "since it searches for the pose"), ("affine-vae-stn", "while tracing it")],
)
def test_a_peer_that_onnx_has_no_words_for_is_refused(kind: str, why: str, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (5, 1, 28, 28)).byte()
    with pytest.raises(UserError, match=rf"this model cannot be written as a graph.*{why}"):
        write_graphs(untrained(kind, tmp_path), pixels, tmp_path / "graphs")


def test_models_that_cannot_be_graphs_are_refused(tmp_path: Path) -> None:
    class Looking(graphs.Encode):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (image * 2 if image.sum() > 0 else image,)

    graph = Looking(build(PRESETS["vae"](), (1, 28, 28)))
    with pytest.raises(UserError, match=r"encode\.onnx: this model cannot be written as a graph"):
        graphs.write_graph(graph, [torch.rand(3, 1, 28, 28)], tmp_path / "encode.onnx")
    assert not list(tmp_path.iterdir())


def test_torch_speaks_again_when_graphs_are_written() -> None:
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    with pytest.raises(KeyboardInterrupt), graphs.quietly():
        assert logger.level == logging.ERROR
        raise KeyboardInterrupt
    assert logger.level == before != logging.ERROR


def test_an_atlas_holds_every_image_with_its_group(gallery: Gallery, tmp_path: Path) -> None:
    named = Collections.plain(gallery.clusters).renamed(0, "zero")
    said = write_for("embedding-atlas", gallery, named, tmp_path / "atlas")
    assert str(tmp_path / "atlas" / "images.parquet") in said
    rows = parquet.read_table(tmp_path / "atlas" / "images.parquet").to_pylist()
    assert [row["group"] for row in rows] == ["zero" if k == 0 else str(k) for k in gallery.cluster]
    picture = np.asarray(Image.open(BytesIO(rows[5]["image"]["bytes"])))
    assert np.array_equal(picture, gallery.pixels[5, 0].numpy())
    assert all(0 <= row["map_x"] <= 1 for row in rows)


def test_the_projector_has_a_vector_and_a_line_for_every_image(
    gallery: Gallery, tmp_path: Path
) -> None:
    plain = Collections.plain(gallery.clusters)
    write_for("tensorboard", gallery, plain, tmp_path / "projector")
    told = (tmp_path / "projector" / "projector_config.pbtxt").read_text()
    assert told.count("embeddings {") == 2
    found = {}
    for path in (tmp_path / "projector").rglob("tensors.tsv"):
        found[path.parent.name] = np.loadtxt(path, delimiter="\t")
        assert len((path.parent / "metadata.tsv").read_text().splitlines()) == 601
        assert (path.parent / "sprite.png").exists()
    assert sorted(map(len, found.values())) == [600, 600]
    assert any(np.allclose(values, gallery.z, atol=1e-4) for values in found.values())


def test_fiftyone_finds_a_picture_for_every_label(gallery: Gallery, tmp_path: Path) -> None:
    write_for("fiftyone", gallery, Collections.plain(gallery.clusters), tmp_path / "fo")
    labels = json.loads((tmp_path / "fo" / "labels.json").read_text())["labels"]
    assert {path.stem for path in (tmp_path / "fo" / "data").iterdir()} == set(labels)
    assert len(labels) == 600
    assert labels["0000003"]["label"] == str(gallery.cluster[3])
    attributes = labels["0000003"]["attributes"]
    assert attributes["split"] == "train" and "label" not in attributes  # FiftyOne's own name


def export(run: Path, to: str, out: Path) -> None:
    main(["export", str(run), "--to", to, "--out", str(out)])


def test_exports_do_not_write_over_anything(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        export(trained, "fiftyone", tmp_path)
    assert stop.value.code == 2 and "already exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("to", ["onnx", "fiftyone"])
def test_an_export_goes_into_the_folder_one_stands_in(
    trained: Path,
    small_data: Splits,
    gallery: Gallery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if to == "onnx":
        with_empty_graphs(monkeypatch)
        write_graphs(TrainedRun.open(trained), small_data.validation.images.pixels, Path())
    else:
        write_for(to, gallery, Collections.plain(gallery.clusters), Path())
    assert Path("model.json" if to == "onnx" else "labels.json").exists()


def test_a_stopped_export_leaves_nothing(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    killed = tmp_path / ".fo.half"  # by another that was killed
    killed.mkdir()
    monkeypatch.setattr(interchange, "write_text", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_for("fiftyone", gallery, Collections.plain(gallery.clusters), tmp_path / "fo")
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_made_are_named(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/fo: cannot be written"):
        write_for(
            "fiftyone", gallery, Collections.plain(gallery.clusters), tmp_path / "file" / "fo"
        )


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit) as stop:
        export(trained, "onnx", tmp_path / "graphs")
    assert stop.value.code == 2 and "mcevae[onnx]" in capsys.readouterr().err
