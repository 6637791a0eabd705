r"""TARGET-VAE: attention over rotations and shifts of a group-convolutional encoder.

Nasiri and Bepler, "Unsupervised object representation learning using translation and rotation group
equivariant VAE", NeurIPS 2022, arXiv 2210.12918, and their code (SMLC-NYSBC/TARGET-VAE) with
"attention+offsets" for rotations and Fourier features. Kernels as large as the object are turned
into R directions and compared with the image at every shift, then mixed by a layer of 1 x 1. At
each rotation r and shift t three heads give a score, a Gaussian for what is left of the rotation,
and a Gaussian for the code. Scores and prior of r make q(r, t | x), and the negative ELBO is

    -log p(x | z, theta, t) + KL(q(r, t) || p)
    + sum_rt q(r, t) [KL(q(theta | r, t) || N(theta_r, (pi / R)^2)) + KL(q(z | r, t) || N(0, I))].

From there: in training the code, the rotation and the shift are means over r and t, weighed by a
draw from the relaxed categorical (Jang, Gu, Poole, 2017; temperature 1); otherwise code and
rotation are those of the likeliest pair, and the shift is its mean. Clusters are found by k-means
on mean and scale of the code (z_c holds both). 128 kernels; 512 units in the decoder of two hidden
layers, the first on 1024 cosines of the coordinates; leaky ReLU; a code of 2; p(t) = N(0, 0.05^2)
in image sides; Adam 2e-4; batches of 100; R = 8 of 4, 8 or 16.

What differs: kernels are as large as the image and shifts reach as far as the support, where the
paper has kernels of 28 pixels and shifts of 19 in images of 50; its rotation has a uniform prior
or, for rotations that are drawn so, N(0, (pi/4)^2), and here N(0, 360 degrees) unless set, nearly
the same as the former; coordinates in the cosines are divided by 0.1, not 0.01, with which
reconstructions of 28 pixels hardly got better than their mean (BCE 290 against 208 after 120 steps
of 50 digits); log-variances are bounded; at most 60 epochs at a constant rate, where
theirs halves when the ELBO stalls, for up to 500.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from mcevae.base.config import ensure, ensure_range
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import places
from mcevae.geometry.warp import side, warp
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output, Terms, assemble
from mcevae.models.distributions import gaussian
from mcevae.models.likelihood import LIKELIHOODS
from mcevae.models.peers.common import CodeConfig, single_cluster
from mcevae.models.peers.posed import BY_PLACE, PosePriorConfig, pose_latent
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class TargetConfig(CodeConfig, PosePriorConfig):
    """Settings of TARGET-VAE."""

    directions: int = 8
    """Number of directions into which the kernels are turned: 4, 8 or 16 (preset target-vae)."""
    fourier: float = 0.1
    """Scale of the coordinates in the decoder's cosines, in half image sides: smaller is finer
    (preset target-vae)."""

    def __post_init__(self) -> None:
        CodeConfig.__post_init__(self)
        PosePriorConfig.__post_init__(self)
        ensure(self.directions in (4, 8, 16), f"--directions is {self.directions}; use 4, 8 or 16")
        ensure_range(self, fourier=(1e-4, 100))


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """q(r, t | x), q(theta | r, t, x) and q(z | r, t, x), for N pairs of rotation and shift.

    Attributes:
        log_pairs: (B, N), log q(r, t | x).
        rotation: batch shape (B, N, 1), radians.
        code: batch shape (B, N, D).
    """

    log_pairs: Tensor
    rotation: Normal
    code: Normal


class GroupEncoder(nn.Module):
    """Compares an image with kernels in R directions and at P shifts.

    Maps images (B, C, H, W), 0 where there is nothing, to (B, R P, `outputs`).

    Args:
        shape: (C, H, W) of the images, and sides of the kernels.
        kernels: number of kernels, and of their mixtures.
        directions: R.
        reach: largest shift along each axis, in pixels; P = (2 reach + 1)^2.
        outputs: numbers of all heads.

    Attributes:
        angles: (R,), radians, above -pi and up to pi.
        shifts: (P, 2), image sides.
    """

    angles: Tensor
    shifts: Tensor
    turns: Tensor

    def __init__(
        self, shape: tuple[int, int, int], kernels: int, directions: int, reach: int, outputs: int
    ) -> None:
        super().__init__()
        self.directions, self.reach = directions, reach
        bound = math.prod(shape) ** -0.5  # as torch draws convolutions
        self.kernels = nn.Parameter(torch.empty(kernels, *shape))
        self.bias = nn.Parameter(torch.empty(kernels))
        for weights in (self.kernels, self.bias):
            nn.init.uniform_(weights, -bound, bound)
        self.act = nn.LeakyReLU(inplace=True)
        self.mix, self.heads = nn.Conv1d(kernels, kernels, 1), nn.Conv1d(kernels, outputs, 1)
        steps = torch.arange(directions)
        angles = (
            2
            * math.pi
            / directions
            * torch.where(2 * steps > directions, steps - directions, steps)
        )
        turns = torch.eye(3).repeat(directions, 1, 1)
        turns[:, 0, 0] = turns[:, 1, 1] = angles.cos()
        turns[:, 1, 0], turns[:, 0, 1] = angles.sin(), -angles.sin()
        along = torch.arange(-reach, reach + 1.0) / side(*shape[1:])
        shifts = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1).flatten(0, 1)
        for name, known in (("angles", angles), ("turns", turns), ("shifts", shifts)):
            self.register_buffer(name, known, persistent=False)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N outputs"]:
        """Return the numbers of every pair, rotations first."""
        count, channels = self.kernels.shape[:2]
        turned = warp(self.kernels.flatten(0, 1)[None], self.turns).unflatten(1, (count, channels))
        bias = self.bias.repeat(self.directions)
        found = F.conv2d(x, turned.flatten(0, 1), bias, padding=self.reach)
        found = self.act(found).reshape(-1, count, len(self.shifts))  # (B R, kernels, P)
        numbers = self.heads(self.act(self.mix(found)))
        return numbers.mT.reshape(x.shape[0], -1, numbers.shape[1])


class FourierDecoder(nn.Module):
    """Computes each pixel from cosines of its position, and the code.

    Args:
        dim: D, size of the code.
        hidden: units of both hidden layers; there are twice as many cosines.
        scale: of the coordinates in the cosines, in half-sides.
        shape: (C, H, W) of the images.
    """

    points: Tensor
    waves: Tensor
    phases: Tensor

    def __init__(self, dim: int, hidden: int, scale: float, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("waves", nn.init.normal_(torch.empty(2, 2 * hidden), std=1 / scale))
        self.register_buffer("phases", nn.init.uniform_(torch.empty(2 * hidden), -math.pi, math.pi))
        self.where = nn.Linear(2 * hidden, hidden)
        self.what = nn.Linear(dim, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.LeakyReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(inplace=True),
            nn.Linear(hidden, shape[0]),
        )
        across, down = places(torch.empty(1, *shape))
        grid = torch.stack(torch.broadcast_tensors(across, down), -1)
        self.register_buffer("points", grid.flatten(0, 1), persistent=False)

    def forward(
        self, code: Float[Tensor, "B D"], inverse: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the images of codes, values from 0 to 1, moved by the inverse of `inverse`."""
        with torch.autocast(code.device.type, enabled=False):  # phases are many turns
            sources = self.points @ inverse[:, :2, :2].mT + inverse[:, None, :2, 2]
            cosines = torch.cos(2 * sources @ self.waves + self.phases)
        logits = self.rest(self.where(cosines) + self.what(code)[:, None])  # (B, H W, C)
        return torch.sigmoid(logits.to(code.dtype)).mT.unflatten(-1, self.shape[1:])


class TargetVAE(Model[Posterior]):
    """Image -> probabilities of rotations and shifts, with a code each -> values at the pixels.

    z_c holds the code and its scale, (B, 2 D).

    Args:
        config: sizes of the code and the decoder; number of directions; priors; support; beta.
        shape: (C, H, W) of the images.
        group: so2 or se2.

    Raises:
        UserError: another group.
    """

    log_prior: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        own, hidden = config.own(TargetConfig), config.model.hidden
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.dim, scale = own.code, pose_latent(config, group).scale
        far = max(config.support.half_widths(group)[1:], default=0.0)
        reach = math.ceil(far * side(*shape[1:]))
        numbers = 1 + 2 + 2 * self.dim
        self.encoder = GroupEncoder(shape, max(1, hidden // 4), own.directions, reach, numbers)
        self.decoder = FourierDecoder(self.dim, hidden, own.fourier, shape)
        of_angle = (-((self.encoder.angles / scale[0]) ** 2) / 2).log_softmax(0)
        of_shift = (-((self.encoder.shifts / own.shift_prior) ** 2).sum(-1) / 2).log_softmax(0)
        self.register_buffer("log_prior", of_angle[:, None] + of_shift, persistent=False)  # (R, P)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Posterior:
        """Infer the posterior of rotation, shift and code."""
        numbers = self.encoder(x - self.background).to(x.dtype)
        score, angle, code = numbers.split([1, 2, 2 * self.dim], -1)
        angles, shifts = self.encoder.angles, self.encoder.shifts
        of_angle = self.log_prior.logsumexp(1).repeat_interleave(len(shifts))
        rest = gaussian(angle)
        return Posterior(
            log_pairs=(score[..., 0] + of_angle).log_softmax(-1),
            rotation=Normal(
                rest.loc + angles.repeat_interleave(len(shifts))[:, None],
                rest.scale,
                validate_args=False,
            ),
            code=gaussian(code),
        )

    def relaxed(
        self, q: Posterior
    ) -> tuple[Float[Tensor, "B twoD"], Float[Tensor, "B 1"], Float[Tensor, "B 2"]]:
        """Draw code with scale, rotation and shift, by weights from the relaxed categorical."""
        uniform = torch.rand_like(q.log_pairs).clamp(1e-6, 1 - 1e-6)
        pairs = (q.log_pairs - (-uniform.log()).log()).softmax(-1)[:, None]  # (B, 1, N)
        code, scale, angle, angle_scale = (
            (pairs @ one)[:, 0]
            for one in (q.code.loc, q.code.scale, q.rotation.loc, q.rotation.scale)
        )
        z = code + scale * torch.randn_like(code)
        angle = angle + angle_scale * torch.randn_like(angle)
        return torch.cat([z, scale], -1), angle, self.mean_shift(pairs[:, 0])

    def likeliest(
        self, q: Posterior
    ) -> tuple[Float[Tensor, "B twoD"], Float[Tensor, "B 1"], Float[Tensor, "B 2"]]:
        """Code with scale and rotation of the likeliest pair, and the mean of the shift."""
        best = q.log_pairs.argmax(-1)[:, None, None]  # (B, 1, 1)
        code, scale, angle = (
            one.take_along_dim(best, 1)[:, 0] for one in (q.code.loc, q.code.scale, q.rotation.loc)
        )
        return torch.cat([code, scale], -1), angle, self.mean_shift(q.log_pairs.exp())

    def mean_shift(self, pairs: Float[Tensor, "B N"]) -> Float[Tensor, "B 2"]:
        """The shift, as a mean over all pairs."""
        shifts = self.encoder.shifts
        return pairs.unflatten(-1, (-1, len(shifts))).sum(1) @ shifts

    def canonical(
        self, z_c: Float[Tensor, "B twoD"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code, with the identity as its pose."""
        still = self.group.identity(z_c.shape[0], dtype=z_c.dtype, device=z_c.device)
        return self.decoder(z_c[:, : self.dim], still)

    def render(
        self, z_c: Float[Tensor, "B twoD"], z: Float[Tensor, "B V"], element: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code at coordinates moved by the inverse of the element."""
        return self.decoder(z_c[:, : self.dim], self.group.inverse(element))

    def forward(
        self, x: Float[Tensor, "B C H W"], sample: bool | None = None, canonical: bool = True
    ) -> Output[Posterior]:
        """See `Model.forward`. Without `canonical`, the canonical image is the reconstruction."""
        q = self.encode(x)
        z_c, angle, shift = self.relaxed(q) if self.draws(sample) else self.likeliest(q)
        parameters = torch.cat([angle, shift], -1)[:, : self.group.dim]
        element = self.group.from_parameters(parameters)
        image = self.render(z_c, z_c[:, :0], element)
        return Output(
            posterior=q,
            z_c=z_c,
            z=z_c[:, :0],
            tau=self.group.log(element),
            element=element,
            responsibilities=single_cluster(x),
            canonical=self.canonical(z_c, z_c[:, :0]) if canonical else image,
            reconstruction=image,
        )

    def divergences(self, q: Posterior) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """KL of the code, and of rotation and shift, in nats."""
        pairs, log_prior = q.log_pairs.exp(), self.log_prior.flatten()
        count, angles = len(self.encoder.shifts), self.encoder.angles
        prior = Normal(
            angles.repeat_interleave(count)[:, None], math.pi / len(angles), validate_args=False
        )
        standard = Normal(torch.zeros_like(q.code.loc), 1.0, validate_args=False)
        pose = q.log_pairs - log_prior + kl_divergence(q.rotation, prior).sum(-1)
        return (pairs * kl_divergence(q.code, standard).sum(-1)).sum(-1), (pairs * pose).sum(-1)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the reconstruction error, and the divergences of code and pose."""
        out: Output[Posterior] = model(x, sample=True, canonical=False)
        code, pose = self.divergences(out.posterior)
        return assemble(
            self.likelihood(out.reconstruction, x).mean(),
            kl_cluster=code.mean(),
            kl_pose=pose.mean(),
            beta=self.beta,
        )


SPEC = ModelSpec(
    build=TargetVAE,
    reads=BY_PLACE,
    settings=TargetConfig,
    preset={
        "model": {"hidden": 512, **PAPER_SIZES},
        "peer": {"code": 2, "rotation_prior": 360.0},
        "train": {**PAPER_TRAINING, "lr": 2e-4},
    },
)
"""Its authors' networks and rate, with eight directions."""
