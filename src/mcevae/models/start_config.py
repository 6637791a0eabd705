"""How first poses and clusters are found, as settings. It imports no tensors."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mcevae.base.config import MOST_IMAGES, ensure, ensure_range
from mcevae.base.flags import FLAGS

Poses = Literal["auto", "averages", "graph", "templates", "moments"]


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """How the model of preset `default` starts and is taught. Other models do not read this."""

    templates: int = 128
    """Number of templates that are fitted to the images to get the first poses."""
    subset: int = 20_000
    """Number of images from which templates and neighbour graphs are made."""
    poses: Annotated[Poses, tyro.conf.arg(name=FLAGS["poses"])] = "auto"
    """How to find the first poses. averages: from class averages, with the first clusters; graph:
    from how neighbours are turned, with the first clusters; templates: compare each image with
    templates at every angle; auto: averages if the images are mostly noise, otherwise graph over
    the whole circle and with mirror images, otherwise templates; moments: upright, centred."""
    grouping: Literal["tangent", "euclidean", "kmeans"] = "tangent"
    """How to find the first clusters. tangent: a neighbour graph with the tangent distance, or with
    the plain one if restarts agree clearly better on it; euclidean: with the plain distance;
    kmeans: k-means on the pixels of the canonical images."""
    descriptions: Literal["pixels", "auto", "learned"] = "pixels"
    """What images are compared by in a graph. learned: also by features of a small network that
    learns for minutes to tell images apart however they are moved, lit, blurred or covered; for
    kinds that differ in more than their shape. auto: only if restarts on pixels disagree, and not
    with `--minutes`; clusters by pixels stay if features alone speak for them."""
    draw: Literal["posterior", "mode"] = "posterior"
    """How to make new targets. posterior: draw them from the network's sharpened posterior; mode:
    take the most probable hypothesis."""
    neighbours: int = 15
    """Number of neighbours of each image in the graph that gives the first clusters."""
    restarts: int = 5
    """How many times to group the graph. What most of the results have in common is used. Where
    features make several graphs, each is grouped at most 3 times."""
    warmup: float = 0.25
    """Share of the epochs in which the model learns poses only."""
    redraws: int = 5
    """How many times, after the warm-up, new targets are made from the network's posterior."""
    firm: float = 0.1
    """Images keep a first cluster that this share of neighbours has, if restarts agree by 0.9."""
    frames: Literal["content", "common"] = "content"
    """How to choose frames. content: one for images that look alike; common: as poses are found."""
    augment_strain: float = 0.1
    """Standard deviation of random scale, stretch and shear of training images, in log units."""
    augment_elastic: float = 0.025
    """Standard deviation of the random elastic deformation of training images, in image sides."""

    def __post_init__(self) -> None:
        ensure_range(self, templates=(1, 1024), subset=(1, MOST_IMAGES), neighbours=(1, 200))
        ensure_range(self, restarts=(1, 20), redraws=(0, 1000), firm=(0.1, 2))
        ensure(0 < self.warmup < 1, f"--warmup is {self.warmup}; use a share between 0 and 1")
        for name in ("augment_strain", "augment_elastic"):
            ensure(0 <= getattr(self, name) < 1, f"--{name} is {getattr(self, name)}; use 0 to 1")
