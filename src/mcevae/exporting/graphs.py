"""A run's networks as ONNX graphs, for programs that have no torch.

Three graphs take any number of images: encode (image to latents and pose), canonical (latents to
the pose-free image) and reconstruct (latents and pose to the image). model.json beside them says
what goes in and out and how an image file becomes an input.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, atomic_folder, write_text
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.folder import recipe_for
from mcevae.models.config import Config
from mcevae.models.registry import Model
from mcevae.runs.collections import Curation
from mcevae.runs.infer import human

FILE = "model.json"
FORMAT = 1
OPSET = 20
"""Of ONNX; the first whose GridSample is what torch's is."""
MOST = 2**16
"""Images that a graph takes at once."""
CHECKED = 32
"""Images by which graphs are compared with torch."""
TOLERANCE = 1e-4
"""Largest difference of pixels and probabilities, which run from 0 to 1, and of the entries of a
pose; of other latents, as a share of their largest value. Both sides work in float32."""


class Encode(nn.Module):
    """Images to responsibilities, z_c, z and pose (a 3 x 3 group element)."""

    inputs = ("image",)
    outputs = ("probability", "z_c", "z", "pose")

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Float[Tensor, "B C H W"]) -> tuple[Tensor, ...]:
        """At the posterior mean."""
        out = self.model(image, sample=False)
        return out.responsibilities, out.z_c, out.z, out.element


class Canonical(nn.Module):
    """Latents to the pose-free image."""

    inputs = ("z_c", "z")
    outputs = ("canonical",)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z_c: Float[Tensor, "B D"], z: Float[Tensor, "B V"]
    ) -> tuple[Float[Tensor, "B C H W"]]:
        """Values from 0 to 1."""
        return (self.model.canonical(z_c, z),)


class Reconstruct(nn.Module):
    """Latents and pose to the image."""

    inputs = ("z_c", "z", "pose")
    outputs = ("reconstruction",)

    def __init__(self, model: Model, background: float) -> None:
        super().__init__()
        self.model, self.background = model, background

    def forward(
        self, z_c: Float[Tensor, "B D"], z: Float[Tensor, "B V"], pose: Float[Tensor, "B 3 3"]
    ) -> tuple[Float[Tensor, "B C H W"]]:
        """Values from 0 to 1."""
        return (warp(self.model.canonical(z_c, z), pose, background=self.background),)


Graph = Encode | Canonical | Reconstruct


def need_onnx() -> None:
    """Refuse to begin without the packages of the extra.

    Raises:
        UserError: one is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'mcevae[onnx]'.") from error


def write_graphs(
    model: Model, config: Config, pixels: Tensor, run: Path, folder: Path
) -> dict[str, float]:
    """Write encode.onnx, canonical.onnx, reconstruct.onnx and model.json, and check the graphs.

    Args:
        model: of the run, in evaluation mode, on the CPU.
        config: its settings.
        pixels: (N, C, H, W) uint8 images by which the graphs are compared with torch.
        run: folder whose groups.json, if there is one, goes into model.json.
        folder: to make; nothing is in it unless all is well.

    Returns:
        The largest difference from torch of each output, as `TOLERANCE` has it.

    Raises:
        UserError: the model cannot be graphs, or a graph does not give what torch gives.
    """
    images = to_float(pixels[:CHECKED])
    with torch.no_grad():  # tensors of inference mode cannot be traced
        probability, z_c, z, pose = Encode(model)(images)
    graphs: dict[str, tuple[Graph, tuple[Tensor, ...]]] = {
        "encode": (Encode(model), (images,)),
        "canonical": (Canonical(model), (z_c, z)),
        "reconstruct": (Reconstruct(model, model.background), (z_c, z, pose)),
    }
    shape = tuple(pixels.shape[1:])
    curation = Curation.read(run, probability.shape[1])
    about = describe(model, config, (shape[0], shape[1], shape[2]), curation)
    about["latents"] = {"probability": probability.shape[1], "z_c": z_c.shape[1], "z": z.shape[1]}
    found: dict[str, float] = {}
    with atomic_folder(folder) as half:
        for name, (graph, given) in graphs.items():
            path = half / f"{name}.onnx"
            write_graph(graph.eval(), given, path)
            found |= differences(graph, given, path)
        worst = max(found, key=lambda name: found[name])
        if found[worst] > TOLERANCE:
            raise UserError(
                f"{folder}: is not written, since {worst} differs from torch by {found[worst]:.2g},"
                f" more than {TOLERANCE:g}; tell us of the versions of onnxruntime and torch."
            )
        about["difference_from_torch"] = found
        write_text(half / FILE, json.dumps(about, indent=1) + "\n")
    return found


def write_graph(graph: Graph, given: Sequence[Tensor], path: Path) -> None:
    """Write one graph, whose batch may be of any size."""
    few = tuple(one[:3] for one in given)  # a batch of 1 would be taken for a constant
    sizes = tuple({0: torch.export.Dim("batch", min=1, max=MOST)} for _ in few)
    with quietly():
        try:
            exported = torch.export.export(graph, few, dynamic_shapes=sizes, strict=False)
            program = torch.onnx.export(
                exported,
                few,
                dynamo=True,
                input_names=graph.inputs,
                output_names=graph.outputs,
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # of many kinds: whatever tracing met
            raise UserError(
                f"{path.name}: this model cannot be a graph ({type(error).__name__} while tracing "
                "it); use `mcevae predict`."
            ) from error
    assert program is not None
    with atomic(path) as temporary:
        program.save(temporary)


@contextmanager
def quietly() -> Iterator[None]:
    """Without torch's words on packages that are not needed, and on its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def differences(graph: Graph, given: Sequence[Tensor], path: Path) -> dict[str, float]:
    """How far a written graph's outputs are from torch's, for one image and for many."""
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: dict[str, float] = {name: 0.0 for name in graph.outputs}
    for count in (1, len(given[0])):
        part = [one[:count] for one in given]
        with torch.inference_mode():
            expected = [one.numpy() for one in graph(*part)]
        fed = {name: one.numpy() for name, one in zip(graph.inputs, part, strict=True)}
        for name, ours, theirs in zip(graph.outputs, expected, session.run(None, fed), strict=True):
            scale = np.abs(ours).max(initial=1.0)
            gap = float(np.abs(ours - np.asarray(theirs)).max(initial=0.0) / scale)
            found[name] = max(found[name], gap)
    return found


def describe(
    model: Model, config: Config, shape: tuple[int, int, int], curation: Curation
) -> dict[str, Any]:
    """What model.json says, but for the sizes of the latents."""
    recipe = recipe_for(config.data, shape)
    channels, height, width = shape
    return {
        "format": FORMAT,
        "mcevae": version("mcevae"),
        "image": {
            "channels": channels,
            "height": height,
            "width": width,
            "range": [0, 1],
            "normalise": recipe.normalise,
            "levels": recipe.levels,
            "background": recipe.background,
            "fit": recipe.fit,
        },
        "pose": {
            "group": model.group.name,
            "meaning": "moves the canonical image onto the image; x right, y down, in units of "
            "side pixels from the image centre",
            "side": human("side", shape)[1],
        },
        "groups": json.loads(curation.to_json()),
    }
