"""The runs of `trust.py`: image sets of many kinds, with settings that fit and that do not."""

from dataclasses import dataclass, replace
from typing import Any

IMAGES = 1_500
"""Training images of a run, at most."""
EPOCHS = 12


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run.

    Attributes:
        kind: the kind of images; a kind is left out of the fit that judges it.
        source: name of a built-in set, or of a set of `sets.py`.
        changes: changes of the preset.
        wrong: what is wrong with the settings; empty: nothing.
        preset: default, or quick.
    """

    kind: str
    source: str
    changes: dict[str, dict[str, Any]]
    wrong: str = ""
    preset: str = "default"


def case(kind: str, source: str, wrong: str = "", **settings: Any) -> Case:
    """A case from settings by name; the part of each setting is looked up."""
    parts = {
        **dict.fromkeys(("clusters", "group", "mirror", "kind"), "model"),
        **dict.fromkeys(("rotation", "shift", "scale", "strain"), "support"),
        **dict.fromkeys(("epochs", "seed"), "train"),
        **dict.fromkeys(("poses", "grouping"), "start"),
        **dict.fromkeys(("flatten", "isolate", "limit", "pose"), "data"),
    }
    changes: dict[str, dict[str, Any]] = {"data": {"limit": IMAGES}, "train": {"epochs": EPOCHS}}
    for name, value in settings.items():
        changes.setdefault(parts[name], {})[name] = value
    return Case(kind=kind, source=source, changes=changes, wrong=wrong)


def digits(wrong: str = "", source: str = "mnist", **settings: Any) -> Case:
    """A case of digits, within 90 degrees unless it says more."""
    return case("digits", source, wrong, **({"clusters": 10} | settings))


def around(
    kind: str, source: str, clusters: int | str, shift: float, wrong: str = "", **settings: Any
) -> Case:
    """A case of things in any direction."""
    place = {"rotation": 180, "shift": shift, "clusters": clusters}
    return case(kind, source, wrong, **(place | settings))


TRAINED = {
    "digits": digits(),
    "digits-so2": digits(group="so2"),
    "digits-upright": digits(pose="none", rotation=15, shift=0.1),
    "digits-circle": digits(rotation=180, shift=0.1),
    "digits-k5": digits("too few clusters", clusters=5),
    "digits-k3": digits("too few clusters", clusters=3),
    "digits-k20": digits("too many clusters", clusters=20),
    "digits-auto": digits(clusters="auto"),
    "digits-narrow": digits("support too narrow", "se2-mnist", rotation=10, shift=0.02),
    "digits-few": digits("few images", limit=300),
    "digits-fewer": digits("few images", limit=200),
    "digits-fewer-k3": digits("few images, too few clusters", limit=200, clusters=3),
    "digits-short": digits("few epochs", epochs=3),
    "digits-kmeans": digits("another way to group", grouping="kmeans"),
    "digits-affine": digits("wrong group", "affnist-like", rotation=27, shift=0.45),
    "digits-unequal": digits(source="unequal"),
    "digits-unequal-k20": digits("too many clusters", "unequal", clusters=20),
    "digits-moments": digits("poses from moments", poses="moments"),
    "clothes-upright": case(
        "clothes", "fashion-mnist", clusters=10, pose="none", rotation=15, shift=0.1
    ),
    "clothes": case("clothes", "fashion-mnist", clusters=10),
    "clothes-circle": around("clothes", "fashion-circle", 10, 0.0, group="so2"),
    "clothes-k4": case("clothes", "fashion-mnist", "too few clusters", clusters=4),
    "clothes-k25": case("clothes", "fashion-mnist", "too many clusters", clusters=25),
    "pictures": around("pictures", "uneven", 8, 0.1),
    "pictures-background": around("pictures", "uneven", 8, 0.1, "background kept", flatten="no"),
    "pictures-templates": around(
        "pictures", "uneven", 8, 0.1, "background kept", flatten="no", poses="templates"
    ),
    "pictures-k16": around("pictures", "uneven", 16, 0.1, "too many clusters"),
    "pictures-k4": around("pictures", "uneven", 4, 0.1, "too few clusters"),
    "symbols": around("symbols", "symbols30", 30, 0.15),
    "symbols-k10": around("symbols", "symbols30", 10, 0.15, "too few clusters"),
    "symbols-k60": around("symbols", "symbols30", 60, 0.15, "too many clusters"),
    "symbols-few": around("symbols", "symbols30", 30, 0.15, "few images", limit=250),
    "symbols-few-k10": around(
        "symbols", "symbols30", 10, 0.15, "few images, too few clusters", limit=250
    ),
    "symbols-auto": around("symbols", "symbols30", "auto", 0.15),
    "symbols-narrow": case(
        "symbols", "symbols30", "support too narrow", rotation=45, shift=0.15, clusters=30
    ),
    "symbols-templates": around(
        "symbols", "symbols30", 30, 0.15, "poses from templates", poses="templates"
    ),
    "mirrored": around("mirrored", "mirrored", 10, 0.15, mirror=True),
    "mirrored-unsaid": around("mirrored", "mirrored", 10, 0.15, "mirror images not said"),
    "mirrored-k20": around("mirrored", "mirrored", 20, 0.15, "too many clusters"),
    "noise-0.3": around("particles", "noise-0.3", 12, 0.1),
    "noise-0.1": around("particles", "noise-0.1", 12, 0.1),
    "noise-0.05": around("particles", "noise-0.05", 12, 0.1, "too much noise"),
    "noise-0.3-k6": around("particles", "noise-0.3", 6, 0.1, "too few clusters"),
    "noise-0.1-templates": around(
        "particles", "noise-0.1", 12, 0.1, "poses from templates", poses="templates"
    ),
    "noise-0.05-graph": around("particles", "noise-0.05", 12, 0.1, "graph in noise", poses="graph"),
    "shapes": case("shapes", "few-noisy", clusters=4, rotation=90, shift=0.1),
    "shapes-graph": case(
        "shapes", "few-noisy", "graph in noise", clusters=4, rotation=90, shift=0.1, poses="graph"
    ),
    "shapes-k8": case(
        "shapes", "few-noisy", "too many clusters", clusters=8, rotation=90, shift=0.1
    ),
    "wafers": around("wafers", "wafers", 4, 0.1),
    "wafers-k8": around("wafers", "wafers", 8, 0.1, "too many clusters"),
    "wafers-k2": around("wafers", "wafers", 2, 0.1, "too few clusters"),
    "cells": around("cells", "cells", 8, 0.1),
    "cells-k3": around("cells", "cells", 3, 0.1, "too few clusters"),
    "cells-k16": around("cells", "cells", 16, 0.1, "too many clusters"),
    "cells-middle": around("cells", "cells", 8, 0.1, isolate="middle"),
    "crowded": around("crowded", "crowded", 12, 0.1),
    "crowded-whole": around("crowded", "crowded", 12, 0.1, "other things kept", isolate="no"),
    "capitals": case("capitals", "capitals", clusters=26, rotation=45, shift=0.1),
    "capitals-few-k5": case(
        *("capitals", "capitals", "few images, too few clusters"),
        **{"limit": 250, "clusters": 5, "rotation": 45, "shift": 0.1},
    ),
    "capitals-k10": case(
        "capitals", "capitals", "too few clusters", clusters=10, rotation=45, shift=0.1
    ),
    "capitals-narrow": case(
        "capitals", "capitals", "support too narrow", clusters=26, rotation=10, shift=0.05
    ),
    "parts-k3": around("parts", "parts", 3, 0.1, "too few clusters"),
    "two-tone": around("two-tone", "two-tone", 3, 0.1),
}
"""Runs of the default preset, by name."""

QUICK = (
    *("digits", "digits-circle", "digits-k5", "digits-k20", "digits-few", "digits-unequal"),
    *("digits-fewer", "digits-fewer-k3", "symbols-few", "symbols-few-k10", "capitals-few-k5"),
    *("clothes-upright", "clothes", "clothes-k4"),
    *("pictures", "pictures-background", "pictures-k4", "pictures-k16"),
    *("symbols", "symbols-k10", "symbols-k60", "symbols-narrow"),
    *("mirrored", "mirrored-unsaid", "mirrored-k20"),
    *("noise-0.3", "noise-0.1", "noise-0.05", "noise-0.3-k6", "shapes", "shapes-k8"),
    *("wafers", "wafers-k8", "wafers-k2", "cells", "cells-k3", "cells-middle"),
    *("parts-k3", "two-tone"),
    *("crowded", "crowded-whole", "capitals", "capitals-k10", "capitals-narrow"),
)
"""Those that are made with preset quick as well."""


def quick(one: Case) -> Case:
    """The same case with the preset that trains no network."""
    changes = {part: values for part, values in one.changes.items() if part != "train"}
    return replace(one, changes=changes, preset="quick")


VARIED = {
    "sizes": around("sizes", "sizes", 8, 0.1, group="sim2", scale=1.4),
    "sizes-k4": around("sizes", "sizes", 4, 0.1, "too few clusters", group="sim2", scale=1.4),
    "sizes-k16": around("sizes", "sizes", 16, 0.1, "too many clusters", group="sim2", scale=1.4),
    "focus": around("focus", "focus", 8, 0.1),
    "focus-k4": around("focus", "focus", 4, 0.1, "too few clusters"),
    "contrasts": around("contrasts", "contrasts", 16, 0.1),
    "contrasts-k8": around("contrasts", "contrasts", 8, 0.1, "too few clusters"),
    "colours": around("colours", "colours", 6, 0.1),
    "colours-k2": around("colours", "colours", 2, 0.1, "too few clusters"),
    "colours-k13": around("colours", "colours", 13, 0.1, "too many clusters"),
    "patched": around("patched", "patched", 10, 0.1),
    "textured": around("textured", "textured", 12, 0.1),
    "textured-k6": around("textured", "textured", 6, 0.1, "too few clusters"),
    "parts": around("parts", "parts", 6, 0.1),
    "galaxies": around("galaxies", "galaxies", 4, 0.1, mirror=True),
    "galaxies-k8": around("galaxies", "galaxies", 8, 0.1, "too many clusters", mirror=True),
    "rods": around("rods", "rods", 5, 0.1),
    "rods-k3": around("rods", "rods", 3, 0.1, "too few clusters"),
    "two-tone-k6": around("two-tone", "two-tone", 6, 0.1, "too many clusters"),
}
"""Sets that vary much within a kind; these are made with preset quick alone."""

CASES = TRAINED | {
    f"{name}-quick": quick(one)
    for name, one in ({name: TRAINED[name] for name in QUICK} | VARIED).items()
}
"""All runs by name."""
