r"""jrVAE: discrete class, continuous code, rotation and shift (AtomAI; pyroVED's jiVAE).

Ziatdinov and Kalinin, "Robust feature disentanglement in imaging data via joint invariant
variational autoencoders: from cards to atoms" (2021), arXiv 2104.10180, and pyroVED's
`jiVAE(..., invariances=["r", "t"])`, whose settings these are: encoder and decoder with two hidden
layers of 128 tanh units (its decoder, otherwise that of spatial-VAE, has a third), Adam 1e-3,
batches of 100; priors N(0, 1) for the rotation in radians, N(0, 0.1^2) for the shift in half-sides,
which is 0.05 of the image side, and 1/K for the class. As there, class, code and pose are
independent given the image, and the sum over classes is exact: the negative ELBO is

    -sum_y q(y|x) log p(x|y,z,pose) + KL(q(y|x) || 1/K) + KL(q(z|x) || N(0,I)) + KL(q(pose|x) || p),

with one draw of z and pose; a step decodes K times the batch. Its example weighs the divergences by
3 and, of z and pose, by more at the start; here --beta weighs all of them, 1 unless set.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output, Terms, assemble
from mcevae.models.distributions import GaussianLatent
from mcevae.models.likelihood import LIKELIHOODS
from mcevae.models.peers.posed import (
    BY_PLACE,
    CoordinateDecoder,
    PosePriorConfig,
    mlp,
    pose_latent,
)
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """q(y | x) q(z | x) q(pose | x).

    Attributes:
        log_y: (B, K), log q(y | x).
        code: batch shape (B, V).
        pose: batch shape (B, T), in parameters of the group (radians, image sides).
        each: (B, K, C, H, W), the reconstruction under every class, where it was asked for.
    """

    log_y: Tensor
    code: Normal
    pose: Normal
    each: Tensor | None


class JRVAE(Model[Posterior]):
    """Image -> class, code and pose -> values at the pixels' places, moved back by the pose.

    z_c holds log q(y | x); `canonical` and `decode` draw the likeliest class of a z_c.

    Args:
        config: K; sizes of z and of the hidden layers; priors of the pose; beta.
        shape: (C, H, W) of the images.
        group: so2 or se2.

    Raises:
        UserError: another group.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes = config.model
        self.clusters = sizes.room
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.code, self.pose = GaussianLatent(sizes.variation), pose_latent(config, group)
        self.split = [self.clusters, 2 * self.code.dim, 2 * self.pose.dim]
        pixels = shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), *mlp(pixels, sizes.hidden, sum(self.split)))
        self.decoder = CoordinateDecoder(self.clusters + self.code.dim, sizes.hidden, shape)

    def draw(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], inverse: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of the most probable class and z, moved by the inverse of `inverse`."""
        y = F.one_hot(z_c.argmax(-1), self.clusters).to(z.dtype)
        return self.decoder(torch.cat([y, z], -1), inverse)

    def draw_each(
        self, z: Float[Tensor, "B V"], inverse: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B K C H W"]:
        """Draw the image of every class."""
        classes = torch.eye(self.clusters, dtype=z.dtype, device=z.device).repeat(z.shape[0], 1)
        codes = torch.cat([classes, z.repeat_interleave(self.clusters, 0)], -1)  # (B K, K + V)
        images = self.decoder(codes, inverse.repeat_interleave(self.clusters, 0))
        return images.unflatten(0, (z.shape[0], self.clusters))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of the most probable class and z, with the identity as its pose."""
        return self.draw(
            z_c, z, self.group.identity(z_c.shape[0], dtype=z_c.dtype, device=z_c.device)
        )

    def render(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], element: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the same image at coordinates moved by the inverse of the element."""
        return self.draw(z_c, z, self.group.inverse(element))

    def forward(
        self, x: Float[Tensor, "B C H W"], sample: bool | None = None, each: bool = False
    ) -> Output[Posterior]:
        """See `Model.forward`. The image is that of the most probable class, not of a random one.

        With `each`, the images of all classes are drawn. The canonical image is then replaced by
        the reconstruction, because no term of the loss needs it.
        """
        logits, code, pose = self.encoder(x).split(self.split, -1)
        log_y = logits.to(x.dtype).log_softmax(-1)
        q_code, q_pose = self.code.posterior(code), self.pose.posterior(pose)
        draw = self.draws(sample)
        z, parameters = (q.rsample() if draw else q.loc for q in (q_code, q_pose))
        element = self.group.from_parameters(parameters)
        inverse = self.group.inverse(element)
        images = self.draw_each(z, inverse) if each else None
        if images is None:
            reconstruction, canonical = self.draw(log_y, z, inverse), self.canonical(log_y, z)
        else:
            likeliest = torch.arange(x.shape[0], device=x.device), log_y.argmax(-1)
            reconstruction = canonical = images[likeliest]
        return Output(
            posterior=Posterior(log_y=log_y, code=q_code, pose=q_pose, each=images),
            z_c=log_y,
            z=z,
            tau=self.group.log(element),
            element=element,
            responsibilities=log_y.exp(),
            canonical=canonical,
            reconstruction=reconstruction,
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the ELBO, summed over the classes."""
        q: Posterior = model(x, sample=True, each=True).posterior
        assert q.each is not None
        y, (images, classes) = q.log_y.exp(), q.log_y.shape
        errors = self.likelihood(q.each.flatten(0, 1), x.repeat_interleave(classes, 0))
        return assemble(
            (y * errors.unflatten(0, (images, classes))).sum(-1).mean(),
            beta=self.beta,
            kl_cluster=(y * (q.log_y + math.log(classes))).sum(-1).mean(),
            kl_variation=self.code.kl(q.code).mean(),
            kl_pose=self.pose.kl(q.pose).mean(),
        )


SPEC = ModelSpec(
    build=JRVAE,
    reads=BY_PLACE | {"model.variation"},
    settings=PosePriorConfig,
    preset={
        "model": {"hidden": 128, **PAPER_SIZES},
        "peer": {"rotation_prior": 57.3},
        "train": PAPER_TRAINING,
    },
)
"""Its authors' networks, and a rotation of 1 rad."""
