"""What a trained model finds in images, as NumPy arrays, for runs and for the estimator."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import mirrored
from mcevae.images.forms import Pictures, as_numbers
from mcevae.images.readers.arrays import of_stack
from mcevae.images.readers.channels import framed, held
from mcevae.images.readers.frames import Channels, Fault, Frame, Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.recipe import Recipe
from mcevae.images.sources.frames import sifted
from mcevae.images.suiting import suited
from mcevae.models.contract import Model
from mcevae.runs.confidence import Calibration, embed_with_misfits
from mcevae.runs.frames import Frames


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model finds in n images, in their order.

    Attributes:
        cluster: (n,) the most probable cluster.
        probability: (n, K) probability of each cluster; rows sum to 1.
        confidence: (n,) estimated probability that the image shows what most of its cluster show.
        outlier: (n,) share of the validation images that the model draws better.
        pose: (n, 3, 3) moves the canonical image onto the image; x right, y down, image sides.
        canonical: (n, H, W) or (n, H, W, C) what the model draws for the image without its pose,
            from 0 to 1.
        z_c: (n, K) cluster latent.
        z: (n, V) variation.
        tau: (n, T) pose in the Lie algebra: radians, image sides, logarithms. It does not say
            whether the pose has a mirror image; `mirrored` does.
        symmetry: (n,) order of the rotational symmetry of the image's cluster, 1 for none; the pose
            is given modulo it.
        consistency: (n,) how sure the frame of the image's cluster is, 0 to 1; 0 if unknown.
        misfit: (n,) how far the image is from its reconstruction, nats; 0 is perfect.
        names: (n,) file names, if the images come from files.
        faults: files that could not be used, and why. They are not among the n images.
        notes: remarks on files that were read.
    """

    cluster: Int[np.ndarray, " n"]
    probability: Float32[np.ndarray, "n K"]
    confidence: Float32[np.ndarray, " n"]
    outlier: Float[np.ndarray, " n"]
    pose: Float32[np.ndarray, "n 3 3"]
    canonical: Float32[np.ndarray, "n *picture"]
    z_c: Float32[np.ndarray, "n D"]
    z: Float32[np.ndarray, "n V"]
    tau: Float32[np.ndarray, "n T"]
    symmetry: Int[np.ndarray, " n"]
    consistency: Float32[np.ndarray, " n"]
    misfit: Float32[np.ndarray, " n"]
    names: list[str] | None = None
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.cluster)

    @property
    def mirrored(self) -> Bool[np.ndarray, " n"]:
        """(n,) whether the canonical image is exchanged left for right before it is moved."""
        return mirrored(torch.from_numpy(self.pose)).numpy()


def answers_of(
    model: Model,
    calibration: Calibration,
    frames: Frames,
    pixels: UInt8[Tensor, "n C H W"],
    evidence: Float[Tensor, "n K"] | None = None,
) -> Answers:
    """Run a model on images that already have the form it takes.

    Args:
        model: model in evaluation mode.
        calibration: turns the model's numbers into confidence and outlier score.
        frames: the canonical frames of poses and canonical images.
        pixels: one image or more.
        evidence: what features say about the clusters; None: nothing.
    """
    embedding, misfits = embed_with_misfits(model, pixels, evidence=evidence)
    embedding = frames.shown(embedding)
    order, consistency = frames.sureness(embedding.cluster)
    return Answers(
        cluster=embedding.cluster.numpy(),
        probability=embedding.responsibilities.numpy(),
        confidence=calibration.confidence(embedding.responsibilities, misfits).numpy(),
        outlier=calibration.outlier(embedding.responsibilities, misfits),
        pose=embedding.element.numpy(),
        canonical=as_pictures(embedding.canonical),
        z_c=embedding.z_c.numpy(),
        z=embedding.z.numpy(),
        tau=embedding.tau.numpy(),
        symmetry=order,
        consistency=consistency,
        misfit=misfits.numpy(),
    )


def as_pictures(images: Float[Tensor, "n C H W"]) -> Float32[np.ndarray, "n *picture"]:
    """Move the channels to the last axis, or drop them if there is only one channel."""
    pictures = images.cpu().movedim(1, -1)
    return (pictures[..., 0] if pictures.shape[-1] == 1 else pictures).numpy()


def frames_in(images: Pictures, reading: Reading | None = None) -> list[Frame]:
    """Split images in memory into single frames, as if they were read from a file.

    Args:
        images: an array (n, H, W) or (n, H, W, C), as in a .npy; a list of images (H, W) or
            (H, W, C), which may differ in size; a tensor (n, C, H, W); and what `as_numbers` takes.
        reading: which channels are taken; None: all of them.

    Raises:
        UserError: the array has another shape, an image has not these channels, or there is none.
    """
    reading = (reading or Reading()).of("images")
    try:
        given = as_numbers(images)
        each = stacked(given) if isinstance(given, np.ndarray) else map(one_of, given)
        frames = [framed(f"images[{i}]", image, reading) for i, image in enumerate(each)]
    except Unreadable as error:
        raise UserError(f"images: {error}.") from error
    if not frames:
        raise UserError("images: holds no image; give one or more.")
    return frames


def one_of(image: np.ndarray) -> np.ndarray | Channels:
    """A single image as readers give it."""
    pixels = np.asarray(image)
    return held(pixels, pictured=True) if pixels.ndim == 3 else pixels


def stacked(images: np.ndarray) -> list[np.ndarray | Channels]:
    """Images of an array (H, W), (n, H, W) or (n, H, W, C).

    Raises:
        Unreadable: it has another shape.
    """
    axes = {2: "HW", 3: "NHW", 4: "NHWC"}.get(images.ndim)
    if axes is None:
        raise Unreadable(f"has shape {images.shape}; use (H, W), (n, H, W) or (n, H, W, C)")
    return list(of_stack(images, Reading(axes=axes)))


def pixels_by(recipe: Recipe, frames: Iterable[Frame]) -> UInt8[Tensor, "n C H W"]:
    """Convert one frame or more to the form that a model takes.

    Raises:
        UserError: an image cannot be used (the message names it), or all hold numbers of another
            kind than those of the training.
    """
    prepared, frames = [], list(frames)
    good, _ = sifted(frames, "image", recipe=recipe)
    recipe = suited(recipe, good, "images")
    for frame in frames:
        try:
            prepared.append(recipe(frame))
        except Unreadable as error:
            raise UserError(f"{frame.name}: {error}.") from error
    return torch.stack(prepared)
