"""Shapes, devices, and what the pieces of the model promise each other."""

from pathlib import Path

import pytest
import torch

from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.loading import load
from mcevae.models.config import PRESETS, ModelConfig
from mcevae.models.objective import Objective
from mcevae.models.paper import PaperModel
from mcevae.models.registry import build
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit
from tests.sizes import tiny

SHAPES = [(1, 16, 16), (1, 28, 28), (3, 20, 41), (3, 64, 48), (1, 256, 256)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("group", ["so2", "se2", "sim2", "aff2"])
def test_any_size_channels_and_batch(shape: tuple[int, int, int], batch: int, group: str) -> None:
    config = tiny(group=group)
    model = build(config, shape).eval()
    out = model(torch.rand(batch, *shape))
    assert out.canonical.shape == out.reconstruction.shape == (batch, *shape)
    assert out.z_c.shape == out.responsibilities.shape == (batch, config.model.clusters)
    assert out.z.shape == (batch, config.model.variation)
    assert out.tau.shape == (batch, model.group.dim)
    assert out.element.shape == (batch, 3, 3)
    assert out.canonical.min() >= 0 and out.canonical.max() <= 1
    assert out.responsibilities.sum(-1).allclose(torch.ones(batch))


def test_reconstruction_is_the_canonical_image_moved(model: PaperModel) -> None:
    out = model(torch.rand(4, 1, 28, 28))
    assert out.canonical.equal(model.canonical(out.z_c, out.z))
    assert out.element.equal(model.group.exp(out.tau))
    assert out.reconstruction.equal(warp(out.canonical, out.element))
    assert out.reconstruction.equal(model.decode(out.z_c, out.z, out.tau))


def test_evaluation_is_deterministic_and_does_not_depend_on_the_batch(model: PaperModel) -> None:
    x = torch.rand(6, 1, 28, 28)
    whole = model(x)
    assert model(x).reconstruction.equal(whole.reconstruction)
    for i in range(6):
        assert model(x[i : i + 1]).tau.allclose(whole.tau[i : i + 1], atol=1e-5)


def test_training_draws_by_eq_17(model: PaperModel) -> None:
    x = torch.rand(2, 1, 28, 28)
    q = model.encode(x).cluster
    draws = model(x.repeat(2000, 1, 1, 1), sample=True).z_c.unflatten(0, (2000, 2))
    assert draws.mean(0).allclose(q.loc, atol=5 * q.scale.max().item() / 2000**0.5)
    assert draws.std(0).allclose(q.scale, rtol=0.1)


def test_double_precision(model: PaperModel) -> None:
    out = model.double()(torch.rand(2, 1, 28, 28, dtype=torch.float64))
    assert out.reconstruction.dtype == out.tau.dtype == torch.float64


def test_nothing_is_made_on_another_device_or_read_by_the_host() -> None:
    """The meta device has no values: reading one, or mixing in a CPU tensor, raises."""
    config = tiny(draws=3)
    model = build(config, (1, 28, 28)).to("meta")
    x = torch.rand(4, 1, 28, 28, device="meta")
    objective = Objective(config.objective, model.group, config.support.half_widths(model.group))
    assert model(x).reconstruction.device.type == "meta"
    assert objective(model, model, x).loss.device.type == "meta"


def test_autocast_keeps_poses_in_full_precision(model: PaperModel) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(torch.rand(2, 1, 28, 28))
    assert out.tau.dtype == out.element.dtype == out.reconstruction.dtype == torch.float32


def test_pose_prior_is_in_the_units_of_the_support() -> None:
    model = build(tiny(rotation=90.0, shift=0.25), (1, 28, 28))
    uniform = torch.rand(200_000) * 2 - 1
    expected = torch.tensor([torch.pi / 2, 0.25, 0.25]) * uniform.std()
    assert model.pose.scale.allclose(expected, rtol=0.01)


def test_ablation_has_one_cluster(model: PaperModel) -> None:
    plain = build(tiny(latent="gaussian"), (1, 28, 28))
    assert plain(torch.rand(3, 1, 28, 28)).responsibilities.shape == (3, 1)
    q = plain.encode(torch.rand(3, 1, 28, 28)).cluster
    expected = 0.5 * (q.loc**2 + q.scale**2 - 1 - 2 * q.scale.log()).sum(-1)
    assert plain.cluster.kl(q).allclose(expected, atol=1e-5)


def test_background_fills_what_moves_in() -> None:
    model = build(tiny(background=1.0), (1, 28, 28))
    far = torch.tensor([[0.0, 3.0, 0.0]])
    assert model.decode(torch.zeros(1, 4), torch.zeros(1, 3), far).allclose(torch.ones(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 28, 33])
def test_networks_of_the_authors_take_any_image(channels: int, side: int) -> None:
    config = PRESETS["paper"]().changed(model={"networks": "authors"})
    out = build(config, (channels, side, side + 5)).eval()(torch.rand(2, channels, side, side + 5))
    assert out.reconstruction.shape == (2, channels, side, side + 5)


def test_networks_of_the_authors_have_channels_of_their_own() -> None:
    with pytest.raises(ValueError, match="filters"):
        ModelConfig(networks="authors", filters=(8, 8, 8, 8))


def test_first_poses_differ_and_are_sure() -> None:
    """Or the decoder learns images that look alike in every pose before poses are found."""
    model = build(PRESETS["paper"](), (1, 28, 28))
    x = to_float(load("mnist-mini").train.pixels[:200])
    pose = model.train().encode(x).pose
    prior = model.pose.scale
    assert (pose.loc / prior).std(0).min() > 1.3 * (pose.scale / prior).max()


def test_axes_are_found_in_a_few_hundred_steps(tmp_path: Path) -> None:
    """Some seeds take some things for upside down, so rotations count modulo half a turn."""
    train = {"epochs": 4, "batch_size": 20, "seed": 2}
    config = PRESETS["paper"]().changed(data={"limit": 1200}, train=train)
    data = prepare_for(config)
    assert fit(config, data, tmp_path)
    assert TrainedRun.open(tmp_path).scores(data)["rotation_axis"].value > 0.12  # chance: 0 ± 0.02
