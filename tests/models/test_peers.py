"""Peers: all keep the contract and learn; and each is what its paper says it is."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from mcevae.base.config import DataConfig
from mcevae.base.errors import TrainingError, UserError
from mcevae.images.arrays import to_bytes
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.likelihood import bce
from mcevae.models.peers.aet import AET
from mcevae.models.peers.beta_tcvae import BetaTCVAE, decompose
from mcevae.models.peers.factor_vae import FactorVAE, permuted
from mcevae.models.peers.gmvae import GMVAE
from mcevae.models.peers.iic import IIC, information
from mcevae.models.peers.n2d import N2D
from mcevae.models.peers.vade import VaDE
from mcevae.models.peers.vamp_prior import VampPrior
from mcevae.models.registry import ENTRIES, build, spec_of
from mcevae.runs.checkpoint import load, load_model, run_file
from mcevae.runs.metrics import evaluate
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from mcevae.training.trainer import Trainer
from tests.sizes import changed

PEERS = tuple(entry.kind for entry in ENTRIES if entry.place.startswith("peers."))
ALL = pytest.mark.parametrize("kind", PEERS)
SMALL = {"filters": (4, 8, 8, 8), "hidden": 32, "pose_hidden": 16, "decoder_hidden": 32}


def few(kind: str, **changes: object) -> Config:
    """A peer's preset that trains in seconds."""
    config = dataclasses.replace(PRESETS[kind](), data=DataConfig(source="mnist-mini", limit=400))
    sizes = {k: v for k, v in SMALL.items() if spec_of(kind).knows(f"model.{k}")}
    training = {"epochs": 6, "batch_size": 50} if spec_of(kind).trained else {}
    return changed(config, sizes | training | {"clusters": 4} | changes)


@ALL
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 41)])
def test_every_peer_keeps_the_contract(kind: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)  # with 0, rounding decides between two paths of affine-vae's search
    model = build(few(kind), shape).eval()
    x = torch.rand(3, *shape)
    out = model(x, sample=False)
    assert out.canonical.shape == out.reconstruction.shape == x.shape
    assert out.responsibilities.sum(-1).allclose(torch.ones(3), atol=1e-5)
    assert out.element.allclose(model.group.exp(out.tau), atol=1e-5)
    again = model(x[1:2], sample=False)
    assert again.reconstruction.allclose(out.reconstruction[1:2], atol=1e-4)
    assert model.canonical(out.z_c, out.z).shape == x.shape
    assert model.decode(out.z_c, out.z, out.tau).allclose(out.reconstruction, atol=1e-4)


@ALL
def test_every_peer_learns_and_is_scored(kind: str, tmp_path: Path, small_data: Splits) -> None:
    near = {"rotation": 15.0, "shift": 0.05} if kind in ("iic", "scan") else {}  # they learn slowly
    trained = spec_of(kind).trained
    longer = {"epochs": 12} if kind == "scan" else {}  # half of them have another loss
    config = few(kind, **({"lr": 5e-3} | near | longer if trained else {}))
    assert fit(config, small_data, tmp_path / "run")
    if trained:
        errors = [r["reconstruction"] for r in read_log(tmp_path / "run") if r["split"] == "train"]
        share = 0.99 if kind == "scan" else 0.8  # 48 steps are few; test_scan.py shows more
        assert errors[5] < share * errors[0]
    model, found, _ = load_model(tmp_path / "run")
    assert found == config
    scores = evaluate(model, config, small_data)
    assert {"bce", "kmeans_accuracy", "rotation_error_median"} <= set(scores)
    sorts_its_code = scores["clusters"].value == 1
    assert all((f"ward{of}_accuracy" in scores) == sorts_its_code for of in ("", "_held"))
    if not trained:
        blank = build(config, (1, 28, 28)).eval()
        assert scores["bce"].value < 0.8 * evaluate(blank, config, small_data)["bce"].value


def test_beta_weighs_the_divergence(small_data: Splits) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 28, 28)
    for kind, beta in (("vae", 1.0), ("beta-vae", 2.0)):
        model = build(few(kind), (1, 28, 28)).train()
        terms = model.terms(model, x, {})
        assert terms.loss.allclose(terms.reconstruction + beta * terms.kl_cluster)
        assert terms.negative_elbo.allclose(terms.reconstruction + terms.kl_cluster)


def codes(correlation: float, n: int = 1000) -> torch.Tensor:
    """Standard normal pairs of numbers."""
    first, other = torch.randn(2, n)
    return torch.stack([first, correlation * first + (1 - correlation**2) ** 0.5 * other], -1)


@pytest.mark.parametrize(("correlation", "low", "high"), [(0.0, -0.05, 0.05), (0.95, 0.4, 1.2)])
def test_beta_tcvae_splits_the_divergence(correlation: float, low: float, high: float) -> None:
    torch.manual_seed(0)
    q = Normal(codes(correlation), 0.3)
    z = q.sample()
    information, total_correlation, dimensions = decompose(q, z)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(-1)
    whole = (q.log_prob(z).sum(-1) - log_p).mean()
    assert (information + total_correlation + dimensions).allclose(whole, atol=1e-5)
    assert low < total_correlation < high  # -log(1 - r^2) / 2 of the sum: 0.80
    pair = torch.stack([Normal(q.loc[:, 0], 0.3).log_prob(one).exp().mean() for one in z[:, 0]])
    other = torch.stack([Normal(q.loc[:, 1], 0.3).log_prob(one).exp().mean() for one in z[:, 1]])
    assert dimensions.allclose((pair.log() + other.log() - log_p).mean(), atol=1e-4)


def test_beta_tcvae_weighs_the_total_correlation_alone() -> None:
    config = few("beta-tcvae")
    model = build(config, (1, 28, 28))
    assert isinstance(model, BetaTCVAE) and config.objective.beta == 6
    x = torch.rand(8, 1, 28, 28)
    torch.manual_seed(1)
    terms = model.terms(model, x, {})
    torch.manual_seed(1)
    out = model(x, sample=True)
    information, correlation, dimensions = decompose(out.posterior, out.z_c)
    weighed = information + 6 * correlation + dimensions
    assert (terms.loss - terms.reconstruction).allclose(weighed, rtol=1e-3)
    plain = terms.reconstruction + model.code.kl(out.posterior).mean()
    assert terms.negative_elbo.allclose(plain)


def gradients(gamma: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Gradients of FactorVAE's loss: the discriminator's, and all others."""
    torch.manual_seed(0)
    model = build(few("factor-vae", gamma=gamma), (1, 28, 28)).train()
    torch.manual_seed(1)
    model.terms(model, torch.rand(8, 1, 28, 28), {}).loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert len(found) == len(list(model.parameters()))
    own = {k: v for k, v in found.items() if k.startswith("discriminator.")}
    return own, {k: v for k, v in found.items() if k not in own}


def test_factor_vae_and_its_discriminator_learn_apart() -> None:
    own, vae = gradients(gamma=10.0)
    own_without, vae_without = gradients(gamma=0.0)
    assert all(own[k].equal(own_without[k]) for k in own)  # none from the total correlation
    assert any(not vae[k].allclose(vae_without[k]) for k in vae)
    torch.manual_seed(0)
    model = build(few("factor-vae", gamma=0.0), (1, 28, 28)).train()
    torch.manual_seed(1)
    model.terms(model, torch.rand(8, 1, 28, 28), {}).negative_elbo.backward()
    parameters = dict(model.named_parameters())
    for name, gradient in vae_without.items():  # none from the discriminator's loss
        assert gradient.allclose(parameters[name].grad, atol=1e-5)  # pyright: ignore


def test_permuting_keeps_each_coordinate() -> None:
    z = codes(0.9)
    shuffled = permuted(z)
    assert shuffled.sort(0).values.equal(z.sort(0).values)
    assert abs(torch.corrcoef(shuffled.T)[0, 1]) < 0.1 < torch.corrcoef(z.T)[0, 1]


@pytest.mark.parametrize(("correlation", "low", "high"), [(0.0, -0.05, 0.05), (0.95, 0.7, 1.5)])
def test_the_discriminator_measures_total_correlation(
    correlation: float, low: float, high: float
) -> None:
    torch.manual_seed(0)
    model = build(few("factor-vae", code=2), (1, 28, 28))
    assert isinstance(model, FactorVAE)
    optimizer = torch.optim.Adam(model.discriminator.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.discrimination(codes(correlation), codes(correlation)).backward()
        optimizer.step()
    assert low < model.total_correlation(codes(correlation, 5000)) < high  # true: 0 and 1.16


def mixed() -> VaDE:
    """A VaDE with a mixture of its own, in training."""
    torch.manual_seed(0)
    model = build(few("vade", code=3), (1, 28, 28)).train()
    assert isinstance(model, VaDE)
    for parameter in (model.logits, model.means, model.log_variances):
        torch.nn.init.normal_(parameter)
    model.started.fill_(1.0)
    return model


def test_vade_responsibilities_follow_bayes_rule() -> None:
    model, z = mixed(), torch.randn(5, 3)
    joint = torch.empty(5, 4)
    for k in range(4):
        sigma = model.log_variances[k].exp().sqrt()
        density = Normal(model.means[k], sigma).log_prob(z).sum(-1).exp()
        joint[:, k] = model.logits.softmax(0)[k] * density
    expected = joint / joint.sum(1, keepdim=True)
    assert model.responsibilities(z).allclose(expected, atol=1e-5)


def test_vade_bounds_the_divergence_from_the_mixture() -> None:
    model, x = mixed(), torch.rand(4, 1, 28, 28)
    out = model(x, sample=True)
    q = out.posterior
    z = q.sample((4000,)).flatten(0, 1)  # (4000 B, D)
    mixture = MixtureSameFamily(
        Categorical(logits=model.logits), Independent(model.components(), 1)
    )
    true = q.log_prob(z.unflatten(0, (4000, 4))).sum(-1).mean() - mixture.log_prob(z).mean()
    repeated = dataclasses.replace(
        out, z_c=z, posterior=Normal(q.loc.repeat(4000, 1), q.scale.repeat(4000, 1))
    )
    bound = sum(model.divergences(repeated))
    assert true - 0.02 < bound
    for parameter in (model.means, model.log_variances):
        parameter.data[:] = parameter.data[:1]
    one = Normal(model.means[0], (model.log_variances[0] / 2).exp())
    kl_cluster, kl_code = model.divergences(out)  # exact where all components are one
    assert kl_cluster.abs() < 1e-5
    assert kl_code.allclose(kl_divergence(q, one).sum(-1).mean())
    terms = model.terms(model, x, {})
    kl = terms.kl_cluster + terms.kl_variation
    assert terms.loss.allclose(terms.reconstruction + kl)


def test_vade_starts_as_an_autoencoder_and_then_fits_the_mixture(
    tmp_path: Path, small_data: Splits
) -> None:
    config = few("vade", epochs=5, pretrain=0.4, code=3)
    trainer = Trainer(config, small_data, tmp_path)
    model, pixels = trainer.inner, small_data.train.images.pixels
    assert isinstance(model, VaDE)
    x = torch.rand(4, 1, 28, 28)
    model.train()
    terms = model.terms(model, x, {})
    assert terms.loss.equal(terms.reconstruction) and terms.negative_elbo > terms.loss
    assert model(x, sample=True).z_c.equal(model(x, sample=False).z_c)
    for epoch, started in enumerate([0, 0, 1]):
        trainer.position.epoch = epoch
        assert bool(trainer.teach()) == (epoch in (0, 2))
        assert model.started == started == trainer.teacher.grouped and model.training
    model.eval()
    with torch.no_grad():
        z = model(pixels / 255, sample=False).z_c
        mean = model.logits.softmax(0) @ model.means
        assert mean.allclose(z.mean(0), atol=0.05 * z.std().item())
        assert model.responsibilities(z).argmax(-1).unique().numel() == 4
    model.train()
    terms = model.terms(model, x, {})
    assert terms.loss.allclose(terms.negative_elbo)
    before = model.means.detach().clone()
    assert trainer.teacher.before(3, 5) == "" and model.means.equal(before)


def test_vade_starts_on_codes_that_are_all_the_same_and_refuses_odd_ones() -> None:
    model = build(few("vade", code=3), (1, 28, 28))
    assert isinstance(model, VaDE)
    model.start(torch.zeros(20, 1, 28, 28, dtype=torch.uint8), seed=0)
    assert all(one.isfinite().all() for one in (model.means, model.log_variances, model.logits))
    with torch.no_grad():
        for one in model.parameters():
            one.fill_(torch.nan)
    with pytest.raises(TrainingError, match="codes of the images are not finite"):
        model.start(torch.zeros(20, 1, 28, 28, dtype=torch.uint8), seed=0)


# An epoch is 8 training + 2 validation batches.
@pytest.mark.parametrize(("kind", "step"), [("vade", 3), ("vade", 13), ("vade", 23), ("dti", 13)])
def test_a_stopped_peer_with_stages_resumes_exactly(
    tmp_path: Path, small_data: Splits, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    own = {"epochs": 3, "pretrain": 0.34} if kind == "vade" else {"epochs": 2, "clusters": 2}
    config = few(kind, **own)
    assert fit(config, small_data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        original, calls = Trainer.terms, []

        def terms(self: Trainer, batch: object) -> object:
            calls.append(1)
            if len(calls) == step:
                os.kill(os.getpid(), signal.SIGINT)
            return original(self, batch)

        patch.setattr(Trainer, "terms", terms)
        assert not fit(config, small_data, tmp_path / "stopped")
    assert fit(config, small_data, tmp_path / "stopped", resume=True)
    whole, stopped = (load(run_file(tmp_path / run, "last"))[0] for run in ("whole", "stopped"))
    assert whole["model.started"] == 1 and whole.get("model.active", torch.ones(1)).all()
    assert whole.keys() == stopped.keys() and all(whole[k].equal(stopped[k]) for k in whole)


def test_gmvae_sums_over_the_clusters() -> None:
    torch.manual_seed(0)
    model = build(few("gmvae", beta=0.5), (1, 28, 28)).eval()
    assert isinstance(model, GMVAE)
    x = torch.rand(3, 1, 28, 28)
    torch.manual_seed(1)
    terms = model.terms(model, x, {})
    torch.manual_seed(1)
    q = model.encode(x, sample=True)
    sums = torch.zeros(3)  # reconstruction, KL of the cluster, KL of the code
    for y in range(4):
        weight = q.log_y[:, y].exp()
        code = Normal(q.code.loc[:, y], q.code.scale[:, y])
        prior = Normal(model.means[y], (model.log_variances[y] / 2).exp())
        errors = bce(model.canonical(q.z[:, y], q.z[:, y, :0]), x)
        parts = errors, (weight * 4).log(), kl_divergence(code, prior).sum(-1)
        sums = sums + torch.stack([(weight * part).mean() for part in parts])
    found = torch.stack([terms.reconstruction, terms.kl_cluster, terms.kl_variation])
    assert found.allclose(sums, rtol=1e-4, atol=1e-5)
    kl = terms.kl_cluster + terms.kl_variation
    assert terms.negative_elbo.allclose(terms.reconstruction + kl)
    assert terms.loss.allclose(terms.reconstruction + 0.5 * kl)
    out = model(x, sample=False)
    likeliest = out.responsibilities.argmax(-1)
    assert out.z_c.equal(torch.stack([out.posterior.z[i, y] for i, y in enumerate(likeliest)]))


def halves() -> tuple[torch.Tensor, torch.Tensor]:
    """64 images, white on the left or on the right, and which of both each of them is."""
    kind = torch.arange(64) % 2
    x = torch.zeros(64, 1, 28, 28)
    x[kind == 0, :, :, :14] = 1
    x[kind == 1, :, :, 14:] = 1
    return x, kind


@pytest.mark.parametrize("seed", [0, 1])
def test_gmvae_separates_two_kinds_of_images(seed: int) -> None:
    torch.manual_seed(seed)
    model = build(few("gmvae", clusters=2, code=2), (1, 28, 28)).train()
    x, kind = halves()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        noisy = (x - 0.2 * torch.rand_like(x)).abs()
        optimizer.zero_grad()
        model.terms(model, noisy, {}).loss.backward()
        optimizer.step()
    found = model.eval()(x, sample=False).responsibilities.argmax(-1)
    assert found.equal(kind) or found.equal(1 - kind)


def test_vamp_prior_is_the_mixture_of_posteriors_of_pseudo_inputs() -> None:
    torch.manual_seed(0)
    config = few("vamp-prior", code=3)
    model = build(config, (1, 28, 28)).eval()
    assert isinstance(model, VampPrior)
    pixels = torch.randint(256, (20, 1, 28, 28), dtype=torch.uint8)
    teacher = model.teacher(planned(config, len(pixels)), pixels)
    assert teacher.prepare(0, 2) and not teacher.prepare(1, 2)
    shown = (255 * model.pseudo_inputs).round().to(torch.uint8)
    assert all((pixels == one).flatten(1).all(1).any() for one in shown)
    out = model(torch.rand(4, 1, 28, 28), sample=True)
    q = model.encode(model.pseudo_inputs)
    prior = MixtureSameFamily(Categorical(torch.ones(4)), Independent(q, 1))
    kl = out.posterior.log_prob(out.z_c).sum(-1) - prior.log_prob(out.z_c)
    assert model.divergences(out)[0].allclose(kl.mean(), atol=1e-4)
    joint = Independent(q, 1).log_prob(out.z_c[:, None]).exp()
    assert out.responsibilities.allclose(joint / joint.sum(-1, keepdim=True), atol=1e-5)
    (gradient,) = torch.autograd.grad(model.divergences(out)[0], model.pseudo_inputs)
    assert gradient.abs().sum() > 0


def test_n2d_sorts_the_codes_once_and_new_images_by_their_nearest_codes() -> None:
    torch.manual_seed(0)
    config = few("n2d", clusters=2, epochs=10)
    x, kind = halves()
    noisy = (x - 0.2 * torch.rand_like(x)).abs()
    pixels = to_bytes(noisy)
    model = build(config, (1, 28, 28)).eval()
    assert isinstance(model, N2D)
    assert model(x).responsibilities.allclose(torch.tensor(0.5))
    teacher = model.teacher(planned(config, len(pixels)), pixels)
    assert [bool(teacher.prepare(epoch, 10)) for epoch in range(8, 11)] == [False, True, False]
    found = model(x).responsibilities.argmax(-1)
    assert found.equal(kind) or found.equal(1 - kind)
    with torch.no_grad():
        for weights in model.encoder.parameters():
            weights.mul_(-1)
    out = model(x)
    assert out.responsibilities.argmax(-1).equal(found)  # the networks of that epoch are kept
    assert not out.z_c.allclose(model.reader(x.flatten(1)))
    with pytest.raises(UserError, match="1 training images cannot make 2 clusters"):
        model.sort(pixels[:1], seed=0)


def test_iic_measures_the_information_that_two_clusterings_share() -> None:
    torch.manual_seed(0)
    sure = torch.eye(4).repeat(25, 1)[:, None]
    assert information(sure, sure).allclose(torch.tensor(4.0).log())
    assert information(sure, sure.roll(1, -1)).allclose(torch.tensor(4.0).log() / 2, atol=1e-5)
    assert information(sure, torch.full_like(sure, 0.25)).abs() < 1e-5
    one, other = (torch.randn(200, 3, 4).softmax(-1) for _ in range(2))
    joint = torch.einsum("bi,bj->ij", one[:, 1], other[:, 1]) / 200
    joint = (joint + joint.T) / 2
    alone, both = (Categorical(p).entropy() for p in (joint.sum(0), joint.flatten()))
    assert information(one, other)[1].allclose(2 * alone - both, atol=1e-5)


def test_iic_trains_its_heads_in_turn_and_finds_two_kinds() -> None:
    torch.manual_seed(0)
    config = few("iic", clusters=2, rotation=20.0, shift=0.05)
    x, kind = halves()
    pixels = to_bytes(x)
    model = build(config, (1, 28, 28)).train()
    assert isinstance(model, IIC)
    teacher = model.teacher(planned(config, len(pixels)), pixels)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(6):
        assert teacher.prepare(epoch, 6) and model.training
        for _ in range(5):
            optimizer.zero_grad()
            model.terms(model, x, {}).loss.backward()
            idle, busy = (model.few, model.many) if epoch % 3 == 2 else (model.many, model.few)
            assert not idle.weight.grad.any() and busy.weight.grad.any()
            optimizer.step()
    teacher.prepare(6, 6)
    out = model.eval()(x)
    found = out.responsibilities.argmax(-1)
    assert found.equal(kind) or found.equal(1 - kind)
    assert out.reconstruction.allclose(x, atol=0.02)  # the mean of the images of the cluster
    noise = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    first, same, other = (model.transformed(x, one) for one in noise)
    assert first.equal(same) and not first.equal(other) and not first.equal(x)


def test_aet_tells_how_an_image_was_moved() -> None:
    torch.manual_seed(0)
    config = few("aet", hidden=64, rotation=40.0, shift=0.1)
    model = build(config, (1, 28, 28)).train()
    assert isinstance(model, AET)
    x = torch.zeros(32, 1, 28, 28)
    x[:, :, 6:22, 13:16], x[:, :, 6:9, 13:22] = 1.0, 1.0  # a hook
    pixels = to_bytes(x)
    assert model.teacher(planned(config, len(pixels)), pixels).prepare(0, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(80):
        optimizer.zero_grad()
        terms = model.terms(model, x, {})
        terms.loss.backward()
        optimizer.step()
        errors.append(terms.reconstruction.item())
    reach = torch.tensor(config.support.half_widths(model.group))
    moves = model.group.sample(1000, reach.tolist())[:, :2] * torch.tensor([1.0, 1.0, 2.0])
    guess = moves.flatten(1).var(0).sum().item()  # of one who sees no image
    assert sum(errors[-10:]) / 10 < 0.4 * guess
    out = model.eval()(x)
    assert out.reconstruction.allclose(x, atol=0.02) and out.responsibilities.equal(
        torch.ones(32, 1)
    )
