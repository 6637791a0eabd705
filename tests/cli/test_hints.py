"""`mcevae fit --hints`: clusters follow what a person knows of a few images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from mcevae import MCEVAE
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.run import open_run
from tests.cli.test_cli import fails

DIGITS = load("mnist-mini").train
KIND = DIGITS.labels.numpy() if DIGITS.labels is not None else np.zeros(0)
WORD = {0: "ring", 1: "stroke", 3: "three"}
ROWS = np.flatnonzero(np.isin(KIND, list(WORD)))[:240]
QUICK = ["--quick", "--restarts", "1", "--clusters", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three kinds of digits, and hints of a few of them."""
    folder = tmp_path_factory.mktemp("hinted")
    (folder / "images").mkdir()
    for i, row in enumerate(ROWS):
        Image.fromarray(DIGITS.pixels[row, 0].numpy()).save(folder / "images" / f"{i:03}.png")
    few = [i for kind in WORD for i in np.flatnonzero(KIND[ROWS] == kind)[:5]]
    lines = [f"{i:03}.png,{WORD[KIND[ROWS[i]]]}" for i in few]
    (folder / "hints.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    return folder


def share_right(run: Path) -> float:
    rows = open_run(run).select().rows.to_pandas()
    kind = [WORD[KIND[ROWS[int(name[:3])]]] for name in rows["file"]]
    return float((rows["group"] == kind).mean())


def test_groups_are_named_by_hints(folder: Path, tmp_path: Path) -> None:
    hints = ["--hints", str(folder / "hints.csv")]
    main(["fit", str(folder / "images"), *hints, "--out", str(tmp_path / "run"), *QUICK])
    groups = [entry.name for entry in open_run(tmp_path / "run").collections.entries]
    assert groups == ["ring", "stroke", "three"]
    assert share_right(tmp_path / "run") > 0.9
    table = parquet.read_table(tmp_path / "run" / "images.parquet").to_pandas()
    hinted = table[table["file"].isin(hinted_names(folder))]
    assert len(hinted) == 15 and (hinted["split"] == "train").all()

    child = tmp_path / "child"  # which has fewer labels
    main(["fit", "--from", str(tmp_path / "run"), "--keep", "ring", "three", "--out", str(child)])
    assert [entry.name for entry in open_run(child).collections.entries] == ["ring", "three"]


def hinted_names(folder: Path) -> list[str]:
    lines = (folder / "hints.csv").read_text().splitlines()[1:]
    return [line.partition(",")[0] for line in lines]


def test_a_trained_run_keeps_the_labels_of_its_targets(folder: Path, tmp_path: Path) -> None:
    small = "--templates 8 --rotations 24 --hidden 32 --variation 4 --redraws 1 --restarts 1"
    fit = ["fit", str(folder / "images"), "--hints", str(folder / "hints.csv"), "--clusters", "3"]
    main([*fit, "--epochs", "16", *small.split(), "--out", str(tmp_path / "run")])
    assert share_right(tmp_path / "run") > 0.6
    groups = [entry.name for entry in open_run(tmp_path / "run").collections.entries]
    assert groups == ["ring", "stroke", "three"]


def test_built_in_sets_are_hinted_by_number(tmp_path: Path) -> None:
    few = [f"{i},{KIND[i]}" for kind in (0, 1) for i in np.flatnonzero(kind == KIND)[:3]]
    (tmp_path / "hints.csv").write_text("\n".join(["file,label", *few]) + "\n")
    fit = ["fit", "mnist-mini", "--limit", "300", "--hints", str(tmp_path / "hints.csv")]
    main([*fit, "--out", str(tmp_path / "run"), *QUICK])
    groups = [entry.name for entry in open_run(tmp_path / "run").collections.entries]
    assert groups == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("file,label\nx.png,a\n", [], "row 2 is about 'x.png', which is no image"),
        (
            "file,label\n000.png,a\n001.png,b\n002.png,c\n003.png,d\n",
            [],
            "--hints has 4 labels, but there are only 3 clusters; ask for 4 or more",
        ),
        (f"file,label\n000.png,{'a' * 90}\n", [], "a group's name must have 1 to 80"),
        ("file,label\n000.png,a\n", ["--preset", "vae"], "--hints need the graph"),
        ("file,label\n000.png,a\n", ["--limit", "2"], "too few"),
    ],
)
def test_hints_that_cannot_be_are_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    flags: list[str],
    message: str,
) -> None:
    (tmp_path / "hints.csv").write_text(text)
    rest = flags if "--preset" in flags else [*QUICK, *flags]
    hints = ["--hints", str(tmp_path / "hints.csv"), "--out", str(tmp_path / "run")]
    assert message in fails(capsys, "fit", str(folder / "images"), *hints, *rest)


def some(kind: np.ndarray) -> list[str | None]:
    """Labels of the first five images of each kind."""
    hints: list[str | None] = [None] * len(kind)
    for k in WORD:
        for i in np.flatnonzero(kind == k)[:5]:
            hints[i] = WORD[k]
    return hints


@pytest.mark.parametrize("form", ["array", "sizes", "files", "table"])
def test_a_run_of_an_estimator_keeps_the_hints(form: str, tmp_path: Path) -> None:
    pixels = DIGITS.pixels[ROWS[:60], 0].numpy()
    X: Any = pixels
    if form == "sizes":
        X = [np.pad(one, i % 2) for i, one in enumerate(pixels)]
    if form in ("files", "table"):
        (tmp_path / "images").mkdir()
        X = [tmp_path / "images" / f"{i}.png" for i in range(60)]
        for path, one in zip(X, pixels, strict=True):
            Image.fromarray(one).save(path)
    hints = some(KIND[ROWS[:60]])
    said: Any = hints
    if form == "table":
        said = tmp_path / "hints.csv"
        lines = [f"{i}.png,{one or ''}" for i, one in enumerate(hints)]
        said.write_text("\n".join(["file,label", *lines]) + "\n")
        X = tmp_path / "images"
    settings = {"start": {"restarts": 1, "subset": 60}}
    MCEVAE(3, quick=True, run=tmp_path / "run", settings=settings).fit(X, hints=said)
    opened = open_run(tmp_path / "run")
    found = opened.data().train.images.hints
    assert found is not None and list(found.names) == sorted(WORD.values())
    assert len(found.labelled()) == sum(one is not None for one in hints)
    main(["report", str(tmp_path / "run")])


def test_the_estimator_takes_labels_of_some_images() -> None:
    X, kind = DIGITS.pixels[ROWS, 0].numpy(), KIND[ROWS]
    hints = some(kind)
    model = MCEVAE(3, quick=True, settings={"start": {"restarts": 1}}).fit(X, hints=hints)
    assert [entry.name for entry in model.collections_.entries] == sorted(WORD.values())
    wanted = np.array([sorted(WORD.values()).index(WORD[k]) for k in kind])
    assert (model.labels_ == wanted).mean() > 0.9
    with pytest.raises(ValueError, match="there are 2 for 240 images"):
        MCEVAE(3, quick=True).fit(X, hints=["a", None])
