"""The objective: signs, gradients, draws."""

import pytest
import torch
from torch import nn

from mcevae.base.config import ObjectiveConfig
from mcevae.geometry.warp import warp
from mcevae.models.objective import Objective, bce, squared_error
from mcevae.models.paper import PaperModel

SUPPORT = (1.0, 0.2, 0.2)


def objective(model: PaperModel, **settings: object) -> Objective:
    return Objective(ObjectiveConfig(**settings), model.group, SUPPORT)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [bce, squared_error])
def test_errors_fall_as_images_agree(error) -> None:
    target = torch.rand(3, 1, 8, 8).round()
    wrong = 1 - target
    costs = [error(wrong + t * (target - wrong), target) for t in torch.linspace(0, 1, 6)]
    assert (torch.stack(costs).diff(dim=0) < 0).all()


def test_cross_entropy_is_finite_with_gradients_at_the_edges() -> None:
    prediction = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 2, 2).requires_grad_()
    cost = bce(prediction, torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 1, 2, 2))
    cost.sum().backward()
    assert prediction.grad is not None
    assert 27 < cost.item() < 28  # two pixels wrong for sure
    assert prediction.grad.isfinite().all()
    assert (prediction.grad.flatten()[:2].abs() > 1).all()


def test_loss_is_the_sum_of_its_terms(model: PaperModel) -> None:
    x = torch.rand(4, 1, 28, 28)
    t = objective(model, alpha=0.7, beta=0.3)(model, model, x)
    kl = t.kl_cluster + t.kl_variation + t.kl_pose
    assert t.negative_elbo.allclose(t.reconstruction + 0.3 * kl)
    assert t.loss.allclose(t.negative_elbo + 0.7 * t.invariance)


def test_all_parameters_learn(model: PaperModel) -> None:
    model.train()
    objective(model)(model, model, torch.rand(8, 1, 28, 28)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_targets_have_no_gradient(model: PaperModel) -> None:
    """With the predictions held fixed nothing is left that could carry one, eq. (8)."""
    x = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        out = model(x)
    assert not objective(model).invariance(model, x, out).requires_grad
    out = model(x)
    assert objective(model).invariance(model, x, out).requires_grad


def test_draws_in_one_batch_equal_draws_one_by_one(model: PaperModel) -> None:
    x = torch.rand(4, 1, 28, 28)
    out = model(x)
    torch.manual_seed(7)
    batched = objective(model, draws=3).invariance(model, x, out)
    torch.manual_seed(7)
    elements = model.group.sample(12, SUPPORT).unflatten(0, (3, 4))
    single = torch.zeros(4)
    for M in elements:
        target = model.encode(warp(x, M))
        canonical = model.canonical(target.cluster.loc, target.variation.loc)
        single += (out.posterior.cluster.loc - target.cluster.loc).square().sum(-1) / 3
        single += (out.posterior.variation.loc - target.variation.loc).square().sum(-1) / 3
        single += bce(out.canonical, canonical) / 3
    assert batched.allclose(single, rtol=1e-4)


def test_targets_leave_batch_norm_alone(model: PaperModel) -> None:
    """Running averages follow the data, not the moved images."""
    model.train()
    x = torch.rand(8, 1, 28, 28)
    out = model(x)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(m.running_mean.clone(), m.num_batches_tracked.clone()) for m in norms]
    objective(model).invariance(model, x, out)
    for norm, (mean, count) in zip(norms, before, strict=True):
        assert norm.running_mean.equal(mean) and norm.num_batches_tracked.equal(count)
        assert norm.track_running_stats


def test_supervised_compares_the_canonical_image_with_the_upright_one(model: PaperModel) -> None:
    x = torch.rand(4, 1, 28, 28)
    upright = torch.randint(0, 256, x.shape, dtype=torch.uint8)
    supervised = objective(model, mode="supervised")
    torch.manual_seed(0)
    terms = supervised(model, model, x, {"upright": upright})
    torch.manual_seed(0)
    assert terms.invariance.allclose(bce(model(x, sample=True).canonical, upright / 255).mean())
    with pytest.raises(ValueError, match="upright"):
        supervised(model, model, x)


def test_alpha_zero_encodes_no_targets(model: PaperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objective, "invariance", lambda *_: pytest.fail("was computed"))
    assert objective(model, alpha=0)(model, model, torch.rand(2, 1, 28, 28)).invariance == 0


def test_invariant_model_pays_only_the_entropy(model: PaperModel) -> None:
    """If x and Mx have one posterior, shared noise leaves no difference at all; own noise does."""
    for head in (model.extract_cluster, model.extract_variation):
        nn.init.zeros_(head[-1].weight)
    x = torch.rand(3, 1, 28, 28)
    out = model(x, sample=True)
    entropy = bce(out.canonical, out.canonical)
    assert objective(model).invariance(model, x, out).allclose(entropy, rtol=1e-5)
    own = objective(model, invariance_noise="own").invariance(model, x, out)
    assert not own.allclose(entropy, rtol=1e-5)
