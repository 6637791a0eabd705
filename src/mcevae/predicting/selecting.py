"""Select images of a run, and take them away as a list, a table, particles, or folders."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from mcevae.base.choosing import Choice
from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.base.files import atomic_folder, write_text
from mcevae.images.kept import are_kept
from mcevae.images.readers.frames import Fault
from mcevae.images.sources.contract import START
from mcevae.predicting.choice import check, chosen_in
from mcevae.predicting.engines import Maker, Order
from mcevae.predicting.particle_tables import particle_table
from mcevae.predicting.stacks import STACKS, check_stack, is_stack
from mcevae.predicting.sums import Tell
from mcevae.predicting.upright_stack import write_upright
from mcevae.runs.checkpoint import check_source
from mcevae.runs.collections import Collections
from mcevae.runs.infer import PARTICLES, TABLE_WRITERS, write_tables
from mcevae.runs.run import TrainedRun

LIST = ".txt"
FORMS = (LIST, *TABLE_WRITERS, *PARTICLES, *STACKS)
UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]|^\.+|[. ]+$')
"""What no name of a folder may have on one of the usual systems."""
Files = Literal["copies", "links"]


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Images that were chosen.

    Attributes:
        rows: one row for each, as `mcevae predict` writes them.
        total: of how many images.
        places: of the chosen images in the source, from 0.
        faults: files that could not be used.
    """

    rows: pa.Table
    total: int
    places: Int[np.ndarray, " n"]
    faults: list[Fault] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the images.

        Raises:
            UserError: images of this source have none.
        """
        if "file" not in self.rows.column_names:
            raise UserError(
                "the images of this run have no names, so nothing can be said of single ones; save "
                "them as files, or choose by groups and ranges."
            )
        return self.rows["file"].to_pylist()


class Selector:
    """Chooses among the images of a run: all of its source, or those that it was made from."""

    def __init__(self, run: TrainedRun, out: Path | None = None) -> None:
        """Open the images of a run.

        Args:
            run: the run.
            out: where the chosen ones will be written. None: nowhere.

        Raises:
            UserError: the images are missing, or the run has no calibration.
        """
        data = run.settings.data
        check_source(run.folder, run.settings)
        cutting = {name: getattr(data, name) for name in CuttingConfig().cutting()}
        order = Order(
            run=run.folder,
            source=data.source,
            out=out or Path("none.parquet"),
            checkpoint=run.checkpoint,
            features=data.features,
            cutting=CuttingConfig(**cutting),
        )
        self.run, self.maker = run, Maker(order, run)
        self.collections = self.maker.predictor.collections or Collections.plain(run.clusters)

    def select(self, choice: Choice, tell: Tell | None = None) -> Selected:
        """Choose images. The rows of the chosen ones are in memory.

        Args:
            choice: which ones.
            tell: called with the share that is done (0 to 1) and the number of images so far.

        Raises:
            UserError: the run does not know a group, a selection or a column, or no image can be
                used.
        """
        source, predictor = self.maker.source, self.maker.predictor
        try:
            check(choice, self.collections)
            if choice.names_images and not source.named:
                raise ValueError("images have no names; choose by groups and ranges")
            end, faults, parts = START, [*source.passed], list[pa.Table]()
            places, total = [np.zeros(0, np.int64)], 0
            for part in predictor.batches(source, "all", None):
                faults += part.faults
                if len(part.pixels):
                    rows = self.judged(predictor.rows(part, end.images, source.name))
                    at = part.places_from(end.images)
                    mine = are_kept(self.run.settings.data.kept, at)
                    chosen = mine & chosen_in(choice, rows, self.collections)
                    parts.append(rows.filter(pa.array(chosen)))
                    places.append(at[chosen])
                    total += int(mine.sum())
                end = part.end
                if tell:
                    tell(part.done, end.images)
        except ValueError as error:
            raise UserError(f"{self.run.folder}: {error}.") from error
        if not parts:
            raise UserError(f"{source.name}: no image can be used.")
        rows, at = pa.concat_tables(parts), np.concatenate(places)
        return Selected(rows=rows, total=total, places=at, faults=faults)

    def judged(self, rows: pa.Table) -> pa.Table:
        """Add to a table what it lacks of the columns group, kept, tags and trust."""
        cluster, trust = rows["cluster"].to_numpy(), self.run.trust
        usual = {"kept": pa.array([True] * len(rows)), "tags": pa.array([""] * len(rows))}
        if "group" not in rows.column_names:  # nobody changed them: each cluster is one
            names = [entry.name for entry in self.collections.entries]
            usual = {"group": pa.array([names[k] for k in cluster], pa.string()), **usual}
        if trust is not None:
            usual["trust"] = pa.array(np.asarray(trust.clusters, np.float32)[cluster])
        for name, values in usual.items():
            if name not in rows.column_names:
                rows = rows.append_column(name, values)
        return rows

    def write(
        self, chosen: Selected, out: Path, files: Files = "copies", tell: Tell | None = None
    ) -> None:
        """Write the chosen images, in the form that the ending of the path asks for.

        Args:
            chosen: the images.
            out: .txt (a list of files), .parquet, .csv, .star or .cs; .mrcs, .tif or .npy for a
                stack of the images, each moved back by its pose, and a table beside it; or without
                any ending a folder with a folder for each group.
            files: what is in these folders.
            tell: is told how far a stack is, as `select` tells it.

        Raises:
            UserError: the source has not this form, nothing is chosen, or it cannot be written.
        """
        check_out(out)
        if not len(chosen.rows):
            raise UserError(f"{out}: nothing is written, since no image is chosen; ask for less.")
        if out.suffix in PARTICLES:
            run, maker = self.run, self.maker
            fit, shape = run.settings.data.fit, run.shape[1:]
            kept = Collections.kept(run.folder)
            made = particle_table(maker.source, out, run.model.group, shape, fit, kept)
            assert made is not None
            made.write([chosen.rows], len(chosen.rows), out)
        elif out.suffix in TABLE_WRITERS:
            write_tables([chosen.rows], out)
        elif is_stack(out):
            write_upright(self.run, self.maker.source, chosen.places, out, tell)
            write_tables([chosen.rows], beside(out))
        elif out.suffix == LIST:
            write_text(out, "".join(f"{path}\n" for path in self.paths(chosen)))
        else:
            self.write_folders(chosen, out, files)

    def paths(self, chosen: Selected) -> list[Path]:
        """Absolute paths of the files of images.

        Raises:
            UserError: an image is not a file of its own.
        """
        found = [self.maker.source.file_of(name) for name in chosen.names]
        for path in found:
            if not path.is_file() or "\n" in str(path) or "\r" in str(path):
                raise UserError(
                    f"{path}: is not a file of one image, as lists and folders need it; write a "
                    ".parquet or .csv."
                )
        return found

    def write_folders(self, chosen: Selected, out: Path, files: Files) -> None:
        """Put each image into the folder of its group."""
        rows = chosen.rows
        folders = folders_for([entry.name for entry in self.collections.entries])
        each = zip(
            self.paths(chosen), rows["group"].to_pylist(), rows["id"].to_pylist(), strict=True
        )
        with atomic_folder(out) as half:
            for path, group, number in each:
                target = half / folders[group] / path.name
                if target.exists() or target.is_symlink():  # of another folder of the source
                    target = target.with_name(f"{number:07}-{path.name}")
                target.parent.mkdir(exist_ok=True)
                if files == "links":
                    target.symlink_to(path)
                else:
                    shutil.copyfile(path, target)


def folders_for(groups: list[str]) -> dict[str, str]:
    """A folder for each group: its name, without what folders may not have; no two the same."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in groups:
        plain = UNSAFE.sub("_", name)
        number, own = 2, plain
        while own.casefold() in taken:
            own, number = f"{plain}-{number}", number + 1
        taken.add(own.casefold())
        found[name] = own
    return found


def check_out(out: Path, *, overwrite: bool = True, forms: Sequence[str] = FORMS) -> None:
    """Check where a selection is to be written, before any work.

    Args:
        out: the path.
        overwrite: whether a file that is there is replaced.
        forms: the endings that something is written for.

    Raises:
        UserError: it has an ending that nothing is written for, or is already there.
    """
    if out.suffix and out.suffix not in forms:
        raise UserError(
            f"{out}: ends in {out.suffix}; give a path that ends in {', '.join(forms)}, or a "
            "folder, without any ending."
        )
    if is_stack(out):
        check_stack(out)
    for path in (out, beside(out)) if is_stack(out) else (out,):
        filled = path.is_dir() and any(path.iterdir())
        if filled or (path.exists() and not path.is_dir() and not overwrite):
            more = "" if filled else ", or add --overwrite"
            raise UserError(f"{path}: already exists; choose another --out{more}.")


def beside(out: Path) -> Path:
    """The table beside a stack, with a row for each of its images."""
    return out.with_suffix(".csv")
