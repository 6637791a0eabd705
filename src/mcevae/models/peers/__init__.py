"""Peers of MCE-VAE, one file each, under the contract of `contract.Baseline`.

Each is written from its paper. Where the papers use other sizes, encoders and decoders are those of
MCE-VAE's, so that what is compared is the method.
"""

from collections.abc import Callable

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.peers.affine_vae import AffineVAE, TransformerVAE
from mcevae.models.peers.beta_tcvae import BetaTCVAE
from mcevae.models.peers.contract import Baseline
from mcevae.models.peers.factor_vae import FactorVAE
from mcevae.models.peers.gmvae import GMVAE
from mcevae.models.peers.jrvae import JRVAE
from mcevae.models.peers.spatial_vae import SpatialVAE
from mcevae.models.peers.vade import VaDE
from mcevae.models.peers.vae import VAE

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
