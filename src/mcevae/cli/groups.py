"""`mcevae groups`: name, merge and split the clusters of a run."""

import os
from collections import Counter
from contextlib import nullcontext

from rich.table import Table

from mcevae.base.errors import UserError
from mcevae.cli.shared import Checkpoint, RunFolder, images_of, screen


def groups(
    run: RunFolder,
    /,
    *,
    rename: tuple[str, str] | None = None,
    merge: tuple[str, ...] = (),
    split: str | None = None,
    reset: bool = False,
    checkpoint: Checkpoint = "best",
) -> None:
    """List the groups of a run. Rename, merge or split them.

    Example: mcevae groups runs/first --merge 3 7

    Groups are saved in groups.json of the run; `predict` and `report` use them. Give groups by
    name. At first every cluster is a group, and its number is the name.

    Args:
        run: Folder that `mcevae fit` made.
        rename: Name of a group, and its new name.
        merge: Names of two or more groups to merge. The result has the first name.
        split: Name of a group to split: a merged group into its parts, any other into two halves
            that differ in their variation z.
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
    with screen.status("finding the cluster of each image"):
        embedding = embed(opened.model, data.train.images.pixels)
    cluster, z = embedding.cluster.numpy(), embedding.z.numpy()
    changes = rename or merge or split is not None or reset
    with Collections.locked(run) if changes else nullcontext():  # an explorer may change them, too
        if reset and os.path.lexists(run / FILE):
            (run / FILE).replace(run / f"{FILE}.old")
        made = before = opened.collections
        try:
            if rename:
                made = made.renamed(made.named(rename[0]), rename[1])
            if merge:
                made = made.merged([made.named(name) for name in merge])
            if split is not None:
                made = made.split(made.named(split), cluster, z)
        except ValueError as error:
            raise UserError(f"{run}: {error}.") from error
        if made != before:
            made.write(run)
    counts = Counter(made.assign(cluster, z).tolist())
    shown = Table(title=f"{run}: groups of its {len(z)} training images")
    for column in ("group", "clusters", "images"):
        shown.add_column(column, justify="right" if column == "images" else "left")
    for i, entry in enumerate(made.entries):
        shown.add_row(entry.name, ", ".join(entry.units), str(counts[i]))
    screen.print(shown)
