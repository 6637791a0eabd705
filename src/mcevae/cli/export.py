"""`mcevae export`: write a run in a form that other programs read."""

from pathlib import Path
from typing import Literal

from mcevae.base.errors import UserError
from mcevae.cli.shared import Checkpoint, RunFolder, images_of, screen


def export(
    run: RunFolder,
    /,
    *,
    to: Literal["onnx", "embedding-atlas", "tensorboard", "fiftyone"],
    out: Path,
    checkpoint: Checkpoint = "best",
) -> None:
    """Write a run for other programs: its networks as ONNX graphs, or its images as tables.

    Example: mcevae export runs/first --to onnx --out graphs

    Args:
        run: Folder that `mcevae fit` made.
        to: onnx: writes encode.onnx, canonical.onnx and reconstruct.onnx, for programs without
            torch, and checks in onnxruntime that they give the same numbers as torch (needs
            pip install 'mcevae[onnx]'). The other choices write all images with their groups,
            poses and a map, in the format of that program.
        out: Folder to create. It must be new or empty.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.

    Raises:
        UserError: `out` exists and is not an empty folder, or a package is missing.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already exists; choose another --out, or move it away.")
    from mcevae.exporting.graphs import need_onnx, write_graphs
    from mcevae.exporting.interchange import write_for
    from mcevae.pages.gallery import hang
    from mcevae.runs.run import TrainedRun

    if to == "onnx":
        need_onnx()
    opened = TrainedRun.open(run, checkpoint, "cpu" if to == "onnx" else None)
    data = images_of(opened)
    if to == "onnx":
        with screen.status("writing graphs and comparing them with torch"):
            gaps = write_graphs(opened, data.validation.images.pixels, out)
        for name, gap in gaps.items():
            screen.print(f"{name}: differs from torch by at most {gap:.1e}", highlight=False)
        screen.print(f"Wrote the graphs and model.json to {out}")
        return
    with screen.status("computing groups and poses of the images"):
        gallery = hang(opened, data)
    with screen.status(f"writing {len(gallery)} images"):
        hint = write_for(to, gallery, opened.collections, out)
    screen.print(f"Wrote {len(gallery)} images to {out}. View them with: {hint}", highlight=False)
