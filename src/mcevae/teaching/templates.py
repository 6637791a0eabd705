"""Poses to start training from: templates at every angle, fitted by EM.

A network that must find poses and clusters at once settles in poor minima. The crudest model of
posed images does not: each is one of M pictures, turned by one of R angles, plus noise,

    p(x) = sum_m p_m sum_r p(r | m) N(x; R_r T_m, I / beta),

whose posterior over (m, r) is exact, by going through all of them (Frey and Jojic, "Transformation-
invariant clustering using the EM algorithm", 2003). To that we add three things.

- beta is annealed: templates are shared by many images first, and told apart later.
- p(r | m) is flat first, so that each template has a frame of its own. Then it is uniform on the
  support of the rotations about an angle g_m, which is the template's frame: a wrong g_m leaves
  images where the prior is nearly zero, so the angles alone say which way is up. A support of all
  angles says nothing.
- They do not say it of a template that half a turn brings back to itself; so frames are drawn,
  weakly, to those that make templates look alike.

Images are seen by how they differ from the background, at 28 pixels or fewer: channels averaged,
slightly blurred, of norm one, inside a disc, and, where the group can shift or scale them, with
their centroid at the centre and of one radius (`moments`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from mcevae.geometry.groups import SO2, WHOLE_CIRCLE, MatrixGroup, within, wrapped
from mcevae.geometry.moments import moments, places
from mcevae.geometry.warp import warp

LONGER_SIDE = 28  # pixels, at most: finer detail tells little of a pose
RADIUS, BLUR = 0.475, 0.025  # of the disc and of the Gaussian, image sides
CHUNK, PIECE = 2000, 100  # images whose posterior, or whose own pixels, are held at once
BATCH = 4000  # images a step sees at least, if there are as many
BETAS = (20.0, 100.0)  # first and last precision of an image of norm one
COOLING, FLAT, PLACED, LAST = 15, 4, 12, 6  # steps; the last on all images
PULL, SHARPNESS = 0.1, 15.0  # of likeness to other templates: weight per image, inverse width

Track = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Poses of N images that training starts from, in one common frame.

    Attributes:
        elements: (N, 3, 3), what moves a canonical image onto image n: radians, image sides.
        confidence: (N,), posterior probability of the likeliest template and angle, 0 to 1.
        templates: (M, 1, H, W), canonical templates, the brightest pixel of each 1.
    """

    elements: Float[Tensor, "n 3 3"]
    confidence: Float[Tensor, " n"]
    templates: Float[Tensor, "m 1 h w"]


def start_poses(
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    support: tuple[float, ...],
    *,
    templates: int = 128,
    angles: int = 36,
    seed: int = 0,
    subset: int = 20000,
    background: float = 0.0,
    track: Track = iter,
) -> Start:
    """Find a pose for every image, without labels; the work grows as subset x templates x angles.

    Args:
        pixels: (N, C, H, W), 0 to 255; the work is done on their device.
        group: of the poses; images turn about their centre where it cannot shift them.
        support: half-widths as ``group.support(...)`` gives them; that of the rotation is used.
        templates: M, at least 1; fewer where there are not 8 images for each.
        angles: R to the full turn, at least 4.
        seed: fixes the first templates and the images each step sees, and so the poses.
        subset: how many images, drawn at random, templates are fitted to; at least 1.
        background: what images are judged by their difference from, 0 to 1.
        track: wraps the list of steps, to show progress.

    Raises:
        ValueError: `support` does not fit the group, or a number is below its least.
    """
    half_width = dict(zip(group.coordinates, support, strict=True))["rotation"]
    if templates < 1 or angles < 4 or subset < 1:
        raise ValueError("templates, angles and subset must be at least 1, 4 and 1.")
    generator = Generator().manual_seed(seed)
    chosen = torch.randperm(len(pixels), generator=generator)[:subset].to(pixels.device)
    parts = [_features(pixels[some], group, background)[0] for some in chosen.split(CHUNK)]
    count = max(1, min(templates, len(chosen) // 8))
    x = torch.cat(parts)
    mixture = _Mixture(x, _disc(pixels), count, angles, half_width, generator)
    mixture.fit(x, track)
    parts = []
    for chunk in pixels.split(CHUNK):
        x, rest = _features(chunk, group, background)
        parts.append((*mixture.poses(x), rest))
    angle, confidence, rest = (torch.cat(part) for part in zip(*parts, strict=True))
    parameters = torch.cat([angle[:, None], rest], dim=1)
    shown = F.interpolate(mixture.canonical(), size=pixels.shape[2:], mode="bilinear")
    shown = shown / shown.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    moves = group.from_parameters(parameters)
    return Start(elements=moves, confidence=confidence, templates=shown)


def _small(pixels: Tensor, background: float = 0.0) -> Tensor:
    """Differences from the background, of one channel, small, 0 to 1."""
    size = pixels.shape[2:]
    shrunk = [max(1, round(n * min(1.0, LONGER_SIDE / max(size)))) for n in size]
    grey = [
        (piece.float() / 255 - background).abs().mean(1, keepdim=True)
        for piece in pixels.split(PIECE)
    ]
    return torch.cat([F.interpolate(piece, size=shrunk, mode="area") for piece in grey])


def _disc(pixels: Tensor) -> Tensor:
    """Which of the small pixels (h, w) are compared: those that keep inside a square frame."""
    across, down = places(_small(pixels[:1]))
    return across**2 + down**2 < RADIUS**2


def _features(pixels: Tensor, group: MatrixGroup, background: float) -> tuple[Tensor, Tensor]:
    """Images as the mixture sees them, (N, P), and the (N, T - 1) that they were moved back by."""
    small = _small(pixels, background)
    rest = moments(small, group)
    small = warp(small, group.inverse(group.from_parameters(F.pad(rest, (1, 0)))))
    sigma = BLUR * max(small.shape[2:])  # pixels
    reach = math.ceil(4 * sigma)
    taps = torch.arange(-reach, reach + 1, device=small.device) / sigma
    kernel = torch.softmax(-(taps**2) / 2, dim=0)
    small = F.conv2d(small, kernel.view(1, 1, 1, -1), padding=(0, reach))
    small = F.conv2d(small, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.normalize(small[:, 0, _disc(pixels)], dim=1), rest


def _log_joint(x: Tensor, bank: Tensor, log_prior: Tensor, beta: float) -> Tensor:
    """Log of p(m, r) N(x; R_r T_m, I / beta), (N, M R), up to a constant; x is of norm one."""
    return torch.addmm(log_prior - beta / 2 * bank.square().sum(1), x, bank.T, alpha=beta)


class _Mixture:
    """M templates at R angles, each with a share p_m and a frame g_m, begun as images of x (N, P).

    `disc` (h, w) says which P pixels x holds; `half_width`, radians, is of the angles' support.
    """

    def __init__(
        self,
        x: Tensor,
        disc: Tensor,
        count: int,
        angles: int,
        half_width: float,
        generator: Generator,
    ) -> None:
        self.disc, self.half_width, self.generator = disc, half_width, generator
        self.bin = 2 * math.pi / angles
        self.angles = wrapped(torch.arange(angles, device=x.device) * self.bin)
        self.templates = self._images(self._draw(x, count))
        self.shares = x.new_full((count,), 1 / count)
        self.log_angle = x.new_full((count, angles), -math.log(angles))
        self.frames = torch.zeros(count, dtype=torch.long, device=x.device)  # indices of angles

    def _draw(self, x: Tensor, count: int) -> Tensor:
        return x[torch.randperm(len(x), generator=self.generator)[:count].to(x.device)]

    def _images(self, x: Tensor) -> Tensor:
        images = x.new_zeros(len(x), 1, *self.disc.shape)
        images[:, 0, self.disc] = x
        return images

    def _turned(self, angles: Tensor) -> Tensor:
        """Templates turned by angles, (M, R) or (R,), as a bank (M R, P)."""
        angles = angles.expand(len(self.templates), -1)
        copies = self.templates.repeat_interleave(angles.shape[1], dim=0)
        return warp(copies, SO2().from_parameters(angles.reshape(-1, 1)))[:, 0, self.disc]

    def fit(self, x: Tensor, track: Track) -> None:
        """Run EM on images x (N, P): most steps on random halves, the last on all."""
        cooling = [BETAS[0] * (BETAS[1] / BETAS[0]) ** (i / (COOLING - 1)) for i in range(COOLING)]
        half = min(len(x), max(BATCH, len(x) // 2))
        for step in track(range(COOLING + FLAT + PLACED + LAST)):
            placed = step - COOLING - FLAT
            beta = cooling[min(step, COOLING - 1)]
            batch = self._draw(x, half if placed < PLACED else len(x))
            self._update(batch, beta)
            if placed >= 0:
                self._place(
                    batch[:BATCH], beta, floor=max(1e-3, 0.3 * 0.7**placed), first=not placed
                )

    def _update(self, x: Tensor, beta: float) -> None:
        """Make each template the mean of its images, turned back."""
        bank, log_prior = self._turned(self.angles), self.log_angle + self.shares.log()[:, None]
        sums, counts = torch.zeros_like(bank), bank.new_zeros(len(bank))
        for chunk in x.split(CHUNK):
            posterior = torch.softmax(_log_joint(chunk, bank, log_prior.view(-1), beta), dim=1)
            sums += posterior.T @ chunk
            counts += posterior.sum(0)
        back = SO2().from_parameters(-self.angles.repeat(len(self.shares))[:, None])
        totals = warp(self._images(sums), back).unflatten(0, self.log_angle.shape).sum(1)
        sizes = counts.view_as(self.log_angle).sum(1)
        self.templates = totals / sizes.clamp_min(1)[:, None, None, None]
        self.shares = F.normalize(sizes + 0.1 * sizes.mean(), p=1, dim=0)  # none dies out

    def _place(self, x: Tensor, beta: float, floor: float, first: bool) -> None:
        """Choose frames, and make angles outside the support about them unlikely."""
        apart = wrapped(self.angles[:, None] - self.angles).abs()  # (frame, angle)
        inside = torch.sigmoid(2 * (self.half_width - apart) / self.bin) + floor
        if self.half_width > WHOLE_CIRCLE:
            inside = torch.ones_like(inside)
        log_inside = (inside / inside.sum(1, keepdim=True)).log()
        bank = self._turned(self.angles)
        counts = torch.zeros_like(self.log_angle)  # of images at each angle, were its prior flat
        log_prior = self.log_angle + self.shares.log()[:, None]
        for chunk in x.split(CHUNK // 2):
            fit = _log_joint(chunk, bank, torch.zeros_like(bank[:, 0]), beta)
            fit = fit.unflatten(1, counts.shape)
            which = torch.softmax((fit + log_prior).logsumexp(2), dim=1)
            counts += (torch.softmax(fit, dim=2) * which[:, :, None]).sum(0)
        scores = counts @ log_inside.T  # (M, R): log-likelihood of the angles, for each frame
        if first:
            self.frames = scores.argmax(1)
        elif len(scores) > 1:
            self._tie(scores, counts.sum(1), bank)
        self.log_angle = log_inside[self.frames]

    def _tie(self, scores: Tensor, sizes: Tensor, bank: Tensor) -> None:
        """Choose frames in turn: by their scores, and by the density of the others at a template.

        The density is that of a kernel on correlations, all templates in their frames.
        """
        count, angles = scores.shape
        unit = F.normalize(bank, dim=1)
        alike = (unit @ unit[::angles].T).view(count, angles, count)  # R_r T_m and T_m'
        others = torch.arange(count, device=bank.device)
        turns = torch.arange(angles, device=bank.device)[:, None]
        log_shares = self.shares.log().masked_fill(others[:, None] == others, -math.inf)
        for m in self._draw(others.repeat(3), 3 * count).tolist():
            correlation = alike[m, (turns - self.frames) % angles, others]  # (R, M)
            density = torch.logsumexp(SHARPNESS * correlation + log_shares[m], dim=1)
            self.frames[m] = (scores[m] + PULL * sizes[m] * density).argmax()

    def canonical(self) -> Tensor:
        """Turn the templates into the common frame, (M, 1, h, w)."""
        return self._images(self._turned(self.angles[self.frames][:, None]))

    def poses(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return angles from the common frame (N,), within the support, and confidences (N,)."""
        offsets = self.angles[within(self.angles, self.half_width, self.bin)]
        bank = self._turned(self.angles[self.frames][:, None] + offsets)
        log_prior = self.shares.log().repeat_interleave(len(offsets))
        posterior = torch.softmax(_log_joint(x, bank, log_prior, BETAS[1]), dim=1)
        confidence, best = posterior.max(1)
        chosen = offsets[best % len(offsets), None]
        apart = wrapped(offsets - chosen)  # (N, offsets); between these the angle is refined
        weight = posterior.view(len(x), -1, len(offsets)).sum(1) * (apart.abs() < 2.5 * self.bin)
        return wrapped(chosen[:, 0] + (weight * apart).sum(1) / weight.sum(1)), confidence
