"""Peers that infer poses: each is what its paper says it is."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits
from mcevae.models.peers.affine_vae import MOST_STARTS, MOST_STEPS, AffineVAE, TransformerVAE
from mcevae.models.peers.jrvae import JRVAE
from mcevae.models.peers.log_polar import INNER, OUTER, RADII, LogPolar, log_polar
from mcevae.models.peers.spatial_vae import SpatialVAE
from mcevae.models.registry import build
from mcevae.runs.infer import outputs
from mcevae.teaching.blur import gaussian_blur
from tests.models.test_peers import few

SHAPES = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 41)])
TAU = torch.tensor([[0.6, 0.0, 0.0], [0.0, 0.1, -0.15], [-0.4, -0.1, 0.05]])


def same_inside(image: Tensor, moved: Tensor, element: Tensor, tolerance: float) -> bool:
    """Whether images agree at the pixels that come from within the frame."""
    inside = warp(torch.ones_like(image), element) > 0.999
    assert inside.float().mean() > 0.4
    return bool(((image - moved).abs()[inside] < tolerance).all())


def vivid(model: Any) -> Any:
    """The same model with more contrast: an untrained field is nearly flat."""
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter *= 3
    return model


@SHAPES
@pytest.mark.parametrize("kind", ["spatial-vae", "jrvae"])
def test_a_coordinate_decoder_moves_its_image_as_warp_does(
    kind: str, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    model = vivid(build(few(kind), shape).eval())
    with torch.no_grad():
        out = model(torch.rand(3, *shape))
        still = model.canonical(out.z_c, out.z)
        moved = model.decode(out.z_c, out.z, TAU)
    element = model.group.exp(TAU)
    assert (moved - still).abs().amax((1, 2, 3)).min() > 0.1
    assert same_inside(moved, warp(still, element), element, 0.02)


def test_the_reconstruction_of_spatial_vae_turns_when_only_its_pose_latent_changes() -> None:
    torch.manual_seed(0)
    model = vivid(build(few("spatial-vae"), (1, 28, 28)).eval())
    x = torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        before = model(x)
        model.encoder[-1].bias[2 * model.code.dim] += 1.0  # one standard deviation of the prior
        after = model(x)
    turn = model.group.to_parameters(after.element) - model.group.to_parameters(before.element)
    assert turn[0].allclose(torch.tensor([math.pi / 4, 0.0, 0.0]), atol=1e-4)
    assert after.canonical.equal(before.canonical)
    assert (after.reconstruction - before.reconstruction).abs().max() > 0.1
    expected = warp(after.canonical, after.element)
    assert same_inside(after.reconstruction, expected, after.element, 0.02)


@pytest.mark.parametrize(("kind", "rotation"), [("spatial-vae", 45.0), ("jrvae", 57.3)])
def test_divergence_of_the_pose_equals_numerical_integration(kind: str, rotation: float) -> None:
    torch.manual_seed(0)
    model = build(few(kind, rotation_prior=rotation, shift_prior=0.05), (1, 28, 28)).eval()
    assert isinstance(model, SpatialVAE | JRVAE)
    q = model(torch.rand(2, 1, 28, 28)).posterior.pose
    scales = [math.radians(rotation), 0.05, 0.05]
    expected = torch.zeros(2, dtype=torch.float64)
    for i, scale in enumerate(scales):
        at = torch.linspace(-8, 8, 20001, dtype=torch.float64)[:, None] * scale
        mean, spread = q.loc[:, i].double(), q.scale[:, i].double()
        log_q = torch.distributions.Normal(mean, spread).log_prob(at)
        log_p = torch.distributions.Normal(0.0, scale).log_prob(at)
        expected += torch.trapezoid(log_q.exp() * (log_q - log_p), at, dim=0)
    assert model.pose.kl(q).double().allclose(expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["spatial-vae", "jrvae"])
def test_coordinate_decoders_refuse_groups_they_have_no_prior_for(kind: str) -> None:
    with pytest.raises(UserError, match="group so2 or group se2"):
        build(few(kind, group="aff2"), (1, 28, 28))
    out = build(few(kind, group="so2"), (1, 28, 28)).eval()(torch.rand(1, 1, 28, 28))
    assert out.tau.shape == (1, 1)


def test_jrvae_sums_exactly_over_its_classes() -> None:
    torch.manual_seed(0)
    model = build(few("jrvae", beta=3.0), (1, 28, 28)).train()
    assert isinstance(model, JRVAE)
    x = torch.rand(5, 1, 28, 28)
    torch.manual_seed(1)
    terms = model.terms(model, x, {})
    torch.manual_seed(1)
    out = model(x, sample=True)
    p = out.responsibilities
    error, divergence = torch.zeros(5), torch.zeros(5)
    for y in range(4):
        z_c = torch.nn.functional.one_hot(torch.full((5,), y), 4).float()
        image = model.decode(z_c, out.z, out.tau)
        error += p[:, y] * model.likelihood(image, x)
        divergence += p[:, y] * (p[:, y].log() - math.log(1 / 4))
    assert terms.reconstruction.allclose(error.mean(), rtol=1e-4)
    assert terms.kl_cluster.allclose(divergence.mean(), atol=1e-5)
    assert terms.kl_variation.allclose(model.code.kl(out.posterior.code).mean())
    kl = terms.kl_cluster + terms.kl_variation + terms.kl_pose
    assert terms.negative_elbo.allclose(terms.reconstruction + kl)
    assert terms.loss.allclose(terms.reconstruction + 3 * kl)


@pytest.fixture(scope="module")
def drawer(small_data: Splits) -> tuple[AffineVAE, Tensor]:
    """An affine VAE that draws a few upright digits well, and the digits, uint8."""
    torch.manual_seed(0)
    assert small_data.train.upright is not None
    upright = small_data.train.upright[:8]
    model = build(
        few("affine-vae", hidden=64, decoder_hidden=64, search_restarts=60), (1, 28, 28)
    ).train()
    assert isinstance(model, AffineVAE)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        adam.zero_grad()
        model.terms(model, to_float(upright), {"upright": upright}).loss.backward()
        adam.step()
    adam.zero_grad()
    return model.eval(), upright


def test_the_search_of_affine_vae_finds_how_an_image_was_moved(
    drawer: tuple[AffineVAE, Tensor],
) -> None:
    model, upright = drawer
    true = model.group.from_parameters(torch.tensor([0.6, 0.1, -0.08]).expand(len(upright), -1))
    moved = (255 * warp(to_float(upright), true)).round().byte()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    ((_, out),) = outputs(model, moved)
    torch.manual_seed(2)
    ((_, again),) = outputs(model, moved)
    apart = model.group.distance(out.element, true)
    assert apart["rotation_deg"].median() < 3
    assert apart["shift_side"].median() < 0.02
    assert out.tau.equal(again.tau)
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_settings_let_affine_vae_search_much_longer_than_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a stranger's run could work without end on a few images."""
    passed: list[int] = []
    cost = AffineVAE.cost

    def counted(self: AffineVAE, x: Tensor, parameters: Tensor) -> Tensor:
        passed.append(len(x))
        return cost(self, x, parameters)

    monkeypatch.setattr(AffineVAE, "cost", counted)
    passes: list[int] = []
    for settings in ({}, {"search_restarts": MOST_STARTS, "search_steps": MOST_STEPS}):
        model = build(few("affine-vae", **settings), (1, 28, 28)).eval()
        passed.clear()
        model(torch.rand(2, 1, 28, 28), sample=False)
        passes.append(sum(passed))
    assert passes[1] < 4 * passes[0]
    for name, most in (("search_restarts", MOST_STARTS), ("search_steps", MOST_STEPS)):
        with pytest.raises(ValueError, match="use 1 to"):
            few("affine-vae", **{name: most + 1})


def test_affine_vae_trains_on_upright_images_and_asks_for_them(
    drawer: tuple[AffineVAE, Tensor],
) -> None:
    model, upright = drawer
    anything = torch.rand(8, 1, 28, 28)
    torch.manual_seed(0)
    one = model.terms(model, anything, {"upright": upright})
    torch.manual_seed(0)
    assert one.loss.equal(model.terms(model, 1 - anything, {"upright": upright}).loss)
    with pytest.raises(UserError, match="with pose"):
        model.terms(model, anything, {})


def test_the_localiser_starts_at_the_identity_and_is_trained() -> None:
    torch.manual_seed(0)
    model = build(few("affine-vae-stn"), (1, 28, 28)).train()
    assert isinstance(model, TransformerVAE)
    x = torch.rand(4, 1, 28, 28)
    assert model(x).element.allclose(torch.eye(3), atol=1e-6)
    model.terms(model, x, {}).loss.backward()
    last = model.localiser[-1]
    assert isinstance(last, torch.nn.Linear)
    assert last.weight.grad is not None and last.weight.grad.abs().max() > 0
    torch.nn.init.normal_(last.weight, std=0.1)
    model.zero_grad()
    model.terms(model, x, {}).loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.localiser.parameters())


@pytest.mark.parametrize("group", ["so2", "sim2"])
def test_the_log_polar_map_shifts_and_the_pose_turns_with_the_image(group: str) -> None:
    torch.manual_seed(0)
    model = build(few("affine-vae-stn", pose_module="log-polar", group=group), (1, 28, 28)).eval()
    assert isinstance(model, TransformerVAE) and isinstance(model.localiser, LogPolar)
    x = torch.rand(5, 1, 28, 28)
    centre = torch.zeros(5, 2)
    turned = x.rot90(-1, (2, 3))  # by a quarter from the x axis to the y axis, which points down
    assert log_polar(turned, centre).allclose(log_polar(x, centre).roll(16, 2), atol=1e-5)
    for along in model.localiser.shift.along:
        along.weight.data.zero_()  # the shift is that of the centre
    with torch.no_grad():
        before, after = (model.localiser(one) for one in (x, turned))
    apart = (after - before)[:, 0].remainder(2 * math.pi)
    assert apart.allclose(torch.tensor(math.pi / 2), atol=1e-4)
    assert before[:, 1:].allclose(after[:, 1:], atol=1e-4)
    assert before[:, 0].std() > 0.05  # it is not the same for all images


def test_a_scale_shifts_the_log_polar_map_along_its_radii() -> None:
    blob = torch.zeros(1, 1, 56, 56)
    blob[:, :, 22:32, 24:38] = 1.0
    blob = gaussian_blur(blob, 3.0)
    step = math.log(OUTER / INNER) / (RADII - 1)
    group = get_group("sim2")
    bigger = warp(blob, group.from_parameters(torch.tensor([[0.0, 0.0, 0.0, 6 * step]])))
    still = torch.zeros(1, 2)
    before, after = log_polar(blob, still), log_polar(bigger, still)
    assert after[..., 6:].allclose(before[..., :-6], atol=0.03)
    assert not after.allclose(before, atol=0.3)


def test_the_log_polar_module_is_trained_and_refuses_other_moves() -> None:
    torch.manual_seed(0)
    model = build(few("affine-vae-stn", pose_module="log-polar"), (1, 28, 28)).train()
    model.terms(model, torch.rand(4, 1, 28, 28), {}).loss.backward()
    assert isinstance(model, TransformerVAE)
    unused = {"turn.along.0.weight"}  # the radius: se2 has no scale
    for name, parameter in model.localiser.named_parameters():
        assert (parameter.grad is None) == (name in unused), name
    with pytest.raises(UserError, match="finds rotations, shifts and scales, not group aff2"):
        build(few("affine-vae-stn", pose_module="log-polar", group="aff2"), (1, 28, 28))
