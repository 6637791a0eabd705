"""`mcevae groups`: name, merge and split the clusters of a run, and turn their frames."""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from mcevae.base.errors import UserError
from mcevae.cli.shared import Checkpoint, RunFolder, images_of, screen

if TYPE_CHECKING:
    from mcevae.images.splits import Splits
    from mcevae.runs.collections import Collections
    from mcevae.runs.run import TrainedRun


def groups(
    run: RunFolder,
    /,
    *,
    rename: tuple[tuple[str, str], ...] = (),
    merge: tuple[str, ...] = (),
    split: str | None = None,
    by: Literal["z", "map", "pose"] = "z",
    flip: tuple[str, ...] = (),
    upright: tuple[str, ...] = (),
    junk: tuple[str, ...] = (),
    keep: tuple[str, ...] = (),
    reset: bool = False,
    checkpoint: Checkpoint = "best",
) -> None:
    """List the groups of a run. Rename, merge or split them, or set which way is up in them.

    Example: mcevae groups runs/first --merge 3 7

    The list says the order of each cluster's rotational symmetry (1: none), how consistent its
    frame is (0 to 1), and how you have turned it.

    Groups are saved in groups.json of the run; `predict` and `report` use them. Give groups by
    name. At first every cluster is a group, and its number is the name.

    Args:
        run: Folder that `mcevae fit` made.
        rename: Name of a group, and its new name; then, if you like, another group, and so on.
        merge: Names of two or more groups to merge. The result has the first name.
        split: Name of a group to split in two, as --by says.
        by: What the halves of --split differ in. z: the variation; a merged group is split into its
            parts. It is a rule, for other images too. map, pose: the images of the run; those of
            the smaller half are moved to a new group.
        flip: Names of groups whose canonical images are to be exchanged left for right (for runs
            with --mirror). A second time undoes it.
        upright: GROUP=DEGREES, once or more: turn the canonical image of a group clockwise by so
            many degrees from how the model found it (0 goes back to that), and count its poses from
            there. Of a merged group, the first cluster is turned so, and the others as much as it.
            With --flip, it is mirrored first.
        junk: Names of groups of junk. They stay in the list; in tables the column kept is false for
            their images, and `mcevae select` leaves them out.
        keep: Names of groups that are not junk after all.
        reset: First go back to one group for each cluster. The old file is kept as groups.json.old.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training. Both have the same groups.

    Raises:
        UserError: there is no such group, or the change is not possible.
    """
    from mcevae.runs.collections import FILE, Collections
    from mcevae.runs.infer import embed
    from mcevae.runs.run import TrainedRun

    opened = TrainedRun.open(run, checkpoint)
    data = images_of(opened)
    start = Collections.plain(opened.clusters) if reset else opened.collections
    check_split(run, lambda: named_and_merged(start, rename, merge), split, data, by)
    with screen.status("finding the cluster of each image"):
        images = data.train.images
        embedding = embed(opened.model, images.pixels, evidence=opened.told(images.features))
    cluster, z = embedding.cluster.numpy(), embedding.z.numpy()
    halves = halves_by(opened, data, by) or (lambda old, index: old.split(index, cluster, z))
    names = None if images.names is None else images.names.tolist()
    changes = rename or merge or split is not None or flip or upright or junk or keep or reset
    with Collections.locked(run) if changes else nullcontext():  # an explorer may change them, too
        if reset and os.path.lexists(run / FILE):
            (run / FILE).replace(run / f"{FILE}.old")
        made = before = opened.collections
        try:
            made = named_and_merged(made, rename, merge)
            if split is not None:
                made = halves(made, made.named(split))
            for name in flip:
                made = made.flipped(made.named(name))
            for told in upright:
                name, degrees = degrees_in(told)
                made = made.set_upright(made.named(name), degrees)
            for name in (*junk, *keep):
                made = made.judged(made.named(name), name in junk)
        except ValueError as error:
            raise UserError(f"{run}: {error}.") from error
        if made != before:
            opened.regroup(made)
    show(opened, made, Counter(made.assign(cluster, z, names).tolist()))


def named_and_merged(
    made: "Collections", rename: tuple[tuple[str, str], ...], merge: tuple[str, ...]
) -> "Collections":
    """Groups after some were renamed, and then some merged.

    Args:
        made: The groups.
        rename, merge: As for `groups`.

    Raises:
        ValueError: there is no such group, or the change is not possible.
    """
    for old, new in rename:
        made = made.renamed(made.named(old), new)
    return made.merged([made.named(name) for name in merge]) if merge else made


def check_split(
    run: RunFolder,
    before: "Callable[[], Collections]",
    split: str | None,
    data: "Splits",
    by: Literal["z", "map", "pose"],
) -> None:
    """Refuse a split that is not possible, before the model looks at all images.

    Args:
        run: Folder of the run.
        before: Makes the groups before it.
        split, by: As for `groups`.
        data: Images of the run.

    Raises:
        UserError: there is no such group, the images have no names, or nothing is to be split.
    """
    from mcevae.pages.splitting import NAMELESS

    if split is None and by != "z":
        raise UserError(f"--by {by}: says how a group is split; give --split GROUP with it.")
    if split is None:
        return
    try:
        before().named(split)
    except ValueError as error:
        raise UserError(f"{run}: {error}.") from error
    parts = (data.train, data.validation, data.test)
    if by != "z" and any(part.images.names is None for part in parts):
        raise UserError(f"{run}: {NAMELESS}.")


def halves_by(
    run: "TrainedRun", data: "Splits", by: Literal["z", "map", "pose"]
) -> "Callable[[Collections, int], Collections] | None":
    """What splits a group as the explorer does. None: z does, for which images need no map.

    Args:
        run: the run.
        data: its images.
        by: what the halves differ in.

    Raises:
        UserError: the run has no calibration.
    """
    if by == "z":
        return None
    from mcevae.pages.gallery import hang
    from mcevae.pages.splitting import parted

    with screen.status("finding the places of the images"):
        found = hang(run, data, most=None, mapped=by == "map")
    return lambda groups, index: parted(groups, index, found, by)


def show(run: "TrainedRun", made: "Collections", counts: Counter[int]) -> None:
    """Print groups, and how many training images are in each."""
    shown = Table(title=f"{run.folder}: groups of its {counts.total()} training images")
    for column in ("group", "clusters", "images", "symmetry", "consistency", "turned", "kept"):
        shown.add_column(column, justify="right" if column == "images" else "left")
    symmetry = run.symmetry
    for i, entry in enumerate(made.entries):
        known = symmetry.in_words(entry.units) if symmetry else ("", "")
        units, turned = ", ".join(entry.units), made.upright(i).in_words()
        shown.add_row(
            entry.name, units, str(counts[i]), *known, turned, "junk" if entry.junk else ""
        )
    screen.print(shown)


def degrees_in(told: str) -> tuple[str, float]:
    """Read GROUP=DEGREES. A group's name may have "=" in it.

    Raises:
        ValueError: it has another form.
    """
    name, equals, degrees = told.rpartition("=")
    try:
        if equals:
            return name, float(degrees.strip().removesuffix("°"))
    except ValueError:
        pass
    raise ValueError(f"--upright {told}: give GROUP=DEGREES, such as --upright 3=90")
