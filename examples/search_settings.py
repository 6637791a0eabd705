"""Choose settings with scikit-learn's own tools: a pipeline inside a grid search.

    python examples/search_settings.py --images 600 --epochs 8

The handwritten digits of scikit-learn have 8 x 8 pixels. The networks need 16 or more, so the first
step of the pipeline enlarges them. The search chooses by a score that needs no labels: how well the
model draws digits that it was not trained on (minus the misfit in nats per image; 0 is perfect).
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from mcevae import MCEVAE


def enlarged(flat: np.ndarray) -> np.ndarray:
    """Rows of 64 numbers from 0 to 16 as images (n, 24, 24) from 0 to 1, with a margin."""
    images = np.repeat(np.repeat(flat.reshape(-1, 8, 8) / 16, 2, axis=1), 2, axis=2)
    return np.pad(images, ((0, 0), (4, 4), (4, 4)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--clusters", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--groups", nargs="+", default=["so2", "se2"])
    args = parser.parse_args()
    X, labels = (part[: args.images] for part in load_digits(return_X_y=True))

    model = MCEVAE(rotation=15, shift=0.1, max_epochs=args.epochs)
    pipeline = Pipeline([("enlarge", FunctionTransformer(enlarged)), ("mcevae", model)])
    grid = {"mcevae__n_clusters": args.clusters, "mcevae__group": args.groups}
    search = GridSearchCV(pipeline, grid, cv=2, verbose=1).fit(X)

    print("clusters  group    score (nats per image)")
    for settings, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(f"{settings['mcevae__n_clusters']:8}  {settings['mcevae__group']:5}  {score:8.2f}")
    agreement = adjusted_rand_score(labels, search.predict(X))
    print(f"best: {search.best_params_}; adjusted Rand index with the labels {agreement:.3f}")


if __name__ == "__main__":
    main()
