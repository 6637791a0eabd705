"""Measures of the difference between an image and its reconstruction."""

from jaxtyping import Float
from torch import Tensor

EDGE = 1e-6
"""Predicted pixels are kept this far from 0 and 1, so that no pixel costs more than 14 nats."""


def bce(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]
) -> Float[Tensor, " B"]:
    """Return the binary cross-entropy, summed over pixels, in nats; both images from 0 to 1.

    (torch's own function ends the process on a GPU if a value is not finite.)
    """
    inside = EDGE + (1 - 2 * EDGE) * prediction
    return -(target * inside.log() + (1 - target) * (1 - inside).log()).sum((1, 2, 3))


def squared_error(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]
) -> Float[Tensor, " B"]:
    """Return the squared error, summed over pixels: a Gaussian of variance 1/2 up to a constant."""
    return (prediction - target).square().sum((1, 2, 3))


LIKELIHOODS = {"bce": bce, "mse": squared_error}
