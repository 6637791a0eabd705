"""Checkpoints: safetensors whose header carries JSON. Opening one runs no code.

One file holds tensors and state, so that moving it into place is one atomic step.
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

from mcevae.models.registry import Model, build
from mcevae.models.config import Config
from mcevae.images.datasets import Splits
from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import atomic
from mcevae.images.arrays import MAX_SIDE

SPARE = 2**20
"""Numbers that a model may have besides its weights, buffers say."""
FORMAT = 1
"""Raised when the layout of a checkpoint changes so that older files cannot be read."""


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state to one file, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **state})
    whole = {k: v.cpu().contiguous() for k, v in tensors.items()}
    header = {"mcevae": text, "blake2b": fingerprint(text, whole)}
    with atomic(path) as temporary:
        try:
            save_file(whole, temporary, header)
        except SafetensorError as error:  # it wraps the operating system's error, a full disk say
            raise UserError(f"{path}: cannot be written ({error}).") from error


def fingerprint(text: str, tensors: dict[str, Tensor]) -> str:
    """Of all that a checkpoint holds, by which it is noticed that a disk or a copy altered it.

    Args:
        text: its state.
        tensors: contiguous, on the CPU.
    """
    known = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        known.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return known.hexdigest()


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and state of a checkpoint.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of a format known here.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train with `mcevae fit` first.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            state = json.loads(header["mcevae"])
            if state["format"] != FORMAT:
                raise UserError(
                    f"{path}: written by another version of mcevae (format {state['format']}, "
                    f"this one reads {FORMAT})."
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, *DAMAGE) as error:
        raise UserError(
            f"{path}: is not a readable mcevae checkpoint ({type(error).__name__}: {error}); bring "
            "back a copy, or train anew."
        ) from error
    # Those written before there were fingerprints have none.
    if header.get("blake2b") not in (None, fingerprint(header["mcevae"], tensors)):
        raise UserError(
            f"{path}: was altered since it was written, by a faulty disk or copy say; bring back a "
            "copy, or train anew."
        )
    return tensors, state


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under `name.`, with that prefix taken off."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def flat(optimizer: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimizer's state dict as named tensors and plain parameter groups."""
    tensors = {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entry in optimizer["state"].items()
        for key, value in entry.items()
    }
    return tensors, optimizer["param_groups"]


def nested(tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Inverse of `flat`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": groups}


def run_file(run: Path, which: str) -> Path:
    """Path of a run's checkpoint: `which` is best or last."""
    return run / f"{which}.safetensors"


def check_source(run: Path, config: Config) -> None:
    """Refuse to look for a run's images, or the table of their labels, where they are not.

    Paths are recorded as they were given, so that a project's folder can be moved as a whole, and
    a run that is shared tells nothing of the machine it was made on.

    Raises:
        UserError: a path leads nowhere from here.
    """
    data = config.data
    tables = [data.labels] if data.labels not in (None, "folders") else []
    for path in (Path(one) for one in [data.source, *tables] if data.is_file):
        if os.path.exists(path):  # which says no to names that are too long to be any
            continue
        where = "there any more" if path.is_absolute() else f"in {Path.cwd()}"
        remedy = "" if path.is_absolute() else "give the command where the run was started, or "
        raise UserError(f"{run}: its source {path} is not {where}; {remedy}bring it back.")


def check_data(run: Path, data: Splits, state: dict[str, Any]) -> None:
    """Refuse images other than those the run was trained on, which would mix its splits.

    Raises:
        UserError: the fingerprint in the checkpoint's state is another.
    """
    if state["data"] != data.digest():
        raise UserError(
            f"{run}: its source has changed since it was trained; bring the old images back, "
            "train anew, or use `mcevae predict` for new images."
        )


def checked_shape(shape: Any) -> tuple[int, int, int]:
    """(C, H, W) of images, as JSON has it.

    Raises:
        ValueError: it is none that a model here has.
    """
    channels, height, width = shape
    sides = all(isinstance(one, int) and 1 <= one <= MAX_SIDE for one in (height, width))
    if channels not in (1, 3) or not sides:
        raise ValueError(f"images of shape {shape}")
    return channels, height, width


def filled(
    config: Config,
    shape: tuple[int, int, int],
    tensors: dict[str, Tensor],
    device: torch.device | str = "cpu",
) -> Model:
    """The model that the settings describe, with known weights, in evaluation mode.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        tensors: the weights by name.
        device: where to put the model.

    Raises:
        RuntimeError: the weights are of another model, a much smaller one say.
    """
    try:
        model = build(config, shape, SPARE + sum(one.numel() for one in tensors.values()))
    except UserError as error:
        raise RuntimeError(str(error).rstrip(".")) from error
    model.load_state_dict(tensors)
    return model.eval().to(device)


def load_model(
    run: Path, which: str = "best", device: torch.device | str = "cpu"
) -> tuple[Model, Config, dict[str, Any]]:
    """The trained model of a run in evaluation mode, its settings and the checkpoint's state.

    Args:
        run: folder that `mcevae fit` made.
        which: best (lowest negative ELBO on validation images) or last.
        device: where to put the model.

    Raises:
        UserError: the run is missing or unreadable.
    """
    path = run_file(run, which)
    if not run.is_dir():
        raise UserError(f"{run}: no such run; give a folder that `mcevae fit` made.")
    tensors, state = load(path)
    try:
        config = Config.from_dict(state["config"], str(path))
        shape = checked_shape(state["shape"])
        if not isinstance(state["data"], str) or state["position"]["epoch"] < 0:
            raise ValueError("no fingerprint of its images, or no epoch")
        model = filled(config, shape, part(tensors, "model"), device)
    except (RuntimeError, *DAMAGE) as error:
        raise UserError(f"{path}: does not fit its own settings ({error}).") from error
    return model, config, state
