"""History: changes that can be undone, and those that were undone and can be made again."""

from dataclasses import dataclass, field

from mcevae.runs.collections import Collections

LENGTH = 200
"""Number of changes that can be undone, at most."""
MARKS = 10_000_000
"""Images, over all of these changes together, of which something is said, at most. The last change
can be undone however many they are."""


@dataclass
class History:
    """The groups as they were before each change, and after each change that was undone.

    Attributes:
        past: oldest first.
        future: the one to make again first is the last.
    """

    past: list[Collections] = field(default_factory=list)
    future: list[Collections] = field(default_factory=list)

    def add(self, old: Collections) -> None:
        """Note groups before a change. What was undone before cannot be made again."""
        self.past, self.future = recent([*self.past, old]), []

    def step(self, now: Collections, *, back: bool) -> Collections:
        """Go one change back, or forward again.

        Args:
            now: the present groups.
            back: whether to undo a change; else one that was undone is made again.

        Raises:
            ValueError: there is no such change.
        """
        source, target = (self.past, self.future) if back else (self.future, self.past)
        if not source:
            raise ValueError(f"there is no change to {'undo' if back else 'redo'}")
        target.append(now)
        return source.pop()


def recent(steps: list[Collections]) -> list[Collections]:
    """The last steps, as many as are kept. What two in a row share is counted once."""
    kept, count, last = [], 0, None
    for one in reversed(steps[-LENGTH:]):
        marks = one.decisions.marks
        count += 0 if marks is last else len(marks)
        if kept and count > MARKS:
            break
        kept.append(one)
        last = marks
    return kept[::-1]
