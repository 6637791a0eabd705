"""Saved estimators come back as they were; what cannot be read says why."""

import inspect
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from safetensors import safe_open

from mcevae.estimator import MCEVAE
from mcevae.exporting import hub
from mcevae.images.loading import load
from mcevae.images.splits import Splits
from mcevae.runs.checkpoint import load_model
from mcevae.runs.confidence import calibrate
from mcevae.runs.decisions import Decisions
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit
from tests.sizes import taught
from tests.test_estimator import TINY, tiny


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return load("mnist-mini").train.pixels[:150, 0].numpy()


@pytest.fixture(scope="module")
def fitted(X: np.ndarray) -> MCEVAE:
    model = tiny(random_state=np.random.RandomState(4), image_shape=(28, 28))
    return model.set_params(rotation=np.float32(60)).fit(X)


@pytest.fixture
def folder(fitted: MCEVAE, tmp_path: Path) -> Path:
    fitted.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def run(small_data: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated run of the default preset, as `mcevae fit` makes it."""
    run, config = tmp_path_factory.mktemp("runs") / "taught", taught(group="sim2", limit=150)
    some = small_data.train.subset(slice(150))
    assert fit(config, Splits(train=some, validation=small_data.validation, test=some), run)
    model, config, _ = load_model(run)
    calibrate(model, config, small_data.validation.images.pixels).write(run)
    return run


def answers(model: MCEVAE, X: np.ndarray) -> list[np.ndarray]:
    """All that an estimator says of images."""
    ask = (model.transform, model.predict_proba, model.pose, model.canonical)
    return [*(one(X) for one in ask), model.confidence(X), model.outlier(X)]


def same(a: MCEVAE, b: MCEVAE, X: np.ndarray) -> bool:
    pairs = zip(answers(a, X), answers(b, X), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_what_is_saved_comes_back_with_the_same_numbers(
    fitted: MCEVAE, folder: Path, X: np.ndarray
) -> None:
    again = MCEVAE.from_pretrained(folder)
    assert same(again, fitted, X) and same(again, fitted, X.reshape(150, -1))
    assert again.config_ == fitted.config_ and again.recipe_ == fitted.recipe_
    seed = fitted.config_.train.seed
    assert again.get_params()["random_state"] == seed
    assert again.set_params(random_state=0).get_params() == {
        **fitted.get_params(),
        "random_state": 0,
        "image_shape": [28, 28],
    }
    with pytest.raises(ValueError, match="as for `fit`"):
        again.predict(X[:, :26])
    refitted = again.set_params(random_state=seed).fit(X)
    assert np.array_equal(refitted.transform(X), fitted.transform(X))


def test_names_of_columns_are_kept(X: np.ndarray, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.reshape(150, -1), columns=[f"pixel{i}" for i in range(784)])
    tiny().fit(frame).save_pretrained(tmp_path)
    again = MCEVAE.from_pretrained(tmp_path)
    assert again.predict(frame).shape == (150,)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame.rename(columns={"pixel0": "other"}))


def test_the_folder_is_safetensors_json_and_a_card(fitted: MCEVAE, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {hub.CARD, hub.CONFIG, hub.WEIGHTS}
    with safe_open(folder / hub.WEIGHTS, "pt") as file:
        assert set(file.keys()) == set(fitted.model_.state_dict())
    content = json.loads((folder / hub.CONFIG).read_text())
    assert content["mcevae_format"] == hub.FORMAT and content["parameters"]["n_clusters"] == 3
    card = (folder / hub.CARD).read_text()
    assert card.startswith("---\nlibrary_name: mcevae\n") and "60° either way" in card
    assert 'from_pretrained("model")' in card and "Arrays (n, 28, 28)" in card


def test_a_run_is_an_estimator(run: Path, X: np.ndarray, tmp_path: Path) -> None:
    made = MCEVAE.from_pretrained(run)
    model, config, _ = load_model(run)
    expected = embed(model, load("mnist-mini").train.pixels[:150])
    assert np.array_equal(made.predict_proba(X), expected.responsibilities.numpy())
    assert np.array_equal(made.pose(X), expected.element.numpy())
    assert made.group == "sim2" and made.n_clusters == 3
    refit = made._config()
    for part in ("support", "model", "objective", "start", "peer", "train"):
        assert getattr(refit, part) == getattr(config, part)
    larger = np.kron(X[:5], np.ones((2, 2), X.dtype))  # brought to size as a file would be
    assert (made.predict(larger) == made.predict(X[:5])).mean() > 0.5
    made.save_pretrained(tmp_path)
    assert same(MCEVAE.from_pretrained(tmp_path), made, X)
    assert "images of any size" in (tmp_path / hub.CARD).read_text()


def test_paths_are_not_published(run: Path, X: np.ndarray, tmp_path: Path) -> None:
    made = MCEVAE.from_pretrained(run)
    made.config_ = made.config_.changed(data={"source": "/home/me/scans", "labels": "/home/me/l"})
    made.set_params(run="/home/me/run").save_pretrained(tmp_path)
    assert not any(b"/home/me" in path.read_bytes() for path in tmp_path.iterdir())
    assert same(MCEVAE.from_pretrained(tmp_path), made, X)


def test_names_of_images_are_not_published(run: Path, tmp_path: Path) -> None:
    plain = TrainedRun.open(run).collections
    said = Decisions().judged(["patient-7.png"], True).selected("bad", ["patient-8.png"])
    replace(plain.judged(0, True), decisions=said).write(run)
    try:
        MCEVAE.from_pretrained(run).save_pretrained(tmp_path)
    finally:
        (run / "groups.json").unlink()
    assert not any(b"patient" in path.read_bytes() for path in tmp_path.iterdir())
    assert '"junk": true' in (tmp_path / hub.CONFIG).read_text()


def test_runs_of_other_presets_are_refused(trained: Path) -> None:
    with pytest.raises(
        ValueError, match="has preset paper, but the estimator reads runs of preset default"
    ):
        MCEVAE.from_pretrained(trained)


def edit(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        content = json.loads((folder / hub.CONFIG).read_text())
        (folder / hub.CONFIG).write_text(json.dumps({**content, **changes}))

    return change


def flip(folder: Path) -> None:
    """Another bit in the middle of the weights, which safetensors alone would not notice."""
    content = bytearray((folder / hub.WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / hub.WEIGHTS).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / hub.CONFIG).unlink(), "holds no model"),
        (lambda folder: (folder / hub.WEIGHTS).unlink(), "missing, damaged or from another model"),
        (flip, "missing, damaged or from another model"),
        (
            lambda folder: (folder / hub.CONFIG).write_text('{"model_type": "bert"}'),
            "was not saved by",
        ),
        (lambda folder: (folder / hub.CONFIG).write_text("[1]"), "was not saved by mcevae"),
        (lambda folder: (folder / hub.CONFIG).write_bytes(b"\xff{"), "was not saved by mcevae"),
        (edit(mcevae_format=2), "format 2, this one reads 1"),
        (edit(settings={"preset": "default", "model": {"size": 3}}), "no setting model.size"),
        (edit(settings={"preset": "default"}), "damaged"),
        (edit(recipe={"shape": [28, 28]}), "damaged"),
        (edit(calibration={"misfits": [0, 1], "temperature": 1, "n": 9}), "damaged"),
        (edit(parameters={"n_clusters": 3, "flavour": 1}), "does not fit MCEVAE"),
    ],
)
def test_damaged_foreign_and_newer_folders_say_so(harm: Any, message: str, folder: Path) -> None:
    harm(folder)
    with pytest.raises(ValueError, match=message):
        MCEVAE.from_pretrained(folder)


class Hub:
    """The part of `HfApi` that is used, with folders for repositories."""

    root: Path

    def __init__(self, token: str | None = None, library_name: str | None = None) -> None:
        if token == "expired":
            raise OSError("401 Unauthorized\nSee the log.")

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> Any:
        assert exist_ok
        owner, _, name = repo_id.rpartition("/")
        repo_id = f"{owner or 'me'}/{name}"
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)

        class Url(str):
            pass

        url = Url(f"https://huggingface.co/{repo_id}")
        url.repo_id = repo_id  # pyright: ignore[reportAttributeAccessIssue]
        return url

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_message=commit_message)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub on disk."""

    def download(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        if not (tmp_path / "site" / name).is_dir():
            raise OSError("404 Client Error.\n\nRepository Not Found.")
        assert {hub.CONFIG, hub.WEIGHTS} <= set(allow_patterns)
        return str(tmp_path / "site" / name)

    Hub.root = tmp_path / "site"
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return Hub.root


def test_the_hub_gives_what_was_pushed(fitted: MCEVAE, X: np.ndarray, site: Path) -> None:
    assert fitted.push_to_hub("digits") == "https://huggingface.co/me/digits"
    assert {path.name for path in (site / "me/digits").iterdir()} == {
        hub.CARD,
        hub.CONFIG,
        hub.WEIGHTS,
    }
    assert 'from_pretrained("me/digits")' in (site / "me/digits" / hub.CARD).read_text()
    assert same(MCEVAE.from_pretrained("me/digits"), fitted, X)


def test_what_the_hub_refuses_is_one_sentence(fitted: MCEVAE, site: Path) -> None:
    with pytest.raises(ValueError, match=r"me/none: .* \(OSError: 404 Client Error\.\)"):
        MCEVAE.from_pretrained("me/none")
    with pytest.raises(ValueError, match=r"cannot be uploaded \(OSError: 401 Unauthorized\)"):
        fitted.push_to_hub("me/digits", token="expired")


def test_local_folders_need_no_extra(
    fitted: MCEVAE, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert MCEVAE.from_pretrained(str(folder)).n_clusters == 3
    for ask in (MCEVAE.from_pretrained, fitted.push_to_hub):
        with pytest.raises(ValueError, match=r"pip install 'mcevae\[hub\]'"):
            ask("me/digits")


def test_what_is_called_is_there() -> None:
    """The fake hub takes what the real one takes."""
    create = inspect.signature(huggingface_hub.HfApi.create_repo).parameters
    upload = inspect.signature(huggingface_hub.HfApi.upload_folder).parameters
    download = inspect.signature(huggingface_hub.snapshot_download).parameters
    assert {"repo_id", "private", "exist_ok"} <= set(create)
    assert {"repo_id", "folder_path", "commit_message"} <= set(upload)
    assert {"repo_id", "revision", "token", "allow_patterns"} <= set(download)
    assert hasattr(huggingface_hub.RepoUrl("https://huggingface.co/me/digits"), "repo_id")


def test_unfitted_estimators_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        MCEVAE(settings=TINY).save_pretrained(tmp_path)
