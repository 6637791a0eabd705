"""Make the sample of MNIST that ships with the package: its first images, in their order.

    python scripts/make_mnist_mini.py

Reads `mnist` through mcevae.images.datasets, so MCEVAE_DATA is honoured. The
 same images give the same bytes.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from mcevae.base.files import atomic
from mcevae.images.arrays import Images
from mcevae.images.datasets import load

OUT = Path(__file__).parent.parent / "src" / "mcevae" / "assets" / "mnist-mini.npz"


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed .npz whose members carry a fixed date, which numpy does not promise."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def first(images: Images, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, (count, 28, 28), and labels of the first images, uint8 both."""
    assert images.labels is not None
    return images.pixels[:count, 0].numpy(), images.labels[:count].numpy().astype(np.uint8)


def main() -> None:
    """Parse the arguments and write the file."""
    parser = argparse.ArgumentParser(description="Make the sample of MNIST that ships.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--train", type=int, default=10_000, help="training images (%(default)s)")
    parser.add_argument("--test", type=int, default=2_000, help="test images (%(default)s)")
    options = parser.parse_args()
    mnist = load("mnist")
    assert mnist.test is not None
    x_train, y_train = first(mnist.train, options.train)
    x_test, y_test = first(mnist.test, options.test)
    write(options.out, dict(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
