"""The command line from start to end, and what it says of bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.models.config import Config
from mcevae.runs.checkpoint import run_file
from mcevae.runs.data import prepare_for
from mcevae.training.trainer import Trainer
from tests.exporting.stand_in import with_empty_graphs

TINY = (
    "--filters 4 8 8 8 --hidden 32 --pose-hidden 16 --decoder-hidden 32 "
    "--limit 300 --epochs 2 --batch-size 50 --clusters 4"
)


def fit_arguments(out: Path, *more: str, source: str = "digits") -> list[str]:
    return ["fit", source, "--out", str(out), "--preset", "paper", *TINY.split(), *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by the command line."""
    out = tmp_path_factory.mktemp("cli") / "run"
    main(fit_arguments(out))
    return out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a call that must exit with code 2 and without a traceback."""
    with pytest.raises(SystemExit) as error:
        main(list(arguments))
    assert error.value.code == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return re.sub(r"[\s│]+", " ", said.err + said.out)


def test_fit_leaves_a_report_scores_and_figures(run: Path) -> None:
    scores = json.loads((run / "metrics.json").read_text())
    assert scores["split"] == "test"
    assert scores["scores"]["accuracy"]["unit"] == "share"
    assert scores["scores"]["accuracy"]["n"] == 360
    for name in ("reconstructions", "curves"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_needs_no_network(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert page.count('"data:image/png;base64,') >= 2
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "rotation_error_median" in page


def test_evaluate_repeats_what_fit_scored(run: Path) -> None:
    before = (run / "metrics.json").read_text()
    main(["evaluate", str(run)])
    assert (run / "metrics.json").read_text() == before
    main(["evaluate", str(run), "--split", "validation", "--checkpoint", "last"])
    assert (run / "metrics.json").read_text() == before
    name = "metrics-validation-last.json"
    assert json.loads((run / name).read_text())["checkpoint"] == "last"


def test_predict_writes_one_row_per_image(run: Path, tmp_path: Path) -> None:
    images = load("digits").train.pixels[:25, 0].numpy()
    np.save(tmp_path / "new.npy", images)
    table = tmp_path / "out" / "table.parquet"
    main(["predict", str(run), str(tmp_path / "new.npy"), "--out", str(table)])
    rows = pyarrow.parquet.read_table(table)
    assert rows.num_rows == 25
    expected = {"id", "cluster", "probability_0", "rotation_deg", "shift_x_px", "z_0"}
    assert expected | {"tau_rotation_rad", "tau_shift_x_side"} <= set(rows.column_names)
    probabilities = np.stack([rows[f"probability_{k}"].to_numpy() for k in range(4)], 1)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == rows["cluster"].to_numpy()).all()
    assert np.allclose(
        np.degrees(rows["tau_rotation_rad"].to_numpy()), rows["rotation_deg"].to_numpy(), atol=1e-3
    )
    main(["predict", str(run), "digits", "--part", "test", "--out", str(tmp_path / "t.csv")])
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 361


def test_resume_trains_longer(run: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    main(["resume", str(out), "--epochs", "3"])
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 6


def test_a_settings_file_and_flags_over_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    settings = run / "settings.toml"
    main(["fit", "digits", "--settings", str(settings), "--epochs", "1", "--out", str(out)])
    first, again = Config.read(settings), Config.read(out / "settings.toml")
    assert again.model == first.model
    assert again.train.epochs == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model]\ngroup = "so3"', "model.group"),
        ('[objective]\nmode = "supervize"', "objective.mode"),
        ("[model]\nclusters = 4.0", "model.clusters"),
        ('[train]\nlr = "a"', "train.lr"),
        ("[model]\nfilters = [1, 2]", "model.filters"),
        ("[train]\nspeed = 3", "train.speed"),
        ("[nothing]\na = 1", "nothing"),
        ("preset = []", "preset"),
        ("model = 3", "model is 3"),
        ("not toml", "not a valid TOML file"),
    ],
)
def test_unfit_settings_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    out = tmp_path / "run"
    assert message in fails(capsys, "fit", "digits", "--settings", str(file), "--out", str(out))
    assert not out.exists()


@pytest.mark.parametrize(("count", "flags"), [(4, ()), (12, ("--clusters", "1")), (40, ())])
def test_small_unlabelled_rgb_files_from_start_to_end(
    tmp_path: Path, count: int, flags: tuple[str, ...]
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (count, 16, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "own.npy", images)
    run = tmp_path / "run"
    main([*fit_arguments(run, *flags, source=str(tmp_path / "own.npy"))])
    scores = json.loads((run / "metrics.json").read_text())["scores"]
    assert "accuracy" not in scores and "rotation_error_median" not in scores
    main(["predict", str(run), str(tmp_path / "own.npy"), "--out", str(tmp_path / "t.parquet")])
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").num_rows == count


def test_any_integers_do_as_labels(tmp_path: Path) -> None:
    images = load("digits").train
    labels = np.array([-1, 0, 10**9])[images.labels.numpy() % 3]
    np.savez(tmp_path / "own.npz", images=images.pixels[:200, 0].numpy(), labels=labels[:200])
    main(fit_arguments(tmp_path / "run", source=str(tmp_path / "own.npz")))
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]
    assert 0 < scores["accuracy"]["value"] < 1


def test_a_changed_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = load("digits").train.pixels[:60, 0].numpy()
    np.save(tmp_path / "own.npy", images)
    run = tmp_path / "run"
    main(fit_arguments(run, source=str(tmp_path / "own.npy")))
    before = (run / "metrics.json").read_text()
    np.save(tmp_path / "own.npy", images[:50])
    for command in ("evaluate", "report", "resume"):
        assert "source has changed" in fails(capsys, command, str(run))
    assert (run / "metrics.json").read_text() == before


def test_an_interrupted_resume_keeps_its_goal(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    original = Trainer.terms

    def terms(self: Trainer, batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "terms", terms)
        with pytest.raises(SystemExit) as stopped:
            main(["resume", str(out), "--epochs", "3"])
    assert stopped.value.code == 130
    main(["resume", str(out)])
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 6


def test_data_lists_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data"])
    said = capsys.readouterr().out
    assert all(name in said for name in ("mnist-mini", "mnist", "fashion-mnist", "digits"))


@pytest.mark.parametrize(
    "command",
    ["fit", "resume", "evaluate", "predict", "report", "groups", "serve", "export", "data"],
)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main([command, "--help"])
    assert error.value.code == 0
    assert f"Example: mcevae {command}" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_help_of_all_has_a_line_or_two_for_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert error.value.code == 0 and len(lines) < 45
    with pytest.raises(SystemExit):
        main(["no such command"])
    known = re.findall(r"[a-z]+", "".join(capsys.readouterr().err.split("subcommands:")[1:]))
    named = [match[1] for line in lines if (match := re.match(r"│ ([a-z]+) ", line))]
    assert named == known[: len(named)] and {"fit", "serve", "data"} < set(named)


def test_arguments_of_a_command_are_one_flowing_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = capsys.readouterr().out
    text = re.sub(r"[│\s]+", " ", said)
    assert "With the default only this machine can open the page. With any other" in text
    assert "RUN" in said.splitlines()[0]
    ends = [line.rstrip(" │") for line in said.splitlines() if "With any other" in line]
    assert all(len(end) > 60 for end in ends)


def test_help_has_the_flags_of_every_day_and_help_all_has_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {}
    for preset in ("default", "paper"):
        for flag in ("--help", "--help-all"):
            with pytest.raises(SystemExit):
                main(["fit", "--preset", preset, flag])
            said[preset, flag] = capsys.readouterr().out
    for preset in ("default", "paper"):
        short, long = said[preset, "--help"], said[preset, "--help-all"]
        flags, all_flags = (set(re.findall(r"(?<!`)--[a-z][a-z-]*", one)) for one in (short, long))
        assert {"--clusters", "--rotation", "--quick", "--out", "--epochs"} < flags
        assert flags < all_flags and len(short) < len(long) / 3
        assert "Folder to create for the run." in short and "Number of clusters" in short
    assert "fit --preset paper --help-all" in said["paper", "--help"]


def test_bad_values_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    for flags, message in [
        (("--epochs", "0"), "epochs is 0"),
        (("--epochs", "many"), "many"),
        (("--clusters", "-1"), "clusters is -1"),
        (("--rotation", "270"), "rotation is 270"),
        (("--group", "so3"), "so3"),
        (("--preset", "best"), "best"),
        (("--prior-weights", "0.5", "0.6"), "prior_weights"),
        (("--mode", "supervised", "--pose", "none"), "upright"),
        (("--settings", "nowhere.toml"), "nowhere.toml"),
        (("--seed", "-1"), "seed is -1"),
        (("--scale", "inf"), "scale is inf"),
        (("--mode", "supervised", "--draws", "5"), "draws is 5"),
        (("--latent", "gaussian", "--prior-weights", *["0.1"] * 10), "--latent mixture"),
        (("--nonsense",), "nonsense"),
    ]:
        start = [] if "--preset" in flags else ["--preset", "paper"]
        assert message in fails(capsys, "fit", "digits", "--out", str(out), *start, *flags), flags
    assert not out.exists()


def test_missing_and_unfit_sources(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.npy").write_text("not an array")
    np.save(tmp_path / "small.npy", np.zeros((9, 3, 8), np.uint8))
    for source, message in [
        ("minst", "did you mean mnist"),
        (str(tmp_path / "none.npy"), "no such file"),
        (str(tmp_path / "text.npy"), "not a readable NumPy file"),
        (str(tmp_path / "small.npy"), "has shape (9, 3, 8), which are no images"),
    ]:
        assert message in fails(capsys, "fit", source, "--out", str(tmp_path / "run"))
        table = str(tmp_path / "table.parquet")
        assert message in fails(capsys, "predict", str(run), source, "--out", table)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "table.parquet").exists()


def test_a_source_that_is_not_here_is_named_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((40, 16, 16), np.float32))
    monkeypatch.chdir(tmp_path)
    main(fit_arguments(Path("run"), "--epochs", "1", "--batch-size", "10", source="images.npy"))
    before = (tmp_path / "run" / "settings.toml").read_bytes()
    assert b'source = "images.npy"' in before
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for command in (["evaluate"], ["resume", "--epochs", "2"], ["export", "--to", "onnx"]):
        more = ["--out", "graphs"] if command[0] == "export" else []
        said = fails(capsys, command[0], "../run", *command[1:], *more)
        assert f"../run: its source images.npy is not in {tmp_path / 'other'}" in said
    assert (tmp_path / "run" / "settings.toml").read_bytes() == before
    moved = tmp_path.rename(tmp_path.with_name("moved"))  # the project as a whole
    monkeypatch.chdir(moved)
    main(["resume", "run", "--epochs", "2"])
    (moved / "images.npy").rename(moved / "away.npy")
    assert "images.npy is not in" in fails(capsys, "report", "run")


def test_nothing_is_overwritten(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run_file(run, "best").read_bytes()
    assert "already exists" in fails(capsys, *fit_arguments(run))
    assert run_file(run, "best").read_bytes() == before
    table = tmp_path / "table.csv"
    table.write_text("mine")
    assert "already exists" in fails(capsys, "predict", str(run), "digits", "--out", str(table))
    assert table.read_text() == "mine"
    wrong = str(tmp_path / "table.xlsx")
    assert ".parquet or .csv" in fails(capsys, "predict", str(run), "digits", "--out", wrong)


def test_unreadable_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "report", "resume"):
        assert "no such run" in fails(capsys, command, str(tmp_path / "nowhere"))
        assert str(tmp_path) in fails(capsys, command, str(tmp_path))
    (tmp_path / "best.safetensors").write_bytes(run_file(run, "best").read_bytes()[:1000])
    assert "not a readable mcevae checkpoint" in fails(capsys, "evaluate", str(tmp_path))


def test_settings_of_a_run_that_leave_mirror_images_open_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config().changed(data={"source": "digits"}, model={"mirror": "auto"})
    (tmp_path / "settings.toml").write_text(config.to_toml())
    assert "mirror is 'auto'; give true or false" in fails(capsys, "resume", str(tmp_path))


TAUGHT = (
    "--limit 300 --epochs 4 --batch-size 50 --clusters auto --rotations 24 --hidden 32 "
    "--templates 8 --subset 200 --neighbours 8 --restarts 2 --redraws 1"
)


def test_the_default_preset_from_start_to_end(tmp_path: Path) -> None:
    """fit, resume, evaluate, predict and report, with a number of clusters that training finds."""
    run, table = tmp_path / "run", tmp_path / "table.parquet"
    main(["fit", "digits", "--pose", "se2", "--out", str(run), *TAUGHT.split()])
    scores = json.loads((run / "metrics.json").read_text())["scores"]
    clusters = int(scores["clusters"]["value"])
    assert 2 <= clusters <= 30
    assert {"rotation_coverage_90", "accuracy"} <= set(scores)
    main(["resume", str(run), "--epochs", "5"])
    main(["evaluate", str(run), "--split", "validation"])
    main(["predict", str(run), "digits", "--part", "test", "--out", str(table)])
    rows = pyarrow.parquet.read_table(table)
    assert f"probability_{clusters - 1}" in rows.column_names
    assert f"probability_{clusters}" not in rows.column_names
    shown = pyarrow.parquet.read_table(run / "images.parquet")
    assert shown["cluster"].to_numpy().max() < clusters


def test_the_command_serves_until_it_is_stopped(run: Path) -> None:
    command = [sys.executable, "-m", "mcevae", "serve", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = next(line for line in process.stdout if "http" in line)
        address = re.findall(r"http://\S+", said)[0]
        assert httpx.get(f"{address}/api/groups").json()["groups"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("to", ["onnx", "embedding-atlas", "tensorboard", "fiftyone"])
def test_runs_are_exported(
    to: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_empty_graphs(monkeypatch)  # test_channels.py has true ones from the command line
    main(["export", str(run), "--to", to, "--out", str(tmp_path / to)])
    assert str(tmp_path / to) in capsys.readouterr().out.replace("\n", "")
    assert any((tmp_path / to).iterdir())
    assert [path.name for path in tmp_path.iterdir()] == [to]


def test_groups_that_people_make_are_in_tables_and_undone(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    main(["groups", str(run), "--merge", "0", "1"])
    main(["groups", str(run), "--rename", "0", "[b]both"])
    main(["predict", str(run), "digits", "--part", "test", "--out", str(table)])
    rows = pyarrow.parquet.read_table(table)
    names = {0: "[b]both", 1: "[b]both"}
    expected = [names.get(k, str(k)) for k in rows["cluster"].to_pylist()]
    assert rows["group"].to_pylist() == expected
    main(["groups", str(run), "--split", "[b]both"])
    kept = json.loads((run / "groups.json").read_text())["groups"]
    assert [one["units"] for one in kept] == [["0"], ["1"], ["2"], ["3"]]
    main(["groups", str(run), "--rename", "3", "cup", "2", "pan"])
    kept = json.loads((run / "groups.json").read_text())["groups"]
    assert [one["name"] for one in kept][2:] == ["pan", "cup"]
    main(["groups", str(run), "--reset"])
    assert not (run / "groups.json").exists() and (run / "groups.json.old").exists()


def test_groups_that_are_not_there_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no group x; there are 0, 1" in fails(
        capsys, "groups", str(run), "--rename", "x", "y"
    )
    assert "two groups" in fails(capsys, "groups", str(run), "--rename", "0", "1")
    assert not (run / "groups.json").exists()


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        (["--preset", "default", "--filters", "4", "4", "4", "4"], "--preset paper"),
        (["--preset", "default", "--draws", "3"], "--preset paper"),
        (["--preset", "paper", "--rotations", "36"], "--preset default"),
        (["--preset", "paper", "--templates", "12"], "--preset default"),
        (["--preset", "paper", "--clusters", "auto"], "--preset default"),
    ],
)
def test_flags_of_the_other_preset_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str], other: str
) -> None:
    said = fails(capsys, "fit", "digits", "--out", str(tmp_path / "run"), *flags)
    assert other in said


def test_averages_of_a_run_and_of_other_images(run: Path, tmp_path: Path) -> None:
    main(["averages", str(run), "--out", str(tmp_path / "own.npy")])
    stack = np.load(tmp_path / "own.npy")
    rows = pyarrow.csv.read_csv(tmp_path / "own.csv").to_pydict()
    config = Config.read(run / "settings.toml")
    assert sum(rows["images"]) == sum(map(len, images_in(config)))  # what the run was made from
    assert stack.shape == (len(rows["group"]), rows["height"][0], rows["width"][0])
    images = load("digits").train.pixels[:30, 0].numpy()
    np.save(tmp_path / "new.npy", np.kron(images, np.ones((1, 3, 3), np.uint8)))
    out = tmp_path / "pictures"
    main(["averages", str(run), str(tmp_path / "new.npy"), "--out", str(out)])
    rows = pyarrow.csv.read_csv(out / "averages.csv").to_pydict()
    assert sum(rows["images"]) == 30 and len(list(out.glob("*.png"))) == len(rows["group"])
    height = images.shape[1]
    assert set(rows["height"]) == {3 * height}  # their own size, not the model's


def images_in(config: Config) -> list[Any]:
    data = prepare_for(config)
    return [data.train, data.validation, data.test]


def test_averages_say_what_is_wrong(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.npy").touch()
    for out, said in (("a.jpg", "give a path that ends in .mrcs"), ("old.npy", "--overwrite")):
        assert said in fails(capsys, "averages", str(run), "--out", str(tmp_path / out))
    broken = tmp_path / "new"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"none")
    arguments = ["averages", str(run), str(broken), "--out", str(tmp_path / "new.tif")]
    assert "a.png is not an image" in fails(capsys, *arguments)
    assert not (tmp_path / "new.tif").exists()
