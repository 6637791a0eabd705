"""Peers: all keep the contract and learn; and each is what its paper says it is."""

import dataclasses
from pathlib import Path

import pytest
import torch

from mcevae.baselines import PEERS
from mcevae.build import build
from mcevae.checkpoint import load_model
from mcevae.config import PRESETS, Config, DataConfig
from mcevae.data import Splits
from mcevae.metrics import evaluate
from mcevae.train import fit, read_log

from .conftest import changed

ALL = pytest.mark.parametrize("kind", list(PEERS))
SMALL = {"channels": (4, 8, 8, 8), "hidden": 32, "pose_hidden": 16, "decoder_hidden": 32}


def few(kind: str, **changes: object) -> Config:
    """A peer's preset that trains in seconds."""
    config = dataclasses.replace(PRESETS[kind](), data=DataConfig(source="mnist-mini", limit=400))
    sizes = {name: value for name, value in SMALL.items() if name != "pose_hidden"}
    return changed(config, sizes | {"epochs": 6, "batch_size": 50, "clusters": 4} | changes)


@ALL
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 41)])
def test_every_peer_keeps_the_contract(kind: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
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
    config = few(kind, lr=5e-3)
    assert fit(config, small_data, tmp_path / "run")
    errors = [r["reconstruction"] for r in read_log(tmp_path / "run") if r["split"] == "train"]
    assert errors[-1] < 0.8 * errors[0]
    model, found, _ = load_model(tmp_path / "run")
    assert found == config
    scores = evaluate(model, config, small_data)
    assert {"bce", "kmeans_accuracy", "rotation_error_median"} <= set(scores)


def test_beta_weighs_the_divergence(small_data: Splits) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 28, 28)
    for kind, beta in (("vae", 1.0), ("beta-vae", 2.0)):
        model = build(few(kind), (1, 28, 28)).train()
        terms = model.terms(model, x, {})
        assert terms.loss.allclose(terms.reconstruction + beta * terms.kl_cluster)
        assert terms.negative_elbo.allclose(terms.reconstruction + terms.kl_cluster)
