"""What the default model reads in many images, part by part."""

from collections.abc import Iterator

import torch
from jaxtyping import UInt8
from torch import Tensor

from mcevae.images.arrays import to_float
from mcevae.models.default.model import DefaultModel
from mcevae.teaching.rings import Track


def readings(
    model: DefaultModel,
    pixels: UInt8[Tensor, "n c h w"],
    chunk: int,
    track: Track = iter,
    *,
    clustered: bool = True,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Give joint probabilities, element, weight and other parameters, part by part, on the CPU.

    The shift of an image that does not touch its border comes from its centroid. The model is in
    training mode afterwards.

    Args:
        model: reads the images.
        pixels: the images.
        chunk: images at a time.
        track: wraps the list of parts, to show progress and to stop in between.
        clustered: False before there are clusters; the rotation is then read from the sum over
            clusters.
    """
    model.eval()
    for part in track(pixels.split(chunk)):
        x = to_float(part.to(model.angles.device))
        with torch.no_grad():
            joint, rest = model.infer(x)
            if model.group.polar:
                anchored = torch.cat([model.moments(x)[:, :2], rest[:, 2:]], -1)
                rest = torch.where(model.whole(x)[:, None], anchored, rest)
            if not clustered:
                joint = joint.sum(1, keepdim=True)
            _, element, mass = model.read(joint, rest)
        yield joint.cpu(), element.cpu(), mass.cpu(), rest.cpu()
    model.train()
