"""Write the model card: what a shared model is, how to load it, its images and settings."""

from mcevae.images.recipe import Recipe
from mcevae.models.config import Config
from mcevae.models.own_group import OwnGroup

TEXT = """---
library_name: mcevae
pipeline_tag: image-feature-extraction
tags:
- clustering
- pose-estimation
- equivariance
---

# Clusters and poses of images

An mcevae model, trained without labels, or with hints of a few images only. For each image it finds
the cluster ({clusters}), the pose in the group {group} ({reach}), and the canonical image: what the
image looks like without its pose.

```python
from mcevae import MCEVAE  # pip install 'mcevae[hub]'

model = MCEVAE.from_pretrained("{name}")
model.predict(images)    # (n,) clusters
model.pose(images)       # (n, 3, 3) moves each canonical image onto its image
model.canonical(images)  # (n, {picture}), 0 to 1
model.confidence(images), model.outlier(images)
```

## Images

{images}. The network sees {width} x {height} pixels, {recipe}. New images are converted to this
form in the same way as the training images.

Confidence and outlier score were calibrated on {n} images that were not used for training. Clusters
have numbers only; look at their images to see what they show. The model comes without scores:
measure it on your own kind of images.

## Settings

All settings are in `config.json`. The parameters of the estimator are:

```json
{parameters}
```
"""


def card(
    name: str,
    parameters: str,
    settings: Config,
    recipe: Recipe,
    *,
    shape: tuple[int, ...] | None,
    calibrated_on: int,
) -> str:
    """Make the card as Markdown.

    Args:
        name: name with which the model is loaded.
        parameters: parameters of the estimator, as JSON.
        settings: all settings.
        recipe: how images are converted to the form that the network takes.
        shape: shape of an image that the estimator takes; None: any.
        calibrated_on: number of images that confidence and outlier score were calibrated on.
    """
    height, width = recipe.shape
    sizes = ", ".join(map(str, shape or ()))
    clusters, group = settings.model.clusters, settings.model.group
    return TEXT.format(
        clusters="their number was chosen from the images"
        if clusters == "auto"
        else f"of {clusters}",
        group=group if isinstance(group, str) else group.name,
        reach=reach(settings),
        name=name,
        images=f"Arrays (n, {sizes})" if shape else "Arrays of images of any size",
        picture=f"{height}, {width}" + (f", {recipe.channels}" if recipe.channels > 1 else ""),
        height=height,
        width=width,
        recipe=recipe.in_words(),
        n=calibrated_on,
        parameters=parameters,
    )


def reach(settings: Config) -> str:
    """How far images may be moved, in words."""
    if isinstance(settings.model.group, OwnGroup):
        generators = settings.model.group.generators
        return ", ".join(
            f"{one.coordinate} up to {one.half_width:g} either way" for one in generators
        )
    rotation, shift = settings.support.rotation, settings.support.shift
    turned = f"rotations up to {rotation:g}° either way, shifts up to {shift:g} of the image side"
    return turned + (", mirrored or not" if settings.model.mirror else "")
