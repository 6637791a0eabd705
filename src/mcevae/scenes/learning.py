"""Learn from frames without boxes: crops around places, groups of them, and places again.

    guess -> crops -> groups (the quick answer) -> places that these groups explain -> crops -> ...

What no group explains is left behind. A search is kept only if the bound of the frames' likelihood
rises (`scenes.bound`). The run itself is then trained on crops around the last places, and searches
the frames once more: that is the table of places.

All steps are kept in the folder `scenes` of the run until the end, so that a stopped one continues.
"""

import json
import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mcevae.base.errors import Terminated, UserError
from mcevae.base.files import atomic, read_text, real_folder, write_text
from mcevae.finding.sources import Frames
from mcevae.images.readers.frames import write_faults
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.predicting.parts import MARK, content_of, is_of, known_part, write_part
from mcevae.predicting.predictor import skipped
from mcevae.runs.checkpoint import REPORT, run_file
from mcevae.runs.data import decide_mirror, prepare_for, settle
from mcevae.runs.run import TrainedRun
from mcevae.scenes.bound import Bound
from mcevae.scenes.places import check_enough, first_places, learned_from, left_behind, write_crops
from mcevae.scenes.searching import searched
from mcevae.scenes.settings import SceneConfig
from mcevae.scenes.size import guessed_size
from mcevae.scenes.telling import Telling
from mcevae.training.first import has_first, quickly
from mcevae.training.loop import fit

FOLDER, CROPS, PLACES, RECORD = "scenes", "crops.csv", "places.parquet", "scenes.json"
"""Names in the folder of the run; the first is there until the end."""
FORM = "scenes 2 "
NOT_YET = ("boxes", "objects", "labels", "features", "hints", "kept")
"""Settings of images that are cut out already."""
MOST_SIDE, SIDE = 96, 64
"""Larger things whose size was guessed are made smaller, to the second, as other images are."""


class Learner:
    """Finds the places from which a run is made."""

    def __init__(
        self, config: Config, scenes: SceneConfig, out: Path, telling: Telling | None = None
    ) -> None:
        """Begin, or continue what was begun in the folder.

        Args:
            config: settings of the run; its source are the frames.
            scenes: how they are searched.
            out: folder of the run.
            telling: shows the progress; None: nothing is shown.

        Raises:
            UserError: settings do not fit frames, or the folder was begun with others.
        """
        self.scenes, self.out = scenes, out
        self.telling = telling or Telling()
        told = json.dumps([config.to_dict(), asdict(scenes)], sort_keys=True)
        self.config, self.size, self.guessed = settled(config, scenes)
        frames = self.frames()
        assert frames.snapshot is not None
        self.identity = FORM + told + frames.snapshot.fingerprint("all")
        self.folder = real_folder(out / FOLDER)
        if is_begun(out) and not is_of(self.folder, self.identity):
            raise UserError(
                f"{out}: was begun with other frames or settings; choose another --out, or give "
                "the same command again to continue it."
            )

    def frames(self) -> Frames:
        """The frames, from the first on."""
        return Frames.of_files(self.config.data.source, self.config.data)

    def learn(self) -> Config:
        """Find the places, and write the table of crops; return settings of the run of these.

        Raises:
            UserError: no frame can be used, or nothing is found in them.
            KeyboardInterrupt: somebody asked to stop.
        """
        if self.guessed:
            self.telling.say(
                f"Things seem to fit into boxes of {self.size} pixels: --size {self.size}, guessed "
                "from the frames."
            )
        best, record = self.guess(), []
        for number in range(1, self.scenes.searches + 1):
            found, bound, held = self.search(number, best)
            left = left_behind(best, found, self.size)
            self.telling.say(
                f"Search {number} of {self.scenes.searches}: {bound.in_words()}; {left:,} places "
                "that no group explains are left behind."
                + (f" In frames held out: {held.per_pixel:.3f} nats a pixel." if held else "")
            )
            nats = (held or bound).nats
            kept = not record or nats > record[-1]["nats"]
            known = {"nats": nats, "left_behind": left, "kept": kept}
            known["held_out"] = held and held.to_dict()
            record.append({**known, **bound.to_dict()})
            if not kept:
                self.telling.say("That is no better, so the places from before are taken.")
                break
            best = found
            check_enough(best, self.config.data.source, self.config.model.clusters)
        known = {"size": self.size, "size_guessed": self.guessed, "searches": record}
        write_text(self.folder / RECORD, json.dumps(known))
        write_crops(best, self.size, self.out / CROPS)
        return self.config.changed(data={"boxes": str(self.out / CROPS)})

    def guess(self) -> pa.Table:
        """The first guess of places, kept in the folder.

        Raises:
            UserError: no frame can be used, or nothing is found; then the folder is not begun.
        """
        path = self.folder / "guess.part"
        if (known := known_part(path)) is None:
            frames = self.frames()
            with self.telling.step("looking at frames") as tell:
                known = first_places(frames, self.size, tell)
            check_enough(known, self.config.data.source, self.config.model.clusters)
            write_text(self.folder / MARK, self.identity)
            write_part(path, known, "")
            write_faults(frames.faults, skipped(self.out / PLACES))
            if frames.faults:
                named = skipped(self.out / PLACES)
                self.telling.say(f"{len(frames.faults):,} frames could not be used: {named}")
        self.telling.say(f"First guess: {known.num_rows:,} things may be in the frames.")
        return known

    def search(self, number: int, places: pa.Table) -> tuple[pa.Table, Bound, Bound | None]:
        """Sort the things at some places, and search all frames with their groups: see `searched`.

        Args:
            number: of the search, from 1.
            places: that were found before.
        """
        path = self.folder / f"search-{number}.part"
        if (known := known_part(path)) is not None:
            told = json.loads(content_of(known) or "{}")
            held = told["held"] and Bound.from_dict(told["held"])
            return known, Bound.from_dict(told["all"]), held
        with self.telling.step(f"sorting what was found (search {number})"):
            run = self.sorted(number, places)
        with self.telling.step(f"search {number}") as tell:
            found, bound, held = searched(run, self.frames(), path, self.identity, tell)
        told = {"all": bound.to_dict(), "held": held and held.to_dict()}
        write_part(path, found, json.dumps(told))
        return found, bound, held

    def sorted(self, number: int, places: pa.Table) -> TrainedRun:
        """The quick answer of the crops around places, a run in the folder."""
        folder = self.folder / f"groups-{number}"
        if not run_file(folder, "best").exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_crops(learned_from(places), self.size, folder / CROPS)
            boxes = {"boxes": str(folder / CROPS), "split": "all", "limit": None}
            config = quickly(self.config).changed(data=boxes)
            config, data = with_crops(config)
            stopped: list[int] = []
            if not fit(config, data, folder, signals=stopped):
                raise Terminated if signal.SIGTERM in stopped else KeyboardInterrupt
        return TrainedRun.open(folder)


def with_crops(config: Config) -> tuple[Config, Splits]:
    """Read the crops of a training, and settle what depends on them.

    Raises:
        UserError: there are none.
    """
    source = open_source(config.data.source, config.data)
    config = settle(config, source)
    data = prepare_for(config, source=source)
    return decide_mirror(config, data)[0], data


def is_begun(out: Path) -> bool:
    """Whether a run is being made from frames in this folder."""
    return (out / FOLDER / MARK).is_file()


def is_trained(out: Path) -> bool:
    """Whether such a run is trained, and has only its last search left."""
    done = (out / FOLDER / RECORD).is_file() and (out / REPORT).is_file()
    return done and not has_first(out)  # else the page is that of a first answer


def settled(config: Config, scenes: SceneConfig) -> tuple[Config, int, bool]:
    """Settings of images for crops of frames; the side of the box; and whether that was guessed.

    The background of a frame is taken off when it is searched, so that of a crop is as well.

    Raises:
        UserError: the frames do not tell the size, or other settings do not fit frames.
    """
    data = config.data
    for name in NOT_YET:
        if getattr(data, name) is not None:
            raise UserError(
                f"--{name} is of images that show one thing; leave out --scenes, or it."
            )
    if not data.is_file:
        raise UserError(f"{data.source}: is no file of frames; give --scenes a path.")
    size = scenes.thing_size or data.size
    guessed = guessed_size(Frames.of_files(data.source, data)) if size is None else None
    size = size or guessed
    if size is None:
        raise UserError(
            f"{data.source}: the frames do not tell how large things are; give --size, the side of "
            "the box around one thing in pixels, a little more than the largest things have."
        )
    if guessed:
        config = config.changed(data={"size": size if 16 <= size <= MOST_SIDE else SIDE})
    if data.flatten == "auto":
        config = config.changed(data={"flatten": "yes"})
    return config, size, guessed is not None


def finish(run: TrainedRun, telling: Telling | None = None) -> Bound | None:
    """Search the frames with the finished run, and write its table of places.

    Args:
        run: trained on crops of the frames.
        telling: as for `Learner`.

    Returns:
        The score of the last search. None: the run was not made from frames, or is finished.

    Raises:
        UserError: the frames are missing, or a file cannot be written.
    """
    folder = run.folder / FOLDER
    if not is_begun(run.folder) or not (folder / RECORD).is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed at its very end
        return None
    telling = telling or Telling()
    settings = run.settings.data
    with telling.step("last search") as tell:
        identity = read_text(folder / MARK)
        frames = Frames.of_files(settings.source, replace(settings, boxes=None, box_size=None))
        found, bound, _ = searched(run, frames, folder / PLACES, identity, tell)
    with atomic(run.folder / PLACES) as temporary:
        parquet.write_table(found.drop_columns("held"), temporary)
    known: dict[str, Any] = json.loads(read_text(folder / RECORD))
    known["last"] = bound.to_dict()
    write_text(run.folder / RECORD, json.dumps(known, indent=1) + "\n")
    (folder / MARK).unlink()  # first, so that what is left of the folder is not continued
    shutil.rmtree(folder)
    return bound
