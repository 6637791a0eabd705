"""Checks of images that have one form already, which a recipe can no longer change."""

from collections.abc import Sequence

from mcevae.base.errors import UserError
from mcevae.images.recipe import Recipe


def check_shape(source: str, shape: Sequence[int], recipe: Recipe) -> None:
    """Refuse images of another shape than a recipe makes.

    Args:
        source: what the error calls the source.
        shape: (C, H, W) of its images.
        recipe: of a run.

    Raises:
        UserError: the shapes differ.
    """
    wanted = (recipe.channels, *recipe.shape)
    if tuple(shape) != wanted:
        raise UserError(
            f"{source}: has images of (channels, height, width) {tuple(shape)}, but "
            f"the run was trained on {wanted}; give images of that size."
        )
