"""Find signs that training goes wrong, and tell people what to try.

The signs are clusters without images, poses at the border of the support, and units that no longer
learn. `position.check_finite` looks for a loss that is not finite.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup
from mcevae.models.contract import Model
from mcevae.models.nets import Extractor, GatedDense
from mcevae.runs.infer import outputs

EXAMINED = 1000
"""Number of images to examine."""
ENOUGH = 20
"""Images for each cluster that are needed to judge whether clusters are empty."""
DEAD = 0.02
"""A cluster is dead if it has less than this share of the images that even clusters would have.
Kinds may be of very unequal size, 50 to 1."""
MARGIN = 0.05
"""This share of the support's half-width, at its end, is its border."""
TAIL = 0.05
"""The middle of a cluster's poses is between the quantiles of this share, from both ends."""
AT_BORDER = 0.2
"""If more than this share of poses lies at the border, we warn. Even poses have `MARGIN` there."""
FLAT = 0.04
"""A unit with less than this share of its steepest slope is saturated (sigmoids: 0.01 or 0.99)."""
NEARLY_ALL = 0.99
"""A unit is stuck if it is saturated for more than this share of the images."""
MANY = 0.5
"""If more than this share of a layer's units is stuck, we warn."""
PASSING = ("border_", "stuck_")
"""Signs that good runs show for a while: poses spread wide until the network has learned its
clusters, and units that are stuck recover when the learning rate falls."""
SETTLED = 0.75
"""We warn of passing signs only after this share of the epochs."""
FLAGS = {
    "rotation": "--rotation",
    "shift_x": "--shift",
    "shift_y": "--shift",
    "log_scale": "--scale",
    "stretch": "--strain",
    "shear": "--strain",
}

Signs = dict[str, float]
"""Numbers by name. clusters and dead: how many there are; border_C: share of poses at the border of
coordinate C; stuck_N: share of stuck units in the worst layer of network N."""


def examine(model: Model, pixels: Tensor, support: Sequence[float]) -> Signs:
    """Look for signs of trouble in the model's results for some images, without random numbers.

    Args:
        model: the model, in evaluation mode.
        pixels: (N, C, H, W) uint8, validation images; only the first `EXAMINED` are used.
        support: half-widths of the group's parameters.
    """
    with stuck_units(model) as signs:
        found = [
            (out.responsibilities, model.group.to_parameters(out.element))
            for _, out in outputs(model, pixels[:EXAMINED])
        ]
    responsibilities, pose = (torch.cat(column).cpu() for column in zip(*found, strict=True))
    images, clusters = responsibilities.shape
    cluster = responsibilities.argmax(-1)
    if images >= ENOUGH * clusters:
        signs |= {"clusters": clusters, "dead": dead(cluster, clusters)}
    return signs | at_border(pose, cluster, model.group, support)


def dead(cluster: Int[Tensor, " n"], clusters: int) -> int:
    """Count the clusters that have almost no images."""
    counts = cluster.bincount(minlength=clusters)
    return int((counts < DEAD * len(cluster) / clusters).sum())


def at_border(
    pose: Float[Tensor, "n T"],
    cluster: Int[Tensor, " n"],
    group: MatrixGroup,
    support: Sequence[float],
) -> Signs:
    """Compute, for each coordinate, the share of poses near the ends of the support or outside.

    The frame of a cluster is arbitrary. Things that all lie left of the middle have poses far from
    0, but need no larger support. So poses are compared with the middle of their cluster's poses.

    Args:
        pose: the poses as parameters of the group.
        cluster: the cluster of each image.
        group: the group of the poses.
        support: half-widths; coordinates whose half-width is 0 are left out.
    """
    apart = pose.clone()
    for k in cluster.unique():
        mine = cluster == k
        apart[mine] -= pose[mine].quantile(pose.new_tensor([TAIL, 1 - TAIL]), dim=0).mean(0)
    return {
        f"border_{name}": (values.abs() > (1 - MARGIN) * width).float().mean().item()
        for name, values, width in zip(group.coordinates, apart.T, support, strict=True)
        if width > 0 and not (name == "rotation" and width > WHOLE_CIRCLE)
    }


@contextmanager
def stuck_units(model: nn.Module) -> Iterator[Signs]:
    """Watch the units of a model while it processes images; the signs are complete at the end.

    A unit is stuck if its slope is almost 0 for nearly all images: a saturated gate, sigmoid or
    tanh, or a ReLU that is always zero. It passes on no gradient and no information.
    """
    flat: dict[str, list[Tensor]] = {}  # of each layer, the share of images by unit and batch
    signs: Signs = {}

    def watch(name: str, module: nn.Module) -> Any:
        def note(_: nn.Module, __: Any, out: Tensor) -> None:
            slopes = slope(module, out)
            units = slopes.transpose(1, -1) if slopes.ndim == 4 else slopes  # channels last
            flat.setdefault(name, []).append((units < FLAT).float().flatten(0, -2).mean(0))

        inner = module.both if isinstance(module, GatedDense) else module
        return inner.register_forward_hook(note)

    handles = [watch(name, module) for name, module in hidden_units(model)]
    try:
        yield signs
    finally:
        for handle in handles:
            handle.remove()
    for name, batches in flat.items():
        network = f"stuck_{name.split('.')[0]}"
        share = (torch.stack(batches).mean(0) > NEARLY_ALL).float().mean().item()
        signs[network] = max(share, signs.get(network, 0.0))


def hidden_units(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Find layers of units that can be stuck. Sigmoids that give pixels may be saturated."""
    for name, module in model.named_modules():
        if isinstance(module, GatedDense | nn.Tanh | nn.ReLU):
            yield name, module
        elif isinstance(module, Extractor):
            sigmoids = {n: m for n, m in module.named_children() if isinstance(m, nn.Sigmoid)}
            yield from ((f"{name}.{n}", sigmoid) for n, sigmoid in sigmoids.items())


def slope(module: nn.Module, out: Tensor) -> Tensor:
    """Return the slope of units at their output, as a share of the steepest slope.

    For gated units it is the slope of the gate.
    """
    if isinstance(module, nn.ReLU):
        return (out > 0).float()
    if isinstance(module, nn.Tanh):
        return 1 - out.square()
    gate = torch.sigmoid(out.chunk(2, -1)[1]) if isinstance(module, GatedDense) else out
    return 4 * gate * (1 - gate)


def findings(signs: Mapping[str, float]) -> dict[str, str]:
    """Write a sentence for each sign of trouble: what is wrong and what to try."""
    found = {}
    if signs.get("dead"):
        found["dead"] = (
            f"{signs['dead']:.0f} of {signs['clusters']:.0f} clusters have almost no images: ask "
            "for fewer (--clusters)."
        )
    for name, share in signs.items():
        what = name.partition("_")[2]
        if name.startswith("border_") and share > AT_BORDER:
            flag = FLAGS.get(what, "half_width in the file of the group")
            found[name] = (
                f"{share:.0%} of the poses lie at the border of the support of "
                f"{what.replace('_', ' ')}: widen it with a larger {flag}."
            )
        elif name.startswith("stuck_") and share > MANY:
            found[name] = (
                f"{share:.0%} of the units of a layer of {what} are saturated for nearly all "
                "images and learn nothing: train again with a third of the --lr, or with more "
                "--weight-decay."
            )
    return found


def begun(rows: Sequence[Mapping[str, Any]], epochs: int) -> list[str]:
    """Find the warnings to show now: seen in the last two epochs, and not shown before.

    A sign that is seen only once may be chance, and no warning is repeated.

    Args:
        rows: rows of metrics.jsonl; the rows of validation images have `signs`.
        epochs: number of epochs of the whole run.
    """
    found = [(row["epoch"], findings(row["signs"])) for row in rows if "signs" in row]
    lasting = [
        {
            name
            for name in before.keys() & now.keys()
            if not name.startswith(PASSING) or epoch >= SETTLED * epochs - 1
        }
        for (_, before), (epoch, now) in pairwise(found)
    ]
    if not lasting:
        return []
    said = set().union(*lasting[:-1])
    return [text for name, text in found[-1][1].items() if name in lasting[-1] - said]


def stuck_at_last(rows: Sequence[Mapping[str, Any]]) -> Signs:
    """Return the shares of stuck units in the last epoch of a run.

    Args:
        rows: rows of metrics.jsonl.
    """
    signs = [row["signs"] for row in rows if "signs" in row][-1:]
    return {name: share for last in signs for name, share in last.items() if "stuck_" in name}
