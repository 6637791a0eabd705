"""`mcevae extend`: add new images to a run, and new clusters for new kinds among them."""

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mcevae.base.cutting import CuttingConfig
from mcevae.cli.evaluate import show_and_report
from mcevae.cli.fit import refuse_begun, train
from mcevae.cli.shared import RunFolder, SourceText, reading, screen

if TYPE_CHECKING:
    from mcevae.predicting.extending import Extension


def extend(
    run: RunFolder,
    source: SourceText,
    /,
    *,
    out: Path,
    labels: str | None = None,
    label_column: str | None = None,
    file_column: str | None = None,
    features: str | None = None,
    cutting: tyro.conf.OmitArgPrefixes[CuttingConfig] = CuttingConfig(),  # noqa: B008
) -> None:
    """Add new images to a run: a new run that has both, with new groups where they are needed.

    Old groups keep their numbers, names and decisions. New images go to the group that RUN puts
    them in. 20 or more of them are a new group if no group of RUN stands for them: they keep to
    themselves among all images, for which trust would fall, or they are unlike all that RUN has.
    The last lines say how trust in the groups was before, and is now.

    Example: mcevae extend runs/first more --out runs/both

    Args:
        run: Folder that `mcevae fit` made, with preset default or quick.
        source: New images: whatever `mcevae fit` takes. Copies of images that RUN has are left out.
        out: Folder to create for the new run. It must be new or empty.
        labels: Labels of the new images, for scores only: folders, a table, or a .npy. Those of RUN
            stay.
        label_column: Column of the table that holds the labels.
        file_column: Column of the table that holds paths or names of files.
        features: A .npy with one row for each new image, in the order of the source, if RUN was
            trained with --features.
        cutting: Which parts of the new files are the images.

    Raises:
        UserError: there is nothing new, or RUN cannot be extended.
    """
    from mcevae.predicting.added import Added
    from mcevae.predicting.extended import in_words, trust_told
    from mcevae.predicting.extending import extension_of
    from mcevae.runs.run import TrainedRun
    from mcevae.training.loop import training_alone

    refuse_begun(out)
    parent = TrainedRun.open(run)
    with training_alone(out):
        refuse_begun(out)  # again, now that nobody else can begin it
        with reading() as bar:
            added = Added(
                source=source,
                labels=labels,
                label_column=label_column,
                file_column=file_column,
                features=features,
                cutting=cutting,
            )
            extension = extension_of(parent, added, out, bar.track)
        tell_left_out(extension)
        extension.begin(out)
        if extension.trains:
            many = "kinds" if extension.kinds > 1 else "kind"
            screen.print(f"{extension.kinds} new {many} among them.", highlight=False)
            train(extension.config, extension.data, out, resume=False)
        else:
            screen.print("No new kind among them, so the model stays as it is.", highlight=False)
            show_and_report(TrainedRun.open(out), extension.data)
    made = TrainedRun.open(out)
    said = in_words(made, extension.data, extension.first, extension.kinds)
    for line in (said, *trust_told(parent, made)):
        screen.print(line, highlight=False)


def tell_left_out(extension: "Extension") -> None:
    """Print how many images are new, and what is left out."""
    screen.print(f"{extension.images:,} new images of {extension.source}.", highlight=False)
    if extension.copies:
        told = f"{extension.copies:,} images are left out: they are copies of old ones."
        screen.print(told, highlight=False)
    if extension.loses_poses:
        told = "Nobody knows how the new images lie, so the new run has no scores of poses."
        screen.print(told, highlight=False)
