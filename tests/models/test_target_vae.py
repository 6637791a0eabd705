"""TARGET-VAE: its encoder turns with the image, and its bound is what its paper says."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mcevae.base.errors import UserError
from mcevae.geometry.warp import warp
from mcevae.models.peers.target_vae import TargetVAE
from mcevae.models.registry import build
from tests.models.test_peers import few


def made(**changes: object) -> TargetVAE:
    """An untrained model with few units."""
    torch.manual_seed(0)
    model = build(few("target-vae", **changes), (1, 28, 28)).eval()
    assert isinstance(model, TargetVAE)
    return model


def figure() -> Tensor:
    """A shape without symmetry, (1, 1, 28, 28)."""
    x = torch.zeros(1, 1, 28, 28)
    x[..., 8:14, 10:20], x[..., 14:18, 10:13] = 1.0, 0.7
    return x


@pytest.mark.parametrize("directions", [4, 8])
def test_the_posterior_turns_and_shifts_with_the_image(directions: int) -> None:
    model, x = made(directions=directions), figure()
    moved = warp(x, model.group.from_parameters(torch.tensor([[math.pi / 2, 2 / 28, -1 / 28]])))
    with torch.no_grad():
        before, after = (
            model.encoder(one)[0].T.unflatten(1, (directions, 15, 15)) for one in (x, moved)
        )
    expected = before.roll(directions // 4, 1).rot90(-1, (2, 3)).roll((-1, 2), (2, 3))
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert expected[inside].allclose(after[inside], atol=1e-5)
    assert not before[inside].allclose(after[inside], atol=1e-2)


def test_the_pose_is_that_of_the_likeliest_rotation_and_the_mean_shift() -> None:
    model, x = made(), figure()
    angles, shifts = model.encoder.angles, model.encoder.shifts
    assert angles.max() == pytest.approx(math.pi) and angles.min() > -math.pi
    assert shifts.abs().max() == pytest.approx(0.25) and len(shifts) == 225
    with torch.no_grad():
        q = model.encode(x)
        pair = 3 * 225 + 40
        q.log_pairs[:] = -1e3
        q.log_pairs[:, pair] = 0.0
        z_c, angle, shift = model.likeliest(q)
    assert (angle - angles[3]).abs() < 0.5 and shift.allclose(shifts[40], atol=1e-6)
    assert z_c.equal(torch.cat([q.code.loc[:, pair], q.code.scale[:, pair]], -1))


def test_the_bound_sums_over_all_pairs() -> None:
    model, x = made(beta=0.5, rotation_prior=45.0, code=3), torch.cat([figure(), 1 - figure()])
    with torch.no_grad():
        q = model.encode(x)
        of_code, of_pose = model.divergences(q)
    angles, shifts = model.encoder.angles, model.encoder.shifts
    log_prior = Normal(0.0, math.pi / 4).log_prob(angles).repeat_interleave(225)
    log_prior = log_prior + Normal(0.0, 0.05).log_prob(shifts).sum(-1).repeat(8)
    log_prior = log_prior.log_softmax(0)
    assert log_prior.exp().sum().allclose(torch.tensor(1.0), atol=1e-4)
    code, pose = torch.zeros(2), torch.zeros(2)
    for n in range(8 * 225):
        weight = q.log_pairs[:, n].exp()
        one = Normal(q.code.loc[:, n], q.code.scale[:, n])
        code += weight * kl_divergence(one, Normal(torch.zeros(3), 1.0)).sum(-1)
        turn = Normal(q.rotation.loc[:, n, 0], q.rotation.scale[:, n, 0])
        rest = kl_divergence(turn, Normal(angles[n // 225], math.pi / 8))
        pose += weight * (q.log_pairs[:, n] - log_prior[n] + rest)
    assert of_code.allclose(code, rtol=1e-3) and of_pose.allclose(pose, rtol=1e-3)
    assert (of_pose > 0).all()
    terms = model.terms(model, x, {})
    assert terms.kl_cluster.allclose(code.mean(), rtol=1e-3)
    kl = terms.kl_cluster + terms.kl_pose
    assert terms.loss.allclose(terms.reconstruction + 0.5 * kl)


def test_other_groups_are_refused_and_rotations_alone_need_no_shifts() -> None:
    with pytest.raises(UserError, match="group so2 or group se2"):
        made(group="aff2")
    model = made(group="so2")
    assert model(figure()).tau.shape == (1, 1) and len(model.encoder.shifts) == 1
