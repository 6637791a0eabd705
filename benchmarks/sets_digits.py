"""Sets of digits and clothes in other poses than the built-in ones have."""

import numpy as np
import torch
from sets_common import Made, moved, poses, seventh, to_uint8

from mcevae.images.arrays import ImageSet
from mcevae.images.loading import load
from mcevae.reproduce.protocols import CANVAS, Draw, affine, anywhere, near_upright, on_canvas


def within(rotation: float, shift: float = 0.0) -> Draw:
    """Poses within a rotation in degrees and a shift in image sides, all as likely."""
    return lambda rng, pictures: poses(rng, len(pictures), rotation=rotation, shift=shift)


def posed(source: ImageSet, seed: int, draw: Draw, canvas: int = 28) -> Made:
    """Training and test images of a built-in set, posed on a black square.

    Args:
        source: the set.
        seed: seed of the poses.
        draw: draws the poses.
        canvas: side of the square in pixels.
    """
    assert source.test is not None and source.train.labels is not None
    assert source.test.labels is not None
    pictures = torch.cat((source.train.pixels, source.test.pixels))
    pictures = on_canvas(pictures, canvas)
    elements = draw(np.random.default_rng(seed), pictures)
    images = 255 * moved(pictures, torch.arange(len(pictures)), elements)[:, 0]
    labels = torch.cat((source.train.labels, source.test.labels))
    return Made(
        images=to_uint8(images), labels=labels.numpy(), test=len(source.test), elements=elements
    )


def se2_mnist(seed: int) -> Made:
    """MNIST within 90 degrees and 25 % of the side, 28 x 28: what the built-in set is posed by."""
    return posed(load("mnist"), seed, within(90, 0.25))


def so2_mnist(seed: int) -> Made:
    """MNIST within 90 degrees, without shifts, 28 x 28."""
    return posed(load("mnist"), seed, within(90))


def mnist_u(seed: int, source: ImageSet | None = None) -> Made:
    """MNIST over the whole circle, shifted, on a canvas of 50 x 50: after MNIST(U) of TARGET-VAE.

    The protocol: each of the 60,000 + 10,000 digits is put in the middle of a black canvas of
    50 x 50 pixels, turned about its centre by an angle that is uniform over the circle, then
    shifted along x and along y by normal numbers with a standard deviation of 5 pixels, cut at
    11 pixels, so that no digit leaves the canvas. Bilinear interpolation, once.

    Nasiri and Bepler ("Unsupervised object representation learning using translation and rotation
    group equivariant VAE", 2022) publish MNIST(U) as files: 50 x 50 pixels, uniform rotations.
    Their code does not have the program that made them, so the spread of the shifts is ours, and
    accuracies can be compared only roughly.

    Args:
        seed: seed of the poses.
        source: other digits than MNIST.
    """
    return posed(source or load("mnist"), seed, anywhere, CANVAS)


def mnist_n(seed: int, source: ImageSet | None = None) -> Made:
    """The same with normal rotations of 45 degrees (standard deviation): after MNIST(N).

    That is the prior of rotations in the code of TARGET-VAE, which publishes this set as files too.

    Args:
        seed: seed of the poses.
        source: other digits than MNIST.
    """
    return posed(source or load("mnist"), seed, near_upright, CANVAS)


def affnist_like(seed: int, source: ImageSet | None = None) -> Made:
    """MNIST on 40 x 40 pixels, with poses as affNIST (Tieleman, 2013) describes them.

    Each digit is stretched along x and along y by 0.8 to 1.2, sheared by -0.2 to 0.2, turned
    within 20 degrees, and shifted as far as all of its ink stays inside; all uniform.

    Args:
        seed: seed of the poses.
        source: other digits than MNIST.
    """
    return posed(source or load("mnist"), seed, affine, 40)


def fashion_upright(seed: int) -> Made:
    """Fashion-MNIST as it is, upright; the seed changes nothing."""
    return posed(load("fashion-mnist"), seed, within(0))


def fashion_se2(seed: int) -> Made:
    """Fashion-MNIST within 90 degrees and 25 % of the side, 28 x 28."""
    return posed(load("fashion-mnist"), seed, within(90, 0.25))


def fashion_circle(seed: int, source: ImageSet | None = None) -> Made:
    """Fashion-MNIST over the whole circle, on 40 x 40 pixels, so that nothing leaves the frame.

    Args:
        seed: seed of the poses.
        source: other images than Fashion-MNIST.
    """
    return posed(source or load("fashion-mnist"), seed, within(180), 40)


def unequal(seed: int, source: ImageSet | None = None, most: int = 3900) -> Made:
    """Digits in unequal numbers, from `most` to a fiftieth of it, within 90 degrees and 25 %.

    Which digit is common and which is rare is drawn by chance. Training digits of MNIST only.

    Args:
        seed: seed of the numbers and poses.
        source: other digits than MNIST.
        most: number of the commonest digit.
    """
    digits = (source or load("mnist")).train
    assert digits.labels is not None
    rng, kinds = np.random.default_rng(seed), digits.labels.numpy()
    counts = np.round(most * 50.0 ** -np.linspace(0, 1, 10)).astype(int)
    chosen = [
        rng.choice(np.flatnonzero(kinds == digit), count, replace=False)
        for digit, count in zip(rng.permutation(10), counts, strict=True)
    ]
    rows = torch.from_numpy(rng.permutation(np.concatenate(chosen)))
    elements = poses(rng, len(rows), rotation=90, shift=0.25)
    images = to_uint8(255 * moved(digits.pixels, rows, elements)[:, 0])
    return Made(images=images, labels=kinds[rows], test=seventh(len(rows)), elements=elements)
