"""Tables and files as answers of the explorer's server."""

from io import BytesIO

import pyarrow as pa
from fastapi import HTTPException, Response
from pyarrow import csv, parquet

from mcevae.runs.infer import for_csv

FORMS = {
    "csv": ("text/csv", lambda rows, buffer: csv.write_csv(for_csv(rows), buffer)),
    "parquet": ("application/vnd.apache.parquet", parquet.write_table),
}


def table_in(form: str, rows: pa.Table, name: str) -> Response:
    """A table as a file.

    Args:
        form: csv or parquet.
        rows: the table.
        name: of the file, without its ending.

    Raises:
        HTTPException: there is no such form.
    """
    if form not in FORMS:
        raise HTTPException(404, "tables are .csv or .parquet")
    kind, write = FORMS[form]
    buffer = BytesIO()
    write(rows, buffer)
    return Response(buffer.getvalue(), headers=attached(f"{name}.{form}"), media_type=kind)


def attached(name: str) -> dict[str, str]:
    """Headers that make a browser save the answer as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
