"""Signs that training goes wrong: dead clusters, poses at the border of their support, units that
are stuck. What it means and what to try, for people.

A loss that is not finite is `trainer.check_finite`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup
from mcevae.models.nets import Extractor, GatedDense
from mcevae.models.registry import Model
from mcevae.runs.infer import outputs

EXAMINED = 1000
"""Images that are looked at."""
ENOUGH = 20
"""Images for each cluster, without which nothing is said of empty ones."""
DEAD = 0.1
"""Share of the images of an even cluster below which one counts as dead."""
MARGIN = 0.05
"""Share of the support's half-width that counts as its border."""
AT_BORDER = 0.2
"""Share of poses there that is too large; evenly spread ones have `MARGIN`."""
FLAT = 0.04
"""Share of the steepest slope below which a unit is saturated: a sigmoid below 0.01, over 0.99."""
NEARLY_ALL = 0.99
"""Share of the images for which a stuck unit is saturated."""
MANY = 0.5
"""Share of stuck units that is too large for a layer."""
FLAGS = {
    "rotation": "--rotation",
    "shift_x": "--shift",
    "shift_y": "--shift",
    "log_scale": "--scale",
    "stretch": "--strain",
    "shear": "--strain",
}

Signs = dict[str, float]
"""clusters and dead; border_C, the share of poses at the border of coordinate C; stuck_N, the share
of stuck units in the layer of network N that has the most."""


def examine(
    model: Model, pixels: Tensor, support: Sequence[float], *, clustered: bool = True
) -> Signs:
    """Look for signs in what a model says of some images; it draws no random numbers.

    Args:
        model: in evaluation mode.
        pixels: (N, C, H, W) uint8, validation images; the first `EXAMINED` are enough.
        support: half-widths of the group's parameters.
        clustered: whether it has clusters yet.
    """
    with stuck_units(model) as signs:
        found = [
            (out.responsibilities, model.group.to_parameters(out.element))
            for _, out in outputs(model, pixels[:EXAMINED])
        ]
    responsibilities, pose = (torch.cat(column).cpu() for column in zip(*found, strict=True))
    images, clusters = responsibilities.shape
    if clustered and images >= ENOUGH * clusters:
        signs |= {"clusters": clusters, "dead": dead(responsibilities.argmax(-1), clusters)}
    return signs | at_border(pose, model.group, support)


def dead(cluster: Int[Tensor, " n"], clusters: int) -> int:
    """How many clusters have next to no images."""
    counts = cluster.bincount(minlength=clusters)
    return int((counts < DEAD * len(cluster) / clusters).sum())


def at_border(pose: Float[Tensor, "n T"], group: MatrixGroup, support: Sequence[float]) -> Signs:
    """Share of poses within the margin of the ends of each coordinate's support, or beyond them.

    Args:
        pose: parameters of the group.
        group: of the poses.
        support: half-widths; coordinates without one are passed over.
    """
    return {
        f"border_{name}": (values.abs() > (1 - MARGIN) * width).float().mean().item()
        for name, values, width in zip(group.coordinates, pose.T, support, strict=True)
        if width > 0 and not (name == "rotation" and width > WHOLE_CIRCLE)
    }


@contextmanager
def stuck_units(model: nn.Module) -> Iterator[Signs]:
    """Watch the units of a model while images go through it; the signs are there at the end.

    A unit whose slope is next to nothing for nearly all images passes no gradient and says nothing:
    a saturated gate, sigmoid or tanh, a ReLU that is always zero.
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
    """Layers of units that can be stuck, by name; sigmoids that give pixels are meant to be."""
    for name, module in model.named_modules():
        if isinstance(module, GatedDense | nn.Tanh | nn.ReLU):
            yield name, module
        elif isinstance(module, Extractor):
            sigmoids = {n: m for n, m in module.named_children() if isinstance(m, nn.Sigmoid)}
            yield from ((f"{name}.{n}", sigmoid) for n, sigmoid in sigmoids.items())


def slope(module: nn.Module, out: Tensor) -> Tensor:
    """Slope of units at what they gave, as a share of the steepest; for gated ones of the gate."""
    if isinstance(module, nn.ReLU):
        return (out > 0).float()
    if isinstance(module, nn.Tanh):
        return 1 - out.square()
    gate = torch.sigmoid(out.chunk(2, -1)[1]) if isinstance(module, GatedDense) else out
    return 4 * gate * (1 - gate)


def findings(signs: Mapping[str, float]) -> dict[str, str]:
    """What is wrong and what to try, a sentence by the name of each sign that is out of bounds."""
    found = {}
    if signs.get("dead"):
        found["dead"] = (
            f"{signs['dead']:.0f} of {signs['clusters']:.0f} clusters have next to no images: ask "
            "for fewer (--clusters) or train longer (--epochs)."
        )
    for name, share in signs.items():
        what = name.partition("_")[2]
        if name.startswith("border_") and share > AT_BORDER:
            flag = f" with a larger {FLAGS[what]}" if what in FLAGS else ""
            found[name] = (
                f"{share:.0%} of the poses lie at the border of the support of "
                f"{what.replace('_', ' ')}: widen it{flag}."
            )
        elif name.startswith("stuck_") and share > MANY:
            found[name] = (
                f"{share:.0%} of the units of a layer of {what} are saturated for nearly all "
                "images and learn nothing: train anew with a smaller --lr (a third) or some "
                "--weight-decay."
            )
    return found


def begun(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the last epoch of a log has for the second time running, and never had before.

    Once may be chance; what was said once need not be said again.

    Args:
        rows: of metrics.jsonl; those of validation images have `signs`.
    """
    epochs = [findings(row["signs"]) for row in rows if "signs" in row]
    lasting = [before.keys() & now.keys() for before, now in pairwise(epochs)]
    if not lasting:
        return []
    said = set().union(*lasting[:-1])
    return [text for name, text in epochs[-1].items() if name in lasting[-1] - said]
