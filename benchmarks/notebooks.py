"""Run the notebooks of the tutorials, and keep what they show.

    python benchmarks/notebooks.py --folder FOLDER

Each of docs/tutorials/*.ipynb runs in a new folder of its own, and is written back with its output.
"""

import argparse
import base64
import shutil
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.ipynb"))


def run(book: NotebookNode, folder: Path) -> NotebookNode:
    """Run a notebook in a folder that has the scripts of all tutorials; return it with its output.

    Args:
        book: the notebook.
        folder: where it runs; it is made.

    Raises:
        CellExecutionError: a cell fails.
    """
    folder.mkdir(parents=True)
    for script in NOTEBOOKS[0].parent.glob("*.py"):
        shutil.copy(script, folder)
    where = {"metadata": {"path": str(folder)}}
    return NotebookClient(book, timeout=600, record_timing=False, resources=where).execute()


def shrink(book: NotebookNode) -> None:
    """Give the pictures of a notebook 256 colours, which halves the file or better."""
    outputs = [one for cell in book.cells for one in cell.get("outputs", [])]
    for data in (one.data for one in outputs if "image/png" in one.get("data", {})):
        picture = Image.open(BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        small = BytesIO()
        picture.quantize(256).save(small, "png", optimize=True)
        data["image/png"] = base64.b64encode(small.getvalue()).decode()


def main() -> None:
    """Run all notebooks, or the chosen ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the notebooks run")
    parser.add_argument("--only", nargs="+", default=[path.stem for path in NOTEBOOKS])
    given = parser.parse_args()
    for path in NOTEBOOKS:
        if path.stem in given.only:
            book = nbformat.read(path, as_version=4)
            run(book, given.folder.resolve() / path.stem)
            shrink(book)
            nbformat.write(book, path)
            print(path.name, flush=True)


if __name__ == "__main__":
    main()
