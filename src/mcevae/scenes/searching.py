"""Search all frames with what was learned, and score the round."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from mcevae.finding.evidence import Evidence
from mcevae.finding.finder import Finder
from mcevae.finding.frames import Large
from mcevae.finding.keeping import Kept
from mcevae.finding.settings import FindConfig
from mcevae.finding.sources import Frames
from mcevae.predicting.parts import begin_parts, content_of, known_part, write_part
from mcevae.runs.run import TrainedRun
from mcevae.scenes.bound import Bound
from mcevae.scenes.places import Tell, things_in


def searched(
    run: TrainedRun, frames: Frames, out: Path, identity: str, tell: Tell
) -> tuple[pa.Table, Bound]:
    """Find the things of a run in frames. If this is stopped, the same call continues it.

    Args:
        run: that was made from crops of the frames.
        frames: of a source.
        out: the table that is found; its parts are kept beside it meanwhile.
        identity: of the frames and settings; parts of others are not used.
        tell: see `Tell`.

    Returns:
        The table, as `mcevae find` makes it, and the score of the round.

    Raises:
        UserError: no frame can be used, or a file cannot be written.
    """
    finder = Finder(run, FindConfig())
    folder = begin_parts(out, identity + run.identity)
    total = Evidence()

    def look(number: int, frame: Large) -> pa.Table:
        nonlocal total
        path = folder / f"{number:06}.part"
        rows = known_part(path)
        if rows is None:
            tiles = Kept(folder=folder, frame=number)
            rows, seen = finder.measured(frame, kept=tiles)
            write_part(path, rows, json.dumps(asdict(seen)))
            tiles.clear()
        else:
            seen = Evidence(**json.loads(content_of(rows) or "{}"))
        total += seen
        tell(frame.name, rows.num_rows)
        return rows.replace_schema_metadata(None)

    table = pa.concat_tables(frames.found(look))
    turns = len(finder.explainer.bank.energy) // len(finder.templates.cluster)
    things = things_in(table, len(finder.templates.energy))
    return table, Bound(evidence=total, things=things, turns=turns)
