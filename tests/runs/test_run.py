"""A run opened from Python gives what `mcevae predict` writes, whatever its images are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import tifffile
import torch
from PIL import Image

from mcevae import open_run
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS
from mcevae.models.registry import build
from mcevae.run import Run
from mcevae.runs import checkpoint
from mcevae.runs.answers import Answers
from mcevae.runs.checkpoint import filled, load_model, run_file
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import TINY
from tests.exporting.stand_in import with_empty_graphs
from tests.sizes import tiny

DIGITS = load("mnist-mini").train.pixels[:60, 0].numpy()


def odd_pngs(folder: Path) -> Path:
    """Digits of many sizes, one upon another's half, so that they must be fit into one."""
    folder.mkdir()
    for i, image in enumerate(DIGITS):
        Image.fromarray(image).resize((30 + i % 7, 40 - i % 9)).save(folder / f"{i:02}.png")
    return folder


def words(folder: Path) -> Path:
    """TIFF files of 16 bits, of which a small part of the range is used."""
    folder.mkdir()
    for i, image in enumerate(DIGITS):
        tifffile.imwrite(folder / f"{i:02}.tif", image.astype(np.uint16) * 9 + 100)
    return folder


def floats(folder: Path) -> Path:
    """A stack of floats from -3 to 40."""
    folder.mkdir()
    np.save(folder / "stack.npy", DIGITS.astype(np.float32) / 6 - 3)
    return folder / "stack.npy"


def in_memory(source: Path) -> Any:
    """The images of a source as an array, or a list of arrays that differ in size."""
    if source.suffix == ".npy":
        return np.load(source)
    read = tifffile.imread if next(source.iterdir()).suffix == ".tif" else Image.open
    return [np.asarray(read(file)) for file in sorted(source.iterdir())]


def predicted(run: Path, source: str | Path, *more: str) -> Path:
    """The table that the command line makes."""
    table = run.with_name(f"{Path(source).stem}.parquet")
    main(["predict", str(run), str(source), "--out", str(table), *more])
    return table


@pytest.fixture(scope="module", params=[odd_pngs, words, floats])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path, Path]:
    """A run on some images, their source, and the table that the command line makes of them."""
    folder = tmp_path_factory.mktemp("made")
    source = request.param(folder / "source")
    flags = [*TINY.split(), "--preset", "paper", "--batch-size", "20"]
    main(["fit", str(source), "--out", str(folder / "run"), *flags])
    return open_run(folder / "run"), source, predicted(folder / "run", source)


def same(answers: Answers, table: Path) -> bool:
    """Whether answers are those of a table, to the last digit."""
    rows = parquet.read_table(table)
    columns = {"cluster": answers.cluster, "confidence": answers.confidence}
    columns["outlier"] = answers.outlier.astype(np.float32)
    columns |= {f"probability_{k}": column for k, column in enumerate(answers.probability.T)}
    columns |= {f"z_{v}": column for v, column in enumerate(answers.z.T)}
    names = [name for name in rows.column_names if name.startswith("tau_")]
    columns |= dict(zip(names, answers.tau.T, strict=True))
    return all(np.array_equal(rows[name].to_numpy(), column) for name, column in columns.items())


def test_python_and_the_command_line_give_the_same_numbers(
    made: tuple[Run, Path, Path],
) -> None:
    run, source, table = made
    from_source, from_arrays = run.predict(source), run.predict(in_memory(source))
    assert same(from_source, table) and same(from_arrays, table)
    rows = parquet.read_table(table)
    assert from_source.names == rows["file"].to_pylist() and from_arrays.names is None
    again = run.table(source, table.with_name("again.parquet"), overwrite=True)
    assert parquet.read_table(again.table).equals(rows) and again.rows == len(from_source)


def test_a_built_in_set_and_its_digits_as_an_array_give_the_tables_numbers(
    trained: Path, opened: TrainedRun, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    opened.calibration.write(folder)
    run, digits = open_run(folder), load("mnist-mini").test
    assert digits
    answers = run.predict("mnist-mini", "test")
    assert same(answers, predicted(folder, "mnist-mini", "--part", "test"))
    array = digits.pixels[:, 0].numpy()
    np.save(tmp_path / "digits.npy", array)
    assert same(run.predict(array), predicted(folder, tmp_path / "digits.npy"))
    assert np.array_equal(run.predict(digits.pixels).cluster, answers.cluster)


def test_the_recipe_is_the_runs_and_not_the_new_images(made: tuple[Run, Path, Path]) -> None:
    """One image alone gives what it gives among others: its own brightness decides nothing."""
    run, source, _ = made
    images = in_memory(source)
    some = run.predict(images[:5])
    alone = run.predict(images[3:4])
    assert np.allclose(alone.probability[0], some.probability[3], atol=1e-5)
    assert np.allclose(alone.canonical[0], some.canonical[3], atol=1e-5)
    assert run.canonical(images[:2]).shape == some.canonical[:2].shape


@pytest.fixture
def run(opened: TrainedRun) -> Run:
    """The trained run, as `open_run` gives it."""
    made = open_run(opened.folder)
    made.calibration = opened.calibration
    return made


def test_answers_are_arrays_of_the_documented_shapes(run: Run) -> None:
    answers = run.predict(DIGITS[:7])
    assert len(answers) == 7 and answers.cluster.shape == (7,)
    assert answers.probability.shape == (7, 4) and answers.pose.shape == (7, 3, 3)
    assert answers.canonical.shape == (7, 28, 28) and answers.z.shape == (7, 3)
    assert (answers.probability.argmax(1) == answers.cluster).all()
    assert answers.names is None and answers.faults == ()


def test_images_that_cannot_be_used_are_named(run: Run, tmp_path: Path) -> None:
    for images, message in (
        (np.zeros((2, 3, 4, 5, 6)), "images: has shape"),
        ([], "images: holds no image"),
        ([DIGITS[0], DIGITS[1] * np.nan], r"images\[1\]: holds NaN"),
    ):
        with pytest.raises(UserError, match=message):
            run.predict(images)
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"none")
    with pytest.raises(UserError, match=r"broken\.png is not an image"):
        run.predict(folder)
    Image.fromarray(DIGITS[0]).save(folder / "good.png")
    answers = run.predict(folder)
    assert answers.names == ["good.png"] and [f.name for f in answers.faults] == ["broken.png"]


def test_a_run_without_a_calibration_says_how_to_make_one(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")  # others may have calibrated the shared one
    (run / "calibration.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="make it with mcevae report"):
        open_run(run).predict(DIGITS[:1])
    with pytest.raises(UserError, match="no such run"):
        open_run(run / "none")


def test_collections_are_those_that_people_have_made_by_now(explorer: Any) -> None:
    run = explorer.run
    assert run.collections == Collections.plain(4)
    explorer.change(lambda old: old.merged([0, 1]))
    assert len(run.collections.entries) == 3


def test_a_report_from_python_is_that_of_the_command_line(
    short: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder = shutil.copytree(short[0], tmp_path / "run")
    names = ("metrics.json", "calibration.json", "report.html")
    before = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).unlink()
    run = open_run(folder)
    assert run.report() == folder / "report.html"
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert run.evaluate("validation").keys() == run.evaluate().keys()


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of digits whose best checkpoint is that of epoch 1, and whose last is that of 2."""
    run = tmp_path_factory.mktemp("longer") / "run"
    flags = [*TINY.split(), "--preset", "paper", "--epochs", "1"]
    main(["fit", "digits", "--out", str(run), *flags])
    first = run_file(run, "best").read_bytes()
    main(["resume", str(run), "--epochs", "2"])
    run_file(run, "best").write_bytes(first)
    main(["report", str(run)])
    return run


def test_a_checkpoint_is_the_same_one_in_every_command_and_in_python(
    longer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {}
    for which, epoch in (("best", 1), ("last", 2)):
        said = f"{which} checkpoint, epoch {epoch}"
        run = open_run(longer, checkpoint=which)
        table = longer.with_name(f"{which}.parquet")
        main(["predict", str(longer), "digits", "--out", str(table), "--checkpoint", which])
        main(["evaluate", str(longer), "--checkpoint", which])
        assert capsys.readouterr().out.count(said) == 2
        tables[which] = parquet.read_table(table)
        assert tables[which].schema.metadata[b"mcevae.checkpoint"].decode() == said
        assert same(run.predict("digits"), table)
        again = run.table("digits", table.with_name(f"{which}-again.parquet"))
        assert parquet.read_table(again.table).equals(tables[which])
    assert not tables["best"].equals(tables["last"])


def test_files_about_the_last_checkpoint_have_names_of_their_own(longer: Path) -> None:
    ours = ("report.html", "metrics.json", "calibration.json", "images.parquet")
    before = {name: (longer / name).read_bytes() for name in ours}
    main(["report", str(longer), "--checkpoint", "last"])
    for name, content in before.items():
        assert (longer / name).read_bytes() == content
        assert open_run(longer, checkpoint="last").file(name).read_bytes() != content
    page = (longer / "report-last.html").read_text()
    assert "This page shows the last checkpoint, epoch 2." in page
    assert 'href="metrics-last.json"' in page and 'href="metrics.json"' not in page
    assert open_run(longer, checkpoint="last").report() == longer / "report-last.html"
    assert json.loads((longer / "metrics-last.json").read_text())["epoch"] == 2


def test_a_calibration_is_that_of_its_checkpoint(longer: Path, tmp_path: Path) -> None:
    """That of last is made when it is needed, and again when last has changed."""
    run = shutil.copytree(longer, tmp_path / "run")
    ours = run / "calibration-last.json"
    ours.unlink(missing_ok=True)
    last = open_run(run, checkpoint="last")
    assert last.calibration.misfits != open_run(run).calibration.misfits
    content = ours.read_text()
    assert open_run(run, checkpoint="last").calibration == last.calibration
    main(["resume", str(run), "--epochs", "3"])
    assert open_run(run, checkpoint="last").calibration != last.calibration
    assert ours.read_text() != content
    run_file(run, "best").write_bytes(run_file(run, "last").read_bytes())
    with pytest.raises(UserError, match=r"best\.safetensors has changed .*mcevae report"):
        assert open_run(run).calibration
    with pytest.raises(UserError, match=r"checkpoint is 'first'; use best or last"):
        open_run(run, checkpoint="first")


def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that are read from now on."""
    seen: list[Path] = []
    original = checkpoint.load

    def load(path: Path) -> Any:
        seen.append(path)
        return original(path)

    monkeypatch.setattr(checkpoint, "load", load)
    return seen


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A run of digits of one epoch, and the checkpoints that `fit` has read."""
    run = tmp_path_factory.mktemp("short") / "run"
    flags = [*TINY.split(), "--preset", "paper", "--epochs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        seen = loads(patch)
        main(["fit", "digits", "--out", str(run), *flags])
    return run, seen


def test_fit_reads_its_checkpoint_once(short: tuple[Path, list[Path]]) -> None:
    run, seen = short
    assert seen == [run_file(run, "best")]


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["report"],
        ["groups"],
        ["predict", "digits", "--out", "t.csv"],
        ["export", "--to", "tensorboard", "--out", "t"],
        ["export", "--to", "onnx", "--out", "graphs"],
    ],
    ids=" ".join,
)
def test_a_command_reads_the_checkpoint_once(
    tmp_path: Path,
    short: tuple[Path, list[Path]],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(short[0], "run")
    with_empty_graphs(monkeypatch)
    seen = loads(monkeypatch)
    main([command[0], "run", *command[1:]])
    assert seen == [run_file(Path("run"), "best")]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_loading_draws_no_random_weights(preset: str) -> None:
    """The generator stays as it is, and the model is what was saved, buffers included."""
    config = PRESETS[preset]()
    saved = build(config, (1, 28, 28))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loaded = filled(config, (1, 28, 28), saved.state_dict())
    assert torch.get_rng_state().equal(before)
    ours, theirs = dict(loaded.named_buffers()), dict(saved.named_buffers())
    assert ours.keys() == theirs.keys() and all(ours[k].equal(theirs[k]) for k in ours)
    for name, weight in loaded.named_parameters():
        known = saved.get_parameter(name)
        assert weight.equal(known) and weight.stride() == known.stride(), name


def test_a_loaded_model_says_what_the_trained_one_said(small_data: Splits, trained: Path) -> None:
    first, second = (load_model(trained)[0] for _ in range(2))
    x = small_data.test.images.pixels[:9].float() / 255
    with torch.inference_mode():
        a, b = (model(x, sample=False).reconstruction for model in (first, second))
    assert a.equal(b) and load_model(trained)[1] == tiny()
