"""The random numbers that training draws, as a checkpoint keeps them."""

import torch
from torch import Tensor


def noise_state() -> dict[str, Tensor]:
    """States of the random generators that training draws from, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def noise_name(rank: int) -> str:
    """Under which a checkpoint has the state of a rank's noise."""
    return f"noise-{rank}" if rank else "noise"


def set_noise_state(state: dict[str, Tensor]) -> None:
    """Put back what `noise_state` gave; states of devices that are not here are passed over."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
