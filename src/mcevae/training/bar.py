"""The progress of a training on the screen."""

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mcevae.training.position import Position


class Bar:
    """A progress bar for all steps of a run, with messages above it.

    Args:
        console: where the bar is shown.
        position: how far training has got.
        steps: number of steps in an epoch.
    """

    def __init__(self, console: Console, position: Position, steps: int) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        self.progress = Progress(*columns, console=console, disable=console.quiet)
        self.position, self.steps = position, steps
        done = position.epoch * steps + position.step
        self.task = self.progress.add_task(
            "starting", total=position.epochs * steps, completed=done
        )

    def __enter__(self) -> "Bar":
        """Show the bar."""
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop updating the bar."""
        self.progress.stop()

    def advance(self) -> None:
        """Count a step."""
        self.progress.advance(self.task)

    def say(self, sentence: str) -> None:
        """Print a message about this epoch."""
        text = f"epoch {self.position.epoch + 1:3d}  {sentence}"
        self.progress.console.print(text, highlight=False)

    def update(self, means: Mapping[str, float]) -> None:
        """Show the mean terms of this epoch so far, and the number of steps of the run."""
        kls = "/".join(f"{means[name]:.1f}" for name in ("kl_cluster", "kl_variation", "kl_pose"))
        self.progress.update(
            self.task,
            total=self.position.epochs * self.steps,
            description=f"epoch {self.position.epoch + 1}  loss {means['loss']:.1f}  "
            f"reconstruction {means['reconstruction']:.1f}  KL {kls}  "
            f"invariance {means['invariance']:.1f}",
        )
