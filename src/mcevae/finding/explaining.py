"""Explaining a tile away: the best things are drawn and taken off, and the rest searched again."""

import math
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.finding.bank import Bank, bank_of, turns_of
from mcevae.finding.joint import Freedom
from mcevae.finding.matching import FLOOR, gains, matched, peaks, response, windows
from mcevae.finding.templates import Templates, grounded, middles
from mcevae.finding.things import Things, add, apart, colours, windows_of
from mcevae.finding.uniting import united
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.models.contract import Model
from mcevae.runs.infer import embed

COARSE = 14
"""Shorter side of templates in the first pass, pixels, or a little more."""
FIRST_STEP, STEP = math.radians(15), math.radians(5)
"""Steps of the rotation in the first pass, and then."""
FIRST_EACH = 2
"""Templates of each cluster in the first pass."""
CONTRASTS = (1.0, 0.35, 0.5, 0.7, 1.4, 2.0)
"""Amplitudes that are tried where that of things is not known."""
ROUNDS = 6
"""Times that what is left over is searched, at most."""
NEAR = 0.55
"""Things that are nearer than this, in image sides, are told apart one after the other."""
TYPICAL = 0.5
"""A thing must explain this share of what the weakest things of its cluster do."""
WORTH = 0.5
"""The model looks where the best template explains this share of what a thing must."""
SWEEPS = 2
"""Times that all things are refined after each round."""


class Explainer:
    """Explains tiles by what a model has learned."""

    def __init__(self, model: Model, templates: Templates, half_widths: dict[str, float]) -> None:
        """Prepare the filters.

        Args:
            model: model in evaluation mode.
            templates: of the run.
            half_widths: of the support of its poses, by coordinate.
        """
        self.model, self.templates = model, templates
        height, width = templates.pictures.shape[-2:]
        self.shape = (height, width)
        self.factor = max(1, min(self.shape) // COARSE)
        first = bank_of(templates, turns_of(model.group, half_widths, FIRST_STEP), FIRST_EACH)
        self.first: Bank = first.shrunk(self.factor)
        self.bank = bank_of(templates, turns_of(model.group, half_widths, STEP))
        self.freedom = Freedom.of(model.group, half_widths, STEP, self.shape)
        blank, corner = templates.pictures[0], torch.zeros(1, 2, dtype=torch.long)
        self.none = self.told(blank, corner, 0, 1.0, 1.0)[torch.zeros(0, dtype=torch.long)]

    def explain(
        self, tile: Float[Tensor, "C h w"], noise: float, contrast: float = 1.0
    ) -> tuple[Things, Float[Tensor, "C h w"]]:
        """Find the things of a tile, and what is left over when they are taken off.

        Args:
            tile: difference from the background.
            noise: variance of a pixel.
            contrast: amplitude that most things have.
        """
        rest, parts = tile.clone(), [self.none]
        things = parts[0]
        for _ in range(ROUNDS):
            tried = self.candidates(rest, noise, contrast)
            new = apart(tried[self.plausible(tried, noise, contrast)], NEAR * max(self.shape))
            if not len(new):
                break
            add(rest, new, -1)
            things = Things.joined([things, new])
            for _ in range(SWEEPS):
                things = self.refined(things, rest, noise, contrast)
            things = united(things, rest, noise, partial(self.told, noise=noise, contrast=contrast))
        return things, rest

    def plausible(self, things: Things, noise: float, contrast: float) -> Bool[Tensor, " n"]:
        """Whether things explain as much as those of their cluster should."""
        return (things.gain > 0) & (things.gain >= self.least(things.cluster, noise, contrast))

    def least(
        self, cluster: Int[Tensor, " n"], noise: float, contrast: float
    ) -> Float[Tensor, " n"]:
        """What things of these clusters must explain, nats."""
        return TYPICAL * self.templates.energy[cluster] * contrast**2 / (2 * noise)

    def contrast_of(self, tile: Float[Tensor, "C h w"], noise: float) -> float:
        """The amplitude of most things of a tile: the one with which they explain most of it.

        Arguments are those of `explain`.
        """

        def explained(contrast: float) -> float:
            found = self.candidates(tile, noise, contrast)
            good = apart(found[found.gain > 0], max(self.shape))
            return good.gain.sum().item()

        return max(CONTRASTS, key=explained)

    def candidates(
        self, rest: Float[Tensor, "C h w"], noise: float, contrast: float = 1.0
    ) -> Things:
        """The best explanation at each place of a tile where a thing may be.

        Arguments are those of `explain`.
        """
        factor = self.factor
        before = [math.ceil(n / 2 / factor) * factor for n in self.shape]
        after = [n + (-size % factor) for n, size in zip(before, rest.shape[1:], strict=True)]
        padded = F.pad(rest, (before[1], after[1] + factor, before[0], after[0] + factor))
        small = F.avg_pool2d(padded[None], factor)[0] if factor > 1 else padded
        score = response(small, self.first) * factor / math.sqrt(noise)
        most = 8 + 4 * rest.shape[1] * rest.shape[2] // (self.shape[0] * self.shape[1])
        radius = max(1, round(0.3 * min(self.first.pictures.shape[-2:])))
        found = peaks(score, radius, FLOOR, most)
        if not len(found):
            return self.none
        corner = found * factor - torch.tensor(before)
        return self.told(rest, corner, factor, noise, contrast)

    def told(
        self,
        rest: Float[Tensor, "C h w"],
        corner: Int[Tensor, "n 2"],
        margin: int,
        noise: float,
        contrast: float,
        only: Bool[Tensor, "n K"] | None = None,
    ) -> Things:
        """The best explanation of windows of a tile, by a template or by the model.

        Args:
            rest: the tile.
            corner: row and column of each window.
            margin: how far a thing may lie from its window, in pixels.
            noise, contrast: see `explain`.
            only: clusters that each of them may be of, one with a template among them; None: any.
        """
        wide = windows(rest, corner - margin, *(n + 2 * margin for n in self.shape))
        of = self.templates.cluster[self.bank.template]
        best = matched(wide, self.bank, noise, contrast, None if only is None else only[:, of])
        which = self.bank.template[best.entry]
        cluster = self.templates.cluster[which]
        by_template = Things(
            corner=corner + best.shift.flip(1),
            cluster=cluster,
            chance=F.one_hot(cluster, len(self.templates.energy)).float(),
            z=self.templates.z[which],
            element=self.bank.element[best.entry],
            drawn=best.amplitude[:, None, None, None] * self.bank.pictures[best.entry],
            amplitude=best.amplitude,
            gain=best.gain,
        )
        seen = best.gain >= WORTH * self.least(cluster, noise, contrast)
        if only is not None:  # somebody sees a thing there
            seen = torch.ones_like(seen)
        worth = seen.nonzero()[:, 0]
        if not len(worth):
            return by_template
        crops = windows_of(wide[worth], best.shift[worth] + margin, *self.shape)
        by_model = self.modelled(crops, by_template.corner[worth], noise, contrast)
        better = by_model.gain > best.gain[worth]
        if only is not None:
            better &= only.gather(1, by_model.cluster[:, None])[:, 0]
        return by_template.replaced(worth[better], by_model[better])

    def modelled(
        self,
        crops: Float[Tensor, "n C H W"],
        corner: Int[Tensor, "n 2"],
        noise: float,
        contrast: float,
    ) -> Things:
        """What the model itself finds in windows."""
        background = self.model.background
        found = embed(self.model, to_bytes(crops / contrast + background))
        pictures = warp(grounded(found.canonical.float() - background), found.element)
        product = (pictures * crops).flatten(1).sum(1)
        energy = pictures.square().flatten(1).sum(1).clamp_min(1e-9)
        gain, amplitude = gains(product, energy, noise, contrast)
        return Things(
            corner=corner,
            cluster=found.cluster,
            chance=found.responsibilities.float(),
            z=found.z,
            element=found.element,
            drawn=amplitude[:, None, None, None] * pictures,
            amplitude=amplitude,
            gain=gain,
        )

    def named(self, things: Things, rest: Float[Tensor, "C h w"], contrast: float) -> Things:
        """Things with the cluster, variation and pose that the model itself gives each of them.

        The model sees what is left over with this thing alone, centred as images of runs are.

        Args:
            things: of a tile.
            rest: what is left over when all of them are taken off.
            contrast: see `explain`.
        """
        longer, (height, width) = max(self.shape), self.shape
        shift = (longer * middles(things.drawn)).round().long()
        margin = int(shift.abs().amax()) if len(things) else 0
        around = [n + 2 * margin for n in self.shape]
        wide = windows(rest, things.corner - margin, *around)
        wide[:, :, margin : margin + height, margin : margin + width] += things.drawn
        crops = windows_of(wide, shift + margin, height, width)
        found = embed(self.model, to_bytes(crops / contrast + self.model.background))
        element = found.element.clone()
        element[:, :2, 2] += shift / longer
        chance = found.responsibilities.float()
        return replace(things, cluster=found.cluster, chance=chance, z=found.z, element=element)

    def refined(
        self, things: Things, rest: Float[Tensor, "C h w"], noise: float, contrast: float
    ) -> Things:
        """Explain each thing that touches others anew while these are taken off. It changes `rest`.

        Things that touch are never changed at the same time. Those that explain too little now are
        put back.
        """
        alone, sets = colours(things.corner, max(self.shape))
        kept = [things[alone]]
        for rows in sets:
            some = things[rows]
            add(rest, some, 1)
            made = self.told(rest, some.corner, 1, noise, contrast)
            made = made[self.plausible(made, noise, contrast)]
            add(rest, made, -1)
            kept.append(made)
        return Things.joined(kept)
