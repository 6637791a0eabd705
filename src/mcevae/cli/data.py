"""`mcevae data`: the built-in image sets."""

from rich.table import Table

from mcevae.cli.shared import screen


def data() -> None:
    """List the built-in image sets and what each needs.

    Example: mcevae data
    """
    from mcevae.images.datasets import DATASETS

    shown = Table(title="Built-in sets; a .npy or .npz file can be given in place of a name")
    for column in ("name", "images", "needs", "licence"):
        shown.add_column(column)
    for name, dataset in DATASETS.items():
        shown.add_row(name, dataset.description, dataset.needs, dataset.licence)
    screen.print(shown)
