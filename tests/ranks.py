"""Jobs of several processes as torchrun starts them, forked from one that has imported torch.

Imports take several times as long as what the ranks of a test do. Where torchrun itself is what a
test is about, the test starts it.
"""

import importlib
import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed import TCPStore

LOADED = (
    *("mcevae.cli.fit", "mcevae.cli.predict", "mcevae.training.loop", "mcevae.pages.report"),
    *("mcevae.runs.metrics", "mcevae.predicting.predictor", "mcevae.models.default"),
    *("mcevae.models.paper", "torch._dynamo", "tensorboardX", "sklearn.mixture"),
)
"""What the process that all ranks are forked from imports."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(LOADED))


@dataclass
class Job:
    """Ranks that were started together.

    Attributes:
        ranks: their processes, in order.
        store: where they meet; it lives as long as the job, as that of torchrun does.
        log: gets what they say.
    """

    ranks: list[multiprocessing.process.BaseProcess]
    store: TCPStore
    log: Path

    def kill(self) -> None:
        """End all ranks at once, without a chance to tidy up."""
        for rank in self.ranks:
            rank.kill()

    def ended(self) -> tuple[list[int | None], str]:
        """Exit codes of the ranks, which must come to their ends, and what they said."""
        for rank in self.ranks:
            rank.join(120)
        codes = [rank.exitcode for rank in self.ranks]
        self.kill()
        return codes, self.log.read_text()


def start(log: Path, module: str, *words: str, ranks: int = 2) -> Job:
    """Start the main function of a module as so many ranks, with a command line of these words."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    job = Job([], store, log)
    for rank in range(ranks):
        told = {
            **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port},
            "TORCHELASTIC_USE_AGENT_STORE": True,
        }
        variables = {name: str(value) for name, value in told.items()}
        job.ranks.append(CONTEXT.Process(target=be, args=(variables, log, module, words)))
        job.ranks[-1].start()
    return job


def be(variables: dict[str, str], log: Path, module: str, words: tuple[str, ...]) -> None:
    """Be one rank. It ends without what Python does last; torchrun's test sees faults of that."""
    os.environ |= variables
    torch.set_num_threads(1)
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [module, *words]
    importlib.import_module(module).main()
