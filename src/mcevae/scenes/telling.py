"""What is shown while frames are learned from. Nothing, unless a screen is given."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mcevae.scenes.places import Tell


class Telling:
    """Says what is done on a screen."""

    def __init__(self, screen: Console | None = None) -> None:
        """Take the screen; None: nothing is shown."""
        self.screen = screen or Console(quiet=True)

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self.screen.print(sentence, highlight=False)

    @contextmanager
    def step(self, what: str) -> Iterator[Tell]:
        """Show a step, and how many frames and things it has done."""
        frames = things = 0
        with self.screen.status(what) as status:

            def tell(name: str, found: int) -> None:
                nonlocal frames, things
                frames, things = frames + 1, things + found
                status.update(f"{what}: {frames:,} frames, {things:,} things; {name}")

            yield tell
