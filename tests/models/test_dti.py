"""DTI clustering: prototypes, their transforms, the curriculum, and empty clusters."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.warp import warp
from mcevae.images.splits import Splits
from mcevae.models.likelihood import squared_error
from mcevae.models.peers.dti import DTI
from mcevae.models.peers.prototypes import smooth_maximum, thin_plate
from mcevae.models.registry import build
from mcevae.training.trainer import Trainer
from tests.models.test_peers import few


def blobs() -> Tensor:
    """Smooth images, (4, 1, 28, 28), different from each other."""
    places = torch.arange(28.0) - 13.5
    across, down = places[None], places[:, None]
    made = [
        torch.exp(-(((across - x) / 5) ** 2) - ((down - y) / 3) ** 2)
        for x, y in ((-4, 0), (3, 3), (0, -5), (5, -2))
    ]
    return torch.stack(made)[:, None]


def wild(transforms: str = "affine-morphological-tps", channels: int = 1) -> DTI:
    """A DTI of four blobs whose transforms have all begun and depend on the image."""
    torch.manual_seed(0)
    model = build(few("dti", transforms=transforms), (channels, 28, 28)).eval()
    assert isinstance(model, DTI)
    model.prototypes.data.copy_(blobs().expand(-1, channels, -1, -1))
    model.active.fill_(1.0)
    for predict in model.predictors.children():
        torch.nn.init.normal_(predict.get_parameter("weights.2"), std=0.03)
    return model


def test_a_thin_plate_spline_goes_through_its_points_and_keeps_affine_maps() -> None:
    side = torch.linspace(-0.5, 0.5, 4)
    controls = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).flatten(0, 1)
    assert thin_plate(controls, 4).allclose(torch.eye(16), atol=1e-5)
    points = torch.cat([torch.rand(50, 2) - 0.5, controls])
    matrix = torch.tensor([[1.2, 0.3], [-0.4, 0.9]])
    moved = thin_plate(points, 4) @ (controls @ matrix + 0.1)
    assert moved.allclose(points @ matrix + 0.1, atol=1e-5)


def test_the_filter_makes_strokes_thicker_or_thinner_or_does_nothing() -> None:
    x = blobs().repeat(1, 2, 1, 1)  # two channels
    numbers = torch.zeros(4, 50)
    assert smooth_maximum(x, numbers, 7, 0.0).allclose(x, atol=0.1)
    numbers[:, 1:] = 10 * (torch.arange(49) % 7 - 3).abs().lt(2)  # a kernel of three columns
    for alpha, sign in ((10.0, 1), (-10.0, -1)):
        numbers[:, 0] = alpha
        assert (sign * (smooth_maximum(x, numbers, 7, 0.0) - x)).sum((1, 2, 3)).min() > 1
    numbers[:, 0], ones = 3.0, torch.ones_like(x)
    assert smooth_maximum(ones, numbers, 7, 1.0).allclose(ones)  # also where it meets the border


@pytest.mark.parametrize("transforms", ["affine-morphological-tps", "colour-affine-tps"])
def test_transforms_start_at_the_identity(transforms: str) -> None:
    model = wild(transforms)
    for predict in model.predictors.children():
        torch.nn.init.zeros_(predict.get_parameter("weights.2"))
    out = model(blobs())
    assert out.responsibilities.argmax(-1).equal(torch.arange(4))
    assert out.element.allclose(torch.eye(3), atol=1e-6)
    assert out.canonical.allclose(blobs(), atol=1e-5)
    assert out.reconstruction.allclose(blobs(), atol=0.1)


@pytest.mark.parametrize(
    ("transforms", "channels"), [("affine-morphological-tps", 1), ("colour-affine-tps", 3)]
)
def test_the_loss_is_the_least_error_over_transformed_prototypes(
    transforms: str, channels: int
) -> None:
    model, x = wild(transforms, channels), blobs()[[0, 0, 0, 1]].expand(-1, channels, -1, -1)
    x = x + torch.linspace(0, 0.05, 4)[:, None, None, None]
    with torch.no_grad():
        element, z = (one.unflatten(0, (4, 4)) for one in model.predict(x))
        each = torch.stack(
            [
                squared_error(
                    model.draw(model.prototypes[k].expand(4, -1, -1, -1), z[:, k], element[:, k]),
                    x,
                )
                for k in range(4)
            ],
            dim=1,
        )
        out = model(x)
    assert out.posterior.allclose(each, rtol=1e-4)
    assert out.responsibilities.allclose((-each).softmax(-1), atol=1e-4)
    terms = model.terms(model, x, {})
    assert terms.loss.allclose(each.amin(1).mean()) and terms.loss.equal(terms.negative_elbo)
    assert len({tuple(one.flatten().tolist()) for one in element[:, 0]}) == 4  # of each image
    terms.loss.backward()
    gradient = model.prototypes.grad
    assert gradient is not None  # a prototype that wins nothing learns nothing
    won = each.argmin(1).bincount(minlength=4) > 0
    assert (gradient.flatten(1).abs().amax(1) > 0).equal(won) and not won.all()


def test_a_canonical_image_is_moved_by_its_pose_before_the_other_transforms() -> None:
    model = wild()
    model.active[1:] = 0.0
    with torch.no_grad():
        out = model(blobs())
        moved = warp(out.canonical, out.element)
    assert (out.element - torch.eye(3)).abs().max() > 0.01
    assert moved.allclose(out.reconstruction, atol=0.05)
    assert out.z[:, :3].abs().max() > 0.01 and not out.z[:, 3:].any()


def test_the_curriculum_brings_in_transforms_and_refills_empty_prototypes(
    tmp_path: Path, small_data: Splits
) -> None:
    trainer = Trainer(few("dti", epochs=8), small_data, tmp_path)
    model, x = trainer.inner, torch.rand(4, 1, 28, 28)
    assert isinstance(model, DTI)
    said = []
    for epoch in range(6):
        trainer.position.epoch = epoch
        said.append(trainer.teach())
        if epoch == 0:
            shown = small_data.train.images.pixels / 255
            assert all((one == shown).flatten(1).all(1).any() for one in model.prototypes)
            model.prototypes.data[2] = 5.0  # wins nothing
        if epoch == 2:
            assert model.active.tolist() == [1, 0, 0]
            model.zero_grad()
            model.terms(model, x, {}).loss.backward()
            for name, p in model.predictors.named_parameters():
                assert p.grad is not None  # all devices need one
                assert name.startswith("affine") or not p.grad.any()
    assert said[0] == "4 images are the first prototypes"
    assert said[1] is not None and "prototypes 2 were empty" in said[1]
    assert said[3] is not None and said[3].endswith("transform morphological begins")
    assert said[4] is not None and said[4].endswith("transform tps begins")
    assert model.active.tolist() == [1, 1, 1] and model.training


def test_an_empty_prototype_becomes_the_commonest_one_with_its_predictors() -> None:
    model = wild()
    before = model.prototypes.detach().clone()
    noise = torch.Generator().manual_seed(0)
    assert model.reassign(torch.tensor([9, 100, 47, 7]), noise) == [3]  # the least is 163 / 20
    after = model.prototypes.detach()
    assert after[[0, 2]].equal(before[[0, 2]])
    assert after[3].allclose(before[1], atol=1e-3) and not after[3].equal(after[1])
    assert all(one[3].equal(one[1]) for one in model.predictors.parameters())
    assert model.reassign(torch.tensor([9, 9, 9, 9]), noise) == []
    with pytest.raises(UserError, match="3 training images cannot make 4 clusters"):
        model.start(torch.zeros(3, 1, 28, 28, dtype=torch.uint8), noise)
