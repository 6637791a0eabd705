"""Preset `quick`: images are placed by their nearest neighbours among kept exemplars."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mcevae.base.errors import UserError
from mcevae.geometry.groups import SE2, mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Images, to_bytes, to_float
from mcevae.images.loading import load as load_images
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.neighbours.kept import LEAST, directions, shares
from mcevae.models.neighbours.model import EXEMPLARS, NeighbourModel
from mcevae.models.registry import build, spec_of
from mcevae.runs.checkpoint import REPORT, load, part, run_file
from mcevae.runs.infer import embed
from mcevae.runs.metrics import evaluate, matched_accuracy
from mcevae.runs.run import TrainedRun
from mcevae.teaching.graph import describe
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from tests.own_group import slant
from tests.sizes import changed


def quick(**changes: object) -> Config:
    """Preset quick for 400 digits; `changes` name fields of any part of the settings."""
    config = PRESETS["quick"]().changed(
        data={"source": "mnist-mini", "limit": 400}, model={"clusters": 4}, start={"restarts": 1}
    )
    return changed(config, changes)


def small_in_large_frames() -> Splits:
    """400 digits on a canvas of four times the area."""
    digits = F.pad(load_images("mnist-mini").train.pixels[:400], (14,) * 4)
    parts = zip(("train", "validation", "test"), digits.split([300, 50, 50]), strict=True)
    return Splits(**{name: Posed(images=Images(name=name, pixels=x)) for name, x in parts})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> TrainedRun:
    folder = tmp_path_factory.mktemp("quick") / "run"
    assert fit(quick(), small_data, folder)
    opened = TrainedRun.open(folder)
    opened.calibrate(small_data)
    return opened


def test_it_keeps_the_contract(run: TrainedRun, small_data: Splits) -> None:
    model = run.model
    x = to_float(small_data.test.images.pixels[:9])
    out = model(x, sample=False)
    assert out.responsibilities.shape == (9, 4) and out.canonical.shape == x.shape
    assert out.responsibilities.sum(-1).allclose(torch.ones(9), atol=1e-5)
    assert out.element.allclose(model.group.exp(out.tau), atol=1e-5)
    assert model.canonical(out.z_c, out.z).equal(out.canonical)
    assert model.decode(out.z_c, out.z, out.tau).allclose(out.reconstruction, atol=1e-5)
    alone = model(x[4:5], sample=False)  # an answer does not depend on the images beside it
    for name in ("responsibilities", "element", "z"):
        assert getattr(alone, name).allclose(getattr(out, name)[4:5], atol=1e-4)


def test_small_things_in_large_frames_are_kept_as_they_were_compared(tmp_path: Path) -> None:
    """A run of before rings had an extent opens: its rings cover the whole frame."""
    tight = small_in_large_frames()
    folder = tmp_path / "run"
    assert fit(quick(), tight, folder)
    model = TrainedRun.open(folder).model
    assert isinstance(model, NeighbourModel) and 0.3 < model.extent < 0.6
    assert model.clusters == 4
    x = to_float(tight.train.images.pixels[:50])  # all are exemplars, so each finds itself
    rings = describe([x], model.group, 0.0, model.extent).rings
    assert model.nearest(rings)[0].distance[:, 0].max() < 1e-3
    assert model(x).posterior.distance[:, 0].max() < 1e-3
    model.load_state_dict({**model.state_dict(), "_extra_state": torch.tensor(3)})
    assert model.clusters == 3 and model.extent == 1.0
    with pytest.raises(ValueError, match="extent of rings"):
        model.set_extra_state(torch.tensor([4.0, -1.0]))


def test_clusters_are_those_of_the_graph_and_new_images_join_them(
    run: TrainedRun, small_data: Splits
) -> None:
    labels = small_data.train.images.labels
    assert labels is not None
    own = embed(run.model, small_data.train.images.pixels)
    scores = evaluate(run.model, run.settings, small_data)
    assert matched_accuracy(own.cluster.numpy(), labels.numpy()) > 0.35  # 4 clusters, 10 digits
    assert scores["same_cluster"].value > scores["same_cluster_chance"].value + 0.4
    assert scores["nmi"].value > 0.4


def test_a_kept_image_turned_by_an_angle_gets_its_pose_turned_by_it(
    run: TrainedRun, small_data: Splits
) -> None:
    """The nearest exemplar of a turned exemplar is the exemplar itself."""
    x = to_float(small_data.train.images.pixels[:60])
    group = SE2()
    move = group.from_parameters(torch.tensor([[math.radians(50), 0.0, 0.0]]).expand(60, 3))
    moved = warp(x, move, background=0.0)
    before, after = (run.model(images, sample=False) for images in (x, moved))
    same = before.responsibilities.argmax(-1) == after.responsibilities.argmax(-1)
    expected = group.compose(move, before.element)
    apart = group.distance(expected, after.element)["rotation_deg"]
    assert same.float().mean() > 0.85
    assert apart[same].median() < 8


def test_mirror_images_are_found(tmp_path: Path, small_data: Splits) -> None:
    config = quick(mirror=True, rotation=180.0)
    assert fit(config, small_data, tmp_path / "run")
    model = TrainedRun.open(tmp_path / "run").model
    x = to_float(small_data.train.images.pixels[:80])
    before, after = (model(images, sample=False) for images in (x, x.flip(-1)))
    other = mirrored(before.element) != mirrored(after.element)
    assert other.float().mean() > 0.7


def test_memory_is_bounded_and_small_clusters_are_kept(run: TrainedRun) -> None:
    model = run.model
    assert isinstance(model, NeighbourModel)
    assert len(model.rings) == 4 + EXEMPLARS
    of_each = [torch.arange(n) for n in (60_000, 12, 5, 300)]
    kept = shares(of_each, EXEMPLARS)
    assert sum(kept) <= EXEMPLARS and kept[1:3] == [LEAST, 5] and kept[0] > 900


def test_many_clusters_share_the_room() -> None:
    kept = shares([torch.arange(40)] * 300, EXEMPLARS)
    assert sum(kept) <= EXEMPLARS and min(kept) >= 1


@pytest.mark.parametrize("shape", [(3, 20, 41), (1, 60, 60)])
def test_it_takes_colours_and_any_shape(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    blobs = torch.rand(3, shape[0], 4, 4).repeat_interleave(20, 0)
    large = torch.nn.functional.interpolate(blobs, shape[1:], mode="bilinear")
    pixels = to_bytes((large + 0.05 * torch.rand_like(large)).clamp(0, 1))
    config = quick(clusters=3, neighbours=8)
    model = build(config, shape)
    model.teacher(planned(config, 60), pixels).before(0, 1)
    truth = torch.arange(3).repeat_interleave(20)
    found = embed(model.eval(), pixels).cluster
    assert matched_accuracy(found.numpy(), truth.numpy()) == 1


def test_settings_of_training_are_refused(tmp_path: Path, small_data: Splits) -> None:
    with pytest.raises(UserError, match="epochs: preset quick trains no network"):
        fit(quick(epochs=3), small_data, tmp_path / "run")
    with pytest.raises(UserError, match="minutes: preset quick trains no network"):
        fit(quick(minutes=1.0), small_data, tmp_path / "run")
    assert not spec_of("neighbours").trained


def test_a_complete_run_is_not_resumed_and_a_stopped_one_goes_on(
    run: TrainedRun, small_data: Splits, tmp_path: Path
) -> None:
    assert fit(quick(), small_data, run.folder, resume=True)  # it is left to be scored
    other = replace(small_data, train=small_data.train.subset(slice(300)))
    with pytest.raises(UserError, match="its source has changed"):
        fit(quick(), other, run.folder, resume=True)
    (run.folder / REPORT).touch()
    with pytest.raises(UserError, match="is complete, because preset quick trains no network"):
        fit(quick(), small_data, run.folder, resume=True)
    assert fit(quick(), small_data, tmp_path / "new", resume=True)
    first, again = (
        part(load(run_file(folder, "best"))[0], "model")
        for folder in (run.folder, tmp_path / "new")
    )
    assert all(first[name].equal(again[name]) for name in first)  # the seed decides everything


def test_what_it_cannot_compare_is_refused(tmp_path: Path) -> None:
    config = quick(group=slant(tmp_path))
    with pytest.raises(UserError, match="quick compares images in all directions"):
        build(config, (1, 28, 28))
    with pytest.raises(UserError, match="quick needs a neighbour graph"):
        build(quick(grouping="kmeans"), (1, 28, 28))


@pytest.mark.parametrize("rows", [3, 20, 60])
def test_directions_are_those_of_the_covariance(rows: int) -> None:
    """Also where there are fewer rows than numbers, or than directions that are asked for."""
    differences = torch.randn(rows, 40, generator=torch.Generator().manual_seed(0))
    differences *= torch.linspace(1, 3, 40)
    found = directions(differences, 8)
    value, vector = torch.linalg.eigh(differences.mT.double() @ differences.double() / rows)
    some = min(rows, 8)
    assert found.shape == (8, 40) and (found[some:] == 0).all()
    assert (differences @ found[:some].mT).square().mean(0).allclose(torch.ones(some), atol=1e-4)
    along = (found[:some].double() @ vector.flip(1)[:, :some]) * value.flip(0)[:some].sqrt()
    assert along.abs().allclose(torch.eye(some).double(), atol=1e-3)
