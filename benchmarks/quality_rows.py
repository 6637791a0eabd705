"""The rows of `quality.py`: what each trains on, with which settings, and what it must reach."""

from dataclasses import dataclass, field
from typing import Any

from mcevae.training.schedule import BATCH, EPOCHS

MNIST = {"source": "mnist"}
MANY: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH}
"""How long rows of the built-in sets train, so that they can be compared."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    title: str
    settings: dict[str, dict[str, Any]]
    """Changes of the default preset. A source that is not built in is a set of `sets.py`."""
    targets: dict[str, tuple[float, float]] = field(default_factory=dict)
    """For each figure what it must reach, and what it aims at."""


def built_in(
    title: str, targets: dict[str, tuple[float, float]] | None = None, **settings: dict[str, Any]
) -> Row:
    """A row of a built-in set.

    Args:
        title: what the table calls it.
        targets: as `Row.targets`.
        settings: as `Row.settings`.
    """
    train = MANY | settings.pop("train", {})
    return Row(title=title, settings=settings | {"train": train}, targets=targets or {})


def made(
    source: str,
    title: str,
    clusters: int | str,
    support: dict[str, float],
    group: str = "se2",
    mirror: bool = False,
    isolate: str = "auto",
    descriptions: str = "pixels",
    **targets: tuple[float, float],
) -> Row:
    """A row of a set of `sets.py`. Few images train for more epochs, as in `mcevae fit`.

    Args:
        source: name of the set.
        title: what the table calls it.
        clusters: K, or auto.
        support: how far images may be moved.
        group: Lie group of the poses.
        mirror: whether images may be mirrored.
        isolate: which other things become background.
        descriptions: what images are compared by in the graph.
        targets: as `Row.targets`.
    """
    settings = {
        "data": {"source": source, "isolate": isolate},
        "model": {"clusters": clusters, "group": group, "mirror": mirror},
        "support": support,
        "start": {"descriptions": descriptions},
    }
    return Row(title=title, settings=settings, targets=targets)


def within(rotation: float, shift: float, **more: float) -> dict[str, float]:
    """A support: degrees, shares of the side, and scale and strain where the group has them."""
    return {"rotation": rotation, "shift": shift, **more}


BUILT_IN = {
    "se2": built_in(
        "SE(2)-MNIST",
        {
            "accuracy": (0.970, 0.98),
            "nmi": (0.82, 0.92),
            "bce": (105, 90),
            "rotation_error_median_not_0_1_8": (6.5, 4),
            "shift_error_mean": (0.5, 0.4),
            "same_cluster": (0.95, 0.99),
        },
        data=MNIST,
    ),
    "so2": built_in("SO(2)-MNIST", {"accuracy": (0.97, 0.98)}, data=MNIST, model={"group": "so2"}),
    "upright": built_in(
        "Upright MNIST, support 15 degrees and 10 %",
        {"accuracy": (0.95, 0.98), "nmi": (0.89, 0.947)},
        data=MNIST | {"pose": "none"},
        support=within(15, 0.1),
    ),
    "se2-20000": built_in("SE(2)-MNIST, 20,000 images", data=MNIST | {"limit": 20_000}),
    "se2-5-minutes": built_in(
        "SE(2)-MNIST, 20,000 images, 5 minutes",
        data=MNIST | {"limit": 20_000},
        train={"minutes": 5.0},
    ),
    "mini-1-minute": built_in(
        "SE(2) on mnist-mini, 1 minute", data={"source": "mnist-mini"}, train={"minutes": 1.0}
    ),
    "se2-auto": built_in(
        "SE(2)-MNIST, 20,000 images, K chosen",
        data=MNIST | {"limit": 20_000},
        model={"clusters": "auto"},
    ),
    "se2-bf16": built_in(
        "SE(2)-MNIST, `--precision bf16`", data=MNIST, train={"precision": "bf16"}
    ),
    "sim2": built_in("SIM(2)-MNIST, scale 0.71 to 1.4", data=MNIST, model={"group": "sim2"}),
    "fashion-upright": built_in(
        "Upright Fashion-MNIST, support 15 degrees and 10 %",
        {"accuracy": (0.69, 0.75)},
        data={"source": "fashion-mnist", "pose": "none"},
        support=within(15, 0.1),
    ),
    "fashion-upright-learned": built_in(
        "Upright Fashion-MNIST, `--descriptions learned`",
        {"accuracy": (0.69, 0.75)},
        data={"source": "fashion-mnist", "pose": "none"},
        support=within(15, 0.1),
        start={"descriptions": "learned"},
    ),
    "fashion-se2": built_in(
        "SE(2)-Fashion-MNIST", {"accuracy": (0.60, 0.68)}, data={"source": "fashion-mnist"}
    ),
    "fashion-se2-learned": built_in(
        "SE(2)-Fashion-MNIST, `--descriptions learned`",
        {"accuracy": (0.60, 0.68)},
        data={"source": "fashion-mnist"},
        start={"descriptions": "learned"},
    ),
}
"""Rows of the built-in sets, which the package poses itself."""

MADE = {
    "uneven": made(
        "uneven",
        "8 colour pictures on uneven backgrounds",
        8,
        within(180, 0.1),
        accuracy=(0.95, 1.0),
    ),
    "symbols30": made(
        "symbols30",
        "30 colour symbols in any direction",
        30,
        within(180, 0.15),
        accuracy=(0.99, 1.0),
    ),
    "mirrored": made(
        "mirrored",
        "10 symbols, mirrored by chance",
        10,
        within(180, 0.15),
        mirror=True,
        accuracy=(0.98, 1.0),
    ),
    "crowded": made(
        "crowded",
        "12 symbols, crops that show parts of others",
        12,
        within(180, 0.1),
        accuracy=(0.95, 0.99),
    ),
    "noise-0.3": made(
        "noise-0.3",
        "12 particles, signal to noise 0.3",
        12,
        within(180, 0.1),
        accuracy=(0.93, 0.99),
    ),
    "noise-0.1": made(
        "noise-0.1",
        "12 particles, signal to noise 0.1",
        12,
        within(180, 0.1),
        accuracy=(0.80, 0.95),
    ),
    "noise-0.05": made(
        "noise-0.05",
        "12 particles, signal to noise 0.05",
        12,
        within(180, 0.1),
        accuracy=(0.55, 0.80),
    ),
    "few-noisy": made(
        "few-noisy",
        "4 shapes, 400 noisy images",
        4,
        within(90, 0.1),
        accuracy=(0.60, 0.85),
    ),
    "wafers": made(
        "wafers",
        "Wafer maps as bytes 0, 1, 2",
        4,
        within(180, 0.1),
        accuracy=(0.98, 1.0),
    ),
    "unequal": made(
        "unequal",
        "Digits in unequal numbers",
        10,
        within(90, 0.25),
        accuracy=(0.88, 0.95),
    ),
    "unequal-auto": made(
        "unequal",
        "Digits in unequal numbers, K chosen",
        "auto",
        within(90, 0.25),
        accuracy=(0.88, 0.95),
    ),
    "mnist-u": made(
        "mnist-u",
        "MNIST in any direction, shifted, 50 x 50",
        10,
        within(180, 0.22),
        accuracy=(0.95, 0.97),
        rotation_error_median_not_0_1_8=(9, 6),
        upside_down_not_0_1_8=(0.01, 0.003),
    ),
    "affnist-like": made(
        "affnist-like",
        "MNIST posed as affNIST, 40 x 40",
        10,
        within(27, 0.45, scale=1.25, strain=0.2),
        "aff2",
        accuracy=(0.965, 0.985),
    ),
    "fashion-circle": made(
        "fashion-circle",
        "Fashion-MNIST in any direction, 40 x 40",
        10,
        within(180, 0),
        "so2",
        accuracy=(0.62, 0.70),
    ),
    "fashion-circle-learned": made(
        "fashion-circle",
        "Fashion-MNIST in any direction, `--descriptions learned`",
        10,
        within(180, 0),
        "so2",
        descriptions="learned",
        accuracy=(0.62, 0.70),
    ),
    "cells": made(
        "cells",
        "Blood cells, platelets are rare, `--isolate middle`",
        8,
        within(180, 0.1),
        isolate="middle",
        balanced_accuracy=(0.97, 0.99),
    ),
    "capitals": made(
        "capitals",
        "26 capitals of 630 fonts, within 45 degrees",
        26,
        within(45, 0.1),
        accuracy=(0.93, 0.97),
    ),
    "capitals-learned": made(
        "capitals",
        "26 capitals of 630 fonts, within 45 degrees, `--descriptions learned`",
        26,
        within(45, 0.1),
        descriptions="learned",
        accuracy=(0.93, 0.97),
    ),
}
"""Rows of the sets of `sets.py`. The support of `affnist-like` holds all of its poses, taken apart
into a rotation, a scale and a strain."""

ROWS = BUILT_IN | MADE
