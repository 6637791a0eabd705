"""Decide on images of a run that were chosen, and keep it in the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mcevae.base.errors import UserError
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun

Judgement = Literal["junk", "kept", "as-group"]
JUNK: dict[Judgement, bool | None] = {"junk": True, "kept": False, "as-group": None}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be said of images; what is None stays as it is.

    Attributes:
        mark: junk, kept, or as-group: nothing of their own.
        move: name of the group they are moved to.
        new: name of a new group that is made for them. Not with `move`.
        tag: a tag to give.
        untag: a tag to take away.
        save: name of a selection that holds them.
    """

    mark: Judgement | None = None
    move: str | None = None
    new: str | None = None
    tag: str | None = None
    untag: str | None = None
    save: str | None = None

    def made(self, old: Collections, images: Sequence[str]) -> Collections:
        """Return the groups with this decision.

        Args:
            old: the groups.
            images: names of the images.

        Raises:
            ValueError: there is no such group, or a name is not allowed.
        """
        said = old.decisions
        if self.move is not None and self.new is not None:
            raise ValueError("images go to one group: give one that is there, or a new one")
        if self.mark is not None:
            said = said.judged(images, JUNK[self.mark])
        if self.move is not None:
            said = said.moved(images, old.entries[old.named(self.move)].id)
        if self.new is not None:
            old = old.added(self.new)
            said = said.moved(images, old.entries[-1].id)
        if self.tag is not None:
            said = said.tagged(images, self.tag)
        if self.untag is not None:
            said = said.tagged(images, self.untag, on=False)
        if self.save is not None:
            said = said.selected(self.save, images)
        return old.said(said)


def decide(run: TrainedRun, images: Sequence[str], decision: Decision) -> None:
    """Keep a decision in groups.json of a run.

    Args:
        run: the run.
        images: names of images, as in the column file of tables of the run's source.
        decision: what is said of them.

    Raises:
        UserError: it is not possible, or another process changes the groups for long.
    """
    with Collections.locked(run.folder):
        try:
            run.regroup(decision.made(run.collections, images))
        except ValueError as error:
            raise UserError(f"{run.folder}: {error}.") from error
