"""The teacher of the default model: it decides what the model is taught, and when.

Nobody knows the clusters and poses of the training images. So the network learns from guesses that
get better during training, the starred quantities of eq. (8):

    epoch 0            poses from templates at every angle (`teaching.templates`); or, over the
                       whole circle or mirrored, poses and clusters from a graph (`teaching.start`)
    end of warm-up     poses that the network finds now, which are better; clusters from the graph
                       of canonical images, if there are none yet or its restarts agree better
    then a few times   pose, and clusters that are not firm, drawn from the sharpened posterior;
                       the second time clusters anew, if descriptions are learned

Whenever poses change, images that look alike are turned into one frame (`teaching.frames`). Labels
are not used. Images that are mostly noise keep what class averages gave (`simulated`).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE
from mcevae.images.arrays import require, shrink
from mcevae.models.config import PlannedConfig
from mcevae.models.contract import Teacher
from mcevae.models.default.beginning import Beginning, asked, begin, begin_with_graph, by_graph
from mcevae.models.default.canonical import AGAIN, TURNED, group_canonical, numbered_as
from mcevae.models.default.describing import learn_features, learns
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.readings import readings
from mcevae.models.default.simulated import simulated
from mcevae.models.default.targets import (
    TAUGHT,
    UNKNOWN,
    Targets,
    drawn,
    hinted,
    moved_back,
    put,
    same_way,
    swallowed,
)
from mcevae.teaching.cluster import Grouping
from mcevae.teaching.described import confirmed
from mcevae.teaching.frames import levelled
from mcevae.teaching.hinted import first_with_hints

Rows = slice | Int[Tensor, " rows"]

AGREEMENT = 0.7
"""New targets are made only if the network agrees with this share of the images' clusters. Poses
that may lie in any way, from the graph, are replaced only if it agrees with this share of them."""
SURE, DOUBT = 0.9, 0.1
"""Clusters on which restarts agree less than `SURE` are doubtful. If those of canonical images are,
restarts must agree better by `DOUBT` on them than on other clusters."""
POOR = 0.7  # if restarts agree less, and there are no others yet, others are tried
CHUNK_NUMBERS = 800_000  # pixels that are held as floats at once: 1,000 images of 28 x 28


class SelfTraining(Teacher):
    """Keeps a target for every training image, and makes new ones unless `stop` has an entry.

    Args:
        config: settings of the run.
        pixels: (N, C, H, W) uint8 training images.
        model: the model that is taught.

    Raises:
        UserError: there are too few epochs or images.
    """

    staged = True
    model: DefaultModel

    def __init__(
        self, config: PlannedConfig, pixels: UInt8[Tensor, "n c h w"], model: DefaultModel
    ) -> None:
        super().__init__(model, pixels)
        self.config, self.group = config, model.group
        self.background = config.data.background_level
        group, n, start, epochs = model.group, len(pixels), config.start, config.train.epochs
        require(epochs > 1, "1 epoch is too few for poses and clusters; give --epochs 2.")
        used, clusters = min(n, start.subset), config.model.clusters
        least = max(start.neighbours + 1, 2 if clusters == "auto" else clusters)
        require(
            used >= least,
            f"{used} images are too few for {clusters} clusters and {start.neighbours} neighbours "
            f"each; give {least}, or lower --clusters and --neighbours.",
        )
        self.targets = Targets.unknown(n, group)
        self.support = config.support.half_widths(group)
        self.agreement = -float("inf")  # of the restarts that gave the clusters
        self.settled = False  # whether first targets stay
        self.chunk = max(1, CHUNK_NUMBERS // pixels[0].numel())
        self.plan(epochs)

    @property
    def grouped(self) -> bool:
        """Whether there are clusters yet."""
        return bool((self.targets.cluster != UNKNOWN).any())

    @property
    def found(self) -> tuple[Int[Tensor, " n"], Float[Tensor, "n 3 3"]] | None:
        """Clusters and poses of the targets; None until every image has a cluster."""
        known = bool((self.targets.cluster != UNKNOWN).all())
        return (self.targets.cluster, self.targets.element) if known else None

    @property
    def judge(self) -> str:
        """In noise, the best ELBO is that of a decoder that has not yet learned any noise."""
        return "invariance" if self.settled else super().judge

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """Return the targets that the objective reads."""
        return {name: getattr(self.targets, name) for name in TAUGHT}

    def state(self) -> dict[str, Tensor]:
        """Return all targets, how well the restarts agreed on clusters, and if targets stay."""
        targets = {each.name: getattr(self.targets, each.name) for each in fields(Targets)}
        known = {"agreement": self.agreement, "settled": self.settled}
        return targets | {name: torch.tensor([value]) for name, value in known.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load targets that `state` gave. Those that old checkpoints lack do not change.

        Raises:
            ValueError: the targets do not fit these images.
        """
        columns = {name: state.get(name, now) for name, now in self.state().items()}
        for name, now in self.state().items():
            if ((column := columns[name]).shape, column.dtype) != (now.shape, now.dtype):
                raise ValueError(f"targets.{name} is {column.dtype} {list(column.shape)}")
        self.agreement = columns.pop("agreement").item()
        settled = bool(columns.pop("settled").item())
        self.targets = hinted(Targets(**columns), self.hints)
        self.settle(settled)

    def plan(self, epochs: int, warmup: int = 0) -> None:
        """Spread the stages over the epochs; see `Teacher.plan`."""
        start = self.config.start
        self.warmup = warmup or min(max(1, round(start.warmup * epochs)), epochs - 1)
        self.interval = max(1, (epochs - self.warmup) // (start.redraws + 1))
        turns = min(start.redraws, (epochs - self.warmup - 1) // self.interval)
        early = by_graph(self.config, self.group, self.support)
        self.later = turns >= AGAIN and not early  # when descriptions are learned

    def before(self, epoch: int, epochs: int, move_on: Callable[[], None] | None = None) -> str:
        """Make the targets that an epoch needs; `epochs` is ignored. See `Teacher.before`.

        Raises:
            Stopped: somebody asked to stop. Targets and images may be changed only in part.
        """
        if epoch == 0:
            return self.take(self.beginning(partial(begin, known=self.known)))
        if epoch < self.warmup or self.settled:
            return ""
        if epoch == self.warmup:
            self.reread()
            return self.group_images()
        turn, between = divmod(epoch - self.warmup, self.interval)
        if between or turn > self.config.start.redraws:
            return ""
        return self.redraw(move_on) + (self.group_again() if turn == AGAIN else "")

    def beginning(self, find: Callable[..., Beginning] = begin) -> Beginning:
        """Find first targets."""
        given = self.pixels, self.group, self.support, self.watched, self.features, self.hints
        return find(self.config, *given)

    def take(self, first: Beginning) -> str:
        """Take first targets; return a message about them."""
        if first.grouping is not None:
            self.use_clusters(first.grouping)
        self.targets = replace(self.targets, element=first.element)
        if self.group.polar and self.known is None and not first.settled:
            self.level()
        self.settle(first.settled)
        return first.message

    def settle(self, settled: bool) -> None:
        """Whether to keep these targets for good, and to teach images drawn from them."""
        self.settled, self.model.simulated = settled, None
        if settled:
            known = (self.pixels, self.targets, self.group, self.background, self.chunk)
            self.model.simulated = simulated(*known, self.model.angles.device)

    def use_clusters(self, grouping: Grouping, rows: Rows = slice(None)) -> None:
        """Take clusters as targets of some images, or of all. The others have none.

        Hints are firm, and if restarts are sure, so is what neighbours of an image have. Else the
        network may draw digits as variations of others, and each redraw takes more of them along.
        """
        self.model.use(grouping.clusters)
        self.agreement, labels = grouping.agreement, torch.full_like(self.targets.first, UNKNOWN)
        labels[rows], firm = grouping.labels, torch.zeros_like(self.targets.firm)
        if grouping.backing is not None and grouping.agreement >= SURE:
            firm[rows] = grouping.backing >= self.config.start.firm
        found = replace(self.targets, cluster=labels, first=labels.clone(), firm=firm)
        self.targets = hinted(found, self.hints)

    def reread(self) -> None:
        """Replace all poses by those of the network's most probable rotation."""
        given = self.model, self.pixels, self.chunk, self.watched
        found = torch.cat([element for _, element, _, _ in readings(*given, clustered=False)])
        if self.learned(found):
            self.targets = replace(self.targets, element=found)
            self.level()

    def learned(self, element: Float[Tensor, "n 3 3"]) -> bool:
        """Whether it has learned poses that may lie in any way; before, it mixes two frames."""
        anyhow = self.group.mirrors or self.support[0] > WHOLE_CIRCLE
        return not anyhow or same_way(self.group, element, self.targets.element) >= AGREEMENT

    def canonical(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows c h w"]:
        """Return images moved back by their target poses, and made smaller."""
        pixels, element = self.pixels[rows], self.targets.element[rows]
        parts = moved_back(pixels, element, self.group, self.background, self.chunk)
        return torch.cat([shrink(part) for part in parts])

    def renew(self, *, grouped: bool) -> None:
        """Make targets from the trained network only; see `Teacher.renew`."""
        if grouped:
            self.targets, _ = self.draw()
            self.level()
        else:
            self.reread()

    def level(self) -> None:
        """Turn images that look alike into one frame."""
        if self.config.start.frames == "common" or not self.grouped:
            return
        content = self.canonical(torch.arange(len(self.pixels)))
        given = self.targets.element, content, self.targets.cluster, self.group, self.support
        element = levelled(*given, background=self.background, seed=self.config.train.seed)
        self.targets = replace(self.targets, element=element)

    def group_images(self) -> str:
        """Find clusters for a random subset of the canonical images; return a message about it.

        First clusters stay if their restarts agreed by `SURE`, or better than these. If there are
        none and restarts disagree, as in noise, clusters of images as they lie are tried too.
        """
        if self.agreement >= SURE:
            return f"first clusters kept: agreement of restarts {self.agreement:.2f}"
        learn = learns(self.config) and not self.later
        _, found, message, rows = self.clusters_of_canonical(asked(self.config), learn=learn)
        agreement = found.agreement - DOUBT * (found.agreement < SURE)
        if self.grouped:
            if not agreement > self.agreement:
                return f"first clusters kept; canonical images gave {message}"
        elif self.config.start.poses == "auto" and found.agreement < POOR and self.group.polar:
            other = self.beginning(partial(begin_with_graph, learn=learn))
            if other.grouping is not None and other.grouping.agreement >= agreement:
                return f"{self.take(other)}; canonical images gave {message}"
        self.use_clusters(found, rows)
        return message

    def group_again(self) -> str:
        """Find clusters once more, if descriptions are learned; return a message about them."""
        given = self.features is not None or self.known is not None
        if given or not (self.later and learns(self.config, self.agreement)):
            return ""
        features, found, told, rows = self.clusters_of_canonical(self.model.clusters, learn=True)
        known = self.targets.cluster[rows]
        if features is None:  # images are mostly noise
            return ""
        if confirmed(features, known, found.labels, self.config.start.neighbours):
            return f"; clusters kept; learned descriptions gave {told}"
        if self.hints is None:  # which number the clusters
            found = numbered_as(found, known)
        self.use_clusters(found, rows)
        return f"; with learned descriptions {told}"

    def clusters_of_canonical(
        self, clusters: int | None, *, learn: bool
    ) -> tuple[Tensor | None, Grouping, str, Int[Tensor, " rows"]]:
        """Sort some canonical images; return features, clusters, a message, and the images."""
        seed = torch.Generator().manual_seed(self.config.train.seed)
        order = torch.randperm(len(self.pixels), generator=seed)
        rows = first_with_hints(order, self.hints)[: self.config.start.subset]
        features = None if self.features is None else self.features[rows]
        if learn and features is None:
            known = self.config, self.pixels[rows], self.group, min(TURNED, self.support[0])
            features = learn_features(*known, self.watched, self.targets.element[rows])
        hints = None if self.hints is None else self.hints.subset(rows)
        given = self.group, clusters, self.watched, features, hints
        return features, *group_canonical(self.config, self.canonical(rows), *given), rows

    def redraw(self, move_on: Callable[[], None] | None = None) -> str:
        """Draw new targets from the squared posterior; return a message about it.

        Squaring prefers sure hypotheses, but still lets doubtful images try another one. If the
        network disagrees with its targets, it has not learned them yet, and new targets would
        destroy the clusters. So targets stay until it agrees with `AGREEMENT` of them. `move_on`
        replaces these images by others, which have no targets yet.
        """
        known = self.targets.cluster != UNKNOWN
        new, likeliest = self.draw()
        agree = (likeliest == self.targets.cluster)[known].float().mean().item()
        if not self.learned(new.element):
            return "targets kept: the network has not learned the poses"
        if agree < AGREEMENT:
            return f"targets kept: the network agrees only with {100 * agree:.0f} % of the clusters"
        done = f"new targets; the network agreed with {100 * agree:.1f} % of the old clusters"
        if move_on is None:
            lost = swallowed(self.targets.first, new.cluster, self.model.clusters)
            if len(lost):
                new = put(new, lost, self.draw(lost, within=True)[0])
                done += f"; {len(lost)} images returned to clusters that had lost too many"
        else:
            move_on()
            self.targets = Targets.unknown(len(likeliest), self.group)
            new, _ = self.draw()
            done += "; training goes on with other images"
        self.targets = new
        self.level()
        return done

    def draw(
        self, rows: Rows = slice(None), *, within: bool = False
    ) -> tuple[Targets, Int[Tensor, " rows"]]:
        """Return new targets, and the most probable cluster of each image.

        Firm clusters are kept. (`--draw mode` takes the most probable hypothesis.)

        Args:
            rows: which images; all by default.
            within: draw only from hypotheses with the image's first cluster.
        """
        parts, first, firm = [], self.targets.first[rows], self.targets.firm[rows]
        must = first if within else self.targets.kept[rows]
        read = readings(self.model, self.pixels[rows], self.chunk, self.watched)
        for own, reading in zip(must.split(self.chunk), read, strict=True):
            joint, element, mass, rest = reading
            cluster = likeliest = joint.sum(-1).argmax(-1)
            some = (own != UNKNOWN) & (own != likeliest)  # the pose was read in another frame
            some |= within or self.config.start.draw == "posterior"
            picked, turn = drawn(joint, self.model.allowed.cpu(), own)
            cluster = torch.where(some, picked, cluster)
            element = torch.where(some[:, None, None], self.model.about(turn, rest), element)
            parts.append((cluster, element, mass, likeliest))
        cluster, element, weight, likeliest = map(torch.cat, zip(*parts, strict=True))
        cluster = torch.where(must == UNKNOWN, cluster, must)
        first = torch.where(first == UNKNOWN, cluster, first)
        new = Targets(cluster=cluster, first=first, element=element, weight=weight, firm=firm)
        return new, likeliest
