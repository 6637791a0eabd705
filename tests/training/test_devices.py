"""Several processes train what one would, stop together, and what they leave goes on."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcevae.models.config import Config
from mcevae.runs.checkpoint import load, part, run_file
from mcevae.runs.data import prepare_for
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from mcevae.training.state import restore, save, take_place
from mcevae.training.trainer import Trainer
from tests.ranks import start
from tests.sizes import tiny
from tests.training.ranks_fit import auto
from tests.training.ranks_worker import TRAINED, few, steady, work

AFTER = 8 + 17
"""Calls of the loss an epoch: 400 images by 2 ranks of 25, and half of 833 to validate."""
FIT = "tests.training.ranks_fit"
TINY = (
    *("mnist-mini", "--limit", "400", "--preset", "paper", "--filters", "4", "8", "8", "8"),
    *("--hidden", "32", "--pose-hidden", "16", "--decoder-hidden", "32", "--clusters", "4"),
    *("--lr", "3e-3", "--epochs", "2", "--batch-size", "25"),
)


@pytest.fixture(scope="module")
def without_noise(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict]]:
    """What `ranks_worker` found of a preset: one process of batches of 50, then two of 25."""
    folder = tmp_path_factory.mktemp("still")
    job = start(folder / "said.txt", "tests.training.ranks_worker", str(folder), "25")
    for preset in TRAINED:
        work(preset, few(), folder, 50)
    codes, said = job.ended()
    assert codes == [0, 0], said

    @cache
    def found(preset: str) -> list[dict[str, Tensor]]:
        places = ("0-of-1", "0-of-2", "1-of-2")
        return [load(folder / f"{preset}-{place}.safetensors")[0] for place in places]

    return found


@pytest.mark.parametrize("preset", TRAINED)
def test_two_processes_learn_what_one_would(
    without_noise: Callable[[str], list[dict[str, Tensor]]], preset: str
) -> None:
    """The same images a step, no noise. Sums in another order then change a gradient by 2e-3 of
    its size at most, where a ReLU is at its kink, and losses by 4e-5. Preset paper is less
    `steady`, and its losses change by 6e-4. Batch norm by each rank for itself changes gradients by
    0.02 to 0.5 and losses by up to 4e-4.
    """
    one, first, second = without_noise(preset)
    assert all(first[name].equal(second[name]) for name in first)
    assert part(one, "gradient").keys() == part(first, "gradient").keys()
    own, averaged = (
        torch.cat([v.flatten() for k, v in part(found, "gradient").items() if steady(preset, k)])
        for found in (one, first)
    )
    if preset not in ("beta-tcvae", "iic", "scan"):  # their loss is not a mean over images
        assert (own - averaged).norm() < 5e-3 * own.norm()
    most = {"paper": 1e-3, "iic": 0.1, "scan": 0.1}.get(preset, 1e-4)
    for split in ("train", "validation"):
        assert (first[split] - one[split]).abs().max() < most * one[split].abs().max()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two ranks that torchrun started from the command line, and what it said."""
    run = tmp_path_factory.mktemp("whole") / "run"
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "mcevae", "fit", *TINY, "--out", str(run)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return run, done.stdout


def terms_of(run: Path, split: str) -> list[float]:
    return [row["reconstruction"] for row in read_log(run) if row["split"] == split]


def test_the_command_line_trains_and_reports_once(whole: tuple[Path, str], tmp_path: Path) -> None:
    run, said = whole
    assert Config.read(run / "settings.toml") == tiny(batch_size=25)
    for once in ("epoch   1  learning", "epoch   2  learning", "Open "):
        assert said.count(once) == 1
    assert len(list(run.rglob("events.out.tfevents.*"))) == 1
    assert (run / "report.html").exists() and (run / "metrics.json").exists()
    assert len(read_log(run)) == 4
    one = tmp_path / "one"  # of the same images a step and other noise: 5 % apart, not the 25 %
    assert fit(tiny(batch_size=50), prepare_for(tiny()), one)  # that an epoch brings
    for split in ("train", "validation"):
        assert terms_of(run, split) == pytest.approx(terms_of(one, split), rel=0.05)


def test_a_signal_to_one_rank_stops_all_and_the_run_resumes_exactly(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    log = tmp_path / "said.txt"
    codes, said = start(log, FIT, str(run), "--send", "SIGINT", "1", str(AFTER + 3)).ended()
    assert codes == [130, 0], said
    state = load(run_file(run, "last"))[1]
    assert (state["position"]["epoch"], state["position"]["step"]) == (1, 3)
    shutil.copytree(run, tmp_path / "alone")
    codes, said = start(log, FIT, str(run), "--resume").ended()
    assert codes == [0, 0], said
    assert (run / "rank-0").read_text() == (run / "rank-1").read_text()
    resumed, unbroken = (load(run_file(r, "last"))[0] for r in (run, whole[0]))
    assert all(resumed[name].equal(unbroken[name]) for name in unbroken)
    assert terms_of(run, "train") == pytest.approx(terms_of(whole[0], "train"), rel=1e-6)
    # One process, with twice the batch, goes on at the same image; its noise is another.
    assert fit(tiny(batch_size=50), prepare_for(tiny()), tmp_path / "alone", resume=True)
    for split in ("train", "validation"):
        assert terms_of(tmp_path / "alone", split) == pytest.approx(
            terms_of(whole[0], split), rel=0.05
        )


def test_one_process_goes_on_with_what_two_chose_for_auto(tmp_path: Path) -> None:
    run = tmp_path / "run"
    codes, said = start(tmp_path / "said.txt", FIT, str(run), "--auto").ended()
    assert codes == [0, 0], said
    chosen = Config.read(run / "settings.toml").train
    assert (chosen.epochs, chosen.batch_size) == (188, 50)  # 750 steps of 2 x 50 of 400 images
    config = auto()
    assert planned(config, 400).train.epochs == 94
    assert fit(config, prepare_for(config), run, resume=True)
    assert Config.read(run / "settings.toml").train == chosen


def test_a_dead_rank_ends_the_job_and_one_process_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    log = tmp_path / "said.txt"
    codes, said = start(log, FIT, str(run), "--send", "SIGKILL", "1", str(AFTER + 3)).ended()
    assert codes == [1, -signal.SIGKILL], said
    assert "rank 0: another process of this training has ended" in said
    config = tiny(batch_size=25)
    position = load(run_file(run, "last"))[1]["position"]
    assert (position["epoch"], position["step"]) == (1, 0)
    trainer = Trainer(config, prepare_for(config), run)
    restore(trainer, *load(run_file(run, "last")))
    assert fit(config, prepare_for(config), run, resume=True)
    assert len(read_log(run)) == 4


@pytest.mark.parametrize(
    ("ranks", "batch_size", "step"), [(1, 50, 3), (1, 25, 6), (1, 20, 7), (1, 400, 0)]
)
def test_another_number_of_ranks_goes_on_at_the_same_image(
    tmp_path: Path, ranks: int, batch_size: int, step: int
) -> None:
    """After 3 steps of 2 ranks by 25."""
    config = tiny(batch_size=batch_size)
    trainer = Trainer(config, prepare_for(config), tmp_path)
    save(trainer)
    tensors, _ = load(run_file(tmp_path, "last"))
    trainer.position.step, trainer.position.sums = 3, [6.0] * 7
    take_place(trainer, tensors, 2, 50)
    assert trainer.position.step == step
    assert trainer.position.sums == [2.0 * step] * 7
