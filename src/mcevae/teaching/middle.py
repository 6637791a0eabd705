"""Where values have their middle, as far as something that is known beside them tells it."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

TYPICAL = 0.03
"""How far the middles of a cluster's images differ for one standard deviation of a component, in
radians or log units. This is the standard deviation of the prior of its weight."""
STRAY = 0.02  # share of values that may lie anywhere
SMALLEST = 0.01  # of the first guess, for how wide the density is and for how soft its ends are


def middle(
    kinds: Float[Tensor, "n clusters"],
    look: Float[Tensor, "n components"],
    values: Float[Tensor, " n"],
    width: float,
) -> Float[Tensor, " n"]:
    """Return the middles of the values, linear in kinds and look.

    The density of the values is symmetric about the middle: even, with soft ends. How wide it is
    and how soft its ends are is found beside the weights, by maximum a posteriori (L-BFGS-B). Where
    poses fill their support, its ends tell the middle far better than the mean does; where they do
    not, the density becomes that of a logistic distribution, and its middle is about the mean.

    Args:
        kinds: 1 for the cluster of each value, 0 for the others. Their weights have no prior.
        look: what else is known of each value, of standard deviation 1.
        values: the values, radians or log units.
        width: first guess of half of the width of the density, in the same units.
    """
    known, values = torch.cat([kinds, look], 1).double(), values.double()
    count = known.shape[1]

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(point).requires_grad_()
        weights, (h, t) = at[:count], at[count:].exp()
        off = values - known @ weights
        density = (torch.sigmoid((off + h) / t) - torch.sigmoid((off - h) / t)) / (2 * h)
        likelihood = ((1 - STRAY) * density + STRAY / (2 * width)).log().sum()
        prior = (weights[kinds.shape[1] :] / TYPICAL).square().sum() / 2
        value = (prior - likelihood) / len(values)
        return value.item(), torch.autograd.grad(value, at)[0].numpy()

    sizes = math.log(SMALLEST * width), math.log(2 * width)
    start = np.array([0.0] * count + [math.log(width), math.log(width / 10)])
    bounds = [(None, None)] * count + [sizes, sizes]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return (known @ torch.from_numpy(best.x[:count])).float()
