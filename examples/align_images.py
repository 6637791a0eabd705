"""Set a folder of turned photographs upright, without being told what is in them.

    python examples/align_images.py --folder turned

A folder that is not there is filled with round cut-outs, turned by up to 90°, of three places in
two photographs. upright.png has a row of images for each cluster, and below it the same upright.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from mcevae import MCEVAE, load
from mcevae.geometry.warp import warp
from mcevae.pages.figures import image_grid

PLACES = [("china.jpg", 207, 190), ("china.jpg", 500, 270), ("flower.jpg", 380, 300)]
RADIUS, SIDE, SHOWN = 125, 48, 10  # pixels, pixels, images in a row


def cut_out(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    disc = Image.new("L", (2 * RADIUS, 2 * RADIUS), 255)
    ImageDraw.Draw(disc).ellipse((0, 0, 2 * RADIUS, 2 * RADIUS), fill=0)
    for i in range(count):
        name, *where = PLACES[i % len(PLACES)]
        x, y = np.add(where, draws.integers(-8, 9, 2)).tolist()
        angle = draws.uniform(-90, 90)
        turned = Image.fromarray(load_sample_image(name)).rotate(-angle, center=(x, y))
        piece = turned.crop((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))
        piece.paste("white", mask=disc)
        piece.resize((SIDE, SIDE)).save(folder / f"{i:04}_{i % len(PLACES)}_{angle:+.0f}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("turned"))
    parser.add_argument("--images", type=int, default=300, help="how many to cut out")
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    if not args.folder.exists():
        cut_out(args.folder, args.images)
    pixels = load(str(args.folder)).train.pixels  # (n, C, H, W) bytes, whatever the files' sizes
    X = pixels.movedim(1, -1).numpy()
    model = MCEVAE(3, shift=0.1, max_epochs=args.epochs, verbose=True).fit(X)
    back = torch.linalg.inv(torch.tensor(model.pose(X)))
    upright = warp(pixels / 255, back, background=model.recipe_.background)

    rows = []
    for cluster in np.unique(model.labels_):
        few = np.flatnonzero(model.labels_ == cluster)[:SHOWN]
        rows += [(f"{cluster}: as they lie", pixels[few] / 255), ("moved back", upright[few])]
    image_grid(rows).savefig("upright.png", dpi=120)
    print(f"upright.png: {len(X)} images in {len(rows) // 2} clusters")
