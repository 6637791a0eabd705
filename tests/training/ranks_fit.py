"""One rank of a training that a signal interrupts, so that a test knows at which step.

    torchrun --standalone --nproc-per-node N -m tests.training.ranks_fit RUN [--resume]
        [--taught | --auto] [--send NAME RANK STEP]

Trains `tiny`, or `taught`, by batches of 25 a rank; or `tiny` for a time, `auto`. Each rank leaves
a fingerprint of its weights and targets in RUN/rank-R when training has ended. Exit codes are those
of the command line.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from mcevae.base.errors import TrainingError
from mcevae.models.config import Config
from mcevae.runs.data import prepare_for
from mcevae.training.loop import fit
from mcevae.training.trainer import Trainer
from tests.sizes import taught, tiny


def auto() -> Config:
    """Epochs and batches as many as there is time for."""
    return tiny(epochs="auto", batch_size="auto", minutes=0.001)


trainers: list[Trainer] = []
calls: list[int] = []
original = Trainer.terms


def arguments() -> argparse.Namespace:
    """A folder for the run, and what happens in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--taught", action="store_true")
    parser.add_argument("--auto", action="store_true")
    parser.add_argument("--send", nargs=3)
    return parser.parse_args()


def main() -> None:
    """Train, and write what this rank's weights and targets sum up to."""
    given, rank = arguments(), int(os.environ["RANK"])

    def terms(self: Trainer, batch: Any) -> Any:
        """As ever, but the signal comes at its step."""
        trainers[:] = [self]
        calls.append(1)
        if given.send and given.send[1:] == [str(rank), str(len(calls))]:
            os.kill(os.getpid(), getattr(signal, given.send[0]))
        return original(self, batch)

    Trainer.terms = terms
    config = taught(batch_size=25, grouping="kmeans") if given.taught else tiny(batch_size=25)
    config = auto() if given.auto else config
    try:
        whole = fit(
            config, prepare_for(config), given.run, resume=given.resume, console=Console(width=100)
        )
    except TrainingError as error:
        sys.exit(f"rank {rank}: {error}")
    names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    if sum("gloo_runloop" in name for name in names) > 2:  # of the group that torch keeps for DDP
        sys.exit(f"rank {rank}: threads of a group were left, which may abort at the end")
    if not whole:
        sys.exit(0 if rank else 130)
    sums = [f"{v.double().sum().item()!r}" for v in trainers[0].inner.state_dict().values()]
    sums += [f"{v.double().sum().item()!r}" for v in trainers[0].teacher.state().values()]
    (given.run / f"rank-{rank}").write_text("\n".join(sums))


if __name__ == "__main__":
    main()
