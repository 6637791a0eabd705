"""Things planted in frames: drawn by the templates of a run, at known places and turns."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.finding.background import background_of, noise_of
from mcevae.finding.bank import turns_of
from mcevae.finding.finder import Finder
from mcevae.finding.settings import FindConfig
from mcevae.finding.sources import Finds
from mcevae.finding.templates import Templates, keep, learned, middles
from mcevae.finding.tiles import tiles_of
from mcevae.geometry.groups import SE2, get_group, mirrored
from mcevae.geometry.warp import warp
from mcevae.images.splits import Splits
from mcevae.run import Run
from mcevae.runs.infer import latent_sizes

PLACES = ((20, 30), (60, 34), (31, 75), (90, 90), (18, 109))
"""Middles, x and y."""
L, T, BAR, CORNERS = (
    *([(5, 23, 8, 12), (19, 23, 8, 20)], [(5, 9, 6, 22), (5, 23, 12, 16)]),
    *([(11, 17, 5, 23)], [(5, 13, 5, 13), (15, 23, 15, 23), (12, 16, 12, 16)]),
)
SHAPES = (L, T, BAR, CORNERS)
"""Rectangles of each: first and last row, first and last column."""


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the run, whose folder gets the templates."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("find") / "run")
    return Run.open(folder, device="cpu")


@pytest.fixture(scope="module")
def templates(run: Run) -> Templates:
    """Four shapes, in place of what the run has learned in its two epochs."""
    pictures = torch.zeros(4, 1, 28, 28)
    for i, boxes in enumerate(SHAPES):
        for top, bottom, left, right in boxes:
            pictures[i, 0, top:bottom, left:right] = 0.8
    pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1)), 3, 1)
    made = Templates(
        pictures=pictures,
        cluster=torch.arange(4),
        z=torch.zeros(4, latent_sizes(run.model, run.shape)["z"]),
        middle=middles(pictures),
        energy=pictures.square().flatten(1).sum(1),
        misfit=0.003,
        height=28,
        width=28,
    )
    keep(run, made)
    return made


def scene(
    templates: Templates,
    places: Sequence[tuple[float, float]],
    side: int = 128,
    noise: float = 0.02,
) -> tuple[np.ndarray, np.ndarray]:
    """A frame with one thing at each place, and how far each is turned, degrees."""
    rng = np.random.default_rng(0)
    frame = np.full((128, 128), 0.1) + np.linspace(0, 0.1, 128)
    angles = rng.uniform(-80, 80, len(places))
    for number, ((x, y), angle) in enumerate(zip(places, angles, strict=True)):
        which = number % len(templates.cluster)
        turn = SE2().exp(torch.tensor([[math.radians(angle), 0.0, 0.0]]))
        drawn = warp(templates.pictures[which : which + 1], turn)
        corner = np.array([x, y]) - 14 - 28 * middles(drawn)[0].numpy()
        left, top = corner.round().astype(int)
        frame[top : top + 28, left : left + 28] += drawn[0, 0].numpy()
    return (frame + rng.normal(0, noise, frame.shape)).astype(np.float32).clip(0, 1), angles


def nearest(found: Finds, places: Sequence[tuple[float, float]]) -> np.ndarray:
    """Distance of each place from the nearest find, pixels."""
    own = np.stack([found["x"], found["y"]], 1)
    return np.linalg.norm(np.array(places)[:, None] - own, axis=2).min(1)


def test_every_thing_is_found_once_where_it_lies(run: Run, templates: Templates) -> None:
    frame, angles = scene(templates, PLACES)
    found = run.find(frame[None])
    assert len(found) == len(PLACES)
    assert nearest(found, PLACES).max() < 2
    assert (found["probability"] > 0.9).all()
    order = [int(np.hypot(found["x"] - x, found["y"] - y).argmin()) for x, y in PLACES]
    apart = np.abs((found["rotation_deg"][order] - angles + 180) % 360 - 180)
    assert np.median(apart) < 10
    inside = (found["box_x"] <= found["x"]) & (found["x"] <= found["box_x"] + found["box_width"])
    assert inside.all()


def test_tiles_and_larger_pixels_give_the_same_things(
    run: Run, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, _ = scene(templates, PLACES)
    monkeypatch.setattr("mcevae.finding.finder.TILE", 64)
    found = run.find(frame[None])
    assert len(found) == len(PLACES) and nearest(found, PLACES).max() < 2
    large = frame.repeat(2, 0).repeat(2, 1)
    found = run.find(large[None], FindConfig(size=56))
    assert len(found) == len(PLACES)
    assert nearest(found, [(2 * x, 2 * y) for x, y in PLACES]).max() < 4


def test_things_that_overlap_are_told_apart(run: Run, templates: Templates) -> None:
    places = ((40, 40), (54, 48), (90, 90))  # so near that one thing is tried in place of two
    frame, _ = scene(templates, places)
    found = run.find(frame[None])
    assert len(found) == len(places) and nearest(found, places).max() < 3


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_noise_has_no_things(run: Run, templates: Templates, level: float) -> None:
    noise = np.random.default_rng(1).normal(0.5, level, (1, 150, 120)).clip(0, 1)
    assert len(run.find(noise.astype(np.float32))) == 0


def test_contrast_is_found_where_it_is_not_known(run: Run, templates: Templates) -> None:
    frame, _ = scene(templates, PLACES)
    half = torch.from_numpy(frame)[None] / 2
    explainer = Finder(run, FindConfig()).explainer
    assert explainer.contrast_of(half - background_of(half, "plane", 84), 0.003) == 0.5


def test_turns_are_those_of_the_support() -> None:
    group = get_group("sim2", mirror=True)
    widths = {"rotation": math.pi, "log_scale": math.log(1.4)}
    turns = turns_of(group, widths, math.radians(15))
    found = group.to_parameters(turns)
    assert mirrored(turns).float().mean() == 0.5
    assert len(found[:, 0].mul(1e4).round().unique()) in (24, 25)  # -pi may come out as pi
    assert found[:, 3].abs().max() == pytest.approx(math.log(1.4), abs=1e-5)
    bounded = group.to_parameters(turns_of(get_group("se2"), {"rotation": 0.5}, 0.1))
    assert bounded[:, 0].abs().max() == pytest.approx(0.5, abs=1e-5)


def test_tiles_cover_each_pixel_once() -> None:
    counted = np.zeros((70, 130), int)
    for tile in tiles_of(70, 130, 32, 9.5):
        counted[slice(*tile.own_rows), slice(*tile.own_columns)] += 1
        assert tile.rows[0] == max(0, tile.own_rows[0] - 10)
    assert (counted == 1).all()


def test_background_and_noise_are_those_of_the_frame() -> None:
    torch.manual_seed(0)
    slope = torch.linspace(0, 1, 200)[None, :, None].expand(1, 200, 160)
    frame = slope + 0.1 * torch.randn(1, 200, 160)
    frame[:, 50:70, 50:70] += 1  # a thing is not background
    for kind in ("plane", "slow"):
        assert (background_of(frame, kind, 84) - slope).abs().mean() < 0.02
    assert noise_of(frame) == pytest.approx(0.01, rel=0.1)


def test_command_writes_continues_and_names_what_it_cannot_use(
    run: Run, templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "frames", tmp_path / "finds.csv"
    folder.mkdir()
    frame, _ = scene(templates, PLACES)
    np.save(folder / "a.npy", frame)
    np.save(folder / "b.npy", frame.T.copy())
    np.save(folder / "c.npy", np.zeros((9, 9), np.float32))
    (folder / "d.tif").write_bytes(b"II*\0garbage")
    find = Finder.find
    seen: list[str] = []

    def stopped(self: Finder, large, *more):
        seen.append(large.name)
        if large.name == "b.npy" and seen.count("b.npy") == 1:
            raise KeyboardInterrupt
        return find(self, large, *more)

    monkeypatch.setattr(Finder, "find", stopped)
    command = ["find", str(run.folder), str(folder), "--out", str(out)]
    with pytest.raises(SystemExit, match="130"):
        main(command)
    main(command)
    assert seen == ["a.npy", "b.npy", "b.npy", "c.npy"]
    lines = out.read_text().splitlines()
    assert len(lines) == 1 + 2 * len(PLACES)
    skipped = out.with_name("finds.skipped.csv").read_text()
    assert "smaller than half a thing" in skipped and "d.tif" in skipped
    with pytest.raises(SystemExit, match="2"):
        main(command)  # it is there already


@pytest.mark.parametrize("command", ["find", "track"])
def test_a_stop_inside_a_frame_keeps_finished_tiles(
    run: Run,
    templates: Templates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    frame, _ = scene(templates, PLACES)
    np.save(tmp_path / "frame.npy", np.stack([frame, frame]))
    monkeypatch.setattr("mcevae.finding.finder.TILE", 64)
    words = [command, str(run.folder), str(tmp_path / "frame.npy"), "--out"]
    main([*words, str(tmp_path / "unbroken.parquet")])
    in_tile, seen = Finder.in_tile, []

    def stopped(self: Finder, large, scale, tile):
        seen.append((large.number, tile.own_rows[0], tile.own_columns[0]))
        if len(seen) in (4, 8):
            raise KeyboardInterrupt
        return in_tile(self, large, scale, tile)

    monkeypatch.setattr(Finder, "in_tile", stopped)
    out = tmp_path / "broken.parquet"
    for _ in range(2):
        with pytest.raises(SystemExit, match="130"):
            main([*words, str(out)])
    parts = tmp_path / ".broken.parquet.parts"
    assert sorted(one.name for one in parts.iterdir() if one.name != "identity") == [
        "000000.part",
        *(f"000001-{tile:06}.tile" for tile in range(2)),
    ]
    main([*words, str(out)])
    assert len(seen) == 8 + 2 and len(set(seen)) == 8  # two tiles were begun twice
    assert parquet.read_table(out) == parquet.read_table(tmp_path / "unbroken.parquet")
    assert not parts.exists()


def test_frames_that_cannot_be_used_end_in_one_sentence(run: Run, templates: Templates) -> None:
    with pytest.raises(UserError, match="smaller than half a thing of 28; give"):
        run.find(np.zeros((1, 9, 9), np.float32))
    with pytest.raises(UserError, match="size is 2"):
        FindConfig(size=2)


def faulty(kind: str, frame: np.ndarray) -> np.ndarray:
    """A frame as people have them by mistake, or of another type."""
    if kind in ("nan", "holes"):
        frame = frame.copy()
        frame[50:70, 50:70] = np.nan
        return np.full_like(frame, np.nan) if kind == "nan" else frame
    made = {
        "row": frame[:1],
        "nothing": frame[:0],
        "16 bits": (frame * 65535).astype(np.uint16),
        "colour": (frame[..., None] * np.array([255, 255, 255])).astype(np.uint8),
    }
    return made[kind]


@pytest.mark.parametrize(
    "kind, said",
    [
        ("nan", "holds NaN everywhere"),
        ("holes", "holds NaN inside"),
        ("row", "128 x 1 pixels, smaller than half a thing"),
        ("nothing", "no pixels|empty|smaller than half a thing"),
        ("16 bits", None),
        ("colour", None),
    ],
)
def test_unusual_frames_give_an_answer_or_a_sentence(
    run: Run, templates: Templates, tmp_path: Path, kind: str, said: str | None
) -> None:
    frame = faulty(kind, scene(templates, PLACES)[0])
    np.save(tmp_path / "frame.npy", frame)
    if said:
        with pytest.raises(UserError, match=said):
            run.find(str(tmp_path / "frame.npy"))
    else:
        found = run.find(str(tmp_path / "frame.npy"))
        assert len(found) == len(PLACES) and nearest(found, PLACES).max() < 2


def test_templates_are_learned_from_the_images_of_the_run(
    run: Run, small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "data", lambda track: small_data)
    made = learned(run, iter)
    assert made.pictures.shape[1:] == (1, 28, 28) and len(made.cluster) == len(made.pictures)
    assert made.energy.shape == (4,) and made.misfit > 0 and made.height == 28
