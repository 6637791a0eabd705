"""`mcevae groups`: the clusters as people name, merge and split them."""

from collections import Counter

from rich.table import Table

from mcevae.base.errors import UserError
from mcevae.cli.shared import Run, images_of, screen


def groups(
    run: Run,
    /,
    *,
    rename: tuple[str, str] | None = None,
    merge: tuple[str, ...] = (),
    split: str | None = None,
    reset: bool = False,
) -> None:
    """List a run's groups; name, merge or split them, for `predict` and `report` to honour.

    Example: mcevae groups runs/first --merge 3 7

    Kept in groups.json of the run. Groups are given by their names, at first the clusters' numbers.

    Args:
        run: Folder that `mcevae fit` made.
        rename: A group's name, and the one it shall have.
        merge: Groups to make one of; it keeps the first one's name.
        split: A group to take apart: a merged one into its parts, any other in two by z.
        reset: Go back to one group for each cluster first; the old file is kept as groups.json.old.
    """
    from mcevae.runs.checkpoint import load_model
    from mcevae.runs.collections import FILE, Curation
    from mcevae.runs.infer import default_device, embed

    model, config, state = load_model(run, "best", default_device())
    if reset and (run / FILE).exists():
        (run / FILE).replace(run / f"{FILE}.old")
    data = images_of(run, config, state)
    with screen.status("looking at the images"):
        found = embed(model, data.train.images.pixels)
    made = before = Curation.read(run, found.responsibilities.shape[1])
    cluster, z = found.cluster.numpy(), found.z.numpy()
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
    for i, group in enumerate(made.groups):
        shown.add_row(group.name, ", ".join(group.units), str(counts[i]))
    screen.print(shown)
