"""Features from elsewhere: each image keeps its own row, in the graph, the run and the tables."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from mcevae import open_run
from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.images.features import Features
from mcevae.images.loading import load
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Posed
from mcevae.models.config import Config
from mcevae.runs.confidence import Calibration
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.evidence import Evidence, learn
from mcevae.runs.symmetry import Symmetry
from tests.test_estimator import tiny as tiny_estimator


def marked(pixels: np.ndarray) -> np.ndarray:
    """Features that name an image: a few of its own pixels."""
    return pixels.reshape(len(pixels), -1)[:, 300:420:12].astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 digits as files and in a stack, three of which cannot be used, and their features."""
    pixels = load("mnist-mini").train.pixels[:40, 0].numpy()
    images = tmp_path / "images"
    images.mkdir()
    np.save(images / "m.npy", pixels[20:30])
    for i in (*range(20), *range(30, 40)):
        Image.fromarray(pixels[i]).save(images / f"{'a' if i < 20 else 'z'}{i:02}.png")
    for name in ("a03.png", "a19.png", "z35.png"):
        (images / name).write_bytes(b"broken")
    np.save(tmp_path / "features.npy", marked(pixels))
    return images


def settings(folder: Path, **more: object) -> Config:
    data = {"source": str(folder), "features": str(folder.parent / "features.npy"), **more}
    return Config().changed(data=data)


def own_rows(part: Posed) -> None:
    assert part.images.features is not None
    expected = torch.from_numpy(marked(part.images.pixels[:, 0].numpy()))
    assert_close(part.images.features, expected, atol=1.0, rtol=0)


@pytest.mark.parametrize("split", ["standard", "paper"])
def test_rows_stay_with_their_images_through_faults_and_splits(folder: Path, split: str) -> None:
    config = settings(folder, split=split, normalise="none")
    data = prepare_for(settle(config))
    assert len(data.faults) == 3
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 37
    for part in (data.train, data.validation, data.test):
        own_rows(part)
    changed = np.load(config.data.features or "") + 1
    np.save(config.data.features or "", changed)
    assert prepare_for(settle(config)).digest() != data.digest()


def test_parts_of_a_source_have_rows_one_after_another(tmp_path: Path) -> None:
    pixels = load("mnist-mini").train.pixels[:30, 0].numpy()
    np.savez(tmp_path / "both.npz", x_train=pixels[:20], x_test=pixels[20:])
    np.save(tmp_path / "features.npy", marked(pixels))
    config = settings(tmp_path / "both.npz", normalise="none")
    data = prepare_for(settle(config))
    assert len(data.test) == 10
    for part in (data.train, data.validation, data.test):
        own_rows(part)
    source = open_source(str(tmp_path / "both.npz"), DataConfig())
    assert (source.total(), source.total("test")) == (30, 10)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((41, 3)), r"shape \(41, 3\), 41 rows, but .* has 40 images"),
        (np.zeros((37, 3)), r"37 rows, but .* has 40 images"),
        (np.zeros(40), "one row for each image"),
        (np.array([["a"]] * 40), "give numbers"),
        (np.full((40, 2), np.nan), "row 0 has a value that is not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(folder: Path, values: np.ndarray, said: str) -> None:
    np.save(folder.parent / "features.npy", values)
    with pytest.raises(UserError, match=said):
        prepare_for(settle(settings(folder)))


def test_files_that_are_no_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"none")
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    np.save(tmp_path / "c.npy", np.array([{}], dtype=object), allow_pickle=True)
    os.mkfifo(tmp_path / "pipe.npy")
    np.save(tmp_path / "wide.npy", np.zeros((1, 70_000), np.float32))
    told = {"a.npy": "cannot be read", "b.npz": "several", "c.npy": "cannot", "wide.npy": "at most"}
    for name, said in {**told, "pipe.npy": "not a regular file"}.items():
        with pytest.raises(UserError, match=said):
            Features.read(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        Features.read(tmp_path / "d.npy")
    with pytest.raises(UserError, match="graph of preset default"):
        Config.from_dict({"preset": "paper", "data": {"features": "a.npy"}})


def test_evidence_says_what_features_know_and_nothing_if_they_know_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(600) % 3
    sure = 0.05 + 0.85 * torch.nn.functional.one_hot(kind, 3)
    middle = 3 * torch.randn(3, 20, generator=generator)
    f = middle[kind] + torch.randn(600, 20, generator=generator)
    told = learn(f[:400], sure[:400], f[400:], sure[400:])
    assert (told(f[400:]).argmax(1) == kind[400:]).float().mean() > 0.98
    assert told.columns == 20 and told(f).max(1).values.abs().max() == 0
    nothing = torch.randn(600, 20, generator=generator)
    said = learn(nothing[:400], sure[:400], nothing[400:], sure[400:])(nothing[400:])
    assert said.abs().max() < 1.0
    same = torch.ones(600, 2)
    assert learn(same[:400], sure[:400], same[400:], sure[400:])(same).abs().max() == 0


def test_damaged_evidence_of_a_run_is_refused(tmp_path: Path) -> None:
    """Of other clusters, not finite, or a link: one sentence, and nothing is followed."""
    path = tmp_path / "features.safetensors"
    good = Evidence(weight=torch.zeros(3, 5), bias=torch.zeros(3))
    good.write(tmp_path, "best", "one")
    assert Evidence.read(tmp_path, "best", "one", 3).columns == 5
    with pytest.raises(UserError, match="damaged"):
        Evidence.read(tmp_path, "best", "one", 4)
    replace(good, bias=torch.tensor([0.0, 0.0, torch.nan])).write(tmp_path, "best", "one")
    with pytest.raises(UserError, match="not finite"):
        Evidence.read(tmp_path, "best", "one", 3)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        Evidence.read(tmp_path, "best", "one", 3)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        Evidence.read(tmp_path, "best", "one", 3)
    sure = Calibration(
        temperature=1.0,
        misfits=(0.0,) * 101,
        n=5,
        symmetry=Symmetry(order=(1, 2), consistency=(None, 0.5)),
    )
    assert sure.fitting(2) is sure
    with pytest.raises(ValueError, match="symmetry of 2 clusters, not 3"):
        sure.fitting(3)


def test_a_run_with_features_predicts_with_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out, features = tmp_path / "run", tmp_path / "t.parquet", str(tmp_path / "features.npy")
    sizes = "--clusters 3 --epochs 2 --templates 4 --neighbours 5 --restarts 2 --rotations 24"
    sizes += " --hidden 32 --batch-size 8"
    main(
        [
            "fit",
            str(folder),
            "--features",
            features,
            "--hidden",
            "32",
            *sizes.split(),
            "--batch-size",
            "8",
            "--out",
            str(run),
        ]
    )
    assert (run / "features.safetensors").exists()
    main(["predict", str(run), str(folder), "--features", features, "--out", str(out)])
    rows = parquet.read_table(out)
    assert rows.num_rows == 37
    opened = open_run(run, "cpu")
    told = opened.predict(folder, features=features)
    assert rows["cluster"].to_pylist() == told.cluster.tolist()
    assert np.allclose(rows["probability_0"].to_numpy(), told.probability[:, 0], atol=1e-4)
    shown = parquet.read_table(run / "images.parquet").to_pylist()
    known = dict(zip(rows["file"].to_pylist(), rows["cluster"].to_pylist(), strict=True))
    assert all(known[row["file"]] == row["cluster"] for row in shown)
    # Evidence that is sure of one cluster decides, and the pose is read for that cluster.
    columns = opened.evidence.columns
    opened.evidence = Evidence(weight=torch.zeros(3, columns), bias=torch.tensor([0.0, 0, 500]))
    assert (opened.predict(folder, features=features).cluster == 2).all()
    assert not (opened.predict(folder).cluster == 2).all() or (told.cluster == 2).all()
    capsys.readouterr()
    np.save(tmp_path / "few.npy", np.zeros((39, columns)))
    np.save(tmp_path / "narrow.npy", np.zeros((40, columns - 1)))
    for name, said in (("few.npy", "39 rows"), ("narrow.npy", f"trained with {columns}")):
        with pytest.raises(SystemExit) as stopped:
            main(
                [
                    "predict",
                    str(run),
                    str(folder),
                    "--features",
                    str(tmp_path / name),
                    "--out",
                    str(tmp_path / "no.parquet"),
                ]
            )
        told_error = " ".join(capsys.readouterr().err.split())
        assert stopped.value.code == 2 and said in told_error and name in told_error
        assert not (tmp_path / "no.parquet").exists()
    with pytest.raises(SystemExit):
        main(
            [
                "predict",
                str(run),
                str(folder),
                "--features",
                features,
                "--shard",
                "0/2",
                "--out",
                str(tmp_path / "shards"),
            ]
        )
    assert "leave out --shard" in capsys.readouterr().err.replace("\n", " ")


def test_the_estimator_takes_features(tmp_path: Path) -> None:
    X = load("mnist-mini").train.pixels[:150, 0].numpy()
    f = marked(X)
    model = tiny_estimator().fit(X, features=f)
    p = model.predict_proba(X, features=f)
    assert p.shape == (150, 3) and np.allclose(p.sum(1), 1, atol=1e-4)
    assert (model.labels_ == model.predict(X, features=f)).all()
    model.save_pretrained(tmp_path / "shared")
    again = MCEVAE.from_pretrained(tmp_path / "shared")
    assert np.allclose(again.predict_proba(X, features=f), p, atol=1e-5)
    with pytest.raises(ValueError, match="trained with 10"):
        model.predict(X, features=f[:, 1:])
    with pytest.raises(ValueError, match="149 rows"):
        model.predict(X, features=f[1:])
    with pytest.raises(ValueError, match="without any"):
        tiny_estimator().fit(X).predict(X, features=f)
