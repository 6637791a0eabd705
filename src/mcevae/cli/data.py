"""`mcevae data`: list the built-in image sets."""

from rich.table import Table

from mcevae.cli.shared import screen


def data() -> None:
    """List the built-in image sets, and what you need to use each of them.

    Example: mcevae data
    """
    from mcevae.images.datasets import DATASETS

    shown = Table(title="Built-in sets. Instead of a name you can give a .npy or .npz file.")
    for column in ("name", "images", "needs", "licence"):
        shown.add_column(column)
    for name, dataset in DATASETS.items():
        shown.add_row(name, dataset.description, dataset.needs, dataset.licence)
    screen.print(shown)
