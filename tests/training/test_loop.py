"""Training learns, repeats, resumes exactly, and stops with a reason."""

import dataclasses
import io
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from mcevae.base.config import PlannedTrain
from mcevae.base.errors import TrainingError, UserError
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import Config
from mcevae.runs import checkpoint
from mcevae.runs.checkpoint import load, load_model, run_file
from mcevae.training import schedule
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.position import Position
from mcevae.training.schedule import foreseen_epochs, planned
from mcevae.training.state import position_in, restore, save
from mcevae.training.trainer import Trainer
from tests.sizes import taught, tiny

SPLITS = ("train", "validation", "test")


def losses(run: Path) -> list[dict[str, Any]]:
    """Rows of the log without times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(run)]


@pytest.mark.parametrize(("seconds", "epochs"), [(3.5, 4), (40.0, 3), (0.01, 16)])
def test_a_budget_in_minutes_holds_all_stages(
    tmp_path: Path,
    small_data: Splits,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    epochs: int,
) -> None:
    monkeypatch.setattr(schedule, "LEAST_STEPS", 1)
    trainer = Trainer(taught(epochs=16, minutes=0.5), small_data, tmp_path)
    assert trainer.teacher.staged
    trainer.replaceable = True
    trainer.position.start_seconds = 7.0  # twice that of 30, the rest for epochs
    trainer.began = 7.0
    steps = len(trainer.loader)
    trainer.position.step = min(20, steps)
    trainer.position.seconds = 7.0 + seconds * trainer.position.step / steps
    said = trainer.plan()
    assert trainer.position.epochs == epochs
    assert ("begin again with --minutes" in said) is trainer.short is (epochs == 3)
    assert trainer.teacher.warmup == max(1, round(epochs / 4))
    save(trainer)
    again = Trainer(taught(epochs=16, minutes=0.5), small_data, tmp_path)
    restore(again, *load(run_file(tmp_path, "last")))
    assert again.position.epochs == epochs
    assert again.teacher.warmup == trainer.teacher.warmup


def test_it_learns(tmp_path: Path, small_data: Splits) -> None:
    fit(tiny(epochs=6, lr=1e-2), small_data, tmp_path / "run")
    reconstruction = [r["reconstruction"] for r in read_log(tmp_path / "run")]
    assert reconstruction[-1] < 0.75 * reconstruction[0]


def test_supervised_canonical_images_approach_the_upright_ones(
    tmp_path: Path, small_data: Splits
) -> None:
    fit(tiny(epochs=6, lr=1e-2, mode="supervised"), small_data, tmp_path / "run")
    rows = [row for row in read_log(tmp_path / "run") if row["split"] == "validation"]
    assert rows[-1]["invariance"] < 0.8 * rows[0]["invariance"]


@pytest.mark.parametrize(
    "variant",
    [
        {"latent": "gaussian"},
        {"likelihood": "mse"},
        {"draws": 3},
        {"invariance_noise": "own"},
        {"group": "so2"},
        {"group": "aff2"},
        {"alpha": 0.0, "beta": 2.0},
        {"precision": "bf16"},
        {"prior_weights": (0.4, 0.3, 0.2, 0.1)},
    ],
    ids=str,
)
def test_every_variant_trains(
    tmp_path: Path, small_data: Splits, variant: dict[str, object]
) -> None:
    fit(tiny(epochs=2, **variant), small_data, tmp_path / "run")
    rows = [row["reconstruction"] for row in losses(tmp_path / "run") if row["split"] == "train"]
    assert rows[1] < rows[0]
    assert load_model(tmp_path / "run")[1] == tiny(epochs=2, **variant)


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    tmp_path: Path, small_data: Splits, trained: Path
) -> None:
    fit(tiny(), small_data, tmp_path / "again")
    assert losses(tmp_path / "again") == losses(trained)
    again, first = (load(run_file(run, "best"))[0] for run in (tmp_path / "again", trained))
    assert all(again[key].equal(first[key]) for key in first)
    fit(tiny(seed=1), small_data, tmp_path / "other")
    assert losses(tmp_path / "other") != losses(trained)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals) -> None:
    """Send this process a signal at the given call of the loss."""
    original, calls = Trainer.terms, []

    def terms(self: Trainer, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "terms", terms)


@pytest.mark.parametrize("step", [3, 8, 13])  # of 8 training + 2 validation batches an epoch
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumes_exactly(
    tmp_path: Path,
    small_data: Splits,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    number: signal.Signals,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, number)
        assert not fit(tiny(), small_data, tmp_path / "run")
    assert fit(tiny(), small_data, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(trained)
    resumed, unbroken = (load(run_file(r, "last"))[0] for r in (tmp_path / "run", trained))
    assert all(resumed[key].equal(unbroken[key]) for key in unbroken)


def test_a_resumed_run_keeps_what_it_chose_for_auto(
    tmp_path: Path, small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it would choose otherwise now, as on another number of processes."""
    config = tiny(epochs="auto", batch_size="auto", minutes=1e-4)
    assert fit(config, small_data, tmp_path / "run")
    before = Config.read(tmp_path / "run" / "settings.toml").train
    assert (before.epochs, before.batch_size) == (94, 50)
    monkeypatch.setattr(schedule, "STEPS", 2 * schedule.STEPS)
    monkeypatch.setattr(schedule, "BATCHES", 4)
    assert planned(config, len(small_data.train)).train.batch_size == 100
    assert fit(config, small_data, tmp_path / "run", resume=True)
    assert Config.read(tmp_path / "run" / "settings.toml").train == before
    longer = config.changed(train={"epochs": 100})  # what is asked for is done
    assert fit(longer, small_data, tmp_path / "run", resume=True)
    after = Config.read(tmp_path / "run" / "settings.toml").train
    assert (after.epochs, after.batch_size) == (100, 50)


@pytest.mark.parametrize("settings", [tiny, taught], ids=["paper", "default"])
def test_a_finished_run_keeps_at_most_three_times_its_weights(
    tmp_path: Path, small_data: Splits, settings: Callable[..., Config]
) -> None:
    assert fit(settings(), small_data, tmp_path / "run")
    weights = load(run_file(tmp_path / "run", "best"))[0]
    bytes_of_weights = sum(value.numel() * value.element_size() for value in weights.values())
    header = 20_000  # of each file, which says what is in it
    kept = [path.stat().st_size for path in (tmp_path / "run").glob("*.safetensors")]
    assert len(kept) == 2 and sum(kept) <= 3 * bytes_of_weights + len(kept) * header
    assert load(run_file(tmp_path / "run", "last"))[0].keys() == weights.keys()


@pytest.mark.parametrize("settings", [tiny, taught], ids=["paper", "default"])
def test_a_finished_run_can_be_trained_longer(
    tmp_path: Path, small_data: Splits, settings: Callable[..., Config]
) -> None:
    """From its last weights: the first epoch of the rest is better than the first one of all."""
    run, said = tmp_path / "run", io.StringIO()
    assert fit(settings(epochs=4), small_data, run)
    before = read_log(run)
    last = run_file(run, "last").read_bytes()
    assert fit(settings(epochs=4), small_data, run, resume=True)
    assert run_file(run, "last").read_bytes() == last  # there was nothing to do
    assert fit(settings(epochs=6), small_data, run, resume=True, console=Console(file=said))
    words = " ".join(said.getvalue().split())
    assert words.count("from the weights of a finished run, with a new optimizer") == 1
    rows = read_log(run)
    assert rows[: len(before)] == before and len(rows) == 12
    assert all(math.isfinite(row["loss"]) for row in rows)
    trained = [row["reconstruction"] for row in rows if row["split"] == "validation"]
    assert trained[4] < trained[0] or trained[0] == 0  # a warm-up of poses draws nothing
    assert load(run_file(run, "last"))[1]["position"]["epoch"] == 6


def test_a_run_that_is_trained_longer_and_stopped_resumes_exactly(
    tmp_path: Path, small_data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(taught(), small_data, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    assert fit(taught(epochs=6), small_data, tmp_path / "whole", resume=True)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3, signal.SIGINT)
        assert not fit(taught(epochs=6), small_data, tmp_path / "run", resume=True)
    assert "optimizer" in load(run_file(tmp_path / "run", "last"))[1]
    assert fit(taught(epochs=6), small_data, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_budget_in_minutes_ends_training_with_a_scored_model(
    tmp_path: Path, small_data: Splits
) -> None:
    assert fit(tiny(epochs=1000, minutes=1e-4), small_data, tmp_path / "run")
    assert len(read_log(tmp_path / "run")) == 2
    best, last = (load(run_file(tmp_path / "run", which))[1] for which in ("best", "last"))
    assert last["position"]["best"] == best["position"]["best"] < float("inf")
    assert fit(tiny(epochs=1000, minutes=1e-4), small_data, tmp_path / "run", resume=True)
    assert load(run_file(tmp_path / "run", "last"))[1]["position"] == last["position"]


def test_a_longer_budget_begins_the_epoch_again(tmp_path: Path, small_data: Splits) -> None:
    steps = len(Trainer(tiny(), small_data, tmp_path / "run").loader)
    assert fit(tiny(epochs=2, minutes=1e-6), small_data, tmp_path / "run")
    position = load(run_file(tmp_path / "run", "last"))[1]["position"]
    assert (position["epoch"], position["step"]) == (0, 1) and steps > 1
    cut_short = losses(tmp_path / "run")
    assert fit(tiny(epochs=2, minutes=10.0), small_data, tmp_path / "run", resume=True)
    rows = losses(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [0, 0, 1, 1] and rows[:2] != cut_short


def test_epochs_are_foreseen_by_the_time_they_take() -> None:
    train, position = PlannedTrain(epochs=50, minutes=1.0), Position(epochs=50)
    assert foreseen_epochs(train, position) == 50
    position.epoch, position.seconds = 4, 12.0
    assert foreseen_epochs(train, position) == 20
    position.seconds = 70.0
    assert foreseen_epochs(train, position) == 5


def test_labels_do_not_enter_training(tmp_path: Path, small_data: Splits, trained: Path) -> None:
    def unlabelled(posed: Posed) -> Posed:
        return dataclasses.replace(posed, images=dataclasses.replace(posed.images, labels=None))

    data = Splits(**{name: unlabelled(getattr(small_data, name)) for name in SPLITS})
    fit(tiny(), data, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(trained)


def test_a_run_knows_its_images(tmp_path: Path, small_data: Splits, trained: Path) -> None:
    other = dataclasses.replace(small_data, train=small_data.train.subset(slice(1, None)))
    with pytest.raises(UserError, match="source has changed"):
        fit(tiny(epochs=3), other, trained, resume=True)


def test_the_best_checkpoint_has_the_lowest_validation_elbo(trained: Path) -> None:
    rows = [row for row in read_log(trained) if row["split"] == "validation"]
    _, state = load(run_file(trained, "best"))
    assert state["position"]["best"] == min(row["negative_elbo"] for row in rows)
    assert rows[state["position"]["best_epoch"]]["negative_elbo"] == state["position"]["best"]


@pytest.fixture(scope="module")
def static(small_data: Splits) -> Splits:
    """Images of noise alone: nothing draws them better than the grey of an untrained decoder."""
    noise = torch.Generator().manual_seed(0)

    def noisy(posed: Posed) -> Posed:
        few = posed.images.subset(slice(200))
        pixels = torch.randint(256, few.pixels.shape, generator=noise).byte()
        return Posed(images=dataclasses.replace(few, pixels=pixels))

    return Splits(**{name: noisy(getattr(small_data, name)) for name in SPLITS})


GREY = {
    "poses": "templates",
    "background": 0.5,
    "templates": 4,
    "restarts": 1,
    "subset": 150,
    "epochs": 6,
    "lr": 1e-2,
}
"""Settings with which the decoder draws grey before it is trained."""


def best_of_noise(run: Path) -> tuple[int, int, list[float]]:
    """Best epoch and length of the warm-up, and the negative ELBO of each epoch, of a run."""
    position = load(run_file(run, "last"))[1]["position"]
    costs = [row["negative_elbo"] for row in read_log(run) if row["split"] == "validation"]
    assert load(run_file(run, "best"))[1]["position"]["best_epoch"] == position["best_epoch"]
    assert costs[position["best_epoch"]] == position["best"]
    return position["best_epoch"], position["warmup"], costs


@pytest.mark.parametrize(
    ("stops", "minutes"), [((), None), ((), 60.0), ((3, 11), None), ((14,), 60.0), ((20,), None)]
)
def test_no_epoch_without_clusters_is_the_best(
    tmp_path: Path,
    static: Splits,
    monkeypatch: pytest.MonkeyPatch,
    stops: tuple[int, ...],
    minutes: float | None,
) -> None:
    """Also if it is stopped in the warm-up and after it. An epoch has 4 + 2 batches."""
    config, run = taught(warmup=0.3, minutes=minutes, **GREY), tmp_path / "run"
    for number, step in enumerate(stops):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step, signal.SIGINT)
            assert not fit(config, static, run, resume=number > 0)
    assert fit(config, static, run, resume=len(stops) > 0)
    best, warmup, costs = best_of_noise(run)
    assert warmup == 2 and len(costs) == 6
    assert costs[best] == min(costs[warmup:])


def test_a_run_that_ends_in_its_warm_up_has_a_best_epoch_until_it_is_trained_longer(
    tmp_path: Path, static: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "out_of_time", lambda self: self.position.epoch == 1)
        assert fit(taught(warmup=0.3, **GREY), static, tmp_path / "run")
    best, warmup, costs = best_of_noise(tmp_path / "run")
    assert costs[best] == min(costs) and warmup == 0
    wild = taught(warmup=0.3, **(GREY | {"lr": 1.0}))  # all later epochs are worse than the first
    assert fit(wild, static, tmp_path / "run", resume=True)
    best, warmup, costs = best_of_noise(tmp_path / "run")
    assert costs[best] > min(costs) and best >= warmup == 2


def test_a_longer_training_keeps_the_best_epoch_so_far(tmp_path: Path, static: Splits) -> None:
    assert fit(taught(**GREY), static, tmp_path / "run")
    best, before = best_of_noise(tmp_path / "run")[0], run_file(tmp_path / "run", "best")
    content = before.read_bytes()
    wild = taught(**(GREY | {"epochs": 7, "lr": 1.0}))  # its last epoch spoils the model
    assert fit(wild, static, tmp_path / "run", resume=True)
    assert load(run_file(tmp_path / "run", "last"))[1]["position"]["best_epoch"] == best
    assert before.read_bytes() == content


def test_old_checkpoints_say_by_their_warm_up_whether_the_best_epoch_had_clusters() -> None:
    old = dataclasses.asdict(Position(epochs=9, epoch=5, best=1.0, best_epoch=3))
    del old["best_grouped"]
    assert position_in(old, staged=False).best_grouped
    had = [position_in(old | {"warmup": w}, staged=True).best_grouped for w in (0, 3, 4)]
    assert had == [False, True, False]


def test_validation_is_repeatable_and_leaves_the_noise_alone(small_data: Splits, tmp_path: Path):
    trainer = Trainer(tiny(), small_data, tmp_path)
    before = torch.get_rng_state()
    assert trainer.validate() == trainer.validate()
    assert torch.get_rng_state().equal(before)
    assert trainer.model.training


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path, small_data: Splits) -> None:
    """The last checkpoint stays as it was, and the log has no row that is not a number."""
    run = tmp_path / "run"
    fit(tiny(epochs=1), small_data, run)
    before = run_file(run, "last").read_bytes()
    with pytest.raises(TrainingError, match=r"epoch 2, step .*third of the lr"):
        fit(tiny(epochs=3, lr=1e30), small_data, run, resume=True)
    assert len(losses(run)) == 2
    assert run_file(run, "last").read_bytes() == before


def test_a_validation_loss_that_is_not_finite_stops_too(tmp_path: Path, small_data: Splits) -> None:
    """One step an epoch: the training loss is still finite when the weights no longer are."""
    with pytest.raises(TrainingError, match="epoch 1"):
        fit(tiny(lr=1e30, batch_size=400), small_data, tmp_path / "run")
    assert read_log(tmp_path / "run") == []
    assert not run_file(tmp_path / "run", "best").exists()
    weights = load(run_file(tmp_path / "run", "last"))[0]["model.encoder.0.weight"]
    assert weights.isfinite().all()


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {"a": torch.ones(3)}, {"n": 1})
    (other := tmp_path / "other").touch()
    assert path.stat().st_mode == other.stat().st_mode  # who may read a folder may open its run
    other.unlink()

    def half(_: Any, temporary: Path, *__: Any) -> None:
        temporary.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(UserError, match="No space left"):
        checkpoint.save(path, {"a": torch.zeros(3)}, {"n": 2})
    tensors, state = load(path)
    assert tensors["a"].tolist() == [1, 1, 1] and state["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "pickle", "format"])
def test_unreadable_checkpoints_are_named(tmp_path: Path, damage: str, trained: Path) -> None:
    path = tmp_path / "best.safetensors"
    content = run_file(trained, "best").read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        path.write_bytes(b"PNG" + content)
    elif damage == "pickle":
        torch.save({"a": 1}, path)
    elif damage == "format":
        checkpoint.save(path, {}, {})
        path.write_bytes(path.read_bytes().replace(b'"format\\": 1', b'"format\\": 9'))
    with pytest.raises(UserError, match=r"best\.safetensors"):
        load_model(tmp_path)


def test_settings_survive_a_file(trained: Path) -> None:
    assert Config.read(trained / "settings.toml") == tiny()
    assert json.loads(json.dumps(tiny().to_dict())) == tiny().to_dict()


def test_tensorboard_gets_every_term(trained: Path) -> None:
    events = list(trained.rglob("events.out.tfevents.*"))
    assert len(events) == 1
    content = events[0].read_bytes()
    assert b"validation/kl_pose" in content and b"train/reconstruction" in content
