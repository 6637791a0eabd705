"""Checkpoints: safetensors files with JSON in the header. Opening a checkpoint runs no code.

Tensors and state are in one file, so that it can be moved into place in one atomic step.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcevae.base.channels import MOST_CHANNELS
from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import atomic, check_regular
from mcevae.base.names import in_utf8, path_of
from mcevae.images.arrays import MAX_SIDE
from mcevae.images.sources.registry import is_there
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.models.limit import images_at_once
from mcevae.models.registry import build, spec_of

SPARE = 2**20
"""Numbers that a model may have in addition to its weights, for example buffers."""
DRAWS = {torch.Tensor.uniform_, torch.Tensor.normal_}
"""Methods that fill new weights with random numbers, besides the functions of `torch.nn.init`."""
WHICH = ("best", "last")
"""The checkpoints of a run: the best epoch, and the end of training."""
AT_ONCE: dict[tuple[Any, ...], int] = {}
"""What `at_once` has found."""
REPORT = "report.html"
"""The page of a run, or of its first answer."""
FORMAT = 1
"""Increase this when the layout of a checkpoint changes and older files cannot be read."""


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state to one file, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **state})
    whole = {k: v.cpu().contiguous() for k, v in tensors.items()}
    header = {"mcevae": text, "blake2b": fingerprint(text, whole)}
    with atomic(path) as temporary:
        temporary.touch()
        usual = temporary.stat().st_mode  # save_file lets nobody else read what it writes
        try:
            save_file(whole, temporary, header)
            temporary.chmod(usual)
        except SafetensorError as error:  # contains the system's error, for example a full disk
            raise UserError(f"{path}: cannot be written ({error}).") from error


def fingerprint(text: str, tensors: dict[str, Tensor]) -> str:
    """Fingerprint of a checkpoint's content. It shows whether the file was altered.

    Args:
        text: the state, as JSON.
        tensors: contiguous tensors on the CPU.
    """
    known = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        known.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return known.hexdigest()


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (to the CPU) and the state of a checkpoint.

    Raises:
        UserError: the file is missing or damaged, or this version cannot read its format.
    """
    try:
        check_regular(path)
        with in_utf8(path) as known, safe_open(known, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            state = json.loads(header["mcevae"])
            if state["format"] != FORMAT:
                raise UserError(
                    f"{path}: written by another version of mcevae (format {state['format']}, "
                    f"this one reads {FORMAT})."
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train with `mcevae fit` first.") from None
    except (SafetensorError, *DAMAGE) as error:
        raise UserError(
            f"{path}: is not a readable mcevae checkpoint ({type(error).__name__}: {error}); "
            "restore it from a copy, or train again."
        ) from error
    # Old checkpoints have no fingerprint.
    if header.get("blake2b") not in (None, fingerprint(header["mcevae"], tensors)):
        raise UserError(
            f"{path}: was altered after it was written, perhaps by a faulty disk or copy; restore "
            "it from a copy, or train again."
        )
    return tensors, state


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name.`, without this prefix."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def flat(optimizer: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Split an optimizer's state dict into named tensors and plain parameter groups."""
    tensors = {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entry in optimizer["state"].items()
        for key, value in entry.items()
    }
    return tensors, optimizer["param_groups"]


def nested(tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Make an optimizer's state dict: the inverse of `flat`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": groups}


def run_file(run: Path, which: str) -> Path:
    """Path of a run's checkpoint. `which` is best or last."""
    return run / f"{which}.safetensors"


def file_about(run: Path, name: str, which: str) -> Path:
    """Path of a file about a checkpoint. The name is as given for best, else `which` is added.

    Args:
        run: folder of the run.
        name: name of the file for best, such as report.html, which is report-last.html for last.
        which: best or last.
    """
    path = run / name
    return path if which == WHICH[0] else path.with_stem(f"{path.stem}-{which}")


def check_source(run: Path, config: Config) -> None:
    """Check that a run's images, and the files of their labels and features, still exist.

    A run records paths as they were given. So a whole project folder can be moved, and a shared run
    does not reveal anything about the machine it was made on.

    Raises:
        UserError: a path does not exist, seen from the current folder.
    """
    data = config.data
    tables = [data.labels] if data.labels not in (None, "folders") else []
    tables += [
        one for one in (data.features, data.hints, data.boxes, data.objects) if one is not None
    ]
    missing = [] if is_there(data.source) else [data.source]
    # os.path.exists returns False for names that are too long
    missing += [table for table in tables if not os.path.exists(path_of(table))]
    for path in map(Path, missing):
        where = "there any more" if path.is_absolute() else f"in {Path.cwd()}"
        remedy = "" if path.is_absolute() else "start the command where you started the run, or "
        raise UserError(f"{run}: its source {path} is not {where}; {remedy}put it back.")


def check_data(run: Path, data: Splits, state: dict[str, Any]) -> None:
    """Refuse images that the run was not trained on. They would mix training and test images.

    Raises:
        UserError: the images have another fingerprint than the one in the checkpoint.
    """
    if state["data"] != data.digest():
        raise UserError(
            f"{run}: its source has changed since it was trained; put the old images back, "
            "train again, or use `mcevae predict` for new images."
        )


def checked_shape(shape: Any) -> tuple[int, int, int]:
    """Check the shape (C, H, W) of images that was read from JSON.

    Raises:
        ValueError: no model takes images of this shape.
    """
    channels, height, width = shape
    sides = all(isinstance(one, int) and 1 <= one <= MAX_SIDE for one in (height, width))
    if channels not in range(1, MOST_CHANNELS + 1) or type(channels) is not int or not sides:
        raise ValueError(f"no model takes images of shape {shape}")
    return channels, height, width


class Undrawn(TorchFunctionMode):
    """A mode in which models are built without random first weights, to save time.

    Use it if a file replaces the weights afterwards. The weights have the right shapes and
    layouts, but arbitrary values. Random generators do not advance.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Skip functions that fill weights, and run all others."""
        kwargs = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        if getattr(func, "__module__", None) == "torch.nn.init" or func in DRAWS:
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


def room_for(tensors: dict[str, Tensor]) -> int:
    """The most numbers that a model with these weights can have: no more than its file holds."""
    return SPARE + sum(one.numel() for one in tensors.values())


def filled(
    config: Config,
    shape: tuple[int, int, int],
    tensors: dict[str, Tensor],
    device: torch.device | str = "cpu",
) -> Model:
    """Build the model that the settings describe, in evaluation mode, and load its weights.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        tensors: weights by name.
        device: device for the model.

    Raises:
        RuntimeError: the weights belong to another model, for example a much smaller one, or the
            model takes too much memory for a single image.
    """
    try:
        with Undrawn():
            model = build(config, shape, room_for(tensors))
        model.load_state_dict(tensors)
        model.eval().to(device)
        model.at_once = at_once(model, config, shape)
    except UserError as error:
        raise RuntimeError(str(error).rstrip(".")) from error
    return model


def at_once(model: Model, config: Config, shape: tuple[int, int, int]) -> int:
    """How many images a model can infer at one time, see `models.limit.images_at_once`.

    To find out takes up to a second, so the answer is kept for trained models of the same form. How
    much the others take depends on their numbers as well.

    Args:
        model: in evaluation mode.
        config: its settings.
        shape: (C, H, W) of its images.

    Raises:
        UserError: a single image takes too much memory.
    """
    if not spec_of(config.model.kind).trained:
        return images_at_once(model, shape, model.at_once)
    tensors = (*model.named_parameters(), *model.named_buffers())  # a mask is a buffer
    sizes = tuple((name, one.shape, one.dtype, one.device) for name, one in tensors)
    told = repr((config.model, config.support, config.peer, getattr(model, "clusters", None)))
    form = told, shape, sizes
    if form not in AT_ONCE:
        AT_ONCE[form] = images_at_once(model, shape, model.at_once)
    return AT_ONCE[form]


def load_model(
    run: Path, which: str = "best", device: torch.device | str = "cpu"
) -> tuple[Model, Config, dict[str, Any]]:
    """Load a run: the model in evaluation mode, its settings and the checkpoint's state.

    Args:
        run: folder that `mcevae fit` made.
        which: best (lowest negative ELBO on validation images, of all epochs with clusters) or
            last (end of training).
        device: device for the model.

    Raises:
        UserError: the run is missing or cannot be read, or has no such checkpoint.
    """
    if which not in WHICH:
        raise UserError(f"--checkpoint is {which!r:.40}; use {' or '.join(WHICH)}.")
    path = run_file(run, which)
    if not run.is_dir():
        raise UserError(f"{run}: no such run; give a folder that `mcevae fit` made.")
    tensors, state = load(path)
    try:
        config = Config.from_dict(state["config"], str(path))
        shape = checked_shape(state["shape"])
        if not isinstance(state["data"], str) or state["position"]["epoch"] < 0:
            raise ValueError("the fingerprint of its images, or the epoch, is missing")
        model = filled(config, shape, part(tensors, "model"), device)
    except (RuntimeError, *DAMAGE) as error:
        raise UserError(f"{path}: does not fit its own settings ({error}).") from error
    return model, config, state
