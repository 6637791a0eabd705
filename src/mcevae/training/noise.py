"""Save and restore the state of the random numbers that training draws."""

import torch
from torch import Tensor


def noise_state() -> dict[str, Tensor]:
    """Return the state of each device's random generator."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def noise_name(rank: int) -> str:
    """Return the name of a rank's noise in a checkpoint."""
    return f"noise-{rank}" if rank else "noise"


def set_noise_state(state: dict[str, Tensor]) -> None:
    """Restore the states that `noise_state` gave; devices that are missing here are left out."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
