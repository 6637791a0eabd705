"""What the explorer's page sends: the bodies of its requests, with their limits."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mcevae.pages.splitting import By

MOST_UPRIGHT = 400
"""Images that are turned upright in one request, at most."""
Id = Annotated[str, Field(max_length=40)]
Name = Annotated[str, Field(max_length=200)]
Side = Annotated[int, Field(ge=1, le=10**6)]
Images = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=2_000_000)]
"""Numbers of images, as in the table."""


class Change(BaseModel):
    """A change of the groups, and the version of the groups that whoever asks has seen."""

    version: Id


class Which(Change):
    """A group, by its id."""

    group: Id


class Splitting(Which):
    """A group, and what its halves differ in."""

    by: By = "z"


class Naming(Which):
    """A group and its new name."""

    name: Name


class Merging(Change):
    """Groups to merge, by their ids. The result has the name and the id of the first."""

    groups: list[Id] = Field(max_length=10_000)


class Refusal(BaseModel):
    """Why a change was refused, and the groups as they are now."""

    detail: str
    now: dict[str, Any]


class Turning(Which):
    """A group, and how to turn its canonical image: flipped first, then clockwise."""

    degrees: float = Field(0.0, ge=-360, le=360)
    flip: bool = False


class Judging(Which):
    """A group, and whether it is junk."""

    junk: bool


class Deciding(Change):
    """Images, and what is said of them. What is not given stays as it is.

    They are moved to the group `to` (its id), or to a new group of the name `new`; `save` keeps
    them as a selection, and forgets the selection if there are no images.
    """

    images: Images
    mark: Literal["junk", "kept", "as-group"] | None = None
    to: Id | None = None
    new: Name | None = None
    tag: Name | None = None
    untag: Name | None = None
    save: Name | None = None


class Some(BaseModel):
    """Images, by their numbers."""

    images: Images


class Few(BaseModel):
    """Images, by their numbers; not many."""

    images: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=MOST_UPRIGHT)


class Latents(BaseModel):
    """A point in the model's latent space. The pose is in degrees, pixels and so on.

    If mirrored, left and right are exchanged before the image is moved by the pose. Pixels are
    those of an original of this size (height, width); without it, those of the model's images.
    """

    cluster: int
    z: list[float] = Field(max_length=10_000)
    pose: list[float] = Field(max_length=6)
    mirrored: bool = False
    size: tuple[Side, Side] | None = None
