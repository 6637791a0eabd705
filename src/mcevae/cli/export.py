"""`mcevae export`: a run for other programs."""

from pathlib import Path
from typing import Literal

from mcevae.base.errors import UserError
from mcevae.cli.shared import Run, images_of, screen


def export(
    run: Run,
    /,
    *,
    to: Literal["onnx", "embedding-atlas", "tensorboard", "fiftyone"],
    out: Path,
) -> None:
    """Write a run for other programs: its networks as graphs, or its images as tables.

    Example: mcevae export runs/first --to onnx --out graphs

    Args:
        run: Folder that `mcevae fit` made.
        to: onnx: encode.onnx, canonical.onnx and reconstruct.onnx for programs without torch,
            compared with torch in onnxruntime (pip install 'mcevae[onnx]'). Others: all images
            with groups, poses and a map, as that program reads them.
        out: Folder to make.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already; choose another --out, or move it away.")
    import torch

    from mcevae.exporting.graphs import need_onnx, write_graphs
    from mcevae.exporting.interchange import write_for
    from mcevae.pages.gallery import hang
    from mcevae.runs.checkpoint import load_model
    from mcevae.runs.collections import Curation
    from mcevae.runs.confidence import Calibration
    from mcevae.runs.infer import default_device

    if to == "onnx":
        need_onnx()
    model, config, state = load_model(run, "best", default_device())
    data = images_of(run, config, state)
    if to == "onnx":
        with screen.status("writing graphs and comparing them with torch"):
            pixels = data.validation.images.pixels
            found = write_graphs(model.to(torch.device("cpu")), config, pixels, run, out)
        for name, gap in found.items():
            screen.print(f"{name}: differs from torch by at most {gap:.1e}", highlight=False)
        screen.print(f"Graphs and model.json in {out}")
        return
    with screen.status("looking at the images"):
        gallery = hang(model, config, data, Calibration.read(run))
    with screen.status(f"writing {len(gallery)} images"):
        said = write_for(to, gallery, Curation.read(run, gallery.clusters), out)
    screen.print(f"{len(gallery)} images in {out}. Look at them with: {said}", highlight=False)
