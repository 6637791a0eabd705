"""`mcevae select`: choose images of a run, take them away, or decide on them."""

from pathlib import Path
from typing import Literal

import tyro

from mcevae.base.choosing import Choice
from mcevae.base.errors import UserError
from mcevae.cli.shared import Checkpoint, RunFolder, screen, telling


def select(
    run: RunFolder,
    /,
    *,
    choice: tyro.conf.OmitArgPrefixes[Choice] = Choice(),  # noqa: B008
    out: Path | None = None,
    files: Literal["copies", "links"] = "copies",
    overwrite: bool = False,
    mark: Literal["junk", "kept", "as-group"] | None = None,
    move: str | None = None,
    new_group: str | None = None,
    tag: str | None = None,
    untag: str | None = None,
    save: str | None = None,
    checkpoint: Checkpoint = "best",
) -> None:
    """Choose images of a run by groups, tags, numbers and names; then write or decide on them.

    Without --out and without a decision it only counts what is chosen. Junk is left out unless
    --junk says otherwise.

    Example: mcevae select runs/first --keep anchor 3 --out good.txt

    That writes the files of two groups as a list, which `mcevae fit good.txt` takes. More:

    mcevae select runs/first --confidence 0.9 1 --outlier 0 0.95 --out sure.parquet
      A table of the images that are sure and are no outliers.

    mcevae select runs/first --where rotation_deg=-20:20 --text plate7 --out upright
      A folder for each group, with copies of the files.

    mcevae select runs/particles --without 4 7 --out good.star
      The particles of the good groups, for RELION.

    mcevae select runs/first --keep anchor --out anchors.tif
      A stack of all anchors, upright.

    mcevae select runs/first --keep anchor 3 --out figure.svg
      A picture of two groups for a paper.

    mcevae select runs/first --outlier 0.99 1 --mark junk
      Call the outliers junk. From now on they are left out.

    mcevae select runs/first --keep 3 --text broken --move "broken anchors"
      Move images to another group.

    Decisions are kept in groups.json of the run, by the names of the images in its source.
    `predict` (for this source), `report`, `serve` and `export` use them.

    Args:
        run: Folder that `mcevae fit` made.
        choice: Which images.
        out: What to write: .txt (a list of files), .csv or .parquet (a table, as `predict` writes
            it), .star or .cs (for a run of such particles); a stack (.mrcs, .tif or .npy) of the
            images at full resolution, each moved back by its pose, with a table beside it; a
            picture for a paper (.svg, .png or .pdf) of the 12 largest groups: averages, and members
            as they lie and upright; or a folder, without any ending, with a folder for each group.
        files: What is in these folders: copies of the images' files, or links to them.
        overwrite: Replace the file if it exists.
        mark: Call the chosen images junk, or kept whatever their group is; as-group takes that
            back.
        move: Name of a group to move the chosen images to.
        new_group: Name of a new group to make of the chosen images.
        tag: Give the chosen images a tag.
        untag: Take a tag from the chosen images.
        save: Keep the chosen images as a selection under this name, for --selection.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: the run does not know a group, selection or column, or cannot write this form.
    """
    from mcevae.pages.take import check_out, take
    from mcevae.predicting.deciding import Decision, decide
    from mcevae.predicting.selecting import Selector
    from mcevae.runs.run import TrainedRun

    decision = Decision(mark=mark, move=move, new=new_group, tag=tag, untag=untag, save=save)
    if out is not None:
        check_out(out, overwrite=overwrite)
    opened = TrainedRun.open(run, checkpoint)
    selector = Selector(opened, out)
    with telling("choosing") as tell:
        chosen = selector.select(choice, tell)
    screen.print(f"{len(chosen.rows):,} of {chosen.total:,} images are chosen.", highlight=False)
    if unused := sum(not fault.passed for fault in chosen.faults):
        screen.print(f"{unused:,} files could not be used, and are not counted.", highlight=False)
    if out is not None:
        with telling("writing") as tell:
            note = take(selector, chosen, out, files, tell)
        screen.print(f"Written: {out}", highlight=False)
        if note:
            screen.print(note, highlight=False)
    if decision != Decision():
        if not len(chosen.rows):
            raise UserError(f"{run}: no image is chosen, so nothing was decided; ask for less.")
        decide(opened, chosen.names, decision)
        screen.print(f"Decided, and kept in {run / 'groups.json'}.", highlight=False)
