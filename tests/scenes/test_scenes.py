"""Groups are learned from frames that show many things, without boxes."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from pyarrow import parquet

from mcevae import Run, fit_scenes
from mcevae.cli import main
from mcevae.finding.evidence import Evidence
from mcevae.finding.finder import Finder
from mcevae.finding.frames import frames_in_memory
from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images.readers.reading import Reading
from mcevae.models.config import PRESETS
from mcevae.scenes import learning, places
from mcevae.scenes.bound import Bound
from mcevae.scenes.guess import guessed
from mcevae.scenes.learning import CROPS, FOLDER, PLACES, RECORD
from mcevae.scenes.settings import SceneConfig
from mcevae.training.first import first_folder
from tests.finding.test_find import BAR, CORNERS, T

FRAMES, SIDE, SIZE = 5, 112, 28
KINDS = (T, BAR, CORNERS)
Truth = list[list[tuple[float, float, int]]]
"""Of each frame x, y and kind of its things."""
FLAGS = (
    *("--quick", "--clusters", "3", "--group", "so2", "--rotation", "40"),
    *("--mirror", "False", "--restarts", "1"),
)


def test_the_page_of_a_first_answer_is_no_end_of_a_training(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    for page in (tmp_path / FOLDER / RECORD, tmp_path / "report.html"):
        page.touch()
    assert learning.is_trained(tmp_path)
    first_folder(tmp_path).mkdir()
    assert not learning.is_trained(tmp_path)


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    """Frames with nine things each, one in each cell of a grid, turned and shifted."""
    pictures = torch.zeros(len(KINDS), 1, SIZE, SIZE)
    for picture, boxes in zip(pictures, KINDS, strict=True):
        for top, bottom, left, right in boxes:
            picture[0, top:bottom, left:right] = 0.8
    pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1)), 3, 1)
    frames, truth = rng.normal(0.1, 0.03, (FRAMES, SIDE, SIDE)), []
    for frame in frames:
        truth.append([])
        for cell in range(9):
            kind, turn = int(rng.integers(len(KINDS))), rng.uniform(-0.6, 0.6)
            element = get_group("so2").exp(torch.tensor([[turn]]).float())
            picture = warp(pictures[kind : kind + 1], element)[0, 0].numpy()
            left, top = (37 * n + int(rng.integers(0, 9)) for n in (cell % 3, cell // 3))
            frame[top : top + SIZE, left : left + SIZE] += picture
            across = np.arange(SIZE) + 0.5
            x, y = (picture.sum(axis) @ across / picture.sum() for axis in (0, 1))
            truth[-1].append((left + x, top + y, kind))
    return frames.astype(np.float32), truth


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A file with frames, and what is in them."""
    path = tmp_path_factory.mktemp("scenes") / "frames.npy"
    made, truth = drawn(np.random.default_rng(0))
    np.save(path, made)
    return path, truth


@pytest.fixture(scope="module")
def run(frames: tuple[Path, Truth]) -> Run:
    """A run that was made from them without a break, from Python."""
    config = PRESETS["quick"]().changed(
        data={"source": str(frames[0]), "size": SIZE},
        model={"clusters": 3, "group": "so2", "mirror": False},
        support={"rotation": 40.0},
        start={"restarts": 1},
    )
    return fit_scenes(config, frames[0].parent / "run", SceneConfig(searches=1))


def test_places_and_groups_are_right(run: Run, frames: tuple[Path, Truth]) -> None:
    rows = parquet.read_table(run.folder / PLACES).to_pandas()
    assert len(rows) == FRAMES * 9
    groups: dict[int, set[int]] = {}
    for number, things in enumerate(frames[1]):
        own = rows[rows.frame == number]
        for x, y, kind in things:
            far = np.hypot(own.x - x, own.y - y)
            assert far.min() < 2
            groups.setdefault(kind, set()).add(int(own.cluster[far.idxmin()]))
    assert sorted(map(len, groups.values())) == [1, 1, 1] and len(set.union(*groups.values())) == 3
    record = json.loads((run.folder / RECORD).read_text())
    assert record["last"]["explained"] > 0.95 and sum(record["last"]["things"]) == len(rows)
    assert not (run.folder / FOLDER).exists()
    assert len((run.folder / CROPS).read_text().splitlines()) == FRAMES * 9 + 1
    assert len(run.predict(str(frames[0]), cutting=run.settings.data)) == FRAMES * 9


def test_a_stopped_command_continues_and_ends_as_the_unbroken_one(
    run: Run,
    frames: tuple[Path, Truth],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = Finder.measured
    seen: list[int] = []

    def stopped(self: Finder, frame, **more):
        seen.append(frame.number)
        if len(seen) in (4, FRAMES + 6):  # in the first search, and in the last one
            raise KeyboardInterrupt
        return measured(self, frame, **more)

    monkeypatch.setattr(Finder, "measured", stopped)
    out = tmp_path / "run"
    command = ["fit", str(frames[0]), "--scenes", "--size", str(SIZE), "--searches", "1", *FLAGS]
    with pytest.raises(SystemExit, match="130"):
        main([*command, "--out", str(out)])
    assert "Continue with the same command" in capsys.readouterr().out
    fails(capsys, [*command, "--seed", "1", "--out", str(out)], "begun with other frames or")
    fails(capsys, ["resume", str(out)], "give `mcevae fit` with the same flags again")
    with pytest.raises(SystemExit, match="130"):
        main([*command, "--out", str(out)])
    main(["resume", str(out)])
    assert seen == [0, 1, 2, 3, *range(3, FRAMES), 0, 1, 2, 3, 4, *range(4, FRAMES)]
    assert f"{9 * FRAMES} things explain" in capsys.readouterr().out
    assert parquet.read_table(out / PLACES) == parquet.read_table(run.folder / PLACES)
    assert (out / CROPS).read_text() == (run.folder / CROPS).read_text()
    fails(capsys, [*command, "--out", str(out)], "already exists")


def test_frames_held_out_are_searched_and_not_learned_from(
    frames: tuple[Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[set[str]] = []
    write = learning.write_crops

    def seen(rows: pa.Table, size: int, path: Path) -> None:
        learned.append(set(rows["frame"].to_pylist()))
        write(rows, size, path)

    monkeypatch.setattr(places, "HELD", FRAMES)
    monkeypatch.setattr(learning, "write_crops", seen)
    out = tmp_path / "run"
    command = ["fit", str(frames[0]), "--scenes", "--size", str(SIZE), "--searches", "1", *FLAGS]
    main([*command, "--out", str(out)])
    assert learned == [set(range(FRAMES - 1)), set(range(FRAMES))]  # of the groups, of the run
    record = json.loads((out / RECORD).read_text())
    (search,) = record["searches"]
    held = search["held_out"]
    assert held["evidence"]["pixels"] * FRAMES == search["evidence"]["pixels"]
    assert sum(held["things"]) == 9 and search["nats"] == Bound.from_dict(held).nats
    assert (record["size"], record["size_guessed"]) == (SIZE, False)
    assert "held" not in parquet.read_schema(out / PLACES).names


def fails(capsys: pytest.CaptureFixture[str], command: list[str], sentence: str) -> None:
    """A command ends with code 2 and a sentence."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(command)
    said = capsys.readouterr().err
    assert sentence in " ".join(said.split()) and said.count("mcevae: ") == 1, said


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.random.default_rng(0).normal(0, 1, (2, 150, 150)), "nothing stands out in the frames"),
        (np.full((2, 100, 100), 0.4), "nothing stands out in the frames"),
        (np.zeros((1, 20, 20)), "is 20 x 20 pixels, smaller than a box of 28"),
        (drawn(np.random.default_rng(1))[0][:1], "9 things stand out in the frames, and 12 are"),
    ],
)
def test_frames_without_things_end_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pixels: np.ndarray, sentence: str
) -> None:
    np.save(tmp_path / "bad.npy", pixels.astype(np.float32))
    command = ["fit", str(tmp_path / "bad.npy"), "--scenes", "--size", str(SIZE), *FLAGS]
    fails(capsys, [*command, "--out", str(tmp_path / "run")], sentence)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--scenes", "--boxes", "boxes.csv"], "--boxes is of images that show"),
        (["--scenes", "--size", "28", "--rounds", "2"], "leave out --from, --rounds"),
        (["--scenes", "--size", "28", "--labels", "folders"], "--labels is of images that show"),
        (["--searches", "3"], "give --scenes with them"),
        (["--scenes", "--searches", "9"], "--searches is 9; use 1 to 6"),
    ],
)
def test_flags_that_do_not_fit_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    fails(capsys, ["fit", "frames.npy", *flags, "--out", str(tmp_path / "run")], sentence)


def test_the_first_guess_finds_middles_on_uneven_ground_and_nothing_in_noise() -> None:
    made, truth = drawn(np.random.default_rng(2))
    made += np.linspace(0, 3, SIDE, dtype=np.float32)  # far more than a thing's contrast
    (frame,) = frames_in_memory(made[:1], Reading())
    found = guessed(frame, SIZE)
    places = torch.tensor([thing[:2] for thing in truth[0]])
    far = torch.cdist(places.float(), found)
    assert len(found) == len(places) and far.amin(1).max() < 3


def test_evidence_and_bound_are_those_of_the_likelihood() -> None:
    seen = Evidence(before=900.0, after=300.0, values=200, pixels=200)
    assert seen.gain == 300 and seen.share == pytest.approx(600 / 700)
    assert (seen + seen).gain == 600 and (seen + seen).share == seen.share
    bound = Bound(evidence=seen, things=(2, 0, 2), turns=10)
    # Poisson with the rates found: n - sum_k n_k log(n_k / cells), the cells those of one cluster
    assert bound.cost == pytest.approx(4 - 4 * np.log(2 / 2000))
    assert bound.nats == pytest.approx(300 - bound.cost)
    assert Bound.from_dict(json.loads(json.dumps(bound.to_dict()))) == bound
    assert bound.in_words().startswith("4 things explain 85 % of what stands out")
    assert Bound(evidence=Evidence(), things=(0,), turns=1).nats == 0
