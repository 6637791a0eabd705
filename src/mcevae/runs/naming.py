"""Groups that get the names of hints: cluster k was taught as label k."""

from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.images.arrays import Hints
from mcevae.runs.collections import Collections
from mcevae.runs.units import check_name


def check_names(hints: Hints | None) -> None:
    """Refuse labels that cannot be names of groups.

    Raises:
        UserError: there is such a label.
    """
    for name in hints.names if hints else ():
        try:
            check_name(name)
        except ValueError as error:
            raise UserError(f"--hints has the label {name!r:.100}: {error}.") from error


def named(clusters: int, hints: Hints | None) -> Collections:
    """Make a group of each cluster, named by its label; those without one keep their number.

    Where that number is a label of another cluster, the name is such as "cluster 3".

    Args:
        clusters: K.
        hints: of the training images; None: there are none.
    """
    made = Collections.plain(clusters)
    labels = hints.names[:clusters] if hints else ()
    names = [*labels, *(str(k) for k in range(len(labels), clusters))]
    taken = set(labels)
    for k in range(len(labels), clusters):
        while names[k] in taken:
            names[k] = f"cluster {names[k]}"
        taken.add(names[k])
    for k in range(clusters):  # first to names that nothing else has
        made = made.renamed(k, f"cluster {k}, to be named")
    for k, name in enumerate(names):
        made = made.renamed(k, name)
    return made


def name_by(run: Path, clusters: int, hints: Hints | None) -> None:
    """Name the groups of a run by the hints that it was taught, unless people changed any.

    Args:
        run: folder of the run.
        clusters: K.
        hints: of its training images; None: nothing is done.

    Raises:
        UserError: groups.json is damaged or cannot be written.
    """
    if hints is not None:
        with Collections.locked(run):
            if Collections.kept(run) is None:
                named(clusters, hints).write(run)
