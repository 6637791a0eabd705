"""The progress of a training on the screen: which phase it is in, and how long it will take."""

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mcevae.images.splits import Splits
from mcevae.models.contract import Teacher
from mcevae.training.phases import COMPARING, DRAWING, GROUPS, Figures, phase_of, titled
from mcevae.training.position import Position

T = TypeVar("T")
V = TypeVar("V")
B = TypeVar("B", bound="Waiting")

DRAWN_IN = 8.0
"""Seconds that a report takes for few images."""
PASSES = 3
"""How many times scores and report look at each image."""


class Waiting:
    """A line on the screen with the name of a phase, a bar, and the time to go if it is known.

    Args:
        console: where it is shown.
        phase: name of the phase.
    """

    def __init__(self, console: Console, phase: str) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}")
        self.progress = Progress(*columns, console=console, disable=console.quiet)
        self.task = self.progress.add_task(phase, total=None, left="")
        self.phase, self.tasks = phase, 0

    def __enter__(self: B) -> B:
        """Show the line."""
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the line's motion."""
        self.progress.stop()

    def enter(self, phase: str, figure: str = "") -> None:
        """Show another phase, or another figure of the same one."""
        self.phase = phase
        self.progress.update(self.task, description=f"{phase}{figure and ': '}{figure}")

    def say(self, sentence: str) -> None:
        """Print a sentence above the line."""
        if sentence:
            self.progress.console.print(sentence, highlight=False)

    def told(self, parts: Iterable[T]) -> Iterator[T]:
        """Give the parts of a long task one by one, and show how many are done."""
        self.tasks += 1
        known: Any = parts
        total = len(known) if hasattr(known, "__len__") else 0
        for i, part in enumerate(parts):
            yield part
            if total:
                self.enter(self.phase, f"step {self.tasks}, {(i + 1) / total:.0%} done")


class Bar(Waiting):
    """The line of a training: its bar counts all steps of the run.

    Args:
        console: where it is shown.
        position: how far training has got.
        steps: number of steps in an epoch.

    Attributes:
        early: whether there are groups before the poses are learned, see `phases`.
        after: seconds that are needed when the last epoch has ended, for scores and the report.
    """

    def __init__(self, console: Console, position: Position, steps: int) -> None:
        super().__init__(console, titled(COMPARING, early=True) if position.epoch == 0 else "")
        self.position, self.steps, self.early = position, steps, False
        self.first: int | None = None
        self.began = time.perf_counter()
        self.after = 0.0

    @property
    def done(self) -> int:
        """Number of steps of the run that are done."""
        return self.position.epoch * self.steps + self.position.step

    def say(self, sentence: str) -> None:
        """Print what happened in this epoch above the line."""
        super().say(f"epoch {self.position.epoch + 1:3d}  {sentence}")

    def taught(self, sentence: str, teacher: Teacher) -> None:
        """Print what a teacher did before this epoch, with the phase that it belongs to."""
        name, epoch = DRAWING, self.position.epoch
        if epoch == 0:
            name = COMPARING
        elif epoch == teacher.warmup and not self.early:
            name = GROUPS
        phase = titled(name, early=self.early) if teacher.staged else ""
        self.say(f"{phase}{phase and ': '}{sentence}")

    def learn(self, teacher: Teacher) -> None:
        """Show the phase of the steps that begin now."""
        self.enter(phase_of(teacher, self.position.epoch, early=self.early))
        if self.first is None:  # what came before does not tell how long steps take
            self.first, self.began = self.done, time.perf_counter()

    def learned(self, teacher: Teacher, figures: Figures | None, elbo: float) -> None:
        """Print how far training has come at the end of an epoch.

        Args:
            teacher: knows the phases.
            figures: of this epoch; None: the model infers too slowly.
            elbo: negative ELBO of the validation images, which is shown if it means the same in
                all epochs.
        """
        poses = teacher.staged and self.position.epoch < teacher.warmup
        words = [figures.in_words(poses=poses)] if figures else []
        if not teacher.staged:
            words.append(f"negative ELBO {elbo:.2f} on validation images")
        phase = phase_of(teacher, self.position.epoch, early=self.early)
        self.say("  ".join([f"{phase}: {', '.join(words)}", to_go(self.seconds_left)]).rstrip())

    def timed(self, validate: Callable[[], V], data: Splits) -> V:
        """Validate, and foresee from its time how long scores and report will take.

        Both together look at each image about `PASSES` times.
        """
        began = time.perf_counter()
        found = validate()
        each = (time.perf_counter() - began) / len(data.validation)
        images = len(data.train) + len(data.validation) + len(data.test)
        self.after = DRAWN_IN + PASSES * each * images
        return found

    @property
    def seconds_left(self) -> float | None:
        """Time to go for everything, from all that happened since the first step: steps,
        validation, saving and new targets, then scores and report. None: not known yet."""
        done = self.done - (self.done if self.first is None else self.first)
        if done < 1:
            return None
        left = self.position.epochs * self.steps - self.done
        return (time.perf_counter() - self.began) / done * left + self.after

    def update(self) -> None:
        """Show how many steps are done, and the time to go."""
        self.progress.update(
            self.task,
            total=self.position.epochs * self.steps,
            completed=self.done,
            left=to_go(self.seconds_left),
        )


def to_go(seconds: float | None) -> str:
    """Write a time to go, such as "about 3 min to go"; "" if it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s to go"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min to go"
    return f"about {seconds / 3600:.1f} h to go"
