"""What the network of preset `default` is taught about each training image, and when that changes.

Nobody knows the clusters and poses of the training images, so the network learns them from ever
better guesses, the starred quantities of eq. (8):

    epoch 0            poses from templates at every angle (`templates`); clusters unknown
    end of warm-up     poses as the network reads them now, which is truer than what it was taught;
                       clusters from the neighbourhood graph of the canonical images (`neighbours`)
    then a few times   cluster and pose drawn from the network's own sharpened posterior

Whenever poses change, images that look alike are brought into one frame (`frames`). Labels play no
part.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup, wrapped
from mcevae.geometry.moments import moments
from mcevae.geometry.warp import warp
from mcevae.images.arrays import require, shrink, to_float
from mcevae.models.config import MOST_CLUSTERS, Config
from mcevae.models.default.model import DefaultModel
from mcevae.teaching.frames import frame_offsets
from mcevae.teaching.graph import start_clusters
from mcevae.teaching.templates import start_poses

T = TypeVar("T")
Rows = slice | Int[Tensor, " rows"]

TAUGHT = ("cluster", "element", "weight")
"""What `Targets` has for the objective; the rest is for new ones."""

UNKNOWN = -1
"""Cluster of an image that has none yet."""

AGREEMENT = 0.7
"""Share of the clusters that the network must agree with before new ones are drawn from it."""

SHRINKAGE = 0.7
"""Share of the images that it began with that new targets must leave to a cluster; on digits they
leave 0.8 to 1, while a cluster that is swallowed loses all within three or four drawings."""

TINY = 1e-12
"""Probability of a hypothesis that a network rules out, where one of its cluster must be drawn."""

CHUNK_NUMBERS = 800_000
"""Pixels that are held as floats at once, 1,000 images of 28 x 28."""


@dataclass(kw_only=True)
class Targets:
    """Current guesses for N training images, in their order; changed in place.

    Attributes:
        cluster: (N,), or `UNKNOWN`.
        first: (N,), the cluster that the image was given first, or `UNKNOWN`.
        element: (N, 3, 3), what moves the canonical image onto the image.
        weight: (N,), how much a guess counts, from 0 to 1.
    """

    cluster: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    element: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]


class Stopped(Exception):
    """Somebody asked to stop amid new targets, which are not worth keeping in part."""


class SelfTraining:
    """Keeps the targets of a run's training images.

    New ones may take minutes; `stop`, a list that signals fill, is looked at meanwhile.

    Args:
        config: settings of the run.
        pixels: (N, C, H, W) uint8 training images.
        group: of the poses.
    """

    def __init__(
        self, config: Config, pixels: UInt8[Tensor, "n c h w"], group: MatrixGroup
    ) -> None:
        self.config, self.pixels, self.group = config, pixels, group
        n, start, epochs = len(pixels), config.start, int(config.train.epochs)
        require(epochs > 1, "1 epoch is too few for poses and clusters; give --epochs 2.")
        used, clusters = min(n, start.subset), config.model.clusters
        least = max(start.neighbours + 1, 2 if clusters == "auto" else clusters)
        require(
            used >= least,
            f"{used} images are too few for {clusters} clusters and {start.neighbours} neighbours "
            f"each; give {least}, or lower --clusters and --neighbours.",
        )
        self.targets = Targets(
            cluster=torch.full((n,), UNKNOWN),
            first=torch.full((n,), UNKNOWN),
            element=group.identity(n),
            weight=torch.ones(n),
        )
        self.support = config.support.half_widths(group)
        self.chunk = max(1, CHUNK_NUMBERS // pixels[0].numel())
        self.stop: Sequence[int] = ()
        self.plan(epochs)

    @property
    def grouped(self) -> bool:
        """Whether there are clusters yet."""
        return bool((self.targets.cluster != UNKNOWN).any())

    def plan(self, epochs: int, warmup: int = 0) -> None:
        """Spread the stages over so many epochs, of which a warm-up that is over took its own."""
        start = self.config.start
        self.warmup = warmup or min(max(1, round(start.warmup * epochs)), epochs - 1)
        self.interval = max(1, (epochs - self.warmup) // (start.redraws + 1))

    def before(
        self, epoch: int, model: DefaultModel, move_on: Callable[[], None] | None = None
    ) -> str:
        """Bring the targets up to date at the start of an epoch; says what was done.

        Args:
            epoch: that starts.
            model: the network.
            move_on: as for `redraw`, where there are more images than memory holds.

        Raises:
            Stopped: `stop` was filled; targets, and which images these are, may be half new.
        """
        if epoch == 0:
            return self.start()
        if epoch < self.warmup:
            return ""
        if epoch == self.warmup:
            self.reread(model)
            return self.group_images(model)
        after = epoch - self.warmup
        if (
            after > 0
            and after % self.interval == 0
            and after // self.interval <= self.config.start.redraws
        ):
            return self.redraw(model, move_on)
        return ""

    def watched(self, parts: Iterable[T]) -> Iterator[T]:
        """The parts of a long work, as long as nobody asks to stop."""
        for part in parts:
            if self.stop:
                raise Stopped
            yield part

    def start(self) -> str:
        """First poses, from templates or from moments alone; says which."""
        if self.config.start.poses == "moments":
            rest = torch.cat(
                [
                    moments((to_float(chunk) - self.config.data.background_level).abs(), self.group)
                    for chunk in self.pixels.split(self.chunk)
                ]
            )
            self.targets.element.copy_(self.group.from_parameters(F.pad(rest, (1, 0))))
            return "poses from moments"
        found = start_poses(
            self.pixels,
            self.group,
            self.support,
            templates=self.config.start.templates,
            seed=self.config.train.seed,
            subset=self.config.start.subset,
            background=self.config.data.background_level,
            track=self.watched,
        )
        self.targets.element.copy_(found.elements)
        self.level()
        return f"poses from {len(found.templates)} templates"

    def posterior(
        self, model: DefaultModel, rows: Rows = slice(None), *, clustered: bool = True
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Joint, element, confidence and anchored rest of training images, part by part.

        All are on the CPU. The shift of an image that does not touch its border is its centroid's.
        Before there are clusters the rotation is read from the sum over them.
        """
        model.eval()
        for chunk in self.watched(self.pixels[rows].split(self.chunk)):
            x = to_float(chunk.to(model.angles.device))
            with torch.no_grad():
                joint, rest = model.infer(x)
                anchored = torch.cat([model.moments(x)[:, :2], rest[:, 2:]], -1)
                rest = torch.where(model.whole(x)[:, None], anchored, rest)
                if not clustered:
                    joint = joint.sum(1, keepdim=True)
                _, element, mass = model.read(joint, rest)
            yield joint.cpu(), element.cpu(), mass.cpu(), rest.cpu()
        model.train()

    def reread(self, model: DefaultModel) -> None:
        """Poses from the network's likeliest rotation."""
        parts = [element for _, element, _, _ in self.posterior(model, clustered=False)]
        self.targets.element.copy_(torch.cat(parts))
        self.level()

    def canonical(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows c h w"]:
        """Images moved back by their targets, small."""
        back = self.group.inverse(self.targets.element[rows])
        background = self.config.data.background_level
        return torch.cat(
            [
                shrink(warp(to_float(self.pixels[some]), M, background=background).clamp(0, 1))
                for some, M in zip(rows.split(self.chunk), back.split(self.chunk), strict=True)
            ]
        )

    def level(self) -> None:
        """Bring images that look alike into one frame."""
        if self.config.start.frames == "common":
            return
        targets = self.targets
        offsets = frame_offsets(
            targets.element,
            self.canonical(torch.arange(len(self.pixels))),
            targets.cluster,
            self.group,
            self.support,
            seed=self.config.train.seed,
        )
        targets.element.copy_(self.group.compose(targets.element, self.group.inverse(offsets)))

    def group_images(self, model: DefaultModel) -> str:
        """Clusters for a random subset of the canonical images; says what came of it."""
        seed, clusters = self.config.train.seed, self.config.model.clusters
        order = torch.randperm(len(self.pixels), generator=torch.Generator().manual_seed(seed))
        rows = order[: self.config.start.subset]
        with warnings.catch_warnings(record=True) as told:  # of empty or duplicate clusters
            warnings.simplefilter("always", UserWarning)
            found = start_clusters(
                self.canonical(rows),
                None if clusters == "auto" else clusters,
                neighbours=self.config.start.neighbours,
                restarts=self.config.start.restarts,
                by=self.config.start.grouping,
                seed=seed,
                most=MOST_CLUSTERS,
            )
        model.use(found.clusters)
        for known in (self.targets.cluster, self.targets.first):
            known.fill_(UNKNOWN)
            known[rows] = found.labels
        return (
            f"{found.clusters} clusters ({self.config.start.grouping}), "
            f"agreement of restarts {found.agreement:.2f}"
        ) + "".join(f". {warning.message}" for warning in told)

    def redraw(self, model: DefaultModel, move_on: Callable[[], None] | None = None) -> str:
        """Draw every image's hypothesis from the squared posterior; says what came of it.

        Squaring prefers what is sure and still lets doubtful images try another hypothesis. A
        network that contradicts the targets it was given has not learned them yet, and drawing from
        it would throw the clusters away: they are kept until it agrees on `AGREEMENT` of them.

        Args:
            model: the network.
            move_on: puts other images in the place of these, which have no targets yet.
        """
        known = self.targets.cluster != UNKNOWN
        drawn, likeliest = self.draw(model)
        agree = (likeliest == self.targets.cluster)[known].float().mean().item()
        if agree < AGREEMENT:
            return f"targets kept: the network agrees with {100 * agree:.0f} % of the clusters yet"
        done = f"new clusters and poses; the network agreed with {100 * agree:.1f} %"
        if move_on is None:
            lost = self.swallowed(drawn.cluster, model.clusters).nonzero()[:, 0]
            if len(lost):
                back, _ = self.draw(model, lost, within=True)
                for name, value in vars(drawn).items():
                    value[lost] = getattr(back, name)
                done += f"; {len(lost)} brought back to clusters that lost most of theirs"
        else:
            move_on()
            self.targets.first.fill_(UNKNOWN)
            drawn, _ = self.draw(model)
            done += "; other images"
        for name, value in vars(drawn).items():
            getattr(self.targets, name).copy_(value)
        self.level()
        return done

    def draw(
        self, model: DefaultModel, rows: Rows = slice(None), *, within: bool = False
    ) -> tuple[Targets, Int[Tensor, " rows"]]:
        """New targets, and each image's likeliest cluster.

        (`--draw mode` takes the likeliest hypothesis in place of drawing one.)

        Args:
            model: the network.
            rows: images, all unless said otherwise.
            within: draw from the hypotheses of an image's first cluster alone.
        """
        parts, first = [], self.targets.first[rows]
        for some, posterior in zip(
            first.split(self.chunk), self.posterior(model, rows), strict=True
        ):
            joint, element, mass, rest = posterior
            cluster = likeliest = joint.sum(-1).argmax(-1)
            if within:
                own = F.one_hot(some, joint.shape[1])[..., None]
                joint = (joint + TINY * model.allowed.cpu()) * own
            if within or self.config.start.draw == "posterior":
                rotations = joint.shape[2]
                drawn = torch.multinomial(joint.flatten(1).square(), 1)[:, 0]
                jitter = (torch.rand(len(drawn)) - 0.5) * (2 * torch.pi / rotations)
                angle = wrapped(model.angles.cpu()[drawn % rotations] + jitter)
                cluster, element = drawn // rotations, model.element(angle, rest)
            parts.append((cluster, element, mass, likeliest))
        cluster, element, weight, likeliest = (torch.cat(part) for part in zip(*parts, strict=True))
        first = torch.where(first == UNKNOWN, cluster, first)
        return Targets(cluster=cluster, first=first, element=element, weight=weight), likeliest

    def swallowed(self, cluster: Int[Tensor, " n"], clusters: int) -> Bool[Tensor, " n"]:
        """Images first given to clusters that would be left less than `SHRINKAGE` of those.

        What one drawing takes from a cluster the network learns, and the next one takes more: a
        cluster that its neighbours swallow, at once or by and by, does not come back by itself.
        """
        known = self.targets.first != UNKNOWN
        before = self.targets.first[known].bincount(minlength=clusters)
        after = cluster[known].bincount(minlength=clusters)
        return (after < SHRINKAGE * before)[self.targets.first] & known
