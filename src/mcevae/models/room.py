"""Models that are built with room for more clusters than they use."""

import torch
from torch import Tensor


class Room:
    """A part of such models: which clusters are in use, and that checkpoints keep it.

    Attributes:
        room: number of clusters that there is room for.
        clusters: K, the number in use, the first ones.
    """

    room: int
    clusters: int

    def use(self, clusters: int) -> None:
        """Use only the first K of the clusters that there is room for.

        Raises:
            ValueError: K is below 1, or above the room.
        """
        if not 1 <= clusters <= self.room:
            raise ValueError(f"The model has 1 to {self.room} clusters, not {clusters}")
        self.clusters = clusters

    def get_extra_state(self) -> Tensor:
        """Return K, which checkpoints keep with the weights."""
        return torch.tensor(self.clusters)

    def set_extra_state(self, state: Tensor) -> None:
        """Load K from what `get_extra_state` gave."""
        self.use(int(state))
