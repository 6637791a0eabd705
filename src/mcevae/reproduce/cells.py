"""Training one cell, or continuing it, scoring it once, and keeping the result as cell.json."""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console

from mcevae.base.errors import TrainingError, UserError
from mcevae.base.files import write_text
from mcevae.base.machine import machine
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.registry import spec_of
from mcevae.reproduce.entries import FLOORS, MODELS
from mcevae.reproduce.floors import fit_floor
from mcevae.reproduce.grid import Cell
from mcevae.reproduce.protocols import PROTOCOLS
from mcevae.runs.checkpoint import load, run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.runs.metrics import agreement, repose, same_cluster
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Scores
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import planned, steps_per_epoch

LEVEL = 150.0
"""Nats per image. `seconds_to_level` is the time until the validation reconstruction is below."""


def splits(cell: Cell) -> Splits:
    """Data of a cell: its training images, and as many others as its budget scores."""
    config, scored = cell.config(), cell.budget.scored
    data, protocol = prepare_for(config), PROTOCOLS[cell.protocol]
    parts = {"train": data.train} | {
        name: getattr(data, name).subset(slice(scored)) for name in ("validation", "test")
    }
    posed = {
        name: protocol.place(part, name, config.data.data_seed) for name, part in parts.items()
    }
    return dataclasses.replace(data, **posed, known=None)  # the pixels may be others


def result(cell: Cell) -> dict[str, Any] | None:
    """The stored result of a cell; None if it is not done.

    Raises:
        UserError: its folder holds another cell, or is damaged.
    """
    path = cell.folder / "cell.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        settings = Config.from_dict(found["settings"], str(path)), found["scored"]
        found["protocol"]  # an older version called it otherwise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete its folder.") from error
    if settings != (cell.config(), cell.budget.scored):
        raise UserError(
            f"{cell.folder}: was made with other settings; give another --out, or delete the "
            "folder to make it again."
        )
    return found


def run_cell(cell: Cell, console: Console) -> dict[str, Any] | None:
    """The result of a cell. If there is none yet, the cell is run.

    A training that diverges is a result too: it has no scores, and "failed" says why.

    Returns:
        None if training was stopped; call this again to continue.

    Raises:
        UserError: as `result`, or data or folder cannot be read or written.
    """
    if found := result(cell):
        return found
    where = f"{cell.title}, {PROTOCOLS[cell.protocol].title}, seed {cell.seed}"
    console.rule(where)
    data = splits(cell)
    try:
        made = way(cell)(cell, data, console)
    except TrainingError as error:
        made = {"failed": str(error), "scores": {}, "curves": read_log(cell.folder)}
    if made is None:
        return None
    content = {
        "model": cell.model,
        "protocol": cell.protocol,
        "seed": cell.seed,
        "budget": cell.budget.name,
        "command": cell.command,
        "settings": cell.config().to_dict(),
        "scored": cell.budget.scored,
        "images": {part: len(getattr(data, part)) for part in ("train", "validation", "test")},
        "machine": machine(),
        **made,
    }
    write_text(cell.folder / "cell.json", json.dumps(content, indent=1) + "\n")
    return content


def way(cell: Cell) -> Callable[[Cell, Splits, Console], dict[str, Any] | None]:
    """What makes the result of a cell: a floor, a model that is filled at once, or a training."""
    if cell.model in FLOORS:
        return floor
    return trained if spec_of(cell.config().model.kind).trained else filled


def filled(cell: Cell, data: Splits, console: Console) -> dict[str, Any] | None:
    """Fill a model that is not trained, and score it; None if it was stopped."""
    folder, started = cell.folder, time.perf_counter()
    if not run_file(folder, "best").exists() and not fit(
        cell.config(), data, folder, console=console
    ):
        return None
    seconds = round(time.perf_counter() - started, 1)
    return {"seconds": seconds, "scores": scored(cell, data, console), "curves": []}


def scored(cell: Cell, data: Splits, console: Console) -> dict[str, Any]:
    """Scores of the best checkpoint of a cell on the test images.

    A model that is published on the images that it trains on gets `train_accuracy` besides: of its
    own clusters, on as many training images as there are test images.
    """
    with console.status("scoring"):
        run = TrainedRun.open(cell.folder)
        scores = run.scores(data)
        few = data.train.subset(slice(len(data.test))).images
        if MODELS[cell.model].on_train and few.labels is not None:
            found = embed(run.model, few.pixels).cluster.numpy()
            scores["train_accuracy"] = agreement(found, few.labels.numpy())["accuracy"]
    return as_values(scores)


def trained(cell: Cell, data: Splits, console: Console) -> dict[str, Any] | None:
    """Train a model and score its best checkpoint on the test images; None if it was stopped."""
    config, folder = cell.config(), cell.folder
    last = run_file(folder, "last")
    if last.exists() and Config.read(folder / "settings.toml") != config:
        raise UserError(
            f"{folder}: was started with other settings; give another --out, or delete the folder."
        )
    if not fit(config, data, folder, resume=last.exists(), console=console):
        return None
    scores = scored(cell, data, console)
    run = TrainedRun.open(folder)
    train = planned(config, len(data.train)).train
    steps = steps_per_epoch(train.batch_size, len(data.train))
    position = load(last)[1]["position"]
    epochs = position["epoch"] + position["step"] / steps
    curves = read_log(folder)
    below = [
        row["seconds"]
        for row in curves
        if row["split"] == "validation" and row["reconstruction"] <= LEVEL
    ]
    if MODELS[cell.model].curve:  # it is not of what the others' are
        below = []
    return {
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "epochs": round(epochs, 2),
        "best_epoch": run.state["position"]["epoch"] + 1,
        "seconds": round(position["seconds"], 1),
        "seconds_per_epoch": round(position["seconds"] / epochs, 2),
        "seconds_to_level": min(below, default=None),
        "scores": scores,
        "curves": curves,
    }


def floor(cell: Cell, data: Splits, console: Console) -> dict[str, Any]:
    """Fit a floor, and score its clusters of the test images as they are and in another pose."""
    config, test = cell.config(), data.test
    started = time.perf_counter()
    clusters = config.model.room
    predict = fit_floor(cell.model, data.train.images.pixels, clusters, config.train.seed)
    seconds = round(time.perf_counter() - started, 1)
    found, again = predict(test.images.pixels), predict(repose(test, config).images.pixels)
    scores = same_cluster(torch.from_numpy(found).long(), torch.from_numpy(again).long(), clusters)
    if test.images.labels is not None:
        scores |= agreement(found, test.images.labels.numpy())
    return {"seconds": seconds, "scores": as_values(scores), "curves": []}


def as_values(scores: Scores) -> dict[str, Any]:
    """Scores as JSON values."""
    return {name: dataclasses.asdict(score) for name, score in scores.items()}
