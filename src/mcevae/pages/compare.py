"""Write a page about two runs: what each found, which groups correspond, and where they disagree.

It is one file that needs no network.
"""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.base.names import as_text
from mcevae.pages.crosstable import CrossTable
from mcevae.pages.gallery import Gallery, collections_of
from mcevae.pages.report import ASSETS, environment
from mcevae.pages.sheets import data_uri, png, thumbnails
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import SHOWN, read_scores
from mcevae.runs.trust.trust import word
from mcevae.training.log import read_log

MOST_PAIRS = 12
"""Pairs of groups on which the runs disagree that are shown, at most."""
LEAST = 2
"""Images of such a pair, at least."""
EACH = 10
"""Images of such a pair that are shown, at most."""
MOST_GROUPS = 40
"""Rows and columns of a table, at most."""
TOLD = ("clusters", "empty_clusters")
"""Scores that the page says in other lines."""
UNKNOWN = "–"
"""What stands for a number that a run does not have."""


def check_out(out: Path, *, overwrite: bool) -> None:
    """Check where the page is to be written, before any work.

    Raises:
        UserError: it does not end in .html, or is already there.
    """
    if out.suffix != ".html":
        raise UserError(f"{out}: give a path that ends in .html.")
    folder = os.path.isdir(out)  # unlike Path's, it takes names that are too long
    if folder or (os.path.exists(out) and not overwrite):
        more = "" if folder else ", or add --overwrite"
        raise UserError(f"{out}: already exists; choose another --out{more}.")


def write_comparison(
    runs: tuple[TrainedRun, TrainedRun],
    galleries: tuple[Gallery, Gallery],
    cross: CrossTable,
    out: Path,
) -> Path:
    """Write the page.

    Args:
        runs: A and B, with a calibration.
        galleries: their images.
        cross: the images that both have.
        out: path of the page.

    Raises:
        UserError: the scores of a run are not its own, or the page cannot be written.
    """
    pictures = [canonical(*each) for each in zip(runs, galleries, strict=True)]
    pairs = cross.pairs()
    shown = [pair for pair in cross.disagreements() if cross.counts[pair] >= LEAST][:MOST_PAIRS]
    apart = [disagreement(cross, pair, galleries[0]) for pair in shown]
    text = (
        environment()
        .get_template("compare.html.j2")
        .render(
            style=Markup((ASSETS / "page.css").read_text("utf-8")),
            folders=[as_text(str(run.folder)) for run in runs],
            facts=facts(runs, galleries, pictures),
            trusts=[run.trust and (run.trust.run, word(run.trust.run)) for run in runs],
            cross=cross,
            sizes=[len(one) for one in galleries],
            pictures=pictures,
            pairs=pairs[:MOST_GROUPS],
            columns=cross.names[1][:MOST_GROUPS],
            rows=[row_of(cross, i) for i in range(min(len(cross.names[0]), MOST_GROUPS))],
            hidden=[max(0, n - MOST_GROUPS) for n in (len(pairs), *map(len, cross.names))],
            apart=apart,
            left=round((1 - cross.agreement) * len(cross)) - sum(one["count"] for one in apart),
            version=version("mcevae"),
        )
    )
    write_text(out, text)
    return out


def canonical(run: TrainedRun, gallery: Gallery) -> dict[str, str]:
    """The canonical image of each group that has images, by its name, as a data URI."""
    groups = collections_of(gallery, run.collections, run.model)["groups"]
    return {one["name"]: one["canonical"] for one in groups if one["size"]}


def facts(
    runs: tuple[TrainedRun, TrainedRun],
    galleries: tuple[Gallery, Gallery],
    pictures: list[dict[str, str]],
) -> list[tuple[str, list[str]]]:
    """What is said of both runs, line by line: source, settings, time, and the everyday scores."""
    logs = [read_log(run.folder) for run in runs]
    scores = [read_scores(run.folder) for run in runs]
    rows = [
        ("source", [as_text(run.settings.data.source or UNKNOWN) for run in runs]),
        ("preset", [run.settings.preset for run in runs]),
        ("answer of", [run.in_words for run in runs]),
        ("images", [f"{one.total:,}" for one in galleries]),
        ("clusters (K)", [str(run.clusters) for run in runs]),
        ("groups with images", [str(len(one)) for one in pictures]),
        (
            "minutes of training",
            [f"{log[-1]['seconds'] / 60:.1f}" if log else UNKNOWN for log in logs],
        ),
    ]
    for name, words in SHOWN.items():
        if name in TOLD:
            continue
        if known := [one[name] for one in scores if name in one]:
            said = [f"{one[name].value:.4g}" if name in one else UNKNOWN for one in scores]
            rows.append((f"{words}, {known[0].unit}" if known[0].unit else words, said))
    return rows


def row_of(cross: CrossTable, i: int) -> list[dict[str, Any]]:
    """The cells of a group of A, for the first groups of B: number and share of its images."""
    own = cross.counts[i]
    return [
        {"count": int(n), "share": float(n / own.sum()), "match": cross.matches.get(i) == j}
        for j, n in enumerate(own[:MOST_GROUPS])
    ]


def disagreement(cross: CrossTable, pair: tuple[int, int], gallery: Gallery) -> dict[str, Any]:
    """A pair of groups that do not correspond, and some images in both, from the gallery of A."""
    i, j = pair
    ids = cross.ids[0][cross.images(i, j)[:EACH]]
    small = thumbnails(gallery.pictures[torch.from_numpy(ids)])
    known = gallery.names
    return {
        "a": cross.names[0][i],
        "b": cross.names[1][j],
        "match": cross.names[1][cross.matches[i]] if i in cross.matches else None,
        "count": int(cross.counts[pair]),
        "images": [
            (known[id] if known else f"image {id}", data_uri(png(one), "png"))
            for id, one in zip(ids.tolist(), small, strict=True)
        ],
    }
