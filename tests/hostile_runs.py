"""Runs as a stranger could make them: each setting at its extremes, each file as something else.

`benchmarks/hostile_runs.py` opens them with every command.
"""

import dataclasses
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch

from mcevae.base.errors import UserError
from mcevae.exporting import hub
from mcevae.models.config import PART_TYPES, PRESETS, Config
from mcevae.models.own_group import OwnGroup
from mcevae.models.registry import build, spec_of
from mcevae.runs.checkpoint import run_file, save
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import LEVELS, Calibration
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.infer import latent_sizes
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Score, write_scores
from mcevae.training.position import TERMS, Position
from mcevae.training.schedule import planned

SOURCE = "images.npy"
CANARY = "canary-of-another-folder"
"""Text of files outside the run, which nothing may show."""
MOST_MADE = 3_000_000
"""Weights of a model that is made; a stranger's file of 12 MB holds so many."""
WHOLE = (0, 1, 2, 30, 300, 3000, 100_000, 2**31, 2**62)
BROKEN = (-1e300, -1.0, 0.0, 1e-300, 1e-6, 0.5, 1.0, 30.0, 1000.0, 1e6, 1e300, float("inf"))
SMALL = {
    "model": {"hidden": 16, "pose_hidden": 8, "decoder_hidden": 16, "filters": (4, 4, 4, 4)},
    "start": {"templates": 4, "subset": 40, "neighbours": 4, "restarts": 1, "redraws": 1},
    "peer": {"code": 4, "search_restarts": 3, "search_steps": 2},
    "train": {"epochs": 3, "batch_size": 10},
    "data": {"source": SOURCE, "pose": "se2", "background": 0.0},
}
"""Settings of a run that is opened in no time, where a preset has them."""


def hints(config: Config) -> Iterator[tuple[str, str, Any]]:
    """Part, name and type of every setting of a preset."""
    for part in PART_TYPES:
        known = get_type_hints(type(getattr(config, part)))
        for field in dataclasses.fields(getattr(config, part)):
            yield part, field.name, known[field.name]


def options(hint: Any) -> list[Any]:
    """The types that a setting may have."""
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def numbers(config: Config) -> Iterator[tuple[str, str, type]]:
    """Part, name and type of every setting that is a number."""
    for part, name, hint in hints(config):
        for kind in (int, float):
            if kind in options(hint):
                yield part, name, kind


def base(preset: str) -> Config:
    """Small settings of a preset."""
    config = PRESETS[preset]()
    trained = spec_of(config.model.kind).trained
    for part, settings in SMALL.items():
        if part == "train" and not trained:
            continue
        for name, value in settings.items():
            if hasattr(getattr(config, part), name):
                try:
                    config = config.changed(**{part: {name: value}})
                except ValueError:  # not read by this preset
                    continue
    return config.changed(model={"clusters": 3})


def values_of(hint: Any) -> Iterator[Any]:
    """Values of a type, as far out as they go."""
    for one in options(hint):
        if one is bool:
            yield from (False, True)
        elif one is int:
            yield from WHOLE
        elif one is float:
            yield from BROKEN
        elif get_origin(one) is Literal:
            yield from get_args(one)
        elif get_origin(one) is tuple:
            kind, count = get_args(one)[0], len(get_args(one))
            inner = WHOLE if kind is int else BROKEN
            yield from ([value] * count for value in inner)
            yield from ([low, high][:count] for low in inner[:3] for high in inner[-3:])
        elif one is OwnGroup:
            yield from map(own_group, (1e-300, 1e-6, 1.0, 500.0))


def own_group(entry: float) -> dict[str, Any]:
    """A group of people's own with as many generators as there may be, of one size of entry."""
    places = [(row, column) for row in (0, 1) for column in (0, 1, 2)]
    return {
        "name": f"own_{entry:.0e}".replace("-", "m").replace("+", ""),
        "generators": [
            {
                "coordinate": f"own{i}",
                "half_width": 0.01,
                "matrix": [[entry * ((r, c) == place) for c in range(3)] for r in range(3)],
            }
            for i, place in enumerate(places)
        ],
    }


def ends(values: list[Any]) -> list[list[Any]]:
    """The values of a setting that are its extremes, each as a list of values to try in turn.

    Of numbers these are the least, the least above 0, and the largest one of which a run can be
    made. Of lists of numbers: the least, the largest, and the one with the widest range. Of
    anything else it is all of them.
    """
    numbers = sorted({v for v in values if type(v) in (int, float)})
    lists = sorted(v for v in values if type(v) is list)
    found = [[v] for v in values if type(v) not in (int, float, list)]
    found += [[least] for least in {*numbers[:1], *[v for v in numbers if v > 0][:1]}]
    found += [v[::-1] for v in (numbers, lists) if v]
    if lists:
        found += [lists[:1], [max(lists, key=lambda v: (-v[0], v[-1]))]]
    return found


def largest(accepts: Callable[[int], bool], least: int) -> int:
    """The largest whole number that is accepted, by halving; all below it are."""
    low, high = least, 2**62
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if accepts(middle) else (low, middle)
    return low


def extremes(preset: str) -> Iterator[tuple[str, list[Config]]]:
    """Small settings of a preset with each setting at every extreme value that is accepted.

    Yields:
        The part, name and value of a setting, and all settings. There may be several to try in
        turn: a run cannot be made of all that are accepted, see `write_run`.
    """
    usual = base(preset)
    for part, name, hint in hints(usual):
        if name in ("source", "labels", "kind"):
            continue

        def made(value: Any, part: str = part, name: str = name) -> Config | None:
            values = usual.to_dict()
            values.setdefault(part, {})[name] = value
            try:
                return Config.from_dict({"preset": preset, **values})
            except UserError:
                return None

        values = list(values_of(hint))
        usual_value = getattr(getattr(usual, part), name)
        if int in options(hint) and isinstance(usual_value, int):
            values.append(largest(lambda v, made=made: made(v) is not None, usual_value))
        for some in ends([value for value in values if made(value) is not None]):
            configs = [config for value in some if (config := made(value)) is not None]
            if configs[0] != usual:
                shown = some[0]["name"] if isinstance(some[0], dict) else some[0]
                yield f"{part}.{name} = {shown}", configs


def images(folder: Path) -> None:
    """The images of all these runs."""
    rng = np.random.default_rng(0)
    np.save(folder / SOURCE, rng.integers(0, 256, (40, 20, 20)).astype(np.uint8))


def write_begun(folder: Path, config: Config) -> bool:
    """Write what a training leaves that was killed at once: nothing but its settings."""
    folder.mkdir()
    (folder / "settings.toml").write_text(config.to_toml(), "utf-8")
    return True


def write_run(folder: Path, config: Config) -> bool:
    """Write all files of a run with these settings, from the folder that its source is in.

    Args:
        folder: of the run.
        config: its settings.

    Returns:
        False: the settings do not fit these images, or the weights would be more than `MOST_MADE`.
    """
    try:
        config = settle(config)
        data = prepare_for(config)
        config = planned(config, len(data.train))
        shape = data.train.images.shape
        torch.manual_seed(0)
        unsettled = config.model.mirror == "auto"  # only a stranger's checkpoint says so
        whole = config.changed(model={"mirror": False}) if unsettled else config
        model = build(whole, shape, MOST_MADE).eval()
        sizes = latent_sizes(model, shape)
    except UserError:
        return False
    epochs = config.train.epochs
    about = {
        "config": config.to_dict(),
        "shape": list(shape),
        "data": data.digest(),
        "position": dataclasses.asdict(
            Position(epochs=epochs, epoch=1, best=1.0, best_epoch=0, best_grouped=True, warmup=1)
        ),
    }
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    for which in ("best", "last"):
        save(run_file(folder, which), weights, about)
    (folder / "settings.toml").write_text(config.to_toml(), "utf-8")
    rows = [
        {"epoch": 0, "seconds": 1.0, "split": split, **dict.fromkeys(TERMS, 1.0)}
        for split in ("train", "validation")
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_scores({"bce": Score(value=1.0, unit="nats", n=5)}, folder / "metrics.json")
    misfits = tuple(float(i) for i in range(LEVELS))
    Calibration(temperature=1.0, misfits=misfits, n=5).write(folder)
    Collections.plain(sizes["responsibilities"]).write(folder)
    (folder / "figures").mkdir()
    for name in ("curves", "reconstructions"):
        (folder / "figures" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return True


def write_saved(folder: Path, run: Path) -> bool:
    """Write a saved estimator that has the model of a run; none, if the run is refused.

    Returns:
        True.
    """
    try:
        opened = TrainedRun.open(run)
    except UserError:
        return True
    fitted = hub.Fitted(
        model=opened.model,
        config=opened.settings,
        recipe=opened.recipe,
        calibration=opened.calibration,
        collections=opened.collections,
    )
    default = opened.settings.preset == "default"
    hub.write(folder, hub.parameters_of(opened.settings) if default else {}, fitted)
    return True


SAVED_NAMES = ("config.json", "model.safetensors", "README.md")
"""What there is in the folder of a saved estimator."""
NAMES = (
    *("best.safetensors", "last.safetensors", "settings.toml", "metrics.jsonl", "metrics.json"),
    *("calibration.json", "groups.json", "figures", "figures/curves.png", "tensorboard"),
    *("figures/reconstructions.png", "report.html", "images.parquet", "skipped.csv"),
    *("features.safetensors", "averages.safetensors", ".lock", ".groups.json.lock"),
    *("parents.json", "start.safetensors", "sources.json", "features.npy"),
    *("first-answer", "first-answer/best.safetensors", "first-answer/settings.toml"),
    *("first-answer/calibration.json", "first-answer/report.html", "first-answer/figures"),
)
"""What there can be in a run's folder."""


def link_to_file(path: Path, outside: Path) -> None:
    """A link to a file of another folder, of the same form, with other text in it."""
    target = outside / path.name
    target.write_text(json.dumps({CANARY: CANARY}) + "\n")
    path.symlink_to(target)


def link_to_folder(path: Path, outside: Path) -> None:
    """A link to a folder."""
    (outside / "folder").mkdir()
    (outside / "folder" / "curves.png").write_text(CANARY)
    path.symlink_to(outside / "folder")


def device(path: Path, outside: Path) -> None:
    """A device that can be read without end; only root can make one."""
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def sparse(path: Path, outside: Path) -> None:
    """Ten gigabytes that are nowhere on the disk."""
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "link to /dev/zero": lambda path, _: path.symlink_to("/dev/zero"),
    "link to a file": link_to_file,
    "link to a folder": link_to_folder,
    "pipe": lambda path, _: os.mkfifo(path),
    "device": device,
    "folder": lambda path, _: path.mkdir(),
    "sparse": sparse,
    "deep JSON": lambda path, _: path.write_text("[" * 1_000_000),
    "empty": lambda path, _: path.write_text(""),
}
"""What a file can be instead; each is given its path, and a folder outside the run."""
