"""`mcevae compare`: two runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table as Shown

from mcevae.base.errors import UserError
from mcevae.cli.shared import images_of, screen

if TYPE_CHECKING:
    from pyarrow import Table

    from mcevae.pages.crosstable import CrossTable
    from mcevae.runs.run import TrainedRun

FirstRun = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_A")]
SecondRun = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_B")]


def compare(
    a: FirstRun, b: SecondRun, /, *, out: Path | None = None, overwrite: bool = False
) -> None:
    """Compare two runs: groups that correspond, images that disagree.

    Example: mcevae compare runs/first runs/second

    It takes the images that both runs have, by the names of their files; if the images have no
    names, as in built-in sets, both runs need the same source. Groups of A and B are matched one
    to one so that as many images as possible lie in groups that correspond (Hungarian method).
    It prints their share, the normalised mutual information (NMI, 1: the same groups), trust in
    each run, and the pairs of groups. Then it writes a page with a cross-table, and with images on
    which the runs disagree: look at these to see which run is right.

    Agreement is no proof: both runs can make the same mistake. What two seeds agree on depends less
    on chance.

    Args:
        a: Folder of the first run.
        b: Folder of the second run.
        out: The page, which ends in .html. Default: compare-NAME.html in RUN_A, with the name of
            RUN_B's folder; it replaces an older one.
        overwrite: Replace the page of --out if it exists.

    Raises:
        UserError: a run or its images cannot be read, or no images can be told to be the same.
    """
    from mcevae.pages.compare import check_out, write_comparison
    from mcevae.pages.crosstable import cross
    from mcevae.pages.gallery import hang
    from mcevae.runs.run import TrainedRun

    if out:
        check_out(out, overwrite=overwrite)
    runs = TrainedRun.open(a), TrainedRun.open(b)
    if a.resolve() == b.resolve():
        raise UserError(f"{b}: is the same run; give two runs.")
    data = images_of(runs[0]), images_of(runs[1])
    with screen.status("looking at the images"):
        galleries = hang(runs[0], data[0], mapped=False), hang(runs[1], data[1], mapped=False)
    found, tables = cross(runs, galleries)
    show(runs, tables, found)
    with screen.status("drawing"):
        to = out or a / f"compare-{b.resolve().name}.html"
        page = write_comparison(runs, galleries, found, to)
    screen.print(f"Open {page}", highlight=False)


def show(
    runs: "tuple[TrainedRun, TrainedRun]", tables: "tuple[Table, Table]", found: "CrossTable"
) -> None:
    """Print how far two runs agree.

    Args:
        runs: A and B.
        tables: their tables of images.
        found: the images that both have.
    """
    from mcevae.pages.crosstable import repeated
    from mcevae.pages.gallery import MOST
    from mcevae.runs.trust.advice import in_words

    for letter, run, names in zip("AB", runs, found.names, strict=True):
        trust = f"; {in_words(run.trust)}" if run.trust else ""
        screen.print(f"{letter}: {run.folder}, {len(names)} groups{trust}.", highlight=False)
    by = "the names of their files" if found.key == "file" else "their numbers in the source"
    screen.print(
        f"{len(found):,} images are in both (A {len(tables[0]):,}, B {len(tables[1]):,}), by {by}.",
        highlight=False,
    )
    for letter, table in zip("AB", tables, strict=True):
        if count := repeated(table, found.key):
            screen.print(f"{count:,} images of {letter} have the name of another; left out.")
        if len(table) == MOST:
            screen.print(f"{letter} may have more: a table holds {MOST:,}, at even distances.")
    screen.print(
        f"Agreement {found.agreement:.1%} (groups matched one to one), NMI {found.nmi:.3f}.",
        highlight=False,
    )
    shown = Shown(title="groups that correspond")
    for column in ("group of A", "group of B", "in both", "only in A", "only in B"):
        shown.add_column(column, justify="left" if "group" in column else "right", overflow="fold")
    for pair in found.pairs():
        counts = (f"{n:,}" for n in (pair.both, pair.only_a, pair.only_b))
        shown.add_row(pair.a or "-", pair.b or "-", *counts)
    screen.print(shown)
