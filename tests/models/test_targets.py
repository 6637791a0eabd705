"""Targets: where they come from, and that training with them learns, repeats and resumes."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group, mirrored, reflect
from mcevae.images.arrays import NO_HINT, Hints
from mcevae.images.splits import Splits
from mcevae.models.default import selftraining
from mcevae.models.default.beginning import Beginning, about
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.selftraining import SelfTraining
from mcevae.models.default.targets import UNKNOWN, same_way, swallowed
from mcevae.models.registry import build
from mcevae.runs.checkpoint import load, load_model, run_file
from mcevae.runs.metrics import evaluate
from mcevae.teaching.cluster import Grouping
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from mcevae.training.trainer import Trainer
from tests.sizes import taught
from tests.training.test_loop import interrupt_at, losses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "run"
    assert fit(taught(), small_data, folder)
    return folder


@pytest.fixture(scope="module")
def fewer(small_data: Splits) -> Splits:
    """200 images, for what does not have to learn well; `SUBSET` of them begin it."""
    train, held = small_data.train.subset(slice(200)), small_data.validation.subset(slice(50))
    return replace(small_data, train=train, validation=held)


SUBSET = {"subset": 150}


def teacher(data: Splits, **changes: object) -> tuple[SelfTraining, DefaultModel]:
    torch.manual_seed(0)
    config = planned(taught(**changes), len(data.train))
    model = build(config, (1, 28, 28))
    school = model.teacher(config, data.train.images.pixels)
    assert isinstance(model, DefaultModel) and isinstance(school, SelfTraining)
    return school, model


def test_stages_come_in_turn(small_data: Splits) -> None:
    # With poses "auto", clusters of images as they lie may win: restarts of so few agree badly.
    school, _ = teacher(small_data, poses="templates")
    assert "templates" in school.before(0, 4)
    assert not school.grouped
    inside = school.group.to_parameters(school.targets.element)
    assert inside[:, 0].abs().max() < 1.8
    first = school.targets
    assert "3 clusters" in school.before(school.warmup, 4)
    assert school.grouped and (first.cluster == UNKNOWN).all()  # replaced, not written into
    assert school.targets.cluster.unique().tolist() == [UNKNOWN, 0, 1, 2]  # 300 of 400 images
    even = torch.arange(len(first.cluster)) % 3  # the network, which knows nothing yet, takes one
    before = school.targets = replace(school.targets, cluster=even)
    assert "kept" in school.before(school.warmup + school.interval, 4)
    assert school.targets is before


def test_redrawing_takes_what_the_network_is_sure_of(
    small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    school, model = teacher(small_data, frames="common")
    n = len(small_data.train)
    joint = torch.zeros(n, model.clusters, len(model.angles))
    joint[:40, 2, 4] = joint[40:, 1, 4] = 1
    shift = torch.full((n, 2), 0.05)
    sure = (joint, school.targets.element, torch.ones(n), shift)
    monkeypatch.setattr(selftraining, "readings", lambda *_: [sure])
    school.targets.cluster.fill_(0)
    assert "kept" in school.redraw()
    school.targets.cluster.fill_(1)
    school.targets.cluster[:50] = 2
    assert "new targets" in school.redraw()
    assert school.targets.cluster.equal(joint.sum(-1).argmax(-1))
    found = school.group.to_parameters(school.targets.element)
    assert (found[:, 0] - model.angles[4]).abs().max() <= torch.pi / len(model.angles) + 1e-5
    assert found[:, 1:].allclose(shift, atol=1e-5)


def test_redrawing_takes_the_signs_too(small_data: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    school, model = teacher(small_data, frames="common", mirror=True)
    n = len(small_data.train)
    joint = torch.zeros(n, model.clusters, len(model.angles))
    joint[:40, 2, 24 + 4] = joint[40:, 1, 5] = 1  # 24 rotations, then 24 of mirror images
    sure = (joint, school.targets.element, torch.ones(n), torch.zeros(n, 2))
    monkeypatch.setattr(selftraining, "readings", lambda *_: [sure])
    drawn, _ = school.draw()
    assert mirrored(drawn.element).tolist() == [True] * 40 + [False] * (n - 40)
    assert drawn.cluster.tolist() == [2] * 40 + [1] * (n - 40)
    angle = school.group.to_parameters(drawn.element)[:, 0]
    assert (angle - model.angles[joint.sum(1).argmax(-1)]).abs().max() <= torch.pi / 24 + 1e-5


def test_a_cluster_that_is_swallowed_by_and_by_gets_its_images_back(
    small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    school, model = teacher(small_data)
    n, own = len(small_data.train), 80
    for known in (school.targets.cluster, school.targets.first):
        known.copy_((torch.arange(n) >= own).long())  # 80 images in cluster 0

    def read(_: object, pixels: Tensor, *__: object) -> list[tuple[Tensor, ...]]:
        assert len(pixels) in (n, own)  # all images, or those of cluster 0
        joint = torch.zeros(n, model.clusters, len(model.angles))
        joint[left:, 1, 2] = joint[:left, 0, 2] = 1  # so many are left to it by the network
        joint[left:own, 0, 4] = 1e-9  # which would have the others of it at angle 4
        parts = (joint, school.targets.element, torch.ones(n), torch.zeros(n, 2))
        return [tuple(part[: len(pixels)] for part in parts)]

    monkeypatch.setattr(selftraining, "readings", read)
    for left in (70, 60):
        assert "returned" not in school.redraw()
        assert (school.targets.cluster == 0).sum() == left
    left = 50
    assert "80 images returned" in school.redraw()
    assert (school.targets.cluster == 0).sum() == own
    assert school.targets.first[:own].eq(0).all() and school.targets.first[own:].eq(1).all()


def test_images_that_were_given_no_cluster_at_first_are_not_brought_back(
    small_data: Splits,
) -> None:
    school, _ = teacher(small_data)
    school.targets.first[:30], school.targets.cluster[:30] = 0, 0
    cluster = torch.ones_like(school.targets.cluster)
    lost = swallowed(school.targets.first, cluster, school.model.clusters)
    assert lost.tolist() == list(range(30))


def test_the_number_of_clusters_is_found_and_kept(tmp_path: Path, small_data: Splits) -> None:
    config = taught(clusters="auto")
    assert fit(config, small_data, tmp_path / "run")
    model, found, _ = load_model(tmp_path / "run")
    assert isinstance(model, DefaultModel)
    assert found.model.clusters == "auto"
    assert 2 <= model.clusters < 30
    scores = evaluate(model, config, small_data)
    assert sum(name.startswith("occupancy_") for name in scores) == model.clusters


@pytest.mark.parametrize(
    ("clusters", "descriptions"), [(3, "pixels"), ("auto", "pixels"), (3, "auto")]
)
def test_a_run_trained_longer_keeps_its_clusters(
    tmp_path: Path,
    fewer: Splits,
    clusters: int | str,
    descriptions: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its warm-up is over, although a longer run's would not be, and clusters are made once."""
    same = SUBSET | {"clusters": clusters, "descriptions": descriptions}
    assert fit(taught(epochs=2, **same), fewer, tmp_path / "run")
    monkeypatch.setattr(selftraining, "group_canonical", lambda *_, **__: pytest.fail("again"))
    longer = taught(epochs=12, **same)
    assert fit(longer, fewer, tmp_path / "run", resume=True)
    assert len([r for r in read_log(tmp_path / "run") if r["split"] == "train"]) == 12


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"epochs": 1}, "epochs 2"),
        ({"neighbours": 200, "subset": 150}, "150 images are too few.*give 201"),
        ({"clusters": 301}, "300 images are too few for 301 clusters"),
    ],
)
def test_what_cannot_be_clustered_is_refused_before_training(
    setting: dict[str, object], complaint: str, small_data: Splits, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=complaint):
        fit(taught(**setting), small_data, tmp_path / "run")


def test_batches_have_the_targets_of_the_moment(small_data: Splits, tmp_path: Path) -> None:
    trainer = Trainer(taught(), small_data, tmp_path)
    school = trainer.teacher
    n = len(small_data.train)
    for cluster in (UNKNOWN, 2):
        columns = {**school.state(), "cluster": torch.full((n,), cluster)}
        school.restore(columns)
        assert all((batch["cluster"] == cluster).all() for batch in trainer.loader)


def test_targets_of_other_images_are_refused(small_data: Splits) -> None:
    school, _ = teacher(small_data)
    fewer = {name: column[:10] for name, column in school.state().items()}
    with pytest.raises(ValueError, match=r"targets\.cluster"):
        school.restore(fewer)
    assert len(school.targets.cluster) == len(small_data.train)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, fewer: Splits) -> list[dict[str, Any]]:
    """Losses of a run that redraws before the network has learned anything."""
    folder = tmp_path_factory.mktemp("hasty") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftraining, "AGREEMENT", 0.0)
        assert fit(taught(**SUBSET), fewer, folder)
    return losses(folder)


@pytest.mark.parametrize(
    "setting",
    [{"poses": "moments"}, {"poses": "graph"}, {"grouping": "kmeans"}, {"draw": "mode"},
     {"frames": "common"}, {"redraws": 0}, {"encode": "image"}, {"group": "sim2"},
     {"group": "aff2"}],
    ids=str,
)  # fmt: skip
def test_every_switch_changes_what_is_learned(
    setting: dict[str, object],
    hasty: list[dict[str, Any]],
    fewer: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selftraining, "AGREEMENT", 0.0)
    assert fit(taught(**SUBSET, **setting), fewer, tmp_path / "run")
    found = losses(tmp_path / "run")
    assert found != hasty
    assert all(math.isfinite(row["loss"]) for row in found)


def test_it_trains_and_is_scored(run: Path, small_data: Splits) -> None:
    model, config, _ = load_model(run)
    chosen = {"precision": config.train.precision}  # by the processor
    assert isinstance(model, DefaultModel) and config == taught().changed(train=chosen)
    rows = [row["invariance"] for row in read_log(run) if row["split"] == "train"]
    assert rows[-1] < rows[1]  # the first epoch asks for rotations alone
    scores = evaluate(model, config, small_data)
    assert {"accuracy", "rotation_error_median", "same_cluster", "bce"} <= set(scores)


@pytest.mark.parametrize("epoch", [0, 1, 2])  # first poses, clusters, first redraw
def test_new_targets_are_stopped_amid_and_resumed_exactly(
    tmp_path: Path,
    small_data: Splits,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
) -> None:
    before = SelfTraining.before
    last = run_file(tmp_path / "run", "last")
    held = []

    def interrupted(school: SelfTraining, now: int, *given: Any) -> str:
        if now == epoch:
            held.append(last.read_bytes())
            os.kill(os.getpid(), signal.SIGINT)
        return before(school, now, *given)

    with monkeypatch.context() as patch:
        patch.setattr(SelfTraining, "before", interrupted)
        assert not fit(taught(), small_data, tmp_path / "run")
    assert [last.read_bytes()] == held  # it was amid, and half of it is not kept
    assert fit(taught(), small_data, tmp_path / "run", resume=True)
    resumed, unbroken = (load(run_file(r, "last"))[0] for r in (tmp_path / "run", run))
    assert all(resumed[key].equal(unbroken[key]) for key in unbroken)


@pytest.mark.parametrize("step", [3, 20])
def test_a_stopped_run_resumes_exactly(
    tmp_path: Path, small_data: Splits, run: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, 2)
        assert not fit(taught(), small_data, tmp_path / "run")
    assert fit(taught(), small_data, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(run)
    resumed, unbroken = (load(run_file(r, "last"))[0] for r in (tmp_path / "run", run))
    assert all(resumed[key].equal(unbroken[key]) for key in unbroken)


def test_the_rate_rises_and_falls(tmp_path: Path, small_data: Splits) -> None:
    trainer = Trainer(taught(epochs=10), small_data, tmp_path)
    rates = []
    for epoch in range(10):
        trainer.position.epoch = epoch
        trainer.set_rate()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    warmup = trainer.teacher.warmup
    assert warmup == 2
    assert rates[1] < trainer.config.train.lr > rates[9]  # the fall of the first cycle, the second
    assert rates.index(max(rates)) > warmup
    assert rates[9] < 0.1 * max(rates)


def test_poses_lie_the_same_way_if_they_are_turned_little_and_not_mirrored() -> None:
    group = get_group("se2")
    known = group.from_parameters(torch.zeros(4, 3))
    turn = torch.deg2rad(torch.tensor([0.0, 30.0, 60.0, 0.0]))
    found = group.from_parameters(torch.nn.functional.pad(turn[:, None], (0, 2)))
    found = reflect(found, torch.tensor([False, False, False, True]))
    assert same_way(group, found, known) == 0.5


@pytest.mark.parametrize(("agreement", "taken"), [(0.5, "graph"), (0.8, "canonical")])
def test_clusters_of_images_as_they_lie_are_tried_where_canonical_ones_are_unsteady(
    small_data: Splits, monkeypatch: pytest.MonkeyPatch, agreement: float, taken: str
) -> None:
    school, _ = teacher(small_data)
    school.targets.cluster.fill_(UNKNOWN)
    n = len(small_data.train)

    def grouping(labels: Tensor, agreement: float) -> Grouping:
        return Grouping(clusters=3, labels=labels, agreement=agreement, duplicates=[])

    def graph(*_: Any, learn: bool) -> Beginning:
        found = grouping(torch.zeros(n, dtype=torch.long), 0.6)
        return Beginning(element=school.group.identity(n), grouping=found, message="graph")

    monkeypatch.setattr(selftraining, "begin_with_graph", graph)
    found = grouping(torch.arange(school.config.start.subset) % 3, agreement)
    monkeypatch.setattr(selftraining, "group_canonical", lambda *_: (found, "canonical"))
    assert school.group_images().startswith(taken)
    assert school.targets.cluster.max() == (0 if taken == "graph" else 2)


@pytest.mark.parametrize(("agreement", "kept"), [(0.95, True), (0.85, False)])
def test_first_clusters_stay_if_their_restarts_agreed(
    small_data: Splits, monkeypatch: pytest.MonkeyPatch, agreement: float, kept: bool
) -> None:
    school, _ = teacher(small_data)
    n, used = len(small_data.train), school.config.start.subset
    first = torch.arange(n) % 2
    school.use_clusters(Grouping(clusters=3, labels=first, agreement=agreement, duplicates=[]))
    other = Grouping(clusters=3, labels=torch.full((used,), 2), agreement=1.0, duplicates=[])
    monkeypatch.setattr(selftraining, "group_canonical", lambda *_: (other, "canonical"))
    assert school.group_images().startswith("first clusters kept") == kept
    assert (school.targets.cluster.max() == 1) == kept


@pytest.mark.parametrize(("share", "agreement"), [(0.9, 1.0), (2.0, 1.0), (0.9, 0.8)])
def test_images_keep_the_cluster_that_a_share_of_their_neighbours_has(
    small_data: Splits, share: float, agreement: float
) -> None:
    """If restarts agree, whatever the network says, which has learned nothing here."""
    school, _ = teacher(small_data, firm=share)
    first = torch.arange(len(small_data.train)) % 3
    backing = torch.linspace(0, 1, len(first))
    school.use_clusters(
        Grouping(clusters=3, labels=first, agreement=agreement, duplicates=[], backing=backing)
    )
    kept = (backing >= share) & (agreement > 0.9)
    for _ in range(2):
        school.targets, _ = school.draw()
        assert school.targets.firm.equal(kept)
        assert school.targets.cluster[kept].equal(first[kept])
        assert (school.targets.cluster != first)[~kept].float().mean() > 0.3


def test_images_of_pairs_stay_where_the_graph_put_them(small_data: Splits) -> None:
    """Hints count in training whether or not restarts agree, labels and pairs alike."""
    school, _ = teacher(small_data)
    n = len(small_data.train)
    of = torch.full((n,), NO_HINT)
    of[:12] = torch.arange(12) // 2  # label 0, and five pairs
    school.hints = Hints(names=("zero",), of=of, apart=((1, 2), (3, 4)))
    first = torch.arange(n) // 2 % 3
    school.use_clusters(Grouping(clusters=3, labels=first, agreement=0.5, duplicates=[]))
    for _ in range(2):
        school.targets, _ = school.draw()
        assert school.targets.cluster[:12].equal(first[:12])
        assert (school.targets.cluster != first)[12:].float().mean() > 0.3


def test_a_firm_image_that_the_network_puts_elsewhere_has_a_pose_in_its_own_cluster(
    small_data: Splits,
) -> None:
    school, model = teacher(small_data, draw="mode")
    first = torch.arange(len(small_data.train)) % 3
    firm = torch.ones(len(first))
    school.use_clusters(
        Grouping(clusters=3, labels=first, agreement=1.0, duplicates=[], backing=firm)
    )
    # Cluster k, and nothing else, says that images are turned by k quarters.
    turned = torch.zeros(3, model.rotations)
    turned[torch.arange(3), torch.arange(3) * model.rotations // 4] = 30.0
    with torch.no_grad():
        model.net.last.weight.zero_()
        model.net.last.bias.zero_()
        model.net.last.bias[: turned.numel()] = turned.flatten()
        model.allowed.fill_(1.0)
    new, likeliest = school.draw()
    assert (likeliest != first).float().mean() > 0.5
    angle = school.group.to_parameters(new.element)[:, 0]
    off = torch.rad2deg(angle - first * torch.pi / 2)
    assert (torch.remainder(off + 180, 360) - 180).abs().max() < 16  # a step of the grid


def test_poses_that_may_lie_in_any_way_are_kept_until_they_are_learned(small_data: Splits) -> None:
    school, _ = teacher(small_data)
    known = school.targets.element
    other = school.group.compose(school.group.from_parameters(torch.tensor([[2.0, 0, 0]])), known)
    assert school.learned(other)  # within 90 degrees: templates are rough
    school.support = (math.pi, *school.support[1:])
    assert school.learned(known) and not school.learned(other)


def test_one_restart_has_nothing_to_agree_with() -> None:
    for agreement, said in ((float("nan"), "one restart"), (0.913, "agreement of restarts 0.91")):
        found = Grouping(
            clusters=3, labels=torch.zeros(9).long(), agreement=agreement, duplicates=[]
        )
        assert about(found, "tangent") == f"3 clusters (tangent), {said}"


@pytest.mark.parametrize("keeps", [True, False])
def test_clusters_are_found_again_unless_features_alone_speak_for_them(
    keeps: bool, small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    school, _ = teacher(small_data, descriptions="learned")
    rows = torch.arange(len(small_data.train))
    of_pixels, others = rows % 3, torch.where(rows < 30, (rows + 1) % 3, rows % 3)

    def grouping(labels: Tensor) -> Grouping:
        return Grouping(clusters=3, labels=labels, agreement=1.0, duplicates=[])

    def found(clusters: int, *, learn: bool) -> tuple[Tensor, Grouping, str, Tensor]:
        assert clusters == 3 and learn
        return torch.zeros(len(rows), 4), grouping(others), "others", rows

    school.use_clusters(grouping(of_pixels))
    monkeypatch.setattr(school, "clusters_of_canonical", found)
    monkeypatch.setattr(selftraining, "confirmed", lambda *_: keeps)
    assert ("clusters kept" in school.group_again()) == keeps
    assert torch.equal(school.targets.cluster, of_pixels if keeps else others)
