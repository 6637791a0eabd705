"""Find the cluster of an image with exported graphs, numpy, Pillow and onnxruntime, not torch.

mcevae export RUN --to onnx --out graphs
python examples/onnx_without_torch.py graphs picture.png canonical.png

With channels: a .npy of (H, W, C), or a TIFF with a page for each, and canonical.npy.
"""

import base64
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps, ImageSequence


def stack(picture: Path, white: float | None) -> np.ndarray:
    """Intensities (H, W, C) of a .npy, or of the pages of a TIFF, divided as in `shares`."""
    if picture.suffix != ".npy":
        pages = ImageSequence.Iterator(Image.open(picture))
        return np.concatenate([shares(page, white)[..., :1] for page in pages], -1)
    x = np.load(picture)
    full = 1 if x.dtype.kind in "bf" else np.iinfo(x.dtype).max
    return x.astype(np.float32) / np.float32(white or full)


def shares(picture: Path | Image.Image, white: float | None) -> np.ndarray:
    """Intensities (H, W, 1, 3 or 4), divided by white or else by the largest of their type."""
    image = Image.open(picture) if isinstance(picture, Path) else picture
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        return np.asarray(image)[..., None] / np.float32(white or 1)
    if image.mode.startswith("I"):
        full = 2**16 - 1 if image.mode.startswith("I;16") else 2**31 - 1
        return np.asarray(image)[..., None] / np.float32(white or full)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    x = np.asarray(image.convert("RGBA" if image.has_transparency_data else mode), np.float32)
    return x.reshape(*x.shape[:2], -1) / np.float32(white or 255)


def counted(x: np.ndarray, form: dict) -> np.ndarray:
    """Which pixels of intensities (H, W, C) count, (H, W): see --mask of `mcevae fit`."""
    height, width = x.shape[:2]
    if form.get("mask") == "alpha":
        return x[..., 3] >= 0.5
    down, across = np.ogrid[:height, :width]
    if form.get("mask") == "circle":
        far = (down + 0.5 - height / 2) ** 2 + (across + 0.5 - width / 2) ** 2
        return far <= (min(height, width) / 2) ** 2
    if not form.get("mask"):
        return np.ones((height, width), bool)
    size, _, text = form["mask_bits"].partition(":")
    rows, columns = map(int, size.split("x"))
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    mask = np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(bool)
    down, across = (down + 0.5) * rows / height, (across + 0.5) * columns / width
    return mask[down.astype(int), across.astype(int)]


def border(share: np.ndarray, thick: int) -> np.ndarray:
    """Pixels that count, near to some that do not, or to the border of the image."""
    edge = inside = share > 0.99
    for _ in range(thick):  # pixels that count, and so do all around them
        wide = np.pad(inside, 1)
        inside = np.lib.stride_tricks.sliding_window_view(wide, (3, 3)).all((2, 3))
    return edge & ~inside


def flat(layer: np.ndarray, level: float, share: np.ndarray) -> np.ndarray:
    """Replace the plane fitted to the border of what counts in a layer (H, W) by a level."""
    down, across = (np.linspace(-1, 1, n, dtype=np.float32) for n in layer.shape)
    terms = np.stack(np.broadcast_arrays(1, across, down[:, None]), -1)
    edge = border(share, max(1, min(layer.shape) // 16))
    known, values, weight, plane = terms[edge], layer[edge], np.ones(edge.sum()), np.zeros(3)
    for _ in range(10):  # content at the border gets a small weight
        weighted = known * weight[:, None]
        plane = np.linalg.solve(weighted.T @ known + 1e-4 * np.eye(3), weighted.T @ values)
        off = np.abs(values - known @ plane)
        spread = 1.48 * np.quantile(off, 0.5, method="lower") + 2e-3
        weight = (1 - np.minimum(off / (4.7 * spread), 1) ** 2) ** 2 + 1e-6
    return level + share * (np.clip(layer - terms @ plane + level, 0, 1) - level)


def lone(image: np.ndarray, level: float, edge: np.ndarray) -> np.ndarray:
    """Replace parts of other things at the border of an image (C, H, W) by the background."""
    from scipy import ndimage

    apart, around = np.abs(image - level).max(0), np.ones((3, 3))
    limit = max(0.1 * apart.max(), 4 * 1.48 * np.median(apart))
    part = np.zeros(apart.shape, np.int32)  # the number of its connected part for each pixel
    ndimage.label(apart > limit, around, output=part)
    down, across = np.ogrid[: apart.shape[0], : apart.shape[1]]
    off = (down + 0.5 - apart.shape[0] / 2) ** 2 + (across + 0.5 - apart.shape[1] / 2) ** 2
    central = apart * np.exp(-off / (2 * (0.15 * max(apart.shape)) ** 2)) * (part > 0)
    thing = np.bincount(part.ravel(), central.ravel()).argmax()
    other = np.isin(part, part[edge]) & (part > 0) & (part != thing)
    gone = ndimage.binary_dilation(other, around) & (other | (part == 0))
    return np.where(gone, np.float32(level), image)


def middle(image: np.ndarray, level: float) -> np.ndarray:
    """Replace what is far from the middle of an image (C, H, W) by the background, softly."""
    height, width = image.shape[1:]
    down, across = np.ogrid[:height, :width]
    radius = np.hypot(down + 0.5 - height / 2, across + 0.5 - width / 2) / min(height, width)
    weight = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 0.36) / 0.1 + 0.5, 0, 1))
    return (level + weight * (image - level)).astype(np.float32)


def model_input(picture: Path, form: dict) -> np.ndarray:
    """An image file in the form that "image" in model.json describes, (1, C, H, W)."""
    names, white = form.get("names"), form.get("white")
    x = stack(picture, white) if names else shares(picture, white)
    seen = counted(x, form)
    x, opacity = (x, 1) if names or x.shape[-1] < 4 else (x[..., :3], x[..., 3:])
    opacity = seen[..., None] * (1 if form.get("mask") == "alpha" else opacity)
    if form["normalise"] == "image":
        low, high = np.percentile(x[seen], [0.1, 99.9], 0 if names else None)
    else:  # black and white of all channels, or of each in turn
        low, high = np.reshape(form["levels"] or (0, 1), (-1, 2)).T
    x = np.where(high > low, np.clip((x - low) / np.where(high > low, high - low, 1), 0, 1), 0)
    x = 1 - x if form.get("invert") else x
    x = opacity * x + (1 - opacity) * form["background"]
    if x.shape[-1] == 3 and form["channels"] == 1:
        x = x @ np.array([[0.299], [0.587], [0.114]])
    shape = form["height"], form["width"]
    ratio = (min if form["fit"] == "pad" else max)(np.divide(shape, x.shape[:2]))
    height, width = (max(1, round(side * ratio)) for side in x.shape[:2])
    bilinear, layers = Image.Resampling.BILINEAR, list[np.ndarray]()
    share = Image.fromarray(seen.astype(np.float32)).resize((width, height), bilinear)
    for layer in np.broadcast_to(x, (*x.shape[:2], form["channels"])).transpose(2, 0, 1):
        scaled = Image.fromarray(layer.astype(np.float32)).resize((width, height), bilinear)
        if form["flatten"]:
            even = flat(np.asarray(scaled), form["background"], np.asarray(share))
            scaled = Image.fromarray(even.astype(np.float32))
        layers.append(np.asarray(scaled))
    x = np.stack(layers)
    others = form.get("isolate", "no")  # older models say true or false
    if others in ("yes", True):
        thick = 1 if seen.all() else max(1, min(height, width) // 16)
        x = lone(x, form["background"], border(np.asarray(share), thick))
    elif others == "middle":
        x = middle(x, form["background"])
    whole = [Image.new("F", shape[::-1], form["background"]) for _ in x]
    for image, layer in zip(whole, x, strict=True):
        place = ((shape[1] - width) // 2, (shape[0] - height) // 2)
        image.paste(Image.fromarray(layer), place)
    return (np.stack([np.asarray(image) for image in whole])[None] * 255).round() / np.float32(255)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, picture, out = map(Path, sys.argv[1:])
    form = json.loads((folder / "model.json").read_text())["image"]
    encode, canonical = (InferenceSession(folder / f"{n}.onnx") for n in ("encode", "canonical"))
    p, z_c, z, pose = map(np.asarray, encode.run(None, {"image": model_input(picture, form)}))
    turned = np.degrees(np.arctan2(pose[0, 1, 0], pose[0, 0, 0]))
    print(f"cluster {p.argmax()} (probability {p.max():.3f}), rotation {turned:.1f} degrees")
    drawn = np.asarray(canonical.run(None, {"z_c": z_c, "z": z})[0])[0].transpose(1, 2, 0)
    if form.get("names"):
        np.save(out, drawn)
        sys.exit()
    Image.fromarray((255 * drawn).round().astype(np.uint8).squeeze()).save(out)
