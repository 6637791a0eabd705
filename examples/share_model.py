"""Keep a fitted model in a folder, read it back, and use it to find what does not belong.

    python examples/share_model.py --images 2000 --epochs 12 --folder model

The model learns bundled MNIST digits that lie at any angle up to 90°. New digits then come with
striped ones, which it has never seen. The printed figure is how often a striped digit has a higher
outlier score than a plain one (area under the ROC curve: 0.5 is chance, 1 is never wrong).
`model.push_to_hub("owner/name")` would share the folder. A few minutes.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from mcevae import MCEVAE, get_group, load
from mcevae.images.datasets import pose


def posed(part: str, count: int, seed: int) -> np.ndarray:
    """The first digits of a part of mnist-mini, turned: (n, 28, 28) bytes."""
    images = getattr(load("mnist-mini"), part).subset(slice(count))
    group = get_group("so2")
    turned = pose(images, group, group.support(rotation_deg=90, shift=0), seed)
    return turned.images.pixels[:, 0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path("model"))
    args = parser.parse_args()

    X = posed("train", args.images, seed=0)
    model = MCEVAE(10, group="so2", max_epochs=args.epochs, verbose=True).fit(X)
    model.save_pretrained(args.folder)

    read = MCEVAE.from_pretrained(args.folder)  # runs no code that lies in the folder
    new = posed("test", 200, seed=1)
    assert np.array_equal(read.predict(new), model.predict(new))
    odd = new.copy()
    odd[:, :, ::4] = 255 - odd[:, :, ::4]
    scores = read.outlier(np.concatenate([new, odd]))
    area = roc_auc_score([0] * len(new) + [1] * len(odd), scores)
    print(f"{args.folder} holds {', '.join(sorted(f.name for f in args.folder.iterdir()))}")
    print(f"outliers told from digits: area under the curve {area:.3f}")


if __name__ == "__main__":
    main()
