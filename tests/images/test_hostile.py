"""Hostile files are read or refused, and nothing else: at random, and what was found so before."""

import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import Page, expect

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.exporting.hub import read as read_hub
from mcevae.images.loading import load
from mcevae.images.readers import arrays
from mcevae.images.readers.frames import Fault
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.listing import files_of
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.registry import build
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.runs.checkpoint import load_model, run_file
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration, calibrate
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Score, read_scores, write_scores
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from tests import hostile
from tests.conftest import served
from tests.images.reading import read
from tests.mutations import mutated
from tests.sizes import taught, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> Path:
    """A run of the default preset with all its files, and the estimator of it."""
    run = tmp_path_factory.mktemp("runs") / "taught"
    fit(taught(), small_data, run)
    model, config, _ = load_model(run)
    calibrate(model, config, small_data.validation.images.pixels).write(run)
    write_scores({"bce": Score(value=100.0, unit="nats", n=100)}, run / "metrics.json")
    parts = {1: [[0.0, 0.5, 1.0, 2.0], [1.0, 0.0, 0.0, 0.0]]}
    units = ("0", "1.0", "1.1", "2")
    named = [{"name": f"group {unit}", "units": [unit]} for unit in units]
    kept = {"format": 1, "clusters": 3, "groups": named, "centres": parts}
    (run / "groups.json").write_text(json.dumps(kept))
    MCEVAE.from_pretrained(run).save_pretrained(run / "saved")
    return run


@pytest.fixture(scope="module", params=["images", "runs", "settings"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run: Path
) -> hostile.Target:
    if request.param == "images":
        return hostile.images(tmp_path_factory.mktemp("images"))
    return hostile.run_files(run, run / "saved") if request.param == "runs" else hostile.settings()


@pytest.fixture(scope="module")
def place(target: hostile.Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the target."""
    folder = tmp_path_factory.mktemp("place")
    target.settle(folder)
    return folder


def test_valid_files_are_read(target: hostile.Target, place: Path) -> None:
    for name, content in target.seeds.items():
        assert target.check(place, name, content) == "read", name


@examples(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 3))
def test_hostile_files_are_read_or_refused(
    target: hostile.Target, place: Path, seed: int, steps: int
) -> None:
    random = Random(seed)
    name = random.choice(list(target.seeds))
    content = target.seeds[name]
    for _ in range(steps):
        content = mutated(name, content, random, list(target.seeds.values()))
    assert target.check(place, name, content) in ("read", "refused")


# Images


def fault_of(path: Path) -> str:
    """Why a file cannot be used."""
    *_, last = frames_of(path, path.name)
    assert isinstance(last, Fault), last
    return last.reason


def npy(shape: str, kind: str, content: bytes = b"") -> bytes:
    """A .npy with any header."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


def test_images_of_one_value_that_is_no_byte_can_be_settled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((3, 20, 20), 7000, np.uint16))
    source = open_source(str(tmp_path / "a.npy"))
    settled = source.settled()
    assert settled["levels"][0] < settled["levels"][1]
    DataConfig(source=source.name, **settled)


def test_star_rows_of_any_bytes_cost_that_row(tmp_path: Path) -> None:
    rows = (("a.mrcs", b"1"), ("\udcff.mrcs", b"1"), ("b.mrcs", b"'\xff 1'"), ("c.mrcs", b"1"))
    for name, value in rows:
        with mrcfile.new(str(tmp_path / "x.mrcs"), overwrite=True) as file:
            file.set_data(np.zeros((2, 20, 20), np.float32))
        (tmp_path / "x.mrcs").rename(tmp_path / name)
        with (tmp_path / "a.star").open("ab") as star:
            if name == "a.mrcs":
                star.write(b"data_\nloop_\n_rlnImageName\n_rlnOther\n")
            star.write(b"2@" + os.fsencode(name) + b" " + value + b"\n")
    [part] = open_source(str(tmp_path / "a.star")).parts(hostile.PLAIN)
    assert part.names == ["000002@a.mrcs", "000002@\\xff.mrcs", "000002@c.mrcs"]
    assert [fault.name for fault in part.faults] == ["row 3"]


@pytest.mark.parametrize(
    "content",
    [
        npy("(-1,)", "|V0"),  # ended the process: NumPy divided by the size
        npy("(4, 20, 20)", "|S0"),
        npy("(1000000000000000, 20, 20)", "<f8"),
        npy("(1000000000000000, 20, 0)", "<f8"),  # was read for ever
        npy("(-4, 20, 20)", "|u1", bytes(1600)),
        npy("(20, 20)", "|O", bytes(3200)),
    ],
)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_arrays_that_cannot_be_are_refused(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    if ending == ".npz":
        with ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
    else:
        path.write_bytes(content)
    reasons = "not a readable NumPy file", "holds no pixels", "holds Python objects"
    assert any(reason in fault_of(path) for reason in reasons)


@pytest.mark.parametrize("name", ["images", "x_train"])
def test_archives_that_grow_too_much_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MOST_EXPANDED", 2**20)
    few, many = np.zeros((1000, 20, 20), np.uint8), np.zeros((4000, 20, 20), np.uint8)
    np.savez_compressed(tmp_path / "few.npz", **{name: few, "x_test": few})
    np.savez_compressed(tmp_path / "many.npz", **{name: many, "x_test": few})
    np.savez(tmp_path / "plain.npz", **{name: many, "x_test": few})
    assert len(load(str(tmp_path / "few.npz")).train) == 1000
    assert len(load(str(tmp_path / "plain.npz")).train) == 4000
    with pytest.raises(UserError, match=r"grows from .* as no images do"):
        load(str(tmp_path / "many.npz"))


def test_archives_hold_what_they_say(tmp_path: Path) -> None:
    pixels = np.zeros((5, 20, 20), np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels)
    with ZipFile(tmp_path / "a.npz", "a", ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", "no array")  # NumPy gives its bytes
    with pytest.raises(UserError, match="its array labels is not a readable NumPy file"):
        load(str(tmp_path / "a.npz"))
    with ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x_train.npy", "no array")
    with pytest.raises(UserError, match="is not a readable NumPy file"):
        load(str(tmp_path / "b.npz"))


def test_pages_of_tiffs_are_bounded(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(10**8), 9)  # for a page of 2 kB
    kind: dict[str, Any] = {"dtype": np.float64, "compression": "zlib", "photometric": 1}
    tifffile.imwrite(tmp_path / "bomb.tif", iter([bomb]), shape=(16, 16), rowsperstrip=16, **kind)
    assert fault_of(tmp_path / "bomb.tif") == "has more data than its size allows"
    page = zlib.compress(b"")
    wide: dict[str, Any] = {**kind, "shape": (20_000, 20_000), "rowsperstrip": 20_000}
    tifffile.imwrite(tmp_path / "wide.tif", iter([page]), **wide)
    assert "more than 100,000,000 pixels" in fault_of(tmp_path / "wide.tif")
    deep: dict[str, Any] = {"dtype": np.float64, "compression": "zlib", "planarconfig": "contig"}
    tifffile.imwrite(
        tmp_path / "deep.tif",
        iter([page] * 9),
        shape=(9_000, 9_000, 12),
        rowsperstrip=1_000,
        photometric="minisblack",
        extrasamples=[0] * 11,
        **deep,
    )
    assert "bytes, more than" in fault_of(tmp_path / "deep.tif")


def test_pages_without_pixels_end_a_tiff(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((0, 16), np.float64), photometric=1)
    assert "without pixels" in fault_of(tmp_path / "a.tif")  # were read without end


@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("normalise", ["none", "set", "image", "auto"])
def test_absurd_intensities_are_named(value: float, normalise: Any, tmp_path: Path) -> None:
    stack = np.linspace(0, 1, 1200, dtype=np.float32).reshape(3, 20, 20).copy()
    stack[1, 3, 4] = value
    np.save(tmp_path / "a.npy", stack)
    settings = DataConfig(source=str(tmp_path / "a.npy"), normalise=normalise)
    images, (fault,) = read(tmp_path / "a.npy", settings)
    assert len(images) == 2 and fault.name == "a.npy#1"
    assert ("NaN inside" if np.isnan(value) else "infinite values") in fault.reason


def test_other_kinds_of_files_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\nshowpage")
    assert "is not an image" in fault_of(tmp_path / "a.png")  # no Ghostscript is started


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_and_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    images, faults = read(tmp_path, DataConfig(source=str(tmp_path)))
    assert len(images) == 1 and faults == [Fault("pipe.png", "is not a regular file")]
    assert fault_of(tmp_path / "folder.png") == "is not a regular file"


def test_lists_may_name_anything(tmp_path: Path) -> None:
    lines = ["/dev/zero", "../" * 100 + "etc/passwd", "x" * 5000 + ".png", "a\0b.png", "a.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    open_source(str(tmp_path / "list.txt")).snapshot().fingerprint("all")
    images, faults = read(tmp_path / "list.txt", DataConfig())
    assert images.names is not None and images.names.tolist() == ["a.png"] and len(faults) == 4
    with pytest.raises(UserError, match="no such file, folder or set"):
        files_of(Path("x" * 5000))


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")
def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(os.fsencode(tmp_path) + b"/\xff.png")
    images, _ = read(tmp_path, DataConfig(source=str(tmp_path)))
    assert images.names is not None and images.names.tolist() == ["\\xff.png"]
    open_source(str(tmp_path)).snapshot().fingerprint("all")


# Runs and settings


def edited(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"clusters": 10**12}, "clusters"),
        ({"clusters": 1e999}, "infinity"),
        ({"clusters": 0, "groups": [], "centres": {}}, "clusters"),
        ({"centres": {"99": [[0.0], [1.0]]}}, "clusters that do not exist|units"),
        ({"centres": {"1": [[0.0], [float("nan")]]}}, "not finite"),
        ({"groups": {"name": 3}}, "does not fit this run"),
    ],
)
def test_groups_that_cannot_be_are_refused(
    kept: dict[str, Any], said: str, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "groups.json").write_bytes((run / "groups.json").read_bytes())
    edited(tmp_path / "groups.json", lambda old: {**old, **kept})
    with pytest.raises(UserError, match=said):
        Collections.read(tmp_path, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "1"},
        {"temperature": float("nan")},
        {"temperature": None},
        {"n": 1e999},
        {"misfits": [float("nan")] * 101},
        {"misfits": list(range(101, 0, -1))},
        {"usual": [1.0, 0.0]},
        {"usual": [1.0, float("nan")]},
        {"usual": 1.0},
        {"more": 1},
    ],
)
def test_calibrations_that_cannot_be_are_refused(
    change: dict[str, Any], run: Path, tmp_path: Path
) -> None:
    (tmp_path / "calibration.json").write_bytes((run / "calibration.json").read_bytes())
    edited(tmp_path / "calibration.json", lambda old: {**old, **change})
    if change == {"temperature": "1"}:  # a number all the same
        assert Calibration.read(tmp_path).temperature == 1.0
    else:
        with pytest.raises(UserError, match="make it again with mcevae report"):
            Calibration.read(tmp_path)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [
        ("metrics.jsonl", DEEP, read_log),
        ("metrics.jsonl", "[1]", read_log),
        ("metrics.jsonl", '{"split": "train", "epoch": NaN}', read_log),
        ("metrics.jsonl", '{"split": "train", "epoch": 0, "seconds": "long"}', read_log),
        ("metrics.json", DEEP, read_scores),
        ("metrics.json", '{"scores": {"bce": {"value": "x", "unit": "", "n": 1}}}', read_scores),
        ("metrics.json", '{"scores": {"bce": {"value": 1, "unit": "", "n": 1e999}}}', read_scores),
        ("groups.json", DEEP, Collections.kept),
        ("calibration.json", DEEP, Calibration.read),
        ("config.json", DEEP, read_hub),
    ],
)
def test_logs_and_tables_that_cannot_be_are_refused(
    name: str, content: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=name):
        reader(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"train = {DEEP}",
        f"[train]\nepochs = {'9' * 5000}",
        f"[train]\nepochs = {'9' * 50}",
        f"[data]\nlevels = [{'9' * 400}, 1]",
        "[data]\nlevels = [nan, nan]",
        "[model]\nclusters = 1000000000",
    ],
)
def test_settings_that_cannot_be_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UserError, match=r"a\.toml"):
        Config.read(tmp_path / "a.toml")


def test_models_of_absurd_sizes_are_refused_before_they_take_memory(
    trained: Path, tmp_path: Path
) -> None:
    for sizes in ({"hidden": 10**7}, {"variation": 10**7}, {"filters": (10**7,) * 4}):
        with pytest.raises(UserError, match="the model has more than"):
            build(tiny(**sizes), (1, 28, 28))
    content = run_file(trained, "best").read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    state = json.loads(header["__metadata__"]["mcevae"])
    state["config"]["model"]["decoder_hidden"] = 10_000
    header["__metadata__"]["mcevae"] = json.dumps(state)
    del header["__metadata__"]["blake2b"]  # whoever alters a file on purpose can do that, too
    text = json.dumps(header).encode()
    made = struct.pack("<Q", len(text)) + text + content[8 + size :]
    run_file(tmp_path, "best").write_bytes(made)
    with pytest.raises(UserError, match="the model has more than"):
        load_model(tmp_path)


# Sets of images


def sorted_by_paper(source: Path, out: Path, *options: str) -> None:
    sizes = "--filters 4 8 8 8 --hidden 32 --pose-hidden 16 --decoder-hidden 32 --clusters 30"
    flags = f"--preset paper --epochs 1 --batch-size 10 {sizes}".split()
    main(["fit", str(source), "--out", str(out), *flags, *options])


def sorted_by_default(source: Path, out: Path) -> None:
    sizes = "--clusters 3 --rotations 24 --variation 4 --hidden 32 --templates 8 --neighbours 5"
    flags = f"--epochs 4 --batch-size 10 {sizes}".split()
    main(["fit", str(source), "--out", str(out), *flags])


rng = np.random.default_rng(0)
SOME = rng.integers(0, 256, (24, 20, 20)).astype(np.uint8)
SETS = {
    "constant": np.full((24, 20, 20), 7, np.uint8),
    "duplicates": np.repeat(SOME[:1], 24, 0),
    "twins": np.repeat(SOME[:2], 12, 0),
    "fewer than clusters": SOME,
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("sort", [sorted_by_paper, sorted_by_default])
def test_dull_sets_go_from_start_to_end(
    name: str, sort: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", images=SETS[name], labels=np.zeros(24, int))  # of one class
    sort(tmp_path / "a.npz", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()
    scores = read_scores(tmp_path / "run")
    assert all(np.isfinite(score.value) for score in scores.values())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("sort", [sorted_by_paper, sorted_by_default])
def test_too_few_images_are_refused_in_a_sentence(
    count: int,
    sort: Callable[[Path, Path], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "a.npy", SOME[:count])
    try:
        sort(tmp_path / "a.npy", tmp_path / "run")
    except SystemExit as stop:
        assert stop.code == 2 and "too few" in capsys.readouterr().err
    else:
        assert count == 4 and (tmp_path / "run" / "report.html").exists()


# Names


def test_names_with_markup_are_shown_as_they_are(
    tmp_path: Path, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    source, run = tmp_path / "<b>images[", tmp_path / "[red]run<script>alert(2)<"
    source.mkdir()
    bad = "<img src=x onerror=alert(1)>"
    for i, pixels in enumerate(SOME):
        Image.fromarray(pixels).save(source / f"{i}{bad}[bold].png")
    (source / f"{bad}[red].png").write_bytes(b"none")
    sorted_by_paper(source, run, "--size", "20")
    said = capsys.readouterr().out
    assert f"{bad}[red].png is not an image" in said and f"Open {run}" in said
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    with served(explorer_of(run)) as (host, port):
        for place in ((run / "report.html").as_uri(), f"http://{host}:{port}"):
            page.goto(place)
            expect(page.locator("h1")).to_have_text(run.name)
            page.locator(".group .thumb").first.focus()
            page.keyboard.press("Enter")
            expect(page.locator("dialog#image h2")).to_contain_text(f"{bad}[bold].png")
            assert not dialogs and page.locator("img[src=x]").count() == 0
        page.locator("dialog#image").press("Escape")
        page.set_input_files("#file", source / f"0{bad}[bold].png")
        expect(page.locator("#found h3")).to_have_text(f"0{bad}[bold].png")
        name = page.locator(".group").first.get_by_role("textbox")
        name.fill(bad)
        name.press("Enter")
        expect(page.get_by_role("heading", name=f"Group {bad}")).to_be_visible()
        assert not dialogs and page.locator("img[src=x]").count() == 0


def explorer_of(run: Path) -> Any:
    """The explorer's application of a run."""
    opened = TrainedRun.open(run)
    data = opened.data()
    explorer = Explorer(run=opened, gallery=hang(opened, data))
    return application(explorer, data, read_scores(run))
