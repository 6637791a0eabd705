"""Clusters and poses of images that are mostly noise: class averages, fitted by EM.

A single image in strong noise says little about its neighbours, but an average of a hundred is
clear. So each image is compared with averages instead:

    p(x) = sum_k p_k sum_(r, s) p(r, s) N(x; T_s R_r F^m a_k, noise I),

over clusters k, rotations r inside the support, shifts s, and mirror images m if they are allowed.
The posterior over all of these is exact, because all of them are tried (Sigworth, "A maximum-
likelihood approach to single-particle image refinement", 1998; Scheres et al., "Maximum-likelihood
multi-reference refinement for electron microscopy images", 2005; Frey and Jojic, 2003).

EM from a poor start mixes kinds for good. So it starts with more pieces than clusters, and the two
pieces whose averages lose least are then joined, again and again (Ward, "Hierarchical grouping to
optimize an objective function", 1963), each in the best pose of one onto the other.

The model has one picture for each cluster. So it is right where noise hides all else, and only
there. Noise is read from the images: second differences along both axes leave little of a picture,
but all of the noise (Immerkaer, "Fast noise variance estimation", 1996).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from mcevae.geometry.groups import SE2, SO2, within, wrapped
from mcevae.geometry.warp import side, warp
from mcevae.teaching.rings import Track

SIDE = 32
"""Most pixels along a side: whole pixels are averaged until images have so many."""
NOISY = 2.0
"""Images with a lower signal-to-noise ratio than this, at `SIDE`, are mostly noise."""
JUDGED = 2000
"""Images by which noise is measured: the first so many."""
MEDIAN = 0.4549
"""Median of the square of a standard normal number."""
RADIUS = 0.47
"""Radius of the disc inside which pixels belong to an average, image sides."""
COARSE, FINE = 24, 72
"""Rotations of the whole circle that are tried: while averages form, and for the poses."""
GRID = 2
"""Shifts that are tried lie on a square grid, up to this many steps from the middle."""
BATCH = 1500
"""Images in a step of EM."""
STEPS, LAST = 9, 5
"""Steps of EM before and after pieces are joined."""
HEATED, WARM = 0.3, 6
"""The first inverse noise is this share of the true one, which it reaches after so many steps."""
NUMBERS = 2**24
"""Floats of one chunk of posteriors, 64 MiB."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where N images lie: image n is T(shift) R(angle) F^mirrored of the average of its cluster.

    Attributes:
        cluster: (N,), 0 to K - 1.
        angle: (N,), radians.
        shift: (N, 2), image sides, x right and y down.
        mirrored: (N,), whether a mirror image, left for right, comes first.
    """

    cluster: Int[Tensor, " n"]
    angle: Float[Tensor, " n"]
    shift: Float[Tensor, "n 2"]
    mirrored: Bool[Tensor, " n"]


@dataclass(frozen=True, kw_only=True)
class Averages:
    """K class averages.

    Attributes:
        pictures: (K, C, h, w), differences from the background.
        shares: (K,), share of the images in each; sums to 1.
    """

    pictures: Float[Tensor, "k c h w"]
    shares: Float[Tensor, " k"]


def pooled(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Average whole pixels until sides have at most `SIDE`. White noise stays white."""
    factor = -(-max(images.shape[2:]) // SIDE)
    return F.avg_pool2d(images, factor) if factor > 1 else images


def noise_variance(images: Float[Tensor, "n c h w"]) -> float:
    """Variance of white noise in the pixels, from the median of squared second differences."""
    if min(images.shape[2:]) < 3:
        return 0.0
    step = images.new_tensor([1.0, -2.0, 1.0])
    kernel = (step[:, None] * step).expand(images.shape[1], 1, 3, 3)
    curved = F.conv2d(images, kernel, groups=images.shape[1])
    return curved.square().median().item() / (MEDIAN * kernel[0].square().sum().item())


def mostly_noise(images: Float[Tensor, "n c h w"]) -> bool:
    """Whether white noise hides most of what images show. Needs images as `pooled` gives them."""
    return images.var().item() < (1 + NOISY) * noise_variance(images)


class ClassAverages:
    """Fits averages to images that are mostly noise, and places the images on them.

    Args:
        images: (N, C, h, w) differences from their background, as `pooled` gives them.
        half_width: half-width of the support of rotations, radians.
        reach: half-width of the support of shifts, image sides.
        mirror: whether images may be mirrored.
        seed: seed of the images in each step.
        track: wraps the list of steps, to show progress.
    """

    def __init__(
        self,
        images: Float[Tensor, "n c h w"],
        *,
        half_width: float,
        reach: float,
        mirror: bool = False,
        seed: int = 0,
        track: Track = iter,
    ) -> None:
        self.images, self.half_width, self.mirror, self.track = images, half_width, mirror, track
        self.generator = Generator().manual_seed(seed)
        self.noise = noise_variance(images)
        height, width = images.shape[2:]
        self.unit = side(height, width)
        down, across = (
            (torch.arange(n, device=images.device) - (n - 1) / 2) / self.unit
            for n in (height, width)
        )
        self.disc = down[:, None] ** 2 + across**2 < RADIUS**2
        self.spacing = max(1, round(reach * self.unit / GRID)) if reach > 0 else 0
        self.centre = torch.zeros(len(images), 2, dtype=torch.long, device=images.device)

    def fit(
        self, labels: Int[Tensor, " m"], element: Float[Tensor, "m 3 3"], k: int
    ) -> tuple[Averages, Placed]:
        """Fit K averages, and find the cluster and the pose of each image.

        Args:
            labels: first piece of each of the first images, from 0.
            element: their first poses, each in the frame of its piece.
            k: K, at most the number of pieces.
        """
        back = warp(self.images[: len(labels)], SE2().inverse(element))
        sizes = labels.bincount()
        pictures = torch.stack([back[labels == piece].mean(0) for piece in range(len(sizes))])
        found = Averages(pictures=pictures, shares=sizes / len(labels))
        for step in self.track(range(STEPS + LAST)):
            if step == STEPS:
                found = self.joined(found, k)
            if step >= STEPS and self.spacing > 1:
                self._centre(found)
            heat = min(1.0, HEATED ** (1 - step / WARM))
            found = self._step(found, heat / self.noise)
        return found, self.place(found)

    def _centre(self, found: Averages) -> None:
        """Move each image to where it was found, and search on a finer grid from there."""
        placed = self.place(found)
        move = (placed.shift * self.unit).round().long() - self.centre
        self.centre += move
        height, width = self.images.shape[2:]
        row, column = (torch.arange(n, device=move.device) for n in (height, width))
        rows = (row + move[:, 1:]).remainder(height)[:, None, :, None]
        columns = (column + move[:, :1]).remainder(width)[:, None, None, :]
        every = torch.arange(len(move), device=move.device)[:, None, None, None]
        channels = torch.arange(self.images.shape[1], device=move.device)[:, None, None]
        self.images = self.images[every, channels, rows, columns]
        self.spacing = max(1, self.spacing // 2)

    @property
    def moves(self) -> list[tuple[int, int]]:
        """Shifts that are tried, in pixels: x and y."""
        line = range(-GRID, GRID + 1) if self.spacing else range(1)
        return [
            (self.spacing * x, self.spacing * y)
            for x in line
            for y in line
            if x * x + y * y <= GRID**2
        ]

    def _angles(self, count: int) -> Float[Tensor, " r"]:
        """Rotations inside the support, of so many on the whole circle."""
        step = 2 * math.pi / count
        angles = wrapped(torch.arange(count, device=self.images.device) * step)
        return angles[within(angles, self.half_width, step)]

    def _seen(self, images: Tensor) -> Float[Tensor, "... numbers"]:
        """The pixels inside the disc."""
        return images[..., self.disc].flatten(-2)

    def _unseen(self, numbers: Tensor) -> Float[Tensor, "... c h w"]:
        """Put the pixels of `_seen` back; there is nothing outside the disc."""
        channels = self.images.shape[1]
        images = numbers.new_zeros(*numbers.shape[:-1], channels, *self.disc.shape)
        images[..., self.disc] = numbers.unflatten(-1, (channels, -1))
        return images

    def _bank(self, pictures: Tensor, angles: Tensor) -> Float[Tensor, "signs k r moves numbers"]:
        """All averages in all poses: mirrored or not, turned, then shifted."""
        signs = torch.stack([pictures, pictures.flip(-1)][: 1 + self.mirror])
        every = signs.flatten(0, 1).repeat_interleave(len(angles), 0)
        turn = SO2().from_parameters(angles.repeat(len(every) // len(angles))[:, None])
        turned = warp(every, turn)
        moved = torch.stack([turned.roll((y, x), (2, 3)) for x, y in self.moves], 1)
        return self._seen(moved).view(*signs.shape[:2], len(angles), len(self.moves), -1)

    def _posterior(
        self, images: Tensor, bank: Tensor, shares: Tensor, precision: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give images as `_seen`, and the probabilities of all hypotheses, part by part.

        Args:
            images: (N, C, h, w).
            bank: as `_bank` gives it.
            shares: (K,) of the averages.
            precision: inverse variance of the noise.
        """
        flat = bank.flatten(0, 3)
        prior = shares.log()[None, :, None, None].expand(bank.shape[:4]).flatten()
        constant = prior - precision / 2 * flat.square().sum(1)
        for x in self._seen(images).split(max(1, NUMBERS // len(flat))):
            yield x, torch.addmm(constant, x, flat.T, alpha=precision).softmax(1)

    def _step(self, now: Averages, precision: float) -> Averages:
        """Make each average the mean of its images, moved back. A random part of them is used."""
        chosen = torch.randperm(len(self.images), generator=self.generator)[:BATCH]
        images = self.images[chosen.to(self.images.device)]
        angles = self._angles(COARSE)
        bank = self._bank(now.pictures, angles)
        sums, counts = torch.zeros_like(bank).flatten(0, 3), bank.new_zeros(bank.shape[:4])
        for x, posterior in self._posterior(images, bank, now.shares, precision):
            sums.addmm_(posterior.T, x)
            counts += posterior.sum(0).view_as(counts)
        parts = self._unseen(sums.view_as(bank)).unbind(3)
        total = torch.stack(
            [part.roll((-y, -x), (-2, -1)) for part, (x, y) in zip(parts, self.moves, strict=True)]
        ).sum(0)  # (signs, K, R, C, h, w)
        turns = angles.repeat(total.shape[0] * total.shape[1])
        back = warp(total.flatten(0, 2), SO2().from_parameters(-turns[:, None]))
        back = back.view_as(total).sum(2)
        mean = back[0] + (back[1].flip(-1) if self.mirror else 0)
        sizes = counts.sum((0, 2, 3))
        return Averages(
            pictures=mean / sizes.clamp_min(1)[:, None, None, None],
            shares=F.normalize(sizes + 1, p=1, dim=0),  # no average dies out
        )

    def joined(self, found: Averages, k: int) -> Averages:
        """Join the two averages that lose least, until K are left.

        Args:
            found: averages.
            k: K.
        """
        angles = self._angles(COARSE)
        while len(found.shares) > k:
            pictures, shares = found.pictures.clone(), found.shares.clone()
            own = self._seen(pictures)
            bank = self._bank(pictures, angles).transpose(0, 1).flatten(1, 3)  # (M, poses, numbers)
            likeness, pose = (bank @ own.T).max(1)  # of a moved average with another, (M, M)
            norm = own.square().sum(1)
            apart = (norm[:, None] + norm - 2 * likeness).clamp_min(0)
            loss = apart * (shares[:, None] * shares / (shares[:, None] + shares))
            other, one = divmod(int(loss.fill_diagonal_(math.inf).argmin()), len(shares))
            moved = self._unseen(bank[other, pose[other, one]])
            part = shares[one] / (shares[one] + shares[other])
            pictures[one] = part * pictures[one] + (1 - part) * moved
            shares[one] += shares[other]
            rest = torch.arange(len(shares), device=shares.device) != other
            found = replace(found, pictures=pictures[rest], shares=shares[rest])
        return found

    def place(self, found: Averages) -> Placed:
        """Find the likeliest cluster of each image, and its likeliest pose there.

        Args:
            found: the averages.
        """
        angles = self._angles(FINE)
        bank = self._bank(found.pictures, angles)
        moves = torch.tensor(self.moves, device=self.images.device)
        parts = []
        for _, joint in self._posterior(self.images, bank, found.shares, 1 / self.noise):
            joint = joint.view(-1, *bank.shape[:4])
            cluster = joint.sum((1, 3, 4)).argmax(1)
            rows = torch.arange(len(joint), device=joint.device)
            own = joint[rows, :, cluster].flatten(1).argmax(1)
            own, move = own // len(moves), own % len(moves)
            parts.append((cluster, angles[own % len(angles)], moves[move], own >= len(angles)))
        cluster, angle, move, mirrored = (torch.cat(part) for part in zip(*parts, strict=True))
        shift = (self.centre + move) / self.unit
        return Placed(cluster=cluster, angle=angle, shift=shift, mirrored=mirrored)
