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
from mcevae.models.config import PART_TYPES, PRESETS, Config
from mcevae.models.registry import build
from mcevae.runs.checkpoint import run_file, save
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import LEVELS, Calibration
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.infer import latent_sizes
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
    for part, settings in SMALL.items():
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


def largest(accepts: Callable[[int], bool], least: int) -> int:
    """The largest whole number that is accepted, by halving; all below it are."""
    low, high = least, 2**62
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if accepts(middle) else (low, middle)
    return low


def extremes(preset: str) -> Iterator[tuple[str, Config]]:
    """Small settings of a preset with each setting at every extreme value that is accepted."""
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
            values.append(largest(lambda value: made(value) is not None, usual_value))
        for value in values:
            config = made(value)
            if config is not None and config != usual:
                yield f"{preset}: {part}.{name} = {value}", config


def images(folder: Path) -> None:
    """The images of all these runs."""
    rng = np.random.default_rng(0)
    np.save(folder / SOURCE, rng.integers(0, 256, (40, 20, 20)).astype(np.uint8))


def write_run(folder: Path, config: Config) -> bool:
    """Write all files of a run with these settings, from the folder that its source is in.

    Returns:
        False: the settings do not fit these images, or the weights would be more than `MOST_MADE`.
    """
    try:
        config = settle(config)
        data = prepare_for(config)
        config = planned(config, len(data.train))
        shape = data.train.images.shape
        torch.manual_seed(0)
        model = build(config, shape, MOST_MADE).eval()
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


NAMES = (
    *("best.safetensors", "last.safetensors", "settings.toml", "metrics.jsonl", "metrics.json"),
    *("calibration.json", "groups.json", "figures", "figures/curves.png", "tensorboard"),
    *("report.html", "images.parquet", "skipped.csv", "features.safetensors"),
    *(".lock", ".groups.json.lock"),
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
