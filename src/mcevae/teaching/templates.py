"""First poses for training: templates at every angle, fitted by EM.

A network that has to find poses and clusters together ends in poor minima. The simplest model of
posed images does not. In it each image is one of M templates, turned by one of R angles, plus
noise:

    p(x) = sum_m p_m sum_r p(r | m) N(x; R_r T_m, I / beta).

Its posterior over (m, r) is exact, because all pairs are tried (Frey and Jojic, "Transformation-
invariant clustering using the EM algorithm", 2003). We add three things.

- beta is annealed: at first many images share a template, later templates become more specific.
- p(r | m) is flat at first, so that each template has a frame of its own. Later it is uniform on
  the support of the rotations around an angle g_m, the frame of the template. With a wrong g_m,
  some images lie where the prior is nearly zero. So the angles alone say which way is up, unless
  the support has all angles. - The angles cannot say which way is up for a template that looks the
  same after half a turn. So frames are weakly drawn towards those in which templates look alike.

The templates see the difference of images from the background, with channels averaged, at 28 pixels
or fewer, slightly blurred, with norm one, inside a disc. If the group can shift or scale images,
their centroid is at the centre and they all have the same radius (`moments`).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from mcevae.geometry.groups import SO2, WHOLE_CIRCLE, MatrixGroup, within, wrapped
from mcevae.geometry.moments import moments, places
from mcevae.geometry.warp import warp
from mcevae.teaching.blur import gaussian_blur
from mcevae.teaching.rings import Track

LONGER_SIDE = 28  # pixels, at most: finer detail says little about a pose
RADIUS, BLUR = 0.475, 0.025  # radius of the disc and width of the Gaussian, image sides
CHUNK, PIECE = 2000, 100  # images with posteriors, with full pixels, at a time
BATCH, LAST_BATCH = 3000, 6000  # images in a step, if there are so many
BETAS = (20.0, 100.0)  # first and last beta, for images of norm one
COOLING, FLAT, PLACED, LAST = 15, 4, 12, 6  # numbers of steps; LAST ones use more images
PULL, SHARPNESS = 0.1, 15.0  # likeness to others: weight for each image, inverse width


@dataclass(frozen=True, kw_only=True)
class Start:
    """First poses of N images, in one common frame.

    Attributes:
        elements: (N, 3, 3), moves the canonical image onto image n; radians, image sides.
        confidence: (N,), posterior probability of the likeliest template and angle, 0 to 1.
        templates: (M, 1, H, W), templates in their canonical pose, brightest pixel 1.
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
    """Find a pose for every image, without labels.

    The time grows with templates x angles, and with the number of images that get a pose.

    Args:
        pixels: (N, C, H, W), 0 to 255. The computation runs on their device.
        group: group of the poses. If it has no shifts, images turn about their centre.
        support: half-widths from ``group.support(...)``. Only that of the rotation is used.
        templates: M, at least 1. Fewer are used if there are not 8 images for each.
        angles: R, the number of angles of the whole circle, at least 4.
        seed: seed of the first templates and of the images in each step.
        subset: number of random images that templates are fitted to, at least 1.
        background: intensity of the background, 0 to 1.
        track: wraps the list of steps, to show progress.

    Returns:
        Poses and templates.

    Raises:
        ValueError: `support` does not fit the group, or a number is too small.
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
    """Differences from the background as small images with one channel, 0 to 1."""
    size = pixels.shape[2:]
    shrunk = [max(1, round(n * min(1.0, LONGER_SIDE / max(size)))) for n in size]
    grey = [
        (piece.float() / 255 - background).abs().mean(1, keepdim=True)
        for piece in pixels.split(PIECE)
    ]
    return torch.cat([F.interpolate(piece, size=shrunk, mode="area") for piece in grey])


def _disc(pixels: Tensor) -> Tensor:
    """Which pixels (h, w) of the small images are compared: those inside a disc."""
    across, down = places(_small(pixels[:1]))
    return across**2 + down**2 < RADIUS**2


def _features(pixels: Tensor, group: MatrixGroup, background: float) -> tuple[Tensor, Tensor]:
    """Images for the mixture, (N, P), and the parameters (N, T - 1) that centred them."""
    small = _small(pixels, background)
    rest = moments(small, group)
    small = warp(small, group.inverse(group.from_parameters(F.pad(rest, (1, 0)))))
    small = gaussian_blur(small, BLUR * max(small.shape[2:]), outside="zero")
    return F.normalize(small[:, 0, _disc(pixels)], dim=1), rest


def _log_joint(x: Tensor, bank: Tensor, log_prior: Tensor, beta: float) -> Tensor:
    """Log of p(m, r) N(x; R_r T_m, I / beta), (N, M R), up to a constant. x has norm one."""
    return torch.addmm(log_prior - beta / 2 * bank.square().sum(1), x, bank.T, alpha=beta)


class _Mixture:
    """M templates at R angles. Each has a share p_m and a frame g_m, and starts as an image of x.

    `disc` (h, w) marks the P pixels that x (N, P) holds. `half_width`, in radians, is that of the
    support of the angles.
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
        """All templates, turned by all angles (M, R) or (R,), as a bank (M R, P)."""
        angles = angles.expand(len(self.templates), -1)
        copies = self.templates.repeat_interleave(angles.shape[1], dim=0)
        return warp(copies, SO2().from_parameters(angles.reshape(-1, 1)))[:, 0, self.disc]

    def fit(self, x: Tensor, track: Track) -> None:
        """Run EM on images x (N, P). Each step uses some of them, drawn at random."""
        cooling = [BETAS[0] * (BETAS[1] / BETAS[0]) ** (i / (COOLING - 1)) for i in range(COOLING)]
        for step in track(range(COOLING + FLAT + PLACED + LAST)):
            placed = step - COOLING - FLAT
            beta = cooling[min(step, COOLING - 1)]
            batch = self._draw(x, BATCH if placed < PLACED else LAST_BATCH)
            self._update(batch, beta)
            if placed >= 0:
                self._place(
                    batch[:BATCH], beta, floor=max(1e-3, 0.3 * 0.7**placed), first=not placed
                )

    def _update(self, x: Tensor, beta: float) -> None:
        """Make each template the mean of its images, after turning them back."""
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
        self.shares = F.normalize(sizes + 0.1 * sizes.mean(), p=1, dim=0)  # no template dies out

    def _place(self, x: Tensor, beta: float, floor: float, first: bool) -> None:
        """Choose the frames, and make angles outside the support around them unlikely."""
        apart = wrapped(self.angles[:, None] - self.angles).abs()  # (frame, angle)
        inside = torch.sigmoid(2 * (self.half_width - apart) / self.bin) + floor
        if self.half_width > WHOLE_CIRCLE:
            inside = torch.ones_like(inside)
        log_inside = (inside / inside.sum(1, keepdim=True)).log()
        bank = self._turned(self.angles)
        counts = torch.zeros_like(self.log_angle)  # images at each angle, flat prior
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
        """Choose frames one by one, by their scores and by likeness to the other templates.

        Likeness is a kernel density of correlations, with the other templates in their frames.
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
        """Angles from the common frame (N,), inside the support, and confidences (N,)."""
        offsets = self.angles[within(self.angles, self.half_width, self.bin)]
        bank = self._turned(self.angles[self.frames][:, None] + offsets)
        log_prior = self.shares.log().repeat_interleave(len(offsets))
        posterior = torch.softmax(_log_joint(x, bank, log_prior, BETAS[1]), dim=1)
        confidence, best = posterior.max(1)
        chosen = offsets[best % len(offsets), None]
        apart = wrapped(offsets - chosen)  # (N, offsets), to refine the angle
        weight = posterior.view(len(x), -1, len(offsets)).sum(1) * (apart.abs() < 2.5 * self.bin)
        return wrapped(chosen[:, 0] + (weight * apart).sum(1) / weight.sum(1)), confidence
