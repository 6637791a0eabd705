"""Sort digits that lie at any angle up to 90° and off their place, and draw each free of its pose.

    python examples/cluster_digits.py --images 5000 --epochs 12 --out digits.png

The digits are bundled MNIST. Labels serve the printed accuracy alone: the share of digits in the
cluster of their kind, under the best matching of clusters and kinds. The picture has a row for each
cluster: members as they are seen, then their canonical images. A few minutes on a laptop.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mcevae import MCEVAE, get_group, load
from mcevae.images.datasets import pose
from mcevae.pages.figures import image_grid
from mcevae.runs.metrics import matched_accuracy

SHOWN = 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", default="0123456789", help="the kinds to sort")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("digits.png"))
    args = parser.parse_args()

    upright = load("mnist-mini").train
    assert upright.labels is not None
    kinds = torch.tensor([int(digit) for digit in args.digits])
    chosen = torch.isin(upright.labels, kinds).nonzero()[: args.images, 0]
    group = get_group("se2")
    support = group.support(rotation_deg=90, shift=0.1)
    posed = pose(upright.subset(chosen), group, support, seed=0).images
    X, labels = posed.pixels[:, 0].numpy(), upright.labels[chosen].numpy()  # (n, 28, 28) bytes

    model = MCEVAE(len(kinds), shift=0.1, max_epochs=args.epochs, verbose=True)
    model.fit(X)
    print(f"accuracy {matched_accuracy(model.labels_, labels):.3f} of {len(X)} digits")

    rows, sure = [], model.confidence(X)
    for cluster in np.unique(model.labels_):
        members = np.flatnonzero(model.labels_ == cluster)
        best = members[np.argsort(-sure[members])][:SHOWN]
        pair = np.concatenate([X[best] / 255, model.canonical(X[best])])
        rows.append((f"{cluster}: {len(members)} images", torch.tensor(pair)[:, None].float()))
    image_grid(rows).savefig(args.out, dpi=120)
    print(f"{args.out}: {SHOWN} digits of each cluster, then their canonical images")


if __name__ == "__main__":
    main()
