"""The model card: what a shared model is, how to load it, its images and settings."""

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

An mcevae model, learned without labels. Of each image it tells the cluster ({clusters}), the pose
in the group {group} ({reach}), and the canonical image: what it looks like free of its pose.

```python
from mcevae import MCEVAE  # pip install 'mcevae[hub]'

model = MCEVAE.from_pretrained("{name}")
model.predict(images)    # (n,) clusters
model.pose(images)       # (n, 3, 3) what moves each canonical image onto its image
model.canonical(images)  # (n, {picture}), 0 to 1
model.confidence(images), model.outlier(images)
```

## Images

{images}. The network sees {width} x {height} pixels, {recipe}; images are brought to this form as
those that it was fitted to.

Confidence and outlier score were calibrated on {n} of those images, which were held out. Clusters
are numbered as they were found; what they show is for people to say. No scores come with the model:
measure it on images of your own kind.

## Settings

All are in `config.json`; those of the estimator:

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
    """The card as Markdown.

    Args:
        name: by which the model is loaded.
        parameters: of the estimator, as JSON.
        settings: all settings.
        recipe: how images are brought to the form that the network takes.
        shape: of an image that it takes; None: any.
        calibrated_on: images that confidence and outlier score were calibrated on.
    """
    height, width = recipe.shape
    sizes = ", ".join(map(str, shape or ()))
    clusters, group = settings.model.clusters, settings.model.group
    return TEXT.format(
        clusters="their number chosen by the images" if clusters == "auto" else f"of {clusters}",
        group=group if isinstance(group, str) else group.name,
        reach=reach(settings),
        name=name,
        images=f"Arrays (n, {sizes})" if shape else "Arrays of images of any size",
        picture=f"{height}, {width}" + (", 3" if recipe.channels == 3 else ""),
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
    return f"rotations up to {rotation:g}° either way, shifts up to {shift:g} of the image side"
