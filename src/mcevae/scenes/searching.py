"""Search all frames with what was learned, and score the round."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
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
from mcevae.scenes.places import Tell, is_held, things_in


def searched(
    run: TrainedRun, frames: Frames, out: Path, identity: str, tell: Tell
) -> tuple[pa.Table, Bound, Bound | None]:
    """Find the things of a run in frames. If this is stopped, the same call continues it.

    Args:
        run: that was made from crops of the frames.
        frames: of a source.
        out: the table that is found; its parts are kept beside it meanwhile.
        identity: of the frames and settings; parts of others are not used.
        tell: see `Tell`.

    Returns:
        The table, as `mcevae find` makes it, with a column held (`is_held`); the score of the
        round; and that of the frames that are held out alone, None if there are none.

    Raises:
        UserError: no frame can be used, or a file cannot be written.
    """
    finder = Finder(run, FindConfig())
    folder = begin_parts(out, identity + run.identity)
    total = held = Evidence()

    def look(number: int, frame: Large) -> pa.Table:
        nonlocal total, held
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
        held += seen if is_held(number) else Evidence()
        tell(frame.name, rows.num_rows)
        apart = pa.array(np.full(rows.num_rows, is_held(number)))
        return rows.replace_schema_metadata(None).append_column("held", apart)

    table = pa.concat_tables(frames.found(look))
    turns = len(finder.explainer.bank.energy) // len(finder.templates.cluster)
    clusters = len(finder.templates.energy)

    def bound(evidence: Evidence, places: pa.Table) -> Bound:
        return Bound(evidence=evidence, things=things_in(places, clusters), turns=turns)

    apart = bound(held, table.filter(table["held"])) if held.pixels else None
    return table, bound(total, table), apart
