"""Affine VAE (Bidart and Wong, 2019): a VAE of upright images, and a search for every image's pose.

"Affine variational autoencoders: an efficient approach for improving generalization and robustness
to distribution shift", arXiv 1905.05300, and its authors' code (renebidart/
affine-variational-autoencoder). `affine-vae` trains a VAE on the UPRIGHT images, which this package
knows only where it moved them itself: that is supervision no unsupervised peer has, and its
`negative_elbo` is that of upright images. At test time it looks for the M that makes

    BCE(x, M decode(z)) + KL(q(z | M^-1 x) || N(0, I)),   z the mean of q(z | M^-1 x),

least: 20 random starts in the support and 10 steps of Adam, whose rate is 0.03 in radians,
half-sides and logarithms as for the code's affine maps, and the best M on the way counts. Steps are
taken from the 3 best starts: the code takes them from every start where it looks at one image, and
from the best alone where it looks at a batch. The starts are the same for every image, so that
its pose does not hang on its batch. The VAE is that of `vae` rather than the code's convolutions.
Their experiments search rotations or 2 x 2 matrices about the centre; rotation and shift together
need more starts: with 60 (--search-restarts 60) the pose of an image that the VAE draws well is
found within degrees, with 20 about every other time (tests/models/test_posed_peers.py).

`affine-vae-stn`, the variant of the code with `use_STN`, needs no upright images and no search: a
spatial transformer (Jaderberg, Simonyan, Zisserman and Kavukcuoglu, 2015) predicts M, and is
trained with the VAE on the posed images. Its localiser is the code's: 8 kernels of 7, 10 of 5, 3 x
3 maxima and 32 units, the last layer starting at the identity. With `pose_module` log-polar, an
equivariant transformer (`log_polar`) stands in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.base.config import ensure_range
from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.config import Config
from mcevae.models.contract import Output, Terms, assemble
from mcevae.models.peers.common import CONVOLVED, CodeConfig
from mcevae.models.peers.log_polar import LogPolar
from mcevae.models.peers.vae import VAE
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec

RATE = {"side": 0.015}
"""Adam's rate in the search by unit of the parameter: 0.03 half-sides; 0.03 of any other."""
MOST_STARTS, MOST_STEPS = 100, 30
"""Largest numbers of starts and of steps. For each image, a start costs a pass of the network; a
step costs one, and one back, for each of the starts that are `KEPT`. So a stranger's run takes at
most four times as long as one with the usual settings."""
KEPT = 3
"""Starts from which steps are taken."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig(CodeConfig):
    """Settings of the search for the pose of an image."""

    search_restarts: int = 20
    """Number of random poses at which the search for the pose of an image starts (preset
    affine-vae)."""
    search_steps: int = 10
    """Number of gradient steps in the search for the pose of an image (preset affine-vae)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure_range(self, search_restarts=(1, MOST_STARTS), search_steps=(1, MOST_STEPS))


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(CodeConfig):
    """Settings of the network that finds the pose."""

    pose_module: Literal["stn", "log-polar"] = "stn"
    """Network that predicts the pose (preset affine-vae-stn). stn: a spatial transformer's;
    log-polar: an equivariant transformer, whose pose turns with the image."""


class PosedVAE(VAE):
    """A VAE that moves images back by their poses, and moves its reconstructions again."""

    def redraw(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "B T"], sample: bool
    ) -> Output[Normal]:
        """Move images back by their poses, encode, decode and move again.

        Args:
            x: images with values from 0 to 1.
            parameters: of the poses (radians, sides, logarithms).
            sample: draw the code or take its mean.
        """
        element = self.group.from_parameters(parameters)
        upright = warp(x, self.group.inverse(element), background=self.background)
        out = VAE.forward(self, upright, sample)
        return replace(
            out,
            tau=self.group.log(element),
            element=element,
            reconstruction=warp(out.canonical, element, background=self.background),
        )


class AffineVAE(PosedVAE):
    """Image -> pose, by search -> upright image -> code -> upright image -> image.

    Args:
        config: sizes as for `VAE`; starts and steps of the search; support; beta.
        shape: (C, H, W) of the images.
        group: group of the poses.
    """

    quick = False
    starts: Tensor
    rates: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__(config, shape, group)
        own = config.own(SearchConfig)
        self.steps = own.search_steps
        elements = group.sample(
            own.search_restarts,
            config.support.half_widths(group),
            generator=torch.Generator().manual_seed(0),
        )
        rates = torch.tensor([RATE.get(unit, 0.03) for unit in group.units])
        self.register_buffer("starts", group.to_parameters(elements), persistent=False)  # (S, T)
        self.register_buffer("rates", rates, persistent=False)

    def cost(
        self, x: Float[Tensor, "B C H W"], parameters: Float[Tensor, "B T"]
    ) -> Float[Tensor, " B"]:
        """Return the negative ELBO of images for given poses, at the mean of the code, in nats."""
        out = self.redraw(x, parameters, sample=False)
        return self.likelihood(out.reconstruction, x) + self.code.kl(out.posterior)

    def search(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B T"]:
        """Search for the poses; each pose depends on its own image only."""
        kept = min(KEPT, len(self.starts))
        # Tensors made in inference mode cannot be differentiated; their copies made outside can.
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone()
            with torch.no_grad():  # one start at a time: together they overflow a CPU's caches
                costs = torch.stack([self.cost(x, s.expand(x.shape[0], -1)) for s in self.starts])
            least, which = costs.topk(kept, 0, largest=False)
            start = best = self.starts[which].flatten(0, 1)  # (kept B, T)
            least, x = least.flatten(), x.repeat(kept, 1, 1, 1)
            moved = torch.zeros_like(start, requires_grad=True)  # by how many `rates`
            adam = torch.optim.Adam([moved], lr=1.0)
            for step in range(self.steps + 1):
                found = start + self.rates * moved
                cost = self.cost(x, found)
                better = cost.detach() < least
                best = torch.where(better[:, None], found.detach(), best)
                least = torch.where(better, cost.detach(), least)
                if step < self.steps:
                    # Not `backward`, which would leave gradients in the model's own parameters.
                    (moved.grad,) = torch.autograd.grad(cost.sum(), moved)
                    adam.step()
            winner = least.view_as(which).argmin(0)  # (B,)
            at = torch.arange(winner.shape[0], device=x.device)
            return best.unflatten(0, which.shape)[winner, at]

    def forward(
        self, x: Float[Tensor, "B C H W"], sample: bool | None = None, search: bool | None = None
    ) -> Output[Normal]:
        """See `Model.forward`.

        Args:
            x: images with values from 0 to 1.
            sample: see `Model.forward`.
            search: search for poses; if False, images count as upright. None: search in evaluation
                mode only.
        """
        draw = self.draws(sample)
        if self.training if search is None else not search:
            return super().forward(x, draw)
        return self.redraw(x, self.search(x), draw)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the terms of a VAE for the upright images of the batch.

        Raises:
            UserError: the source has no upright images.
        """
        if "upright" not in batch:
            raise UserError(
                "affine-vae needs upright images for training, but this source has none; use a "
                "built-in set, or upright images with --pose, or --preset affine-vae-stn."
            )
        upright = to_float(batch["upright"])
        out: Output[Normal] = model(upright, sample=True, search=False)
        reconstruction = self.likelihood(out.reconstruction, upright).mean()
        kl = self.code.kl(out.posterior).mean()
        return assemble(reconstruction, kl_cluster=kl, beta=self.beta)


class TransformerVAE(PosedVAE):
    """Image -> pose, by a network -> upright image -> code -> upright image -> image.

    Args:
        config: sizes as for `VAE`; beta; network for the pose.
        shape: (C, H, W) of the images.
        group: group of the poses.

    Raises:
        UserError: the network does not find all moves of the group.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__(config, shape, group)
        if config.own(TransformerConfig).pose_module == "stn":
            self.localiser = spatial_transformer(shape[0], group.dim)
        else:
            self.localiser = LogPolar(shape, group, self.background)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Normal]:
        """See `Model.forward`."""
        draw = self.draws(sample)
        return self.redraw(x, self.localiser(x).to(x.dtype), draw)


def spatial_transformer(channels: int, numbers: int) -> nn.Sequential:
    """Make the localiser of the authors' code, which starts at the identity."""
    last = nn.Linear(32, numbers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 7),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(8, 10, 5),
        nn.AdaptiveMaxPool2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(90, 32),
        nn.ReLU(),
        last,
    )


SEARCH = ModelSpec(
    build=AffineVAE,
    reads=CONVOLVED,
    settings=SearchConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
"""Affine VAE, which searches for every image's pose."""

TRANSFORMER = ModelSpec(
    build=TransformerVAE,
    reads=CONVOLVED,
    settings=TransformerConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
"""Its variant with a spatial transformer."""
