"""Content moves the way the group element says, in true pixel geometry."""

import math

import jaxtyping
import pytest
import torch
from torch.testing import assert_close

from mcevae.geometry.groups import SE2, SIM2, Aff2
from mcevae.geometry.warp import side, warp

MODES = ["bilinear", "bicubic"]
every_mode = pytest.mark.parametrize("mode", MODES)


def move(rotation_deg=0.0, x=0.0, y=0.0, dtype=torch.float32):
    """One element of SE(2), as a batch of one."""
    return SE2().from_parameters(torch.tensor([[math.radians(rotation_deg), x, y]], dtype=dtype))


def dot(height, width, row, column):
    image = torch.zeros(1, 1, height, width)
    image[0, 0, row, column] = 1.0
    return image


def blobs(height, width, *centres, sigma=0.07, dtype=torch.float64):
    """Smooth spots at points (x, y), in sides from the centre."""
    unit = side(height, width)
    y = ((torch.arange(height, dtype=dtype) + 0.5 - height / 2) / unit)[:, None]
    x = ((torch.arange(width, dtype=dtype) + 0.5 - width / 2) / unit)[None, :]
    spots = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) for a, b in centres]
    return torch.stack(spots).sum(0)[None, None]


# --- direction ------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("element", "row", "column"),
    [
        (move(), 4, 6),
        (move(x=2 / 9), 4, 8),  # +x is to the right
        (move(y=3 / 9), 7, 6),  # +y is down
        (move(rotation_deg=90), 6, 4),  # right of the centre goes below it
        (move(rotation_deg=180), 4, 2),
        (move(rotation_deg=90, x=1 / 9), 6, 5),  # the shift says where the centre lands
    ],
)
def test_a_pixel_moves_the_way_the_element_says(mode, element, row, column):
    moved = warp(dot(9, 9, row=4, column=6), element, mode=mode)
    assert_close(moved, dot(9, 9, row, column), atol=1e-5, rtol=0)


def test_scaling_up_makes_content_larger():
    double = SIM2().from_parameters(torch.tensor([[0.0, 0.0, 0.0, math.log(2)]]))
    square = torch.zeros(1, 1, 16, 16)
    square[..., 6:10, 6:10] = 1
    assert_close(warp(square, double).sum(), 4 * square.sum(), atol=0, rtol=0.1)


@every_mode
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_quarter_turns_are_exact(mode, size, quarters):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    turned = warp(images, move(rotation_deg=90 * quarters), mode=mode)
    assert_close(turned, images.rot90(-quarters, dims=(-2, -1)), atol=1e-5, rtol=0)


# --- geometry of images that are not square -------------------------------------------------------


def test_side_is_the_longer_one():
    assert side(20, 40) == side(40, 20) == 40


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20), (21, 40)])
@pytest.mark.parametrize("rotation_deg", [30.0, 90.0, -45.0])
def test_rotation_keeps_the_distance_of_two_dots(height, width, rotation_deg):
    dots = [(0.15, 0.05), (-0.15, -0.05)]
    found = []
    for centre in dots:
        moved = warp(blobs(height, width, centre, sigma=0.03), move(rotation_deg).double())[0, 0]
        rows = torch.arange(height, dtype=moved.dtype) + 0.5 - height / 2
        columns = torch.arange(width, dtype=moved.dtype) + 0.5 - width / 2
        mass = moved.sum()
        found.append(torch.stack([(moved.sum(0) @ columns), (moved.sum(1) @ rows)]) / mass)
    expected = SE2().act(move(rotation_deg).double(), torch.tensor([dots], dtype=torch.float64))
    assert_close(torch.stack(found), expected[0] * side(height, width), atol=0.05, rtol=0)
    apart = torch.dist(found[0], found[1]).item()
    assert apart == pytest.approx(math.hypot(0.3, 0.1) * 40, abs=0.1)


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20)])
def test_shifts_are_in_the_longer_side(height, width):
    moved = warp(dot(height, width, row=10, column=10), move(x=0.125, y=-0.05))
    assert_close(moved, dot(height, width, row=8, column=15), atol=1e-4, rtol=0)


# --- group structure ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "error"), [("bilinear", 0.05), ("bicubic", 0.03)])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 60)])
def test_composition_and_inverse(mode, error, height, width):
    image = blobs(height, width, (0.1, 0.05), (-0.1, 0.0))
    a = Aff2().from_parameters(torch.tensor([[0.7, 0.05, -0.03, 0.1, 0.05, -0.1]]).double())
    b = Aff2().from_parameters(torch.tensor([[-1.9, -0.02, 0.04, -0.1, 0.1, 0.05]]).double())
    twice = warp(warp(image, b, mode=mode), a, mode=mode)
    once = warp(image, Aff2().compose(a, b), mode=mode)
    assert_close(twice, once, atol=error, rtol=0)
    back = warp(warp(image, a, mode=mode), Aff2().inverse(a), mode=mode)
    assert_close(back, image, atol=error, rtol=0)


# --- channels, background, batches, precision -----------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 5])
@every_mode
def test_channels_move_alike_and_alone(channels, mode):
    images = torch.rand(2, channels, 12, 10)
    M = SE2().sample(2, SE2().support())
    together = warp(images, M, mode=mode)
    assert together.shape == images.shape
    for channel in range(channels):
        alone = warp(images[:, channel : channel + 1], M, mode=mode)
        assert_close(together[:, channel : channel + 1], alone)


@every_mode
def test_background(mode):
    images = torch.full((1, 2, 8, 8), 0.5)
    away = move(x=3.0)
    assert_close(warp(images, away, mode=mode, background=0.7), torch.full_like(images, 0.7))
    colours = warp(images, away, mode=mode, background=torch.tensor([0.1, 0.9]))
    assert_close(colours[0, :, 0, 0], torch.tensor([0.1, 0.9]))
    # An image of one value on a background of that value stays as it is.
    kept = warp(images, move(rotation_deg=33, x=0.1), mode=mode, background=0.5)
    assert_close(kept, images)


def test_one_image_or_one_element_serves_a_batch():
    images, M = torch.rand(4, 1, 8, 8), SE2().sample(4, SE2().support())
    one_image = warp(images[:1], M)
    one_element = warp(images, M[:1])
    assert one_image.shape == one_element.shape == images.shape
    assert_close(one_image[2:3], warp(images[:1], M[2:3]))
    assert_close(one_element[2:3], warp(images[2:3], M[:1]))


def test_precision_is_float32_or_better():
    images, M = torch.rand(2, 1, 8, 8), SE2().sample(2, SE2().support())
    plain = warp(images, M)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp(images, M), plain)
    assert warp(images.bfloat16(), M).dtype == torch.float32
    assert warp(images.bfloat16(), M.bfloat16()).dtype == torch.float32
    assert warp(images, M.double()).dtype == torch.float64


def test_exports_with_a_free_batch_size():
    class Mover(torch.nn.Module):
        def forward(self, images, tau):
            return warp(images, SE2().exp(tau))

    images, tau = torch.rand(4, 1, 8, 8), torch.rand(4, 3)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        Mover(), (images, tau), dynamic_shapes=({0: batch}, {0: batch})
    ).module()
    assert_close(exported(images[:3], tau[:3]), Mover()(images[:3], tau[:3]))


@pytest.mark.parametrize(
    ("images", "M", "message"),
    [
        (torch.zeros(8, 8), torch.eye(3)[None], r"Images must have shape.*\(8, 8\)"),
        (torch.zeros(1, 1, 8, 8), torch.eye(3), r"Elements must have shape.*\(3, 3\)"),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 3), "Elements must have shape"),
        (torch.zeros(2, 1, 8, 8), torch.eye(3).repeat(3, 1, 1), "2 images cannot be moved by 3"),
    ],
)
def test_wrong_shapes(images, M, message, monkeypatch):
    # Users run without the check of signatures that tests may switch on.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        warp(images, M)


def test_wrong_background():
    with pytest.raises(ValueError, match="2 values for images of 3 channels"):
        warp(torch.zeros(1, 3, 8, 8), torch.eye(3)[None], background=torch.zeros(2))


# --- gradients ------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("group", [SE2(), SIM2(), Aff2()], ids=lambda group: group.name)
def test_gradient_with_respect_to_tau(mode, group):
    image = blobs(12, 16, (0.1, 0.05), (-0.1, 0.0))
    tau = torch.tensor([[0.3, 0.051, -0.032, 0.1, 0.05, -0.1]], dtype=torch.float64)
    tau = tau[:, : group.dim].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda tau: warp(image, group.exp(tau), mode=mode), tau, eps=1e-7, atol=1e-5
    )


def test_gradient_points_towards_the_true_pose():
    image = blobs(32, 32, (0.15, 0.0), (-0.05, 0.1), dtype=torch.float32)
    target = warp(image, move(rotation_deg=20, x=0.05))
    tau = torch.zeros(1, 3, requires_grad=True)
    ((warp(image, SE2().exp(tau)) - target) ** 2).sum().backward()
    assert tau.grad is not None and tau.grad[0, 0] < 0 and tau.grad[0, 1] < 0
