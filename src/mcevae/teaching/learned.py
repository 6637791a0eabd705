"""Features that are learned from images alone, for kinds that pixels do not tell apart.

A small network learns to find the other view of an image among the views of all images in a batch
(Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual
representations", ICML 2020). A view is the image moved within the support, a little stretched and
deformed, in another contrast, blurred, and partly covered. So features describe what these changes
leave. They join the pixels in the graph (`teaching.described`). No label is read.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images.arrays import shrink, to_float
from mcevae.teaching.blur import gaussian_blur
from mcevae.teaching.rings import Track

WIDTH, CODE = 16, 64
"""Channels of the first layer, and numbers of the code by which views are compared."""
STEPS, BATCH, RATE = 2000, 256, 2e-3
"""Most steps of training, images in each, and the highest learning rate, which falls along a
cosine."""
SEEN = 100
"""Of few images there are fewer steps: each is drawn about so many times."""
TEMPERATURE = 0.2
"""Views count as alike in proportion to the exponential of their cosine divided by this."""
SHIFT, SCALE, STRAIN, ELASTIC = 0.05, 1.16, 0.1, 0.02
"""Largest moves of a view beside its rotation: as `SupportConfig` has them, and the deformation."""
DARK, BRIGHT, TINT, GAMMA = 0.4, 1.2, 0.15, 0.5
"""Contrast of a view, least and most; how far channels differ in it; largest log of its power."""
BLURRED, BLUR = 0.3, 0.03
"""Share of views that are blurred, and standard deviation of the blur in image sides."""
COVERED = 0.4
"""Longest side of the rectangle that covers a part of a view, in image sides."""
TOGETHER = 1000
"""Images whose features are read at a time."""

Moves = Callable[[int], Float[Tensor, "b 3 3"]]
"""Draws as many random moves as it is asked for."""


class Network(nn.Module):
    """Image -> features -> code.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            return [layer, nn.BatchNorm2d(after), nn.ReLU()]

        w, last = WIDTH, 4 * WIDTH
        self.features = nn.Sequential(
            *(*block(channels, w, 2), *block(w, 2 * w, 1), *block(2 * w, 2 * w, 2)),
            *(*block(2 * w, last, 1), nn.AdaptiveMaxPool2d(3), *block(last, last, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.code = nn.Sequential(
            *(nn.Linear(last, last, bias=False), nn.BatchNorm1d(last), nn.ReLU()),
            nn.Linear(last, CODE),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b code"]:
        """The code of images, of norm one."""
        return F.normalize(self.code(self.features(x)).float(), dim=1)


def moves_within(half_width: float, *, mirror: bool) -> Moves:
    """Make what draws the moves of views.

    Args:
        half_width: largest rotation either way, radians.
        mirror: whether half of them are mirror images.
    """
    group = get_group("aff2", mirror=mirror)
    turn = min(180.0, math.degrees(half_width))
    support = group.support(rotation_deg=turn, shift=SHIFT, scale=SCALE, strain=STRAIN)

    def draw(batch: int) -> Float[Tensor, "b 3 3"]:
        return group.sample(batch, support, dtype=torch.float32)

    return draw


def view(x: Float[Tensor, "b c h w"], moves: Moves) -> Float[Tensor, "b c h w"]:
    """Make a random view of each image.

    Args:
        x: differences from the background, -1 to 1.
        moves: draws the moves.
    """
    b, channels, height, width = x.shape

    def uniform(low: float, high: float, count: int = 1) -> Float[Tensor, "b count 1 1"]:
        return torch.empty(b, count, 1, 1).uniform_(low, high)

    bend = torch.randn(b, 2, 5, 5) * ELASTIC
    x = warp(x, moves(b), displacement=bend)
    tint = uniform(-TINT, TINT, channels).exp() if channels > 1 else 1.0
    power = uniform(-GAMMA, GAMMA).exp()
    x = x.sign() * (x.abs() + 1e-4) ** power * uniform(DARK, BRIGHT) * tint
    blurred = gaussian_blur(x, BLUR * max(height, width), outside="zero")
    x = torch.where(uniform(0, 1) < BLURRED, blurred, x)
    down = torch.arange(height)[:, None] / height
    across = torch.arange(width) / width
    rows = (down - uniform(0, 1)).abs() < uniform(0, COVERED) / 2
    columns = (across - uniform(0, 1)).abs() < uniform(0, COVERED) / 2
    return x.masked_fill(rows & columns, 0.0)


def contrastive_loss(
    one: Float[Tensor, "b code"], other: Float[Tensor, "b code"]
) -> Float[Tensor, ""]:
    """How hard it is to find the other view of each image among all views (NT-Xent), in nats.

    Args:
        one, other: codes of two views of each image, of norm one.
    """
    both = torch.cat([one, other])
    alike = both @ both.T / TEMPERATURE
    alike.fill_diagonal_(-torch.inf)
    own = torch.arange(len(both)).roll(len(one))
    return F.cross_entropy(alike, own)


def learned_features(
    pixels: UInt8[Tensor, "n c h w"],
    background: float,
    half_width: float,
    *,
    mirror: bool = False,
    steps: int | None = None,
    seed: int = 0,
    bfloat16: bool = False,
    track: Track = iter,
) -> Float[Tensor, "n features"]:
    """Learn features that stay the same when an image is moved, lit, blurred or partly covered.

    The network is so small that the CPU trains it, whatever else there is: a few minutes on two
    cores. Random numbers that are drawn elsewhere do not change.

    Args:
        pixels: on the CPU, with content near the centre; images above 28 pixels are shrunk.
        background: their background, 0 to 1.
        half_width: how far images may be turned either way, radians.
        mirror: whether mirror images show the same.
        steps: of training; None: at most `STEPS`, fewer for few images.
        seed: seed of the network and of the views.
        bfloat16: whether to compute in bfloat16, which is faster on some CPUs.
        track: wraps the steps, to show progress and to stop in between.
    """
    if steps is None:
        steps = min(STEPS, math.ceil(SEEN * len(pixels) / min(BATCH, len(pixels))))
    small = torch.cat([shrink(to_float(part) - background) for part in pixels.split(TOGETHER)])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU alone
        network = Network(small.shape[1])
        taught(network, small, moves_within(half_width, mirror=mirror), steps, bfloat16, track)
    network.eval()
    with torch.no_grad():
        return torch.cat([network.features(part) for part in small.split(TOGETHER)])


def taught(
    network: Network,
    small: Float[Tensor, "n c h w"],
    moves: Moves,
    steps: int,
    bfloat16: bool,
    track: Track = iter,
) -> None:
    """Train the network on views of the images; see `learned_features`."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batch = min(BATCH, len(small))
    for _ in track(range(steps)):
        some = small[torch.randperm(len(small))[:batch]]
        views = torch.cat([view(some, moves), view(some, moves)])
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            code = network(views.to(memory_format=torch.channels_last))
        loss = contrastive_loss(*code.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
