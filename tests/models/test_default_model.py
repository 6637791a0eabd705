"""The model of hypotheses: shapes, the support, reading a posterior, and its objective."""

import math

import pytest
import torch
import torch.nn.functional as F

from mcevae.geometry.groups import Aff2, mirrored, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.objective import HypothesisObjective, hypothesis_kl
from mcevae.models.default.targets import UNKNOWN
from mcevae.models.registry import build
from mcevae.teaching.templates import start_poses
from tests.sizes import taught


def small(shape: tuple[int, int, int] = (1, 28, 28), **changes: object) -> DefaultModel:
    torch.manual_seed(0)
    model = build(taught(**changes), shape).eval()
    assert isinstance(model, DefaultModel)
    return model


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 28, 28), (3, 20, 41), (3, 64, 48)])
@pytest.mark.parametrize("group", ["so2", "se2", "sim2", "aff2"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("mirror", [False, True])
def test_any_size_channels_and_batch(
    shape: tuple[int, int, int], group: str, batch: int, mirror: bool
) -> None:
    model = small(shape, group=group, mirror=mirror)
    out = model(torch.rand(batch, *shape))
    assert out.canonical.shape == out.reconstruction.shape == (batch, *shape)
    assert out.z_c.shape == out.responsibilities.shape == (batch, model.clusters)
    assert out.tau.shape == (batch, model.group.dim)
    assert out.responsibilities.sum(-1).allclose(torch.ones(batch), atol=1e-5)
    assert out.reconstruction.allclose(warp(out.canonical, out.element), atol=1e-5)
    described = reflect(model.group.exp(out.tau), mirrored(out.element))
    assert out.element.allclose(described, atol=1e-5)
    assert mirror or not mirrored(out.element).any()


@pytest.mark.parametrize(
    "setting",
    [
        {"mode": "supervised"},
        {"draws": 5},
        {"latent": "gaussian"},
        {"prior_weights": (0.5, 0.25, 0.25)},
        {"invariance_noise": "own"},
    ],
    ids=str,
)
def test_what_it_does_not_know_is_refused_with_the_remedy(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="preset paper"):
        taught(**setting)


def test_hypotheses_outside_the_support_have_no_probability() -> None:
    model = small(rotation=30.0)
    joint, _ = model.infer(torch.rand(4, 1, 28, 28))
    outside = model.angles.abs() > math.radians(30) + math.pi / len(model.angles)
    assert joint[..., outside].max() == 0
    assert joint.sum((1, 2)).allclose(torch.ones(4))


@pytest.mark.parametrize("degrees", [-88.0, -20.0, 0.0, 3.2, 41.0])
def test_reading_finds_cluster_angle_and_shift(degrees: float) -> None:
    model = small(rotations=72)
    apart = torch.remainder(model.angles - math.radians(degrees) + math.pi, 2 * math.pi) - math.pi
    joint = torch.zeros(1, model.clusters, len(model.angles))
    joint[0, 2] = torch.softmax(-apart.square() / (2 * math.radians(5) ** 2), 0)
    shift = torch.tensor([[0.1, -0.2]])
    cluster, element, mass = model.read(joint, shift)
    assert cluster.item() == 2
    assert mass.item() > 0.95
    found = model.group.to_parameters(element)[0]
    assert math.degrees(found[0].item()) == pytest.approx(degrees, abs=0.5)
    assert found[1:].allclose(shift[0], atol=1e-6)


@pytest.mark.parametrize("degrees", [-88.0, 0.0, 3.2])
@pytest.mark.parametrize("sign", [False, True])
def test_reading_finds_the_sign_and_keeps_the_signs_apart(degrees: float, sign: bool) -> None:
    model = small(rotations=72, mirror=True)
    assert model.rotations == 72 and len(model.angles) == 144
    apart = torch.remainder(model.angles - math.radians(degrees) + math.pi, 2 * math.pi) - math.pi
    peak = (-apart.square() / (2 * math.radians(5) ** 2)).exp()
    other = 0.9 * peak.roll(2)  # two steps off, and a little less probable
    joint = torch.zeros(1, model.clusters, 144)
    joint[0, 1] = torch.where(model.mirrored == sign, peak, other)
    joint = joint / joint.sum()
    cluster, element, mass = model.read(joint, torch.tensor([[0.1, -0.2]]))
    assert cluster.item() == 1 and mirrored(element).item() == sign
    assert 0.5 < mass.item() < 0.6
    found = model.group.to_parameters(element)[0]
    assert math.degrees(found[0].item()) == pytest.approx(degrees, abs=0.5)
    assert element[0, :2, 2].allclose(torch.tensor([0.1, -0.2]))


def test_clusters_that_are_not_used_have_no_share() -> None:
    model, x = small(clusters="auto"), torch.rand(3, 1, 28, 28)
    assert model(x).responsibilities.shape == (3, 30)
    model.use(4)
    out = model(x)
    assert out.responsibilities.shape == out.z_c.shape == (3, 4)
    assert out.responsibilities.sum(-1).allclose(torch.ones(3), atol=1e-5)
    again = small(clusters="auto")
    again.load_state_dict(model.state_dict())  # as a checkpoint brings it back
    assert again.clusters == 4
    assert again.canonical(out.z_c, out.z).equal(model.canonical(out.z_c, out.z))
    with pytest.raises(ValueError, match="has 1 to 30 clusters"):
        model.use(31)


@pytest.mark.parametrize("group", ["so2", "se2", "sim2", "aff2"])
def test_strain_is_only_what_the_group_does_not_do(group: str) -> None:
    model = small(group=group)
    objective = HypothesisObjective(taught(augment_strain=0.3), (0.0,) * model.group.dim)
    found = Aff2().to_parameters(objective.strain(50, model.group, torch.device("cpu")))
    changed = (found.abs().amax(0) > 1e-3).tolist()
    assert changed == [False] * max(3, model.group.dim) + [True] * (6 - max(3, model.group.dim))


def test_evaluation_does_not_depend_on_the_batch() -> None:
    model, x = small(), torch.rand(5, 1, 28, 28)
    whole_batch = model(x)
    one = model(x[2:3])
    assert one.responsibilities.allclose(whole_batch.responsibilities[2:3], atol=1e-5)
    assert one.reconstruction.allclose(whole_batch.reconstruction[2:3], atol=1e-4)


def test_nothing_is_made_on_another_device_or_read_by_the_host() -> None:
    model = small().to("meta")
    x = torch.rand(4, 1, 28, 28, device="meta")
    objective = HypothesisObjective(taught(), taught().support.half_widths(model.group))
    assert model(x).reconstruction.device.type == "meta"
    assert objective(model, model, x).loss.device.type == "meta"


def test_kl_of_hypotheses_is_that_of_the_whole_table() -> None:
    generator = torch.Generator().manual_seed(0)
    allowed = torch.tensor([1.0, 1, 1, 0])
    joint = torch.rand(5, 3, 4, generator=generator) * allowed
    joint = joint / joint.sum((1, 2), keepdim=True)
    kl_cluster, kl_rotation = hypothesis_kl(joint, allowed)
    inside = joint[..., :3]
    expected = (inside * (inside * 9).log()).sum((1, 2)).mean()
    assert (kl_cluster + kl_rotation).allclose(expected)
    uniform = (torch.ones(1, 3, 4) * allowed) / 9
    assert all(abs(kl.item()) < 1e-6 for kl in hypothesis_kl(uniform, allowed))


def batch_of(model: DefaultModel, cluster: int) -> dict[str, torch.Tensor]:
    return {
        "cluster": torch.full((6,), cluster),
        "element": model.group.sample(6, (1.0, 0.1, 0.1)),
        "weight": torch.ones(6),
    }


def test_unknown_clusters_teach_the_network_rotations_alone() -> None:
    model = small().train()
    objective = HypothesisObjective(taught(), (1.0, 0.2, 0.2))
    terms = objective(model, model, torch.rand(6, 1, 28, 28), batch_of(model, UNKNOWN))
    terms.loss.backward()
    assert terms.reconstruction == 0
    assert model.net.last.weight.grad is not None
    assert model.net.last.weight.grad.abs().max() > 0
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in model.decoder.parameters())


def test_equivariance_trains_the_network_and_the_elbo_the_code() -> None:
    model = small().train()
    for alpha, taught_part, idle in ((0.0, model.decoder, model.net), (1.0, model.net, None)):
        model.zero_grad()
        objective = HypothesisObjective(taught(alpha=alpha), (1.0, 0.2, 0.2))
        x = F.pad(torch.rand(6, 1, 12, 12), (8, 8, 8, 8))  # touches no border: shifts are taught
        terms = objective(model, model, x, batch_of(model, 1))
        terms.loss.backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in taught_part.parameters())
        if idle is not None:
            assert all(p.grad is None or p.grad.abs().max() == 0 for p in idle.parameters())


def test_equivariance_is_lowest_for_the_right_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says the known motion pays the target's entropy, any other more."""
    model = small()
    objective = HypothesisObjective(taught(), (0.0, 0.0, 0.0))
    batch = batch_of(model, 1)
    costs = {}
    for cluster, angle in ((1, 0.0), (1, 1.0), (2, 0.0)):
        near = -(model.angles - angle).square() / (2 * math.radians(5) ** 2)
        logits = torch.full((6, model.clusters, len(model.angles)), -30.0)
        logits[:, cluster] = near
        monkeypatch.setattr(model, "logits", lambda _, out=logits: (out, torch.zeros(6, 2)))
        costs[cluster, angle] = objective.equivariance(
            model, torch.zeros(6, 1, 28, 28), *batch.values()
        )[0]
    assert costs[1, 0.0] < costs[1, 1.0]
    assert costs[1, 0.0] < costs[2, 0.0]


def test_the_sign_that_the_network_must_find_is_that_of_the_moved_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the sign of the target, one for the sign it is moved to costs least."""
    model = small(mirror=True)
    objective = HypothesisObjective(taught(), (0.0, 0.0, 0.0))
    both = torch.tensor([True, False]).repeat(3)
    for there in (False, True):
        moved_to = reflect(model.group.identity(6), torch.full((6,), there))
        monkeypatch.setattr(model.group, "sample", lambda *_, to=moved_to, **__: to)
        costs = {}
        for sign in (False, True):
            near = -model.angles.square() / (2 * math.radians(5) ** 2)
            logits = torch.full((6, model.clusters, len(model.angles)), -30.0)
            logits[:, 1] = torch.where(model.mirrored == sign, near, near - 20)
            monkeypatch.setattr(model, "logits", lambda _, out=logits: (out, torch.zeros(6, 2)))
            element = reflect(model.group.identity(6), both)
            costs[sign] = objective.equivariance(
                model, torch.zeros(6, 1, 28, 28), torch.ones(6).long(), element, torch.ones(6)
            )[0]
        assert costs[there] + 1 < costs[not there]


def test_white_on_black_and_black_on_white_are_one(small_data: Splits) -> None:
    """Moments, what is whole, and first poses depend on the difference from the background."""
    white, black = small(background=1.0), small()
    x = to_float(small_data.train.images.pixels[:50])
    assert white.moments(1 - x).allclose(black.moments(x), atol=1e-5)
    assert white.whole(1 - x).equal(black.whole(x)) and 0 < black.whole(x).sum() < 50
    pixels = small_data.train.images.pixels[:100]
    support = taught().support.half_widths(black.group)
    starts = [
        start_poses(some, black.group, support, templates=4, background=background)
        for some, background in ((pixels, 0.0), (255 - pixels, 1.0))
    ]
    assert starts[0].elements.allclose(starts[1].elements, atol=1e-4)


def test_an_untaught_network_leaves_the_pose_where_the_moments_put_it() -> None:
    for group in ("se2", "sim2", "aff2"):
        model, x = small(group=group), torch.rand(4, 1, 28, 28)
        _, rest = model.logits(x)
        assert rest.allclose(model.moments(x), atol=1e-5)
