"""Write a run's networks as ONNX graphs, for programs without torch.

There are three graphs for any number of images: encode (image to latents and pose), canonical
(latents to canonical image) and reconstruct (latents and pose to image). model.json beside them
describes their inputs and outputs, and how to make an input from an image file.
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
from mcevae.images.arrays import to_float
from mcevae.models.contract import Model
from mcevae.runs.coordinates import human
from mcevae.runs.run import TrainedRun

FILE = "model.json"
FORMAT = 1
OPSET = 20
"""Version of the ONNX operators: the first whose GridSample equals torch's."""
MOST = 2**16
"""Largest number of images that a graph takes at once."""
CHECKED = 32
"""Number of images on which graphs are compared with torch."""
TOLERANCE = 1e-4
"""Largest allowed difference from torch, as a share of an output's largest value (at least 1).
Both sides work in float32."""


class Encode(nn.Module):
    """Graph from images to responsibilities, z_c, z and pose (a 3 x 3 group element)."""

    inputs = ("image",)
    outputs = ("probability", "z_c", "z", "pose")

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Float[Tensor, "B C H W"]) -> tuple[Tensor, ...]:
        """Compute the outputs at the posterior mean."""
        out = self.model(image, sample=False)
        return out.responsibilities, out.z_c, out.z, out.element


class Canonical(nn.Module):
    """Graph from latents to the canonical image."""

    inputs = ("z_c", "z")
    outputs = ("canonical",)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z_c: Float[Tensor, "B D"], z: Float[Tensor, "B V"]
    ) -> tuple[Float[Tensor, "B C H W"]]:
        """Draw the canonical image, with values from 0 to 1."""
        return (self.model.canonical(z_c, z),)


class Reconstruct(nn.Module):
    """Graph from latents and pose to the image."""

    inputs = ("z_c", "z", "pose")
    outputs = ("reconstruction",)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z_c: Float[Tensor, "B D"], z: Float[Tensor, "B V"], pose: Float[Tensor, "B 3 3"]
    ) -> tuple[Float[Tensor, "B C H W"]]:
        """Draw the image, with values from 0 to 1."""
        return (self.model.render(z_c, z, pose),)


Graph = Encode | Canonical | Reconstruct


def need_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        UserError: a package is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'mcevae[onnx]'.") from error


def write_graphs(run: TrainedRun, pixels: Tensor, folder: Path) -> dict[str, float]:
    """Write encode.onnx, canonical.onnx, reconstruct.onnx and model.json, and check the graphs.

    Args:
        run: run on the CPU. Its groups are written to model.json.
        pixels: (N, C, H, W) uint8 images on which the graphs are compared with torch.
        folder: folder to create. Nothing is written if a step fails.

    Returns:
        The largest difference from torch of each output, measured as for `TOLERANCE`.

    Raises:
        UserError: the model cannot be written as graphs, or a graph gives other numbers than torch.
    """
    images, model = to_float(pixels[:CHECKED]), run.model
    if not model.quick:  # tracing would fail as well, after minutes
        raise UserError(
            f"{run.folder}: this model cannot be written as a graph, since it searches for the "
            "pose of each image; use `mcevae predict`."
        )
    with torch.no_grad():  # tensors of inference mode cannot be traced
        probability, z_c, z, pose = Encode(model)(images)
    graphs: dict[str, tuple[Graph, tuple[Tensor, ...]]] = {
        "encode": (Encode(model), (images,)),
        "canonical": (Canonical(model), (z_c, z)),
        "reconstruct": (Reconstruct(model), (z_c, z, pose)),
    }
    about = describe(run)
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
                f"{folder}: was not written, since {worst} differs from torch by "
                f"{found[worst]:.2g}, more than {TOLERANCE:g}; please report this with your "
                "versions of onnxruntime and torch."
            )
        about["difference_from_torch"] = found
        write_text(half / FILE, json.dumps(about, indent=1) + "\n")
    return found


def write_graph(graph: Graph, given: Sequence[Tensor], path: Path) -> None:
    """Write one graph that takes batches of any size.

    Raises:
        UserError: the model cannot be written as a graph.
    """
    few = tuple(one[:3] for one in given)  # torch takes a batch size of 1 for a constant
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
        except Exception as error:  # tracing raises many types
            raise UserError(
                f"{path.name}: this model cannot be written as a graph ({type(error).__name__} "
                "while tracing it); use `mcevae predict`."
            ) from error
    assert program is not None
    with atomic(path) as temporary:
        program.save(temporary)


@contextmanager
def quietly() -> Iterator[None]:
    """Hide torch's warnings about packages that are not needed and its own deprecations."""
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
    """Compare a written graph's outputs with torch's, for one image and for many."""
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


def describe(run: TrainedRun) -> dict[str, Any]:
    """The content of model.json, without the sizes of the latents."""
    recipe = run.recipe
    channels, height, width = run.shape
    return {
        "format": FORMAT,
        "mcevae": version("mcevae"),
        "image": {
            "channels": channels,
            "names": recipe.names,
            "mask": recipe.mask,
            "mask_bits": recipe.mask_bits,
            "height": height,
            "width": width,
            "range": [0, 1],
            "normalise": recipe.normalise,
            "levels": recipe.levels,
            "background": recipe.background,
            "fit": recipe.fit,
            "flatten": recipe.flatten,
            "isolate": recipe.isolate,
            "white": recipe.white,
            "stretch": recipe.stretch,
            "invert": recipe.invert,
        },
        "pose": {
            "group": run.model.group.name,
            "meaning": "moves the canonical image onto the image; x right, y down, in units of "
            "side pixels from the image centre; mirrored if its determinant is negative",
            "side": human("side", run.shape)[1],
            "mirror": run.model.group.mirrors,
        },
        "groups": json.loads(run.collections.to_json()),
    }
