"""Peers of MCE-VAE, one file each, under the contract of `contract.Baseline`.

Each is written from its paper. Where the papers use other sizes, encoders and decoders are those of
MCE-VAE's, so that what is compared is the method.
"""

from collections.abc import Callable

from mcevae.baselines.affine_vae import AffineVAE, TransformerVAE
from mcevae.baselines.beta_tcvae import BetaTCVAE
from mcevae.baselines.contract import Baseline
from mcevae.baselines.factor_vae import FactorVAE
from mcevae.baselines.gmvae import GMVAE
from mcevae.baselines.jrvae import JRVAE
from mcevae.baselines.spatial_vae import SpatialVAE
from mcevae.baselines.vade import VaDE
from mcevae.baselines.vae import VAE
from mcevae.config import Config
from mcevae.groups import MatrixGroup

PEERS: dict[str, Callable[[Config, tuple[int, int, int], MatrixGroup], Baseline]] = {
    "vae": VAE,
    "beta-vae": VAE,
    "beta-tcvae": BetaTCVAE,
    "factor-vae": FactorVAE,
    "vade": VaDE,
    "gmvae": GMVAE,
    "spatial-vae": SpatialVAE,
    "affine-vae": AffineVAE,
    "affine-vae-stn": TransformerVAE,
    "jrvae": JRVAE,
}
"""What builds each peer from settings, the shape of its images and its group."""
