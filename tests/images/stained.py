"""Images with channels as microscopes give them, whose kinds differ in the last channel only."""

import numpy as np


def stained(
    count: int, channels: int, *, side: int = 32, kinds: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Turned cells with a spot in the last channel, at a place that tells the kind.

    Channels have other ranges, as stains have.

    Args:
        count: n, number of images.
        channels: C, 2 to 5.
        side: H and W, pixels.
        kinds: up to 3.
        seed: of the noise and the poses.

    Returns:
        (n, H, W, C) 16-bit images, and their kinds (n,).
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    kind = np.arange(count) % kinds
    images = rng.normal(0, 0.03, (count, side, side, channels))
    for image, k in zip(images, kind, strict=True):
        angle = rng.uniform(-0.7, 0.7)
        u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        body = (u / 0.36) ** 2 + (v / 0.22) ** 2 < 1
        parts = [body, (u - 0.12) ** 2 + v**2 < 0.01, body & (np.abs(u) < 0.05), body & (v > 0)]
        for channel, part in enumerate(parts[: channels - 1]):
            image[..., channel] += part
        place = ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.12))[k]
        image[..., -1] += (u - place[0]) ** 2 + (v - place[1]) ** 2 < 0.012
    gains = np.array([4000, 900, 2500, 600, 300])[:channels]
    return (images * gains + 100).clip(0, 65535).astype(np.uint16), kind
