"""What was found in the tiles of a frame that is not finished, on disk."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from mcevae.finding.evidence import Evidence
from mcevae.predicting.parts import content_of, known_part, write_part


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Keeps what is found in each tile of a frame, so that a stopped search continues there.

    Attributes:
        folder: of the parts of the table, see `predicting.parts`.
        frame: number of the frame.
    """

    folder: Path
    frame: int

    def path(self, tile: int) -> Path:
        """The file of a tile."""
        return self.folder / f"{self.frame:06}-{tile:06}.tile"

    def known(self, tile: int) -> tuple[pa.Table, Evidence] | None:
        """The rows of a tile, and its evidence; None: it has to be searched."""
        rows = known_part(self.path(tile))
        if rows is None:
            return None
        seen = Evidence(**json.loads(content_of(rows) or "{}"))
        return rows.replace_schema_metadata(None), seen

    def keep(self, tile: int, rows: pa.Table, seen: Evidence) -> None:
        """Keep what was found in a tile.

        Raises:
            UserError: it cannot be written.
        """
        write_part(self.path(tile), rows, json.dumps(asdict(seen)))

    def clear(self) -> None:
        """Delete the files of all tiles, once the frame is finished."""
        for path in self.folder.glob(f"{self.frame:06}-*.tile"):
            path.unlink()
