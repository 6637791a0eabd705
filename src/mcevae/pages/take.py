"""Take chosen images away: as a picture for a paper, or as `Selector.write` writes them."""

from collections import Counter
from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.pages.paper import MOST_GROUPS, PICTURES, Layout, draw, save
from mcevae.pages.plots import counted
from mcevae.predicting import selecting
from mcevae.predicting.samples import samples_of
from mcevae.predicting.selecting import Files, Selected, Selector
from mcevae.predicting.sums import Tell

FORMS = (*selecting.FORMS, *PICTURES)


def check_out(out: Path, *, overwrite: bool = True) -> None:
    """Check where a selection is to be written, before any work.

    Raises:
        UserError: it has an ending that nothing is written for, or is already there.
    """
    selecting.check_out(out, overwrite=overwrite, forms=FORMS)


def take(
    selector: Selector,
    chosen: Selected,
    out: Path,
    files: Files = "copies",
    tell: Tell | None = None,
) -> str:
    """Write chosen images, in the form that the ending of the path asks for.

    Args:
        selector: of their run.
        chosen: the images.
        out: .svg, .png or .pdf for a picture of at most 12 groups, the largest; else as for
            `Selector.write`.
        files: what is in folders.
        tell: is told how far it is, as by `Selector.select`.

    Returns:
        A sentence on what is not on the picture; "": all is written.

    Raises:
        UserError: the source has not this form, nothing is chosen, or it cannot be written.
    """
    check_out(out)
    if out.suffix not in PICTURES:
        selector.write(chosen, out, files, tell)
        return ""
    sizes = Counter(chosen.rows["group"].to_pylist())
    if not sizes:
        raise UserError(f"{out}: nothing is drawn, since no image is chosen; ask for less.")
    largest = dict(sizes.most_common(MOST_GROUPS))
    height, width = selector.run.shape[1:]
    layout = Layout.of(largest, (height, width))
    samples = samples_of(
        selector.run,
        selector.maker.source,
        chosen,
        list(largest),
        members=layout.members,
        longest=layout.longest,
        tell=tell,
    )
    save(draw(samples, layout), out)
    return not_shown(sizes, largest)


def not_shown(sizes: Counter[str], shown: dict[str, int]) -> str:
    """Say how many groups are not shown; "": all are."""
    count = len(sizes) - len(shown)
    if not count:
        return ""
    images = sizes.total() - sum(shown.values())
    more = "1 smaller group" if count == 1 else f"{count} smaller groups"
    rest = f"{more} with {counted(images)}"
    return f"The picture shows the {len(shown)} largest groups; {rest} left out."
